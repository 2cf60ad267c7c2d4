"""Paths of files: which are safe to write below a target folder, and which match a glob pattern."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from fnmatch import translate
from typing import Any

#: Bytes of a name and of a path, as file systems limit them.
MAX_NAME = 255
MAX_PATH = 4096
#: File names that a message lists.
MAX_SHOWN = 10

#: Some systems ignore these at the end of a name: to them ``.. .`` is the parent folder.
_IGNORED_AT_END = ". "
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def unsafe_reason(path: str) -> str | None:
    """Explain why a path cannot be written below a folder, on this system or on another one.

    People who write files to Code Ocean choose their names. A download must not follow a name out of its
    target, neither here nor on another system that reads the files later.

    :param path: path relative to the folder.
    :returns: the end of a sentence that starts with the path; None if it is safe.
    """
    parts = path.split("/")
    try:
        lengths = [len(part.encode()) for part in parts]
    except UnicodeEncodeError:
        return "is not valid Unicode"
    problems = {
        "starts with a slash, so it would lead out of the target folder": path.startswith("/"),
        "has an empty part": "" in parts,
        "has a part of nothing but dots and spaces, which could lead out of the target folder": not all(
            part.rstrip(_IGNORED_AT_END) for part in parts
        ),
        "contains a backslash, which separates folders on Windows": "\\" in path,
        "contains a control character": _CONTROL.search(path) is not None,
        f"starts with {path[:2]!r}, which Windows reads as a drive": path[1:2] == ":",
        f"is too long: a name may have {MAX_NAME} bytes, a path {MAX_PATH}": max(lengths) > MAX_NAME
        or sum(lengths) + len(parts) > MAX_PATH,
    }
    return next((reason for reason, applies in problems.items() if applies), None)


def parts_of(path: str) -> tuple[str, ...]:
    """Split a path that is safe to write below a folder.

    :param path: path relative to the folder.
    :returns: its parts, at least one.
    :raises ValueError: if it is unsafe: see :func:`unsafe_reason`.
    """
    reason = unsafe_reason(path)
    if reason is not None:
        raise ValueError(f"the path {quoted(path)} {reason}")
    return tuple(path.split("/"))


def quoted(text: str) -> str:
    """Return a name from elsewhere for a message: in quotes, cut, and with control characters escaped."""
    return repr(text[:MAX_NAME]) + "…" * (len(text) > MAX_NAME)


def first_few(items: Sequence[str], separator: str = ", ") -> str:
    """Join items for a message, no more than :data:`MAX_SHOWN`."""
    more = len(items) - MAX_SHOWN
    return separator.join(items[:MAX_SHOWN]) + (f"{separator}and {more} more" if more > 0 else "")


def alike(paths: Iterable[str]) -> list[tuple[str, str]]:
    """Return pairs of paths that some systems do not distinguish, although this one does.

    Those systems ignore case, how letters with marks are composed, or dots and spaces at the end of a name:
    one file of such a pair would overwrite the other.

    :param paths: the paths.
    :returns: pairs of different paths.
    """
    first: dict[str, str] = {}
    found = []
    for path in paths:
        parts = unicodedata.normalize("NFC", path).casefold().split("/")
        same = first.setdefault("/".join(part.rstrip(_IGNORED_AT_END) for part in parts), path)
        if same != path:
            found.append((same, path))
    return found


class Selection:
    """Selects files by glob patterns: those that match any of them, and none of those to exclude.

    ``*`` and ``?`` stand for any text and any character without a slash, ``[…]`` for one of some characters,
    and ``**`` as a part of the path for any number of folders: ``*.csv`` matches tables at the top,
    ``**/*.csv`` tables everywhere, ``raw/**`` everything in ``raw``. Case matters.

    :param pattern: a pattern, or several; None selects all files.
    :param exclude: a pattern, or several; None excludes nothing.
    :raises ValueError: if one is not a pattern, or could never match.
    """

    def __init__(
        self, pattern: str | Sequence[str] | None, exclude: str | Sequence[str] | None = None
    ) -> None:
        self._pattern = _compiled("pattern", pattern)
        self._exclude = _compiled("exclude", exclude) or []

    def __call__(self, path: str) -> bool:
        """Check whether a file is selected.

        :param path: its path below the folder that the patterns are relative to.
        :returns: whether it is.
        """
        parts = path.split("/")
        if self._pattern is not None and not any(_matches(glob, parts) for glob in self._pattern):
            return False
        return not any(_matches(glob, parts) for glob in self._exclude)


#: One for each part of a pattern; None stands for ``**``.
_Glob = list[re.Pattern[str] | None]


def _compiled(argument: str, patterns: Any) -> list[_Glob] | None:
    if patterns is None:
        return None
    given = [patterns] if isinstance(patterns, str) else patterns
    if not isinstance(given, Sequence) or not given or not all(isinstance(each, str) for each in given):
        raise ValueError(
            f"{argument} must be a glob such as '**/*.csv', or a list of at least one, got {patterns!r}"
        )
    return [_compile(argument, pattern) for pattern in given]


def _compile(argument: str, pattern: str) -> _Glob:
    parts = pattern.split("/")
    if any(part in {"", ".", ".."} for part in parts):
        raise ValueError(
            f"{argument} must be a glob relative to the path, such as '**/*.csv', without empty parts, '.' "
            f"and '..', got {pattern!r}"
        )
    return [None if part == "**" else re.compile(translate(part)) for part in parts]


def _matches(glob: _Glob, parts: list[str]) -> bool:
    """Follow all ways to match at the same time: one after the other, several ``**`` would take forever."""
    reached = _skipping(glob, {0})
    for part in parts:
        step = set()
        for at in reached:
            if at == len(glob):
                continue
            expected = glob[at]
            if expected is None:
                step.add(at)
            elif expected.match(part):
                step.add(at + 1)
        reached = _skipping(glob, step)
    return len(glob) in reached


def _skipping(glob: _Glob, reached: set[int]) -> set[int]:
    """Add the positions that ``**`` reaches by matching no folder."""
    for at in sorted(reached):
        end = at
        while end < len(glob) and glob[end] is None:
            end += 1
            reached.add(end)
    return reached
