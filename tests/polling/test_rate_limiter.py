"""Rate of requests and detection of outages, with a manual clock."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_codeocean.polling.shared_client import AdaptiveRateLimiter, CircuitBreaker


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


def test_limiter_with_many_requests_spreads_them(limiter):
    delays = []
    for _ in range(51):
        delays.append(limiter.delay())
        limiter.acquire()
    assert delays[0] == 0
    assert delays[50] == pytest.approx(1.0)


def test_limiter_with_simultaneous_rejections_halves_rate_once(limiter, clock):
    before, sent_at = limiter.rate, clock.now
    clock.now += 0.1
    for _ in range(8):
        limiter.record_rejection(sent_at, 5.0)
    assert limiter.rate == before / 2
    assert limiter.is_paused
    assert 5.0 <= limiter.delay() <= 6.0


def test_limiter_with_repeated_rejections_pauses_longer_each_time(limiter, clock):
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


def test_limiter_with_retry_after_of_days_is_bounded(limiter, clock):
    limiter.record_rejection(clock.now, 1e9)
    assert limiter.delay() <= 601


def test_limiter_with_rejections_of_one_target_pauses_others_briefly(limiter, clock):
    for _ in range(9):
        limiter.record_rejection(clock.now, 60.0, target="a")
        assert 1.0 <= limiter.delay() <= 2.0
        clock.now += 60.0


def test_limiter_with_rejections_of_several_targets_pauses_retry_after(limiter, clock):
    pauses = []
    for target in "abcde":
        limiter.record_rejection(clock.now, 60.0, target=target)
        pauses.append(limiter.delay())
        clock.now += pauses[-1] + 0.1
    assert pauses[1] <= 5.0
    assert pauses[2] <= 17.0
    assert 60.0 <= pauses[3] <= 61.0
    assert 60.0 <= pauses[4] <= 61.0


def test_limiter_with_success_of_earlier_request_keeps_rejection(limiter, clock):
    limiter.record_rejection(clock.now, 60.0, target="a")
    limiter.record_success(clock.now - 1)
    assert not limiter.has_succeeded_since(clock.now)
    clock.now += 2
    limiter.record_rejection(clock.now, 60.0, target="b")
    assert limiter.delay() >= 4.0


def test_limiter_after_success_raises_rate(limiter, clock):
    for _ in range(20):
        limiter.record_rejection(clock.now, 0.0)
        clock.now += 10
    assert limiter.rate == pytest.approx(0.2)
    for _ in range(10_000):
        limiter.record_success(clock.now)
    assert limiter.rate == pytest.approx(200)


def test_limiter_after_resume_starts_slowly_at_once(limiter, clock):
    limiter.record_rejection(clock.now, 300.0)
    limiter.resume()
    assert limiter.delay() == 0
    assert limiter.rate == 10


def test_breaker_with_one_failing_target_stays_closed(breaker, clock):
    for _ in range(100):
        clock.now += 1
        breaker.record_failure("a", clock.now, was_healthy=True)
    assert not breaker.is_open


def test_breaker_with_targets_that_never_responded_stays_closed(breaker, clock):
    breaker.record_success()
    for number in range(100):
        breaker.record_failure(number, clock.now, was_healthy=False)
    assert not breaker.is_open


def test_breaker_with_success_between_failures_stays_closed(breaker, clock):
    for number in range(100):
        breaker.record_failure(number, clock.now, was_healthy=True)
        if number % 5 == 0:
            breaker.record_success()
    assert not breaker.is_open


def test_breaker_in_outage_probes_at_growing_intervals(breaker, clock):
    for number in range(8):
        assert not breaker.is_open
        breaker.record_failure(number, clock.now, was_healthy=True)
    assert breaker.is_open
    pauses = []
    for number in range(12):
        pauses.append(breaker.next_probe_at - clock.now)
        clock.now = breaker.next_probe_at
        breaker.record_failure(number, clock.now, was_healthy=False)
    assert 0.5 <= pauses[0] <= 1
    assert 15 <= pauses[-1] <= 30
    assert breaker.record_success()
    assert not breaker.is_open
    assert not breaker.record_success()


def test_breaker_with_result_of_request_before_outage_ignores_it(breaker, clock):
    sent_at = clock.now
    clock.now += 1
    for number in range(50):
        breaker.record_failure(number, sent_at, was_healthy=True)
    assert breaker.next_probe_at <= clock.now + 1


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
def test_limiter_with_any_sequence_stays_within_bounds(steps):
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
