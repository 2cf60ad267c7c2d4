"""The rate of requests and the detection of outages, with a clock moved by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_codeocean.polling.rate_limiter import AdaptiveRateLimiter, CircuitBreaker


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def limiter(clock) -> AdaptiveRateLimiter:
    return AdaptiveRateLimiter(clock)


@pytest.fixture
def breaker(clock) -> CircuitBreaker:
    return CircuitBreaker(clock)


def test_limiter_many_requests_are_spread(limiter):
    delays = []
    for _ in range(51):
        delays.append(limiter.delay())
        limiter.acquire()
    assert delays[0] == 0
    assert delays[50] == pytest.approx(1.0)


def test_limiter_requests_rejected_together_halve_the_rate_once(limiter, clock):
    before, sent_at = limiter.rate, clock.now
    clock.now += 0.1
    for _ in range(8):
        limiter.record_rejection(sent_at, 5.0)
    assert limiter.rate == before / 2
    assert limiter.is_paused
    assert 5.0 <= limiter.delay() <= 6.0


def test_limiter_rejections_without_retry_after_pause_longer_each_time(limiter, clock):
    pauses = []
    for _ in range(9):
        limiter.record_rejection(clock.now, None)
        pauses.append(limiter.delay())
        clock.now += pauses[-1] + 0.1
    assert 1.0 <= pauses[0] <= 2.0
    assert 60.0 <= pauses[-1] <= 61.0
    limiter.record_success(clock.now)
    limiter.record_rejection(clock.now, None)
    assert limiter.delay() <= 2.0


def test_limiter_retry_after_of_days_is_bounded(limiter, clock):
    limiter.record_rejection(clock.now, 1e9)
    assert limiter.delay() <= 601


def test_limiter_rejections_of_one_target_pause_the_others_briefly(limiter, clock):
    for _ in range(9):
        limiter.record_rejection(clock.now, 60.0, target="a")
        assert 1.0 <= limiter.delay() <= 2.0
        clock.now += 60.0


def test_limiter_rejections_of_several_targets_pause_up_to_retry_after(limiter, clock):
    pauses = []
    for target in "abcde":
        limiter.record_rejection(clock.now, 60.0, target=target)
        pauses.append(limiter.delay())
        clock.now += pauses[-1] + 0.1
    assert pauses[1] <= 5.0
    assert pauses[2] <= 17.0
    assert 60.0 <= pauses[3] <= 61.0
    assert 60.0 <= pauses[4] <= 61.0


def test_limiter_success_of_an_earlier_request_forgets_no_rejection(limiter, clock):
    limiter.record_rejection(clock.now, 60.0, target="a")
    limiter.record_success(clock.now - 1)
    assert not limiter.has_succeeded_since(clock.now)
    clock.now += 2
    limiter.record_rejection(clock.now, 60.0, target="b")
    assert limiter.delay() >= 4.0


def test_limiter_success_raises_the_rate(limiter, clock):
    for _ in range(20):
        limiter.record_rejection(clock.now, 0.0)
        clock.now += 10
    assert limiter.rate == pytest.approx(0.2)
    for _ in range(10_000):
        limiter.record_success(clock.now)
    assert limiter.rate == pytest.approx(200)


def test_limiter_resumed_starts_slowly_at_once(limiter, clock):
    limiter.record_rejection(clock.now, 300.0)
    limiter.resume()
    assert limiter.delay() == 0
    assert limiter.rate == 10


def test_breaker_one_target_that_keeps_failing_is_no_outage(breaker, clock):
    for _ in range(100):
        clock.now += 1
        breaker.record_failure("a", clock.now, answered_before=True)
    assert not breaker.is_open


def test_breaker_targets_that_never_answered_are_no_outage(breaker, clock):
    breaker.record_success()
    for number in range(100):
        breaker.record_failure(number, clock.now, answered_before=False)
    assert not breaker.is_open


def test_breaker_success_between_failures_is_no_outage(breaker, clock):
    for number in range(100):
        breaker.record_failure(number, clock.now, answered_before=True)
        if number % 5 == 0:
            breaker.record_success()
    assert not breaker.is_open


def test_breaker_outage_is_probed_less_and_less_often(breaker, clock):
    for number in range(8):
        assert not breaker.is_open
        breaker.record_failure(number, clock.now, answered_before=True)
    assert breaker.is_open
    pauses = []
    for number in range(12):
        pauses.append(breaker.probe_at - clock.now)
        clock.now = breaker.probe_at
        breaker.record_failure(number, clock.now, answered_before=False)
    assert 0.5 <= pauses[0] <= 1
    assert 15 <= pauses[-1] <= 30
    assert breaker.record_success()
    assert not breaker.is_open
    assert not breaker.record_success()


def test_breaker_request_sent_before_the_outage_says_nothing_new(breaker, clock):
    sent_at = clock.now
    clock.now += 1
    for number in range(50):
        breaker.record_failure(number, sent_at, answered_before=True)
    assert breaker.probe_at <= clock.now + 1


actions = st.lists(
    st.one_of(
        st.tuples(st.just("pass"), st.floats(0, 100)),
        st.tuples(st.just("rejection"), st.none() | st.floats(0, 1e4)),
        st.tuples(st.just("success"), st.none()),
        st.tuples(st.just("acquire"), st.none()),
    ),
    max_size=60,
)


@given(actions)
def test_limiter_any_sequence_stays_within_its_bounds(steps):
    clock = Clock()
    limiter = AdaptiveRateLimiter(clock)
    earliest = clock.now
    for step, value in steps:
        match step:
            case "pass":
                clock.now += value
            case "rejection":
                limiter.record_rejection(clock.now, value)
            case "success":
                limiter.record_success(clock.now)
            case "acquire":
                sent_at = clock.now + limiter.delay()
                limiter.acquire()
                assert sent_at >= earliest
                earliest = sent_at
        assert 0.2 <= limiter.rate <= 200
        assert limiter.delay() <= 602 + 60 / 0.2
