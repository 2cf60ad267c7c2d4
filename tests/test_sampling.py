"""A quick run of the tests chooses cases that show each value."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from types import SimpleNamespace

from tests.sampling import sample_cases


@dataclass(frozen=True)
class Cell:
    operation: str
    fault: str


OPERATIONS, FAULTS, MODES = ("run", "capture", "share"), ("hang", "reset", "html"), ("worker", "deferred")


def case(name, **params):
    return SimpleNamespace(nodeid=f"test_{name}[{params}]", callspec=SimpleNamespace(params=params))


def test_sample_contains_each_value_of_each_argument_and_field():
    cases = [
        case("cell", cell=Cell(operation, fault), mode=mode)
        for operation, fault, mode in itertools.product(OPERATIONS, FAULTS, MODES)
    ]
    chosen, left_out = sample_cases(cases)
    assert {each.callspec.params["cell"].operation for each in chosen} == {*OPERATIONS}
    assert {each.callspec.params["cell"].fault for each in chosen} == {*FAULTS}
    assert {each.callspec.params["mode"] for each in chosen} == {*MODES}
    assert len(chosen) < len(cases) / 2
    assert len(chosen) + len(left_out) == len(cases)


def test_sample_contains_all_cases_of_a_single_argument_and_tests_without_arguments():
    cases = [*(case("one", operation=object()) for _ in range(9)), SimpleNamespace(nodeid="test_none")]
    assert sample_cases(cases) == (cases, [])
