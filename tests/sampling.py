"""The size of a test run: everything, or, with ``--quick``, what finds most mistakes in a few minutes."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING

from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import pytest

_QUICK_EXAMPLES = 15
#: A test with at most this number of cases keeps all of them.
_FEW_CASES = 4


def load_hypothesis_profile(*, quick: bool) -> None:
    """Set the number of examples. They have no time limit, which would depend on the machine."""
    settings.register_profile("full", deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.register_profile("quick", settings.get_profile("full"), max_examples=_QUICK_EXAMPLES)
    settings.load_profile("quick" if quick else "full")


def examples(count: int) -> int:
    """Return the number of examples to try, of those that a full run tries."""
    is_quick = settings.get_current_profile_name() == "quick"
    return max(5, count // 10) if is_quick else count


def sample_cases(items: Iterable[pytest.Item]) -> tuple[list[pytest.Item], list[pytest.Item]]:
    """Choose cases of each parametrized test so that each value of each argument occurs.

    A dataclass as an argument counts as an argument for each of its fields.

    :param items: all tests.
    :returns: the chosen tests, and the others.
    """
    functions: dict[str, list[pytest.Item]] = {}
    for item in items:
        functions.setdefault(item.nodeid.partition("[")[0], []).append(item)
    chosen: list[pytest.Item] = []
    left_out: list[pytest.Item] = []
    for cases in functions.values():
        seen: set[tuple[str, object]] = set()
        for case in cases:
            values = set(_argument_values(case))
            is_chosen = len(cases) <= _FEW_CASES or not values <= seen or not values
            (chosen if is_chosen else left_out).append(case)
            seen |= values
    return chosen, left_out


def _argument_values(case: pytest.Item) -> Iterator[tuple[str, object]]:
    callspec = getattr(case, "callspec", None)
    for name, value in callspec.params.items() if callspec else ():
        if is_dataclass(value) and not isinstance(value, type):
            yield from ((f"{name}.{field.name}", id(getattr(value, field.name))) for field in fields(value))
        else:
            yield name, id(value)
