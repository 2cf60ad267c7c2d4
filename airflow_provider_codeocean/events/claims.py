"""Which run of a DAG has taken which computations: each belongs to one run, and a run gets the same again."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_provider_codeocean.events.seen_set import Seen, digest_of

if TYPE_CHECKING:
    from collections.abc import Sequence

#: How many identifiers are kept in whole, of the latest runs, and how many runs before those are known.
_IDENTIFIERS, _RUNS = 1000, 10_000


class Forgotten(LookupError):
    """A run is so long ago that it is not known any more what it has taken."""


@dataclass(slots=True)
class Ledger:
    """What runs have taken.

    :param runs: what the latest runs have taken, in order.
    :param taken: what is not there to be taken: what runs before those have taken, and what was old at first.
    :param earlier: digests of the runs before those, the latest last.
    """

    runs: dict[str, list[str]] = field(default_factory=dict)
    taken: Seen = field(default_factory=Seen)
    earlier: tuple[bytes, ...] = ()

    def take(self, run_id: str, there: Sequence[str], limit: int) -> tuple[list[str], bool]:
        """Take for a run what no other run has taken, or what it has taken itself already.

        :param run_id: the run.
        :param there: identifiers of all that there is to take now, in the order to take them.
        :param limit: how many a run takes at most.
        :returns: what the run has taken, in the same order each time, and whether more is left.
        :raises Forgotten: where the run is known to have taken something, but not what.
        """
        if run_id not in self.runs:
            if digest_of(run_id) in self.earlier:
                raise Forgotten(f"what run {run_id} has taken is so long ago that it is not known any more")
            self.runs[run_id] = self._left(there)[:limit]
        mine = self.runs[run_id]
        return mine, bool(self._left(there))

    def _left(self, there: Sequence[str]) -> list[str]:
        in_runs = {each for ids in self.runs.values() for each in ids}
        return [each for each in dict.fromkeys(there) if each not in in_runs and each not in self.taken]

    def shortened(self) -> Ledger:
        """Return it without the details of runs long ago. What has been taken is never forgotten."""
        runs: dict[str, list[str]] = {}
        gone: list[tuple[str, list[str]]] = []
        kept = 0
        for run_id, taken in reversed(self.runs.items()):
            kept += len(taken) + 1
            if not runs or kept <= _IDENTIFIERS:
                runs[run_id] = taken
            else:
                gone.append((run_id, taken))
        digests = {digest_of(each) for _, taken in gone for each in taken}
        earlier = [*self.earlier, *(digest_of(run_id) for run_id, _ in reversed(gone))]
        return Ledger(
            dict(reversed(runs.items())), Seen(self.taken.digests | digests), tuple(earlier[-_RUNS:])
        )

    def written(self) -> dict[str, Any]:
        """Write it down, as JSON values."""
        return {
            "runs": self.runs,
            "taken": self.taken.written(),
            "earlier": [base64.b64encode(each).decode() for each in self.earlier],
        }

    @classmethod
    def read(cls, written: Any) -> Ledger:
        """Read what was written down.

        :param written: by :meth:`written`.
        :returns: the ledger.
        :raises ValueError: where it is none.
        """
        try:
            return cls(
                {run_id: [*taken] for run_id, taken in written["runs"].items()},
                Seen.read(written["taken"]),
                tuple(base64.b64decode(each, validate=True) for each in written["earlier"]),
            )
        except (AttributeError, KeyError, TypeError) as error:
            raise ValueError(f"this is no record of what was taken: {error!r}") from error
