"""How fast a connection is asked, by a clock moved by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_codeocean.polling.pace import Pace


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def pace(clock) -> Pace:
    return Pace(clock)


def test_requests_are_spread(pace):
    delays = [pace.reserve() for _ in range(51)]
    assert delays[0] == 0
    assert delays[50] == pytest.approx(1.0)


def test_a_refusal_halves_the_rate_once_however_many_were_under_way(pace, clock):
    before, sent_at = pace.rate, clock.now
    clock.now += 0.1
    for _ in range(8):
        pace.throttled(sent_at, 5.0)
    assert pace.rate == before / 2
    assert 5.0 <= pace.reserve() <= 6.0


def test_a_refusal_that_says_nothing_pauses_a_little(pace, clock):
    pace.throttled(clock.now, None)
    assert 1.0 <= pace.reserve() <= 2.0


def test_nobody_is_believed_to_want_to_be_left_alone_for_days(pace, clock):
    pace.throttled(clock.now, 1e9)
    assert pace.reserve() <= 601


def test_success_raises_the_rate_again(pace, clock):
    for _ in range(20):
        pace.throttled(clock.now, 0.0)
        clock.now += 10
    assert pace.rate == pytest.approx(0.2)
    for _ in range(10_000):
        pace.succeeded()
    assert pace.rate == pytest.approx(200)


def test_one_thing_that_fails_again_and_again_is_no_outage(pace, clock):
    for _ in range(100):
        clock.now += 1
        pace.failed(clock.now, "data_assets/a")
    assert not pace.in_trouble
    assert pace.reserve() == 0


def test_in_an_outage_one_request_alone_asks_less_and_less_often(pace, clock):
    pauses = []
    for number in range(12):
        clock.now += 1
        pace.failed(clock.now, f"data_assets/{number}")
        pauses.append(pace.reserve())
        clock.now += pauses[-1]
    assert pace.in_trouble
    assert pace.in_flight == 1
    assert pauses[:2] == [0, 0]
    assert 0.5 <= pauses[2] <= 1
    assert 15 <= pauses[-1] <= 30
    pace.succeeded()
    assert not pace.in_trouble
    assert pace.in_flight == 8


def test_what_was_sent_before_the_pause_says_nothing_new(pace, clock):
    sent_at = clock.now
    clock.now += 1
    for number in range(50):
        pace.failed(sent_at, f"data_assets/{number}")
    assert pace.reserve() <= 1


actions = st.lists(
    st.one_of(
        st.tuples(st.just("pass"), st.floats(0, 100)),
        st.tuples(st.just("throttled"), st.none() | st.floats(0, 1e4)),
        st.tuples(st.just("failed"), st.sampled_from("abcdef")),
        st.tuples(st.just("succeeded"), st.none()),
        st.tuples(st.just("reserve"), st.none()),
    ),
    max_size=60,
)


@given(actions)
def test_whatever_happens_it_stays_within_its_bounds(steps):
    clock = Clock()
    pace = Pace(clock)
    line = clock.now
    for step, value in steps:
        match step:
            case "pass":
                clock.now += value
            case "throttled":
                pace.throttled(clock.now, value)
            case "failed":
                pace.failed(clock.now, value)
            case "succeeded":
                pace.succeeded()
            case "reserve":
                place = clock.now + pace.reserve()
                assert place >= line
                line = place
        assert 0.2 <= pace.rate <= 200
        assert pace.in_flight in (1, 8)
