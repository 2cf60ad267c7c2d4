from __future__ import annotations

import time

import pytest

from airflow_provider_codeocean.api.models.data_asset import DataAsset
from airflow_provider_codeocean.events.baseline import Baseline


def assets(*ids, age):
    return [DataAsset(id=asset_id, created=time.time() - age, state="ready") for asset_id in ids]


def test_baseline_contains_first_poll_results():
    first = assets("a", "b", age=0)
    assert Baseline(time.time()).old_ids(first, first) == {"a", "b"}


@pytest.mark.fault("A14")
def test_baseline_contains_rest_of_partial_first_poll():
    baseline = Baseline(time.time())
    first, rest = assets("a", age=86_400), assets("b", "c", age=86_400)
    baseline.old_ids(first, first)
    assert baseline.old_ids(first + rest, first + rest) == {"a", "b", "c"}


def test_baseline_excludes_result_seen_pending():
    baseline = Baseline(time.time())
    pending = assets("a", age=86_400)
    baseline.old_ids(pending, [])
    assert baseline.old_ids(pending, pending) == set()


def test_baseline_excludes_recent_result_of_later_poll():
    baseline = Baseline(time.time())
    first, later = assets("a", age=0), assets("b", age=60)
    baseline.old_ids(first, first)
    assert "b" not in baseline.old_ids(first + later, first + later)
