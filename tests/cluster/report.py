"""What came of the run: whether each capture left one data asset, and what it took."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.cluster.load import Load

#: How many of the endpoints to name.
_ENDPOINTS = 8


@dataclass(frozen=True)
class Verdict:
    """What came of the captures.

    :param asked: how many there were to be.
    :param made: data assets that there are.
    :param doubled: data assets beyond one for each computation.
    :param lost: captures without one that is ready and that their task has returned.
    :param failed: tasks that did not end with success, of any kind.
    """

    asked: int
    made: int
    doubled: int
    lost: int
    failed: int

    @property
    def good(self) -> bool:
        """Whether each capture has left one data asset, and no task has failed."""
        return self == Verdict(self.asked, self.asked, 0, 0, 0) and self.asked > 0


def judge(
    computations: Sequence[str],
    made: Mapping[str, Sequence[tuple[str, str]]],
    returned: Mapping[str, str],
    states: Sequence[str],
) -> Verdict:
    """Compare what was asked for with what there is.

    :param computations: the computations to capture.
    :param made: id and state of each data asset, by its computation.
    :param returned: the id of the data asset that the task returned, by its computation.
    :param states: the last state of every task of the run.
    :returns: what came of it.
    """
    kept = sum(
        (returned.get(computation), "ready") in {tuple(each) for each in made.get(computation, ())}
        for computation in computations
    )
    total = sum(map(len, made.values()))
    return Verdict(
        asked=len(computations),
        made=total,
        doubled=total - len([each for each in made.values() if each]),
        lost=len(computations) - kept,
        failed=sum(state != "success" for state in states),
    )


def summary(verdict: Verdict, requests: int, seconds: float) -> dict[str, object]:
    """Return the figures that count.

    :param verdict: what came of the captures.
    :param requests: requests to Code Ocean.
    :param seconds: from the start of the run to its end.
    """
    return {
        "captures asked": verdict.asked,
        "assets made": verdict.made,
        "doubled": verdict.doubled,
        "lost": verdict.lost,
        "tasks failed": verdict.failed,
        "requests": requests,
        "seconds": round(seconds),
    }


def sizing(load: Load, tries: Counter[int]) -> dict[str, object]:
    """Return what the run took.

    :param load: what was seen during the run.
    :param tries: how many captures took how many tries.
    """
    stats: dict[str, Any] = load.stats
    endpoints = Counter(stats["endpoints"]).most_common(_ENDPOINTS)
    rows: dict[str, object] = {
        "tries": ", ".join(f"{count} took {number}" for number, count in sorted(tries.items())),
        "waits at most": ", ".join(f"{count} on {host}" for host, count in sorted(load.waits.items())),
        "connections": f"{stats['api_connections']} in all, {load.connections} open at most",
        "answers": ", ".join(f"{count} of {status}" for status, count in sorted(stats["statuses"].items())),
    }
    rows |= dict(endpoints)
    cpu = load.cpu
    rows |= {
        name: f"{cpu[name]:.0f} CPU s, {load.memory[name]:.0f} MB at most" for name in sorted(load.memory)
    }
    return rows
