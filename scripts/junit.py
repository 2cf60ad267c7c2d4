"""What became of tests, from the JUnit file that pytest writes."""

from __future__ import annotations

import ast
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

if TYPE_CHECKING:
    from pathlib import Path

#: What pytest says of a module that is skipped as a whole, in place of the reason.
_WHOLE_MODULE = "collection skipped"


@dataclass(frozen=True)
class Results:
    """How many tests ended how.

    :param passed: number of tests that passed.
    :param failed: number of those that failed, or whose fixtures did.
    :param skips: number of those that were not run, or failed as expected, by the reason that they say. All
        tests of a module that is skipped as a whole count as one: nobody has counted them.
    """

    passed: int
    failed: int
    skips: Counter[str] = field(default_factory=Counter)

    @property
    def skipped(self) -> int:
        """Number of tests that were not run."""
        return self.skips.total()


def read_results(path: Path) -> Results:
    """Read what became of tests.

    :param path: the file, written by ``pytest --junitxml``.
    :raises OSError: when there is none.
    :raises xml.etree.ElementTree.ParseError: when pytest was killed while it wrote it.
    """
    total = failed = 0
    skips: Counter[str] = Counter()
    for case in ET.parse(path).iter("testcase"):  # noqa: S314 - pytest has just written it
        total += 1
        skip = case.find("skipped")
        if case.find("failure") is not None or case.find("error") is not None:
            failed += 1
        elif skip is not None:
            skips[_reason(case.get("name", ""), skip)] += 1
    return Results(total - failed - skips.total(), failed, skips)


def _reason(name: str, skip: ET.Element) -> str:
    message = skip.get("message") or "no reason given"
    if message != _WHOLE_MODULE:
        return message
    *_, why = ast.literal_eval(skip.text or "('no reason given',)")  # path, line, reason
    return f"all of {name}: {str(why).removeprefix('Skipped: ')}"
