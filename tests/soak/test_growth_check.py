"""A triggerer that grows is noticed, and one that goes up and down with its load is not."""

from __future__ import annotations

import dataclasses
import math

import pytest

from tests.soak.growth_check import MAX_GROWTH_MB_PER_HOUR, MAX_LEFT_OPEN, MIN_SAMPLES, find_growth
from tests.soak.report import table
from tests.soak.samples import Sample

REST = Sample(
    elapsed_seconds=0.0,
    waits=0,
    runner_rss_mb=200.0,
    runner_uss_mb=150.0,
    runner_fds=20,
    runner_threads=5,
    supervisor_rss_mb=200.0,
    supervisor_uss_mb=120.0,
    supervisor_fds=20,
    supervisor_threads=5,
    cpu_seconds=0.0,
)


def load(minutes=30.0, **an_hour):
    """Samples of a load that goes up and down, and of fields that rise by so much an hour beside."""
    samples = []
    for number in range(int(6 * minutes)):
        seconds = 10.0 * number
        wave = 2 * math.sin(seconds / 40)
        values = {
            name: getattr(REST, name) + wave + an_hour.get(name, 0.0) * seconds / 3600
            for name in ("runner_uss_mb", "supervisor_uss_mb")
        }
        samples.append(dataclasses.replace(REST, elapsed_seconds=seconds, waits=250, **values))
    return samples


def test_find_growth_of_fluctuating_samples_is_empty():
    assert find_growth(load(), REST, REST) == []


@pytest.mark.parametrize("name", ["runner_uss_mb", "supervisor_uss_mb"])
def test_find_growth_reports_steady_growth_of_memory(name):
    [told] = find_growth(load(**{name: 1.3 * MAX_GROWTH_MB_PER_HOUR}), REST, REST)
    assert told.startswith(f"{name} grows by 2")


def test_find_growth_reports_sudden_growth_of_memory():
    samples = load()
    samples[-1] = dataclasses.replace(samples[-1], runner_uss_mb=170.0)
    [told] = find_growth(samples, REST, REST)
    assert told.startswith("runner_uss_mb rose from 152")


def test_find_growth_of_short_run_ignores_memory():
    assert find_growth(load(minutes=9, runner_uss_mb=100 * MAX_GROWTH_MB_PER_HOUR), REST, REST) == []


def test_table_of_shortest_run_is_rendered():
    samples = load()[:MIN_SAMPLES]
    assert find_growth(samples, REST, REST) == []
    assert "| Runner's memory, MB | 150.0 |" in table(samples, REST, REST)


@pytest.mark.parametrize("name", ["runner_fds", "runner_threads", "supervisor_fds", "supervisor_threads"])
def test_find_growth_reports_resources_left_open(name):
    before = getattr(REST, name)
    assert find_growth(load(), REST, dataclasses.replace(REST, **{name: before + MAX_LEFT_OPEN})) == []
    assert find_growth(load(), REST, dataclasses.replace(REST, **{name: before + MAX_LEFT_OPEN + 1})) == [
        f"{name} were {before} before the load, and are {before + MAX_LEFT_OPEN + 1} after it"
    ]
