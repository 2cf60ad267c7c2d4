"""Read the results of tests from pytest's JUnit file."""

from __future__ import annotations

import ast
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

if TYPE_CHECKING:
    from pathlib import Path

#: pytest's message for a skipped module, instead of the reason.
_MODULE_SKIPPED_MESSAGE = "collection skipped"


@dataclass(frozen=True)
class JUnitResults:
    """Numbers of tests by result.

    :param passed: number of passed tests.
    :param failed: number of failed tests, including those with failed fixtures.
    :param skip_counts: number of skipped or xfailed tests by reason. A skipped module counts as one.
    """

    passed: int
    failed: int
    skip_counts: Counter[str] = field(default_factory=Counter)

    @property
    def skipped(self) -> int:
        """Number of skipped tests."""
        return self.skip_counts.total()


def read_results(path: Path) -> JUnitResults:
    """Read the results of a test run.

    :param path: the file of ``pytest --junitxml``.
    :raises OSError: if the file does not exist.
    :raises xml.etree.ElementTree.ParseError: if the file is incomplete.
    """
    total = failed = 0
    skips: Counter[str] = Counter()
    for case in ET.parse(path).iter("testcase"):  # noqa: S314 - pytest has written it
        total += 1
        skip = case.find("skipped")
        if case.find("failure") is not None or case.find("error") is not None:
            failed += 1
        elif skip is not None:
            skips[_skip_reason(case.get("name", ""), skip)] += 1
    return JUnitResults(total - failed - skips.total(), failed, skips)


def _skip_reason(name: str, skip: ET.Element) -> str:
    message = skip.get("message") or "no reason given"
    if message != _MODULE_SKIPPED_MESSAGE:
        return message
    *_, reason = ast.literal_eval(skip.text or "('no reason given',)")  # path, line, reason
    return f"all of {name}: {str(reason).removeprefix('Skipped: ')}"
