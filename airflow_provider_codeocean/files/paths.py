"""Check that paths are safe to write below a target folder, and match them with glob patterns."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from fnmatch import translate
from typing import Any

#: Common limits of file systems for names and paths, in bytes.
MAX_NAME_BYTES = 255
MAX_PATH_BYTES = 4096
#: Maximum number of file names in a message.
MAX_MESSAGE_ITEMS = 10

#: Some systems ignore these at the end of a name, so that ``.. .`` is the parent folder.
_IGNORED_TRAILING_CHARACTERS = ". "
_CONTROL_CHARACTER = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def explain_unsafe_path(path: str) -> str | None:
    """Explain why a path is not safe to write below a folder, on this system or another one.

    Users of Code Ocean choose the names of files. A download must not leave its target because of a name,
    neither on this system nor on another one that reads the files later.

    :param path: path relative to the folder.
    :returns: the predicate of a sentence about the path; None if it is safe.
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
            part.rstrip(_IGNORED_TRAILING_CHARACTERS) for part in parts
        ),
        "contains a backslash, which separates folders on Windows": "\\" in path,
        "contains a control character": _CONTROL_CHARACTER.search(path) is not None,
        f"starts with {path[:2]!r}, which Windows reads as a drive": path[1:2] == ":",
        f"is too long: a name may have {MAX_NAME_BYTES} bytes, a path {MAX_PATH_BYTES}": max(lengths)
        > MAX_NAME_BYTES
        or sum(lengths) + len(parts) > MAX_PATH_BYTES,
    }
    return next((reason for reason, is_present in problems.items() if is_present), None)


def split_safe_path(path: str) -> tuple[str, ...]:
    """Split a path that is safe to write below a folder.

    :param path: path relative to the folder.
    :returns: its parts, at least one.
    :raises ValueError: if it is unsafe; see :func:`explain_unsafe_path`.
    """
    reason = explain_unsafe_path(path)
    if reason is not None:
        raise ValueError(f"the path {quote_name(path)} {reason}")
    return tuple(path.split("/"))


def quote_name(text: str) -> str:
    """Quote an untrusted name for a message: truncated, with control characters escaped."""
    return repr(text[:MAX_NAME_BYTES]) + "…" * (len(text) > MAX_NAME_BYTES)


def join_first_items(items: Sequence[str], separator: str = ", ") -> str:
    """Join up to :data:`MAX_MESSAGE_ITEMS` items for a message."""
    more = len(items) - MAX_MESSAGE_ITEMS
    return separator.join(items[:MAX_MESSAGE_ITEMS]) + (f"{separator}and {more} more" if more > 0 else "")


def find_colliding_paths(paths: Iterable[str]) -> list[tuple[str, str]]:
    """Return pairs of paths that some other systems do not distinguish.

    Such systems ignore case, Unicode normalization, or trailing dots and spaces: one file of a pair would
    overwrite the other.

    :param paths: the paths.
    :returns: pairs of different paths.
    """
    first_paths: dict[str, str] = {}
    collisions = []
    for path in paths:
        parts = unicodedata.normalize("NFC", path).casefold().split("/")
        first_path = first_paths.setdefault(
            "/".join(part.rstrip(_IGNORED_TRAILING_CHARACTERS) for part in parts), path
        )
        if first_path != path:
            collisions.append((first_path, path))
    return collisions


class GlobFilter:
    """Selects files that match any of the patterns and none of the exclude patterns.

    ``*`` matches any text and ``?`` any character, except slashes; ``[…]`` matches one of the characters; and
    ``**`` as a part of the path matches any number of folders. For example, ``*.csv`` matches tables at the
    top level, ``**/*.csv`` tables in all folders, and ``raw/**`` all files in ``raw``. Patterns are
    case-sensitive.

    :param pattern: a pattern, or several; None selects all files.
    :param exclude: a pattern, or several; None excludes nothing.
    :raises ValueError: if a pattern is invalid or can never match.
    """

    def __init__(
        self, pattern: str | Sequence[str] | None, exclude: str | Sequence[str] | None = None
    ) -> None:
        self._pattern = _compile_patterns("pattern", pattern)
        self._exclude = _compile_patterns("exclude", exclude) or []

    def __call__(self, path: str) -> bool:
        """Return whether a file is selected.

        :param path: path of the file, relative to the same folder as the patterns.
        :returns: whether the file is selected.
        """
        parts = path.split("/")
        if self._pattern is not None and not any(_matches(glob, parts) for glob in self._pattern):
            return False
        return not any(_matches(glob, parts) for glob in self._exclude)


#: One matcher for each part of a pattern; None stands for ``**``.
_Glob = list[re.Pattern[str] | None]


def _compile_patterns(argument: str, patterns: Any) -> list[_Glob] | None:
    if patterns is None:
        return None
    pattern_list = [patterns] if isinstance(patterns, str) else patterns
    if (
        not isinstance(pattern_list, Sequence)
        or not pattern_list
        or not all(isinstance(item, str) for item in pattern_list)
    ):
        raise ValueError(
            f"{argument} must be a glob such as '**/*.csv', or a list of at least one, got {patterns!r}"
        )
    return [_compile_pattern(argument, pattern) for pattern in pattern_list]


def _compile_pattern(argument: str, pattern: str) -> _Glob:
    parts = pattern.split("/")
    if any(part in {"", ".", ".."} for part in parts):
        raise ValueError(
            f"{argument} must be a glob relative to the path, such as '**/*.csv', without empty parts, '.' "
            f"and '..', got {pattern!r}"
        )
    return [None if part == "**" else re.compile(translate(part)) for part in parts]


def _matches(glob: _Glob, parts: list[str]) -> bool:
    """Follow all alternatives at once: backtracking over several ``**`` would be exponential."""
    positions = _expand_double_stars(glob, {0})
    for part in parts:
        next_positions = set()
        for position in positions:
            if position == len(glob):
                continue
            expected = glob[position]
            if expected is None:
                next_positions.add(position)
            elif expected.match(part):
                next_positions.add(position + 1)
        positions = _expand_double_stars(glob, next_positions)
    return len(glob) in positions


def _expand_double_stars(glob: _Glob, positions: set[int]) -> set[int]:
    """Add the positions that ``**`` reaches by matching zero folders."""
    for at in sorted(positions):
        end = at
        while end < len(glob) and glob[end] is None:
            end += 1
            positions.add(end)
    return positions
