"""A triggerer that grows is noticed, and one that goes up and down with its load is not."""

from __future__ import annotations

import dataclasses
import math

import pytest

from tests.soak.flat import FEWEST, GROWTH, SPARE, what_grows
from tests.soak.report import table
from tests.soak.samples import Sample

REST = Sample(
    seconds=0.0,
    waits=0,
    runner_rss=200.0,
    runner_uss=150.0,
    runner_fds=20,
    runner_threads=5,
    supervisor_rss=200.0,
    supervisor_uss=120.0,
    supervisor_fds=20,
    supervisor_threads=5,
    cpu=0.0,
)


def load(minutes=30.0, **an_hour):
    """Samples of a load that goes up and down, and of fields that rise by so much an hour beside."""
    samples = []
    for number in range(int(6 * minutes)):
        seconds = 10.0 * number
        wave = 2 * math.sin(seconds / 40)
        values = {
            name: getattr(REST, name) + wave + an_hour.get(name, 0.0) * seconds / 3600
            for name in ("runner_uss", "supervisor_uss")
        }
        samples.append(dataclasses.replace(REST, seconds=seconds, waits=250, **values))
    return samples


def test_what_goes_up_and_down_is_flat():
    assert what_grows(load(), REST, REST) == []


@pytest.mark.parametrize("name", ["runner_uss", "supervisor_uss"])
def test_memory_that_is_kept_of_each_wait_is_noticed(name):
    [told] = what_grows(load(**{name: 1.3 * GROWTH}), REST, REST)
    assert told.startswith(f"{name} grows by 2")


def test_memory_that_rises_all_at_once_is_noticed():
    samples = load()
    samples[-1] = dataclasses.replace(samples[-1], runner_uss=170.0)
    [told] = what_grows(samples, REST, REST)
    assert told.startswith("runner_uss rose from 152")


def test_of_memory_a_short_run_says_nothing():
    assert what_grows(load(minutes=9, runner_uss=100 * GROWTH), REST, REST) == []


def test_the_shortest_run_can_be_shown():
    samples = load()[:FEWEST]
    assert what_grows(samples, REST, REST) == []
    assert "| Runner's memory, MB | 150.0 |" in table(samples, REST, REST)


@pytest.mark.parametrize("name", ["runner_fds", "runner_threads", "supervisor_fds", "supervisor_threads"])
def test_what_is_left_open_is_noticed(name):
    before = getattr(REST, name)
    assert what_grows(load(), REST, dataclasses.replace(REST, **{name: before + SPARE})) == []
    assert what_grows(load(), REST, dataclasses.replace(REST, **{name: before + SPARE + 1})) == [
        f"{name} were {before} before the load, and are {before + SPARE + 1} after it"
    ]
