"""The ids that a watcher has already reported."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

#: Format number of the values in an asset's state.
FORMAT = 1

#: Key of the baseline in an asset's state: the results that were old to the watcher.
BASELINE_KEY = "codeocean_baseline"
#: Key of the ids that the watcher has reported, including the baseline.
SEEN_KEY = "codeocean_seen"
#: Key of the claims of DAG runs (:mod:`~airflow_provider_codeocean.events.claims`).
CLAIMS_KEY = "codeocean_claims"

#: Size of an id's digest. Of a million ids, two share a digest once in 40 million cases.
_DIGEST_BYTES = 8
#: Maximum number of ids to keep beyond twice the number of current ones.
_MAX_EXTRA_IDS = 1000
#: Number of polls whose ids are current: an id that is missing from some of them must not become new again.
_RECENT_POLLS = 10


@dataclass(frozen=True, slots=True)
class SeenSet:
    """A set of ids, stored in 11 characters each.

    It is a set and not a timestamp, so the order in which results end, the clocks, and old results that match
    a search later do not matter: every result whose id is not in the set is new.

    :param digests: digests of the ids.
    :param recent: digests of the ids in the recent polls; not stored.
    :param polls: number of recent polls; not stored.
    """

    digests: frozenset[bytes] = frozenset()
    recent: frozenset[bytes] = field(default=frozenset(), compare=False, repr=False)
    polls: int = field(default=0, compare=False, repr=False)

    def __contains__(self, identifier: str) -> bool:
        return id_digest(identifier) in self.digests

    def updated_with(self, current_ids: Iterable[str]) -> SeenSet:
        """Return the set with the ids of a poll, and without outdated ids if it would become too large.

        An id is outdated if several polls in a row have not returned it. Empty polls do not count, because an
        index is empty while Code Ocean rebuilds it.
        """
        current = frozenset(map(id_digest, current_ids))
        if not current:
            return self
        digests, recent, polls = self.digests | current, self.recent | current, self.polls + 1
        if polls < _RECENT_POLLS:
            return SeenSet(digests, recent, polls)
        return SeenSet(digests if len(digests) <= 2 * len(recent) + _MAX_EXTRA_IDS else recent)

    def to_json(self) -> dict[str, Any]:
        """Return the stored form. Equal sets have equal forms."""
        return {"format": FORMAT, "digests": base64.b64encode(b"".join(sorted(self.digests))).decode()}

    @classmethod
    def from_json(cls, value: Any) -> SeenSet:
        """Read the stored form, or raise ValueError if it is invalid."""
        check_format(value)
        try:
            content = base64.b64decode(value["digests"], validate=True)
        except (KeyError, TypeError) as error:
            raise ValueError(f"not a set of ids: {error!r}") from error
        if len(content) % _DIGEST_BYTES:
            raise ValueError(f"not a set of ids: {len(content)} bytes is no multiple of {_DIGEST_BYTES}")
        return cls(
            frozenset(content[at : at + _DIGEST_BYTES] for at in range(0, len(content), _DIGEST_BYTES))
        )


def check_format(value: Any) -> None:
    """Raise ValueError if a stored value has another format number than :data:`FORMAT`."""
    format_number = value.get("format") if isinstance(value, dict) else None
    if format_number != FORMAT:
        raise ValueError(f"the stored value has format {format_number!r}, expected {FORMAT}")


def id_digest(identifier: str) -> bytes:
    """Return the digest that stands for an id."""
    return hashlib.sha256(identifier.encode(errors="replace")).digest()[:_DIGEST_BYTES]


def intersection(seen_sets: Iterable[SeenSet]) -> SeenSet | None:
    """Return the ids that are in all of the sets, or None without a set."""
    digests = [seen_set.digests for seen_set in seen_sets]
    return SeenSet(frozenset.intersection(*digests)) if digests else None
