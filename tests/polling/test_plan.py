"""How far a search goes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_codeocean.polling.plan import Depths, Plan, choose, worth_going_on


@pytest.mark.parametrize(
    ("places", "plan"),
    [
        ([], Plan()),
        ([0] * 10, Plan()),
        ([0] * 11, Plan(100, 1)),
        ([0] * 100, Plan(100, 1)),
        ([0] * 1000, Plan(1000, 1)),
        ([0] * 10_000, Plan(1000, 10)),
        ([0] * 100_000, Plan(1000, 20)),
        ([5000] * 30, Plan()),
        ([5000] * 1000, Plan(1000, 6)),
        ([19_999] * 12, Plan()),
        ([0] * 50 + [19_000] * 12, Plan(100, 1)),
    ],
)
def test_the_plan_that_saves_the_most_requests(places, plan):
    assert choose(places) == plan


@given(st.lists(st.integers(0, 30_000), max_size=300))
def test_no_plan_costs_more_than_reading_each(places):
    plan = choose(places)
    if plan.pages:
        seen = sum(place < plan.size * plan.pages for place in places)
        assert seen > {100: 10, 1000: 20}[plan.size] * plan.pages


def test_a_place_is_known_by_age():
    depths = Depths()
    now = 10_000.0
    assert depths.of(5000.0, now) == 0
    for number, oldest in enumerate((9000.0, 8000.0, 6000.0), start=1):
        depths.learn(oldest, 1000 * number)
    assert depths.of(None, now) == 0
    assert depths.of(9500.0, now) == 0
    assert depths.of(8500.0, now) == 1000
    assert depths.of(6500.0, now) == 2000
    assert depths.of(9000.0, now) == 1000  # as old as a page's last one: it may be on the next
    assert depths.of(6000.0, now) == 3000
    assert depths.of(2000.0, now) == 6000  # as many in 8000 s as there were in 4000


def test_a_short_search_leaves_what_a_long_one_taught():
    depths = Depths()
    for number, oldest in enumerate((9000.0, 8000.0, 6000.0), start=1):
        depths.learn(oldest, 1000 * number)
    depths.learn(9900.0, 100)
    assert depths.of(8500.0, 10_000.0) == 1000
    assert depths.of(9500.0, 10_000.0) == 100


@given(st.lists(st.tuples(st.floats(0, 1e6), st.integers(1, 20_000)), max_size=30), st.floats(0, 1e6))
def test_places_are_in_order_of_age_whatever_was_learned(pages, created):
    depths = Depths()
    for oldest, results in pages:
        depths.learn(oldest, results)
    assert depths.ends == sorted(depths.ends, key=lambda end: end[1])
    assert depths.of(created, 1e6) <= depths.of(created / 2, 1e6)


@pytest.mark.parametrize(
    ("pages", "hits", "unseen", "going_on"),
    [(1, 0, 500, True), (2, 0, 500, False), (2, 300, 500, True), (2, 300, 5, False), (1, 300, 0, False)],
)
def test_a_search_goes_on_as_planned_and_where_it_finds_much(pages, hits, unseen, going_on):
    assert worth_going_on(Plan(1000, 2), pages, hits, unseen) is going_on


def test_no_search_goes_on_for_ever():
    assert not worth_going_on(Plan(1000, 20), 20, 1000, 50_000)
