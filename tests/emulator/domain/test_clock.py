from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_codeocean.emulator.domain.clock import (
    BEFORE_ALL_WORK,
    ManualClock,
    Policy,
    RealClock,
    Work,
    computation_state,
)

seconds = st.floats(min_value=0, max_value=1e6)
works = st.builds(Work, started=seconds, seconds=seconds, reads=st.integers(0, 5))
moments = st.lists(seconds, max_size=8).map(sorted)
STATES = ["initializing", "running", "finalizing", "over"]


def state_of(work: Work, moment: float) -> str:
    progress = work.progress(moment)
    return "over" if progress == 1 else computation_state(progress)


def test_a_manual_clock_moves_only_when_told():
    clock = ManualClock(100)
    assert clock.now() == 100
    assert clock.advance(2.5) == clock.now() == 102.5
    with pytest.raises(ValueError, match="forward only"):
        clock.advance(-1)


def test_clocks_start_at_the_current_time():
    before = RealClock().now()
    assert before <= ManualClock().now() <= RealClock().now()


def test_work_without_any_wait_is_over_at_once_but_not_before():
    work = Policy().begin(50, random.Random(0))
    assert work.finished(50)
    assert not work.finished(BEFORE_ALL_WORK)
    assert work.progress(BEFORE_ALL_WORK) == 0


def test_jitter_is_drawn_once():
    policy = Policy(seconds=3, jitter=2)
    lengths = [policy.begin(0, random.Random(seed)).seconds for seed in range(200)]
    assert all(3 <= length <= 5 for length in lengths)
    assert max(lengths) - min(lengths) > 1
    assert policy.begin(0, random.Random(7)) == policy.begin(0, random.Random(7))


def test_reads_show_it_unfinished_so_many_times():
    work = Policy(reads=2).begin(10, random.Random(0))
    seen = []
    for moment in (11, 12, 13, 14):
        seen.append(work.finished(moment))
        work = work.after_read(moment)
    assert seen == [False, False, True, True]
    assert work.finished_at == 12


def test_both_time_and_reads_may_be_asked_for():
    work = Policy(seconds=5, reads=1).begin(0, random.Random(0))
    assert not work.finished(6)
    assert work.after_read(6).finished(6)
    assert not work.after_read(1).finished(4)
    assert work.after_read(1).finished_at == 5


def test_endless_work_makes_no_progress():
    work = Work(started=0, seconds=math.inf)
    assert work.progress(1e9) == 0
    assert work.progress(BEFORE_ALL_WORK) == 0
    assert not work.finished(1e12)


def test_a_computation_goes_through_all_states():
    work = Work(started=0, seconds=10)
    assert [state_of(work, moment) for moment in (0, 5, 9.5, 10)] == STATES


@given(work=works, at=moments)
def test_states_only_go_forward(work: Work, at: list[float]):
    order = [STATES.index(state_of(work, moment)) for moment in at]
    assert order == sorted(order)


@given(work=works, at=moments)
def test_reads_only_bring_the_end_nearer(work: Work, at: list[float]):
    progress = []
    for moment in (work.started + later for later in at):
        progress.append(work.progress(moment))
        work = work.after_read(moment)
    assert progress == sorted(progress)
    assert work.seen == min(work.reads, len(at))
    assert math.isinf(work.finished_at) == (work.seen < work.reads)


@given(work=works, moment=seconds)
def test_work_is_finished_exactly_when_its_progress_is_complete(work: Work, moment: float):
    assert work.finished(moment) == (work.progress(moment) == 1)
    assert 0 <= work.progress(moment) <= 1
