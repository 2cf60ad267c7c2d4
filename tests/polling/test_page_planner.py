"""How far a search goes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_codeocean.polling.page_planner import (
    SearchPlan,
    SearchPositions,
    plan_search,
    should_continue,
)


@pytest.mark.parametrize(
    ("places", "plan"),
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
def test_the_plan_that_saves_the_most_requests(places, plan):
    assert plan_search(places) == plan


@given(st.lists(st.integers(0, 30_000), max_size=300))
def test_no_plan_costs_more_than_reading_each(places):
    plan = plan_search(places)
    if plan.pages:
        seen = sum(place < plan.size * plan.pages for place in places)
        assert seen > {100: 10, 1000: 20}[plan.size] * plan.pages


def test_a_place_is_known_by_age():
    positions = SearchPositions()
    now = 10_000.0
    assert positions.estimate(5000.0, now) == 0
    for number, oldest in enumerate((9000.0, 8000.0, 6000.0), start=1):
        positions.record(oldest, 1000 * number)
    assert positions.estimate(None, now) == 0
    assert positions.estimate(9500.0, now) == 0
    assert positions.estimate(8500.0, now) == 1000
    assert positions.estimate(6500.0, now) == 2000
    assert positions.estimate(9000.0, now) == 1000  # as old as a page's last one: it may be on the next
    assert positions.estimate(6000.0, now) == 3000
    assert positions.estimate(2000.0, now) == 6000  # as many in 8000 s as there were in 4000


def test_a_short_search_leaves_what_a_long_one_taught():
    positions = SearchPositions()
    for number, oldest in enumerate((9000.0, 8000.0, 6000.0), start=1):
        positions.record(oldest, 1000 * number)
    positions.record(9900.0, 100)
    assert positions.estimate(8500.0, 10_000.0) == 1000
    assert positions.estimate(9500.0, 10_000.0) == 100


@given(st.lists(st.tuples(st.floats(0, 1e6), st.integers(1, 20_000)), max_size=30), st.floats(0, 1e6))
def test_places_are_in_order_of_age_whatever_was_learned(pages, created):
    positions = SearchPositions()
    for oldest, results in pages:
        positions.record(oldest, results)
    assert positions.ends == sorted(positions.ends, key=lambda end: end[1])
    assert positions.estimate(created, 1e6) <= positions.estimate(created / 2, 1e6)


@pytest.mark.parametrize(
    ("pages", "hits", "unseen", "going_on"),
    [(1, 0, 500, True), (2, 0, 500, False), (2, 300, 500, True), (2, 300, 5, False), (1, 300, 0, False)],
)
def test_a_search_goes_on_as_planned_and_where_it_finds_much(pages, hits, unseen, going_on):
    assert should_continue(SearchPlan(1000, 2), pages, hits, unseen) is going_on


def test_no_search_goes_on_for_ever():
    assert not should_continue(SearchPlan(1000, 20), 20, 1000, 50_000)
