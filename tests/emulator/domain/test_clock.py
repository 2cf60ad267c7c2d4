from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_codeocean.emulator.domain.clock import (
    BEFORE_START,
    ManualClock,
    Policy,
    RealClock,
    Work,
    computation_state_at,
)

seconds = st.floats(min_value=0, max_value=1e6)
works = st.builds(Work, started_at=seconds, duration_seconds=seconds, required_reads=st.integers(0, 5))
moments = st.lists(seconds, max_size=8).map(sorted)
STATES = ["initializing", "running", "finalizing", "over"]


def state_of(work: Work, moment: float) -> str:
    progress = work.progress(moment)
    return "over" if progress == 1 else computation_state_at(progress)


def test_manual_clock_moves_only_when_advanced():
    clock = ManualClock(100)
    assert clock.now() == 100
    assert clock.advance(2.5) == clock.now() == 102.5
    with pytest.raises(ValueError, match="forward only"):
        clock.advance(-1)


def test_clocks_start_at_the_current_time():
    before = RealClock().now()
    assert before <= ManualClock().now() <= RealClock().now()


def test_work_without_policy_finishes_at_its_start():
    work = Policy().start_work(50, random.Random(0))
    assert work.is_finished(50)
    assert not work.is_finished(BEFORE_START)
    assert work.progress(BEFORE_START) == 0


def test_policy_jitter_is_drawn_once_per_work():
    policy = Policy(seconds=3, jitter=2)
    lengths = [policy.start_work(0, random.Random(seed)).duration_seconds for seed in range(200)]
    assert all(3 <= length <= 5 for length in lengths)
    assert max(lengths) - min(lengths) > 1
    assert policy.start_work(0, random.Random(7)) == policy.start_work(0, random.Random(7))


def test_work_with_required_reads_finishes_after_them():
    work = Policy(reads=2).start_work(10, random.Random(0))
    seen = []
    for moment in (11, 12, 13, 14):
        seen.append(work.is_finished(moment))
        work = work.with_read_counted(moment)
    assert seen == [False, False, True, True]
    assert work.finished_at == 12


def test_work_with_time_and_reads_finishes_after_both():
    work = Policy(seconds=5, reads=1).start_work(0, random.Random(0))
    assert not work.is_finished(6)
    assert work.with_read_counted(6).is_finished(6)
    assert not work.with_read_counted(1).is_finished(4)
    assert work.with_read_counted(1).finished_at == 5


def test_work_without_end_makes_no_progress():
    work = Work(started_at=0, duration_seconds=math.inf)
    assert work.progress(1e9) == 0
    assert work.progress(BEFORE_START) == 0
    assert not work.is_finished(1e12)


def test_computation_state_passes_through_all_states():
    work = Work(started_at=0, duration_seconds=10)
    assert [state_of(work, moment) for moment in (0, 5, 9.5, 10)] == STATES


@given(work=works, at=moments)
def test_computation_state_never_goes_backward(work: Work, at: list[float]):
    order = [STATES.index(state_of(work, moment)) for moment in at]
    assert order == sorted(order)


@given(work=works, at=moments)
def test_work_reads_never_reduce_the_progress(work: Work, at: list[float]):
    progress = []
    for moment in (work.started_at + later for later in at):
        progress.append(work.progress(moment))
        work = work.with_read_counted(moment)
    assert progress == sorted(progress)
    assert work.completed_reads == min(work.required_reads, len(at))
    assert math.isinf(work.finished_at) == (work.completed_reads < work.required_reads)


@given(work=works, moment=seconds)
def test_work_is_finished_if_and_only_if_its_progress_is_1(work: Work, moment: float):
    assert work.is_finished(moment) == (work.progress(moment) == 1)
    assert 0 <= work.progress(moment) <= 1
