"""What came of the run: whether each capture left one data asset, and what it took."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.cluster.resource_usage import ResourceUsage

#: How many of the endpoints to name.
_MAX_ENDPOINTS = 8


@dataclass(frozen=True)
class CaptureSummary:
    """What came of the captures.

    :param requested: how many there were to be.
    :param created: data assets that there are.
    :param duplicated: data assets beyond one for each computation.
    :param lost: captures without one that is ready and that their task has returned.
    :param failed: tasks that did not end with success, of any kind.
    """

    requested: int
    created: int
    duplicated: int
    lost: int
    failed: int

    @property
    def is_exactly_once(self) -> bool:
        """Whether each capture has left one data asset, and no task has failed."""
        return self == CaptureSummary(self.requested, self.requested, 0, 0, 0) and self.requested > 0


def summarize(
    computations: Sequence[str],
    assets_by_computation: Mapping[str, Sequence[tuple[str, str]]],
    returned_ids: Mapping[str, str],
    states: Sequence[str],
) -> CaptureSummary:
    """Compare what was asked for with what there is.

    :param computations: the computations to capture.
    :param assets_by_computation: id and state of each data asset, by its computation.
    :param returned_ids: the id of the data asset that the task returned, by its computation.
    :param states: the last state of every task of the run.
    :returns: what came of it.
    """
    kept = sum(
        (returned_ids.get(computation), "ready")
        in {tuple(each) for each in assets_by_computation.get(computation, ())}
        for computation in computations
    )
    total = sum(map(len, assets_by_computation.values()))
    return CaptureSummary(
        requested=len(computations),
        created=total,
        duplicated=total - len([each for each in assets_by_computation.values() if each]),
        lost=len(computations) - kept,
        failed=sum(state != "success" for state in states),
    )


def summary_rows(verdict: CaptureSummary, requests: int, seconds: float) -> dict[str, object]:
    """Return the figures that count.

    :param verdict: what came of the captures.
    :param requests: requests to Code Ocean.
    :param seconds: from the start of the run to its end.
    """
    return {
        "captures asked": verdict.requested,
        "assets made": verdict.created,
        "doubled": verdict.duplicated,
        "lost": verdict.lost,
        "tasks failed": verdict.failed,
        "requests": requests,
        "seconds": round(seconds),
    }


def sizing_rows(load: ResourceUsage, attempts: Counter[int]) -> dict[str, object]:
    """Return what the run took.

    :param load: what was seen during the run.
    :param attempts: how many captures took how many tries.
    """
    stats: dict[str, Any] = load.stats
    endpoints = Counter(stats["endpoints"]).most_common(_MAX_ENDPOINTS)
    rows: dict[str, object] = {
        "tries": ", ".join(f"{count} took {number}" for number, count in sorted(attempts.items())),
        "waits at most": ", ".join(f"{count} on {host}" for host, count in sorted(load.max_waits.items())),
        "connections": f"{stats['api_connections']} in all, {load.max_connections} open at most",
        "answers": ", ".join(f"{count} of {status}" for status, count in sorted(stats["statuses"].items())),
    }
    rows |= dict(endpoints)
    cpu = load.cpu_seconds
    rows |= {
        name: f"{cpu[name]:.0f} CPU s, {load.max_memory_mb[name]:.0f} MB at most"
        for name in sorted(load.max_memory_mb)
    }
    return rows
