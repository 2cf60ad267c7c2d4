"""Assets and what their events can hold, on each Airflow."""

from __future__ import annotations

import json

import pytest
from airflow.providers.common.compat.sdk import Asset, AssetAlias, BaseHook

from airflow_provider_codeocean.compat import features
from airflow_provider_codeocean.compat.assets import is_asset, told_under_alias
from airflow_provider_codeocean.compat.features import Feature


@pytest.mark.parametrize("running", [(2, 11), (3, 0), (3, 1)])
def test_what_an_event_of_an_alias_tells_is_kept_by_each_airflow(monkeypatch, running):
    """Airflow 2 puts it into a set at once, 3.0 after it went through JSON, and those after it never."""
    monkeypatch.setattr(features, "RUNNING", running)
    extra = {"text": "a", "none": None, "list": ["b"], "mapping": {"c": ["d"], "e": {"f": 1}}}
    told = told_under_alias(extra)
    came_there = json.loads(json.dumps(told))
    if running < (3, 1):
        assert len(frozenset((told if running < (3, 0) else came_there).items())) == len(extra)
    texts = {"list", "mapping"} if running == (3, 0) else set()
    assert {key: json.loads(each) if key in texts else each for key, each in came_there.items()} == extra


def test_what_counts_as_an_asset():
    assert is_asset(Asset("x"))
    assert not is_asset(AssetAlias("x"))
    assert not is_asset(BaseHook())


@pytest.mark.skipif(not Feature.ASSET_REFERENCES.is_there, reason="Airflow 2 has no references to assets")
def test_a_reference_counts_as_an_asset():
    assert is_asset(Asset.ref(name="x"))
