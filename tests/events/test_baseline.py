from __future__ import annotations

import time

import pytest

from airflow_provider_codeocean.api.models.data_asset import DataAsset
from airflow_provider_codeocean.events.baseline import Baseline


def assets(*ids, age):
    return [DataAsset(id=each, created=time.time() - age, state="ready") for each in ids]


def test_baseline_first_poll_with_results_is_old():
    first = assets("a", "b", age=0)
    assert Baseline(time.time()).old_ids(first, first) == {"a", "b"}


@pytest.mark.fault("A14")
def test_baseline_rest_of_partial_first_poll_is_old():
    baseline = Baseline(time.time())
    first, rest = assets("a", age=86_400), assets("b", "c", age=86_400)
    baseline.old_ids(first, first)
    assert baseline.old_ids(first + rest, first + rest) == {"a", "b", "c"}


def test_baseline_result_that_was_seen_pending_is_new():
    baseline = Baseline(time.time())
    pending = assets("a", age=86_400)
    baseline.old_ids(pending, [])
    assert baseline.old_ids(pending, pending) == set()


def test_baseline_result_that_ended_shortly_before_the_start_is_new_in_a_later_poll():
    baseline = Baseline(time.time())
    first, later = assets("a", age=0), assets("b", age=60)
    baseline.old_ids(first, first)
    assert "b" not in baseline.old_ids(first + later, first + later)
