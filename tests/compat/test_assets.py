"""Assets, and the extras of their events."""

from __future__ import annotations

import json

import pytest
from airflow.providers.common.compat.sdk import Asset, AssetAlias, BaseHook

from airflow_provider_codeocean.compat import features
from airflow_provider_codeocean.compat.assets import alias_event_extra, is_asset
from airflow_provider_codeocean.compat.features import Feature


@pytest.mark.parametrize("running", [(2, 11), (3, 0), (3, 1)])
def test_alias_event_extra_survives_each_airflow_version(monkeypatch, running):
    """Airflow 2 adds the values to a set at once, 3.0 after JSON, and later releases never."""
    monkeypatch.setattr(features, "AIRFLOW_VERSION", running)
    extra = {"text": "a", "none": None, "list": ["b"], "mapping": {"c": ["d"], "e": {"f": 1}}}
    converted = alias_event_extra(extra)
    received = json.loads(json.dumps(converted))
    if running < (3, 1):
        assert len(frozenset((converted if running < (3, 0) else received).items())) == len(extra)
    texts = {"list", "mapping"} if running == (3, 0) else set()
    assert {key: json.loads(value) if key in texts else value for key, value in received.items()} == extra


def test_is_asset_distinguishes_assets_from_others():
    assert is_asset(Asset("x"))
    assert not is_asset(AssetAlias("x"))
    assert not is_asset(BaseHook())


@pytest.mark.skipif(not Feature.ASSET_REFERENCES.is_available, reason="Airflow 2 has no references to assets")
def test_is_asset_of_a_reference_is_true():
    assert is_asset(Asset.ref(name="x"))
