"""Paths of files: which may be written below a target folder, and which a glob pattern chooses."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from fnmatch import translate
from typing import Any

#: Bytes of a name and of a path, as file systems limit them.
MAX_NAME = 255
MAX_PATH = 4096

#: Some systems leave these out at the end of a name: to them ``.. .`` is the folder above.
_NOT_AT_THE_END = ". "
_DRIVE = re.compile(r".:")


def parts_of(path: str) -> tuple[str, ...]:
    """Return the parts of a path that leads to something below the folder it begins at, wherever that is.

    Who may write files to Code Ocean chooses their names, and a download must not follow them out of its
    target: neither here nor where the files are read on another system later.

    :param path: parts and slashes.
    :returns: the parts, at least one.
    :raises ValueError: where it has empty or over-long parts, parts of nothing but dots and blanks, a
        backslash, a NUL or another control character, begins with a slash or a drive (``C:``), or is no
        Unicode.
    """
    parts = tuple(path.split("/"))
    try:
        lengths = [len(part.encode()) for part in parts]
    except UnicodeEncodeError:
        raise ValueError(f"the path {path!r} is no Unicode text") from None
    if (
        any(not part.rstrip(_NOT_AT_THE_END) for part in parts)
        or any(character == "\\" or character < " " or character == "\x7f" for character in path)
        or _DRIVE.match(path)
    ):
        raise ValueError(f"the path {path!r} could lead out of the target folder")
    if max(lengths) > MAX_NAME or sum(lengths) + len(parts) > MAX_PATH:
        raise ValueError(
            f"the path {path[:MAX_NAME]!r}… is too long: a part may have {MAX_NAME} bytes, all {MAX_PATH}"
        )
    return parts


def alike(paths: Iterable[str]) -> list[tuple[str, str]]:
    """Return paths that are one and the same to some systems, although they are not here.

    Those take no notice of case, of how letters with marks are composed, or of dots and blanks at the end
    of a name: of two such files one would be written over the other.

    :param paths: the paths.
    :returns: pairs of different paths.
    """
    first: dict[str, str] = {}
    found = []
    for path in paths:
        parts = unicodedata.normalize("NFC", path).casefold().split("/")
        same = first.setdefault("/".join(part.rstrip(_NOT_AT_THE_END) for part in parts), path)
        if same != path:
            found.append((same, path))
    return found


class Selection:
    """Chooses files by glob patterns: a file that any of them matches.

    ``*`` and ``?`` stand for text and a character without a slash, ``[…]`` for one of some characters, and
    ``**`` as a part of the path for any folders, also none: ``*.csv`` are tables at the top, ``**/*.csv``
    everywhere, ``raw/**`` is all in ``raw``. Case counts.

    :param pattern: a pattern, or several; None chooses all.
    :raises ValueError: where it is no pattern, or could match nothing.
    """

    def __init__(self, pattern: str | Sequence[str] | None) -> None:
        self._globs = None if pattern is None else [_compile(each) for each in _listed(pattern)]

    def __call__(self, path: str) -> bool:
        """Tell whether a file is chosen.

        :param path: its path below the folder that the patterns begin at.
        :returns: whether it is.
        """
        if self._globs is None:
            return True
        parts = path.split("/")
        return any(_matches(glob, parts) for glob in self._globs)


#: One for each part of a pattern; None stands for ``**``.
_Glob = list[re.Pattern[str] | None]


def _listed(pattern: Any) -> list[str]:
    given = [pattern] if isinstance(pattern, str) else pattern
    if not isinstance(given, Sequence) or not given or not all(isinstance(each, str) for each in given):
        raise ValueError(
            f"pattern must be a glob such as '**/*.csv', or a list of at least one, got {pattern!r}"
        )
    return [*given]


def _compile(pattern: str) -> _Glob:
    parts = pattern.split("/")
    if any(part in {"", ".", ".."} for part in parts):
        raise ValueError(
            f"pattern must be a glob relative to the path, such as '**/*.csv', without empty parts, '.' and "
            f"'..', got {pattern!r}"
        )
    return [None if part == "**" else re.compile(translate(part)) for part in parts]


def _matches(glob: _Glob, parts: list[str]) -> bool:
    """Follow all ways to match at once: trying one after the other takes for ever with several ``**``."""
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
    """Add where one gets without a part of the path: ``**`` stands for no folder, too."""
    for at in sorted(reached):
        end = at
        while end < len(glob) and glob[end] is None:
            end += 1
            reached.add(end)
    return reached
