"""Which DAG run has claimed which computations."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_provider_codeocean.events.seen_set import FORMAT, SeenSet, check_format, id_digest

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Maximum number of ids that are stored in full, for the latest runs.
_MAX_LISTED_IDS = 1000
#: Maximum number of earlier runs that are stored as digests.
_MAX_EXPIRED_RUNS = 10_000


class ClaimExpired(LookupError):
    """The computations that a run has claimed are no longer stored."""


@dataclass(slots=True)
class ClaimLedger:
    """The claims of DAG runs. Each computation belongs to at most one run.

    :param claims_by_run: ids that the latest runs have claimed, in order.
    :param unavailable: ids that cannot be claimed: earlier runs have claimed them, or they are part of the
        watcher's baseline.
    :param expired_runs: digests of the earlier runs, the latest last.
    """

    claims_by_run: dict[str, list[str]] = field(default_factory=dict)
    unavailable: SeenSet = field(default_factory=SeenSet)
    expired_runs: tuple[bytes, ...] = ()

    def claim(self, run_id: str, candidates: Sequence[str], limit: int) -> tuple[list[str], bool]:
        """Claim ids for a run, or return the ids that it has already claimed.

        :param run_id: id of the run.
        :param candidates: ids of all terminal computations, in the order in which to claim them.
        :param limit: maximum number of ids that the run may claim.
        :returns: the claimed ids, in the same order each time, and whether unclaimed candidates remain.
        :raises ClaimExpired: if the run has claimed ids that are no longer stored.
        """
        if run_id not in self.claims_by_run:
            if id_digest(run_id) in self.expired_runs:
                raise ClaimExpired(
                    f"the claims of run {run_id} are too old and no longer stored: trigger a new run"
                )
            self.claims_by_run[run_id] = self._unclaimed(candidates)[:limit]
        return self.claims_by_run[run_id], bool(self._unclaimed(candidates))

    def _unclaimed(self, candidates: Sequence[str]) -> list[str]:
        claimed = {claimed_id for ids in self.claims_by_run.values() for claimed_id in ids}
        return [
            candidate
            for candidate in dict.fromkeys(candidates)
            if candidate not in claimed and candidate not in self.unavailable
        ]

    def compacted(self) -> ClaimLedger:
        """Return the ledger with only digests for earlier runs. No claimed id becomes available again."""
        listed: dict[str, list[str]] = {}
        expired: dict[str, list[str]] = {}
        count = 0
        for run_id, ids in reversed(self.claims_by_run.items()):
            count += len(ids) + 1
            (listed if not listed or count <= _MAX_LISTED_IDS else expired)[run_id] = ids
        digests = {id_digest(claimed_id) for ids in expired.values() for claimed_id in ids}
        expired_runs = [*self.expired_runs, *map(id_digest, reversed(expired))]
        return ClaimLedger(
            dict(reversed(listed.items())),
            SeenSet(self.unavailable.digests | digests),
            tuple(expired_runs[-_MAX_EXPIRED_RUNS:]),
        )

    def to_json(self) -> dict[str, Any]:
        """Return the stored form, as JSON values."""
        return {
            "format": FORMAT,
            "claims_by_run": self.claims_by_run,
            "unavailable": self.unavailable.to_json(),
            "expired_runs": [base64.b64encode(digest).decode() for digest in self.expired_runs],
        }

    @classmethod
    def from_json(cls, value: Any) -> ClaimLedger:
        """Read the stored form, or raise ValueError if it is invalid."""
        check_format(value)
        try:
            return cls(
                {run_id: [*ids] for run_id, ids in value["claims_by_run"].items()},
                SeenSet.from_json(value["unavailable"]),
                tuple(base64.b64decode(digest, validate=True) for digest in value["expired_runs"]),
            )
        except (AttributeError, KeyError, TypeError) as error:
            raise ValueError(f"not a claim ledger: {error!r}") from error
