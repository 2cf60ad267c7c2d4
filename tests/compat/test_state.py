"""State of tasks and of assets, where Airflow has it."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from airflow_provider_codeocean.compat.features import Feature
from airflow_provider_codeocean.compat.state import durable_state, states_of_watched_assets


@pytest.mark.skipif(not Feature.ASSET_STATE.is_there, reason="assets have a state from Airflow 3.3 on")
def test_the_states_of_all_watched_assets_are_found():
    from airflow.sdk import Asset
    from airflow.sdk.execution_time.context import AssetStateStoreAccessors

    watched = [Asset("one"), Asset("two"), Asset.ref(uri="s3://three")]
    states = AssetStateStoreAccessors(inlets=watched)
    found = states_of_watched_assets(SimpleNamespace(asset_state_store=states))
    assert found == [states[each] for each in watched]


def test_before_airflow_3_3_a_watched_asset_has_no_state():
    assert states_of_watched_assets(SimpleNamespace()) == []


def test_durable_state_is_there_where_airflow_has_it():
    state = object()
    assert durable_state({"task_state_store": state}) is state
    assert durable_state({}) is None
