"""What a watch has told of, as a set, and not as a time up to which it has.

So that it does not matter in which order things end, whose clock is wrong, or that something old comes to
match a search today: what is there and is not in the set is new.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

T = TypeVar("T")

#: Where it is in the state of an asset what was old when it was first looked for it, what its watch has told
#: of since, with that, and what has been taken (:mod:`~airflow_provider_codeocean.events.claims`).
BASELINE, TOLD, TAKEN = "codeocean_baseline", "codeocean_told", "codeocean_taken"

#: Bytes that stand for an identifier: of a million, two are taken for one another once in 40 million cases.
_BYTES = 8
#: How many more may be remembered than are there, and in how many looks what is there is counted: what looks
#: leave out for a while is not new again.
_ROOM, _LOOKS = 1000, 10


@dataclass(frozen=True, slots=True)
class Seen:
    """A set of identifiers, 11 characters each when it is written down.

    :param digests: what stands for them.
    :param lately: those of them that were there in the last looks; not written down.
    :param looks: how many looks these were; not written down.
    """

    digests: frozenset[bytes] = frozenset()
    lately: frozenset[bytes] = field(default=frozenset(), compare=False, repr=False)
    looks: int = field(default=0, compare=False, repr=False)

    def __contains__(self, identifier: str) -> bool:
        """Whether an identifier is in the set."""
        return digest_of(identifier) in self.digests

    def with_all(self, there: Iterable[str]) -> Seen:
        """Return the set with all that are there now; where room is scarce, without those that are gone.

        Gone is what several looks in a row have not shown. One that shows nothing at all does not count: an
        index that is made anew is empty for a while.

        :param there: identifiers of all that are there.
        :returns: the set.
        """
        now = frozenset(map(digest_of, there))
        if not now:
            return self
        both, lately, looks = self.digests | now, self.lately | now, self.looks + 1
        if looks < _LOOKS:
            return Seen(both, lately, looks)
        return Seen(both if len(both) <= 2 * len(lately) + _ROOM else lately)

    def written(self) -> str:
        """Write it down; the same set is always written the same."""
        return base64.b64encode(b"".join(sorted(self.digests))).decode()

    @classmethod
    def read(cls, written: str) -> Seen:
        """Read what was written down.

        :param written: by :meth:`written`.
        :returns: the set.
        :raises ValueError: where it is none.
        """
        content = base64.b64decode(written, validate=True)
        if len(content) % _BYTES:
            raise ValueError(f"{len(content)} bytes are no digests of {_BYTES}")
        return cls(frozenset(content[at : at + _BYTES] for at in range(0, len(content), _BYTES)))


def digest_of(identifier: str) -> bytes:
    """Return what stands for an identifier."""
    return hashlib.sha256(identifier.encode(errors="replace")).digest()[:_BYTES]


def look(
    seen: Seen | None, there: Sequence[T], identify: Callable[[T], str], *, from_now_on: bool
) -> tuple[Seen, list[T]]:
    """Tell what is new of what is there.

    :param seen: what has been told of; None before the first look.
    :param there: all that there is now.
    :param identify: returns the identifier of one.
    :param from_now_on: what is there at the first look is old.
    :returns: what has been told of once the new is told, and the new, in the same order, each once.
    """
    by_identifier = {identify(each): each for each in there}
    if seen is None:
        new = [] if from_now_on else list(by_identifier.values())
        seen = Seen()
    else:
        new = [each for identifier, each in by_identifier.items() if identifier not in seen]
    return seen.with_all(by_identifier), new


def told_to_all(marks: Iterable[Seen]) -> Seen | None:
    """Return what all of several have been told of, None where there is nobody.

    :param marks: what each has been told of.
    :returns: what all have.
    """
    all_of_them = [mark.digests for mark in marks]
    return Seen(frozenset.intersection(*all_of_them)) if all_of_them else None
