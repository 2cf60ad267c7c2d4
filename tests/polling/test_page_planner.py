"""Plans of searches: number and size of the pages."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_codeocean.polling.bulk_reader import (
    SearchPlan,
    SearchPositions,
    plan_search,
    should_continue,
)


@pytest.mark.parametrize(
    ("positions", "plan"),
    [
        ([], SearchPlan()),
        ([0] * 10, SearchPlan()),
        ([0] * 11, SearchPlan(100, 1)),
        ([0] * 100, SearchPlan(100, 1)),
        ([0] * 1000, SearchPlan(1000, 1)),
        ([0] * 10_000, SearchPlan(1000, 10)),
        ([0] * 100_000, SearchPlan(1000, 20)),
        ([5000] * 30, SearchPlan()),
        ([5000] * 1000, SearchPlan(1000, 6)),
        ([19_999] * 12, SearchPlan()),
        ([0] * 50 + [19_000] * 12, SearchPlan(100, 1)),
    ],
)
def test_plan_search_returns_cheapest_plan(positions, plan):
    assert plan_search(positions) == plan


@given(st.lists(st.integers(0, 30_000), max_size=300))
def test_plan_search_costs_at_most_single_reads(positions):
    plan = plan_search(positions)
    if plan.page_count:
        seen = sum(position < plan.page_size * plan.page_count for position in positions)
        assert seen > {100: 10, 1000: 20}[plan.page_size] * plan.page_count


def test_search_positions_are_estimated_from_age():
    positions = SearchPositions()
    now = 10_000.0
    assert positions.estimate(5000.0, now) == 0
    for number, oldest in enumerate((9000.0, 8000.0, 6000.0), start=1):
        positions.record(oldest, 1000 * number)
    assert positions.estimate(None, now) == 0
    assert positions.estimate(9500.0, now) == 0
    assert positions.estimate(8500.0, now) == 1000
    assert positions.estimate(6500.0, now) == 2000
    assert positions.estimate(9000.0, now) == 1000  # may be on the next page
    assert positions.estimate(6000.0, now) == 3000
    assert positions.estimate(2000.0, now) == 6000  # extrapolated


def test_search_positions_from_short_search_keep_older_ones():
    positions = SearchPositions()
    for number, oldest in enumerate((9000.0, 8000.0, 6000.0), start=1):
        positions.record(oldest, 1000 * number)
    positions.record(9900.0, 100)
    assert positions.estimate(8500.0, 10_000.0) == 1000
    assert positions.estimate(9500.0, 10_000.0) == 100


@given(st.lists(st.tuples(st.floats(0, 1e6), st.integers(1, 20_000)), max_size=30), st.floats(0, 1e6))
def test_search_positions_are_ordered_by_age(pages, created):
    positions = SearchPositions()
    for oldest, results in pages:
        positions.record(oldest, results)
    assert positions.page_ends == sorted(positions.page_ends, key=lambda end: end[1])
    assert positions.estimate(created, 1e6) <= positions.estimate(created / 2, 1e6)


@pytest.mark.parametrize(
    ("pages", "hits", "unseen", "expected"),
    [(1, 0, 500, True), (2, 0, 500, False), (2, 300, 500, True), (2, 300, 5, False), (1, 300, 0, False)],
)
def test_should_continue_follows_plan_or_many_hits(pages, hits, unseen, expected):
    assert should_continue(SearchPlan(1000, 2), pages, hits, unseen) is expected


def test_should_continue_stops_at_page_limit():
    assert not should_continue(SearchPlan(1000, 20), 20, 1000, 50_000)
