"""Durable state of tasks and assets."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from airflow_provider_codeocean.compat.features import Feature
from airflow_provider_codeocean.compat.state import (
    asset_state,
    durable_state,
    watched_asset_states,
)
from airflow_provider_codeocean.events.claims import ClaimLedger
from airflow_provider_codeocean.events.seen_set import SeenSet


@pytest.mark.skipif(
    not Feature.ASSET_STATE_STORE.is_available, reason="assets have a state from Airflow 3.3 on"
)
def test_watched_asset_states_returns_all_watched_assets():
    from airflow.sdk import Asset
    from airflow.sdk.execution_time.context import AssetStateStoreAccessors

    watched = [Asset("one"), Asset("two"), Asset.ref(uri="s3://three")]
    states = AssetStateStoreAccessors(inlets=watched)
    found = watched_asset_states(SimpleNamespace(asset_state_store=states))
    assert [state._state for state in found] == [states[asset] for asset in watched]


def test_watched_asset_states_before_airflow_3_3_is_empty():
    assert watched_asset_states(SimpleNamespace()) == []


def test_durable_state_is_that_of_the_context_or_none():
    state = object()
    assert durable_state({"task_state_store": state}) is state
    assert durable_state({}) is None


class KilledError(Exception):
    pass


class FakeAccessor:
    """A fake of Airflow's accessor of an asset's state. A write can simulate a killed process."""

    def __init__(self):
        self.values = {}
        self.writes_left = None

    def get(self, key):
        return self.values.get(key)

    def set(self, key, value):
        self._count()
        assert len(json.dumps(value)) <= 65_536
        self.values[key] = value

    def delete(self, key):
        self._count()
        self.values.pop(key, None)

    def _count(self):
        if self.writes_left is not None:
            self.writes_left -= 1
            if self.writes_left < 0:
                raise KilledError


@pytest.fixture
def accessor():
    return FakeAccessor()


@pytest.fixture
def state(accessor):
    if not Feature.ASSET_STATE_STORE.is_available:
        pytest.skip("assets have a state from Airflow 3.3 on")
    return asset_state({"asset_state_store": {"asset": accessor}}, "asset")


@pytest.mark.fault("D8")
@pytest.mark.parametrize("new", [["b" * 50_000] * 4, "small"], ids=["large", "small"])
def test_asset_state_killed_at_any_write_has_the_old_or_new_value(accessor, state, new):
    old, is_new = ['a\\"' * 20_000] * 3, []
    for writes in range(40):
        accessor.values, accessor.writes_left = {}, None
        state.set("key", old)
        accessor.writes_left = writes
        try:
            state.set("key", new)
        except KilledError:
            assert state.get("key") in (old, new)
            is_new.append(state.get("key") == new)
        else:
            break
    assert state.get("key") == new
    assert is_new == sorted(is_new)
    assert len(accessor.values) == (1 if new == "small" else 8)


@pytest.mark.fault("D8")
def test_asset_state_replaced_during_read_is_reread(accessor, state):
    state.set("key", "a" * 100_000)
    outdated = accessor.values["key"]
    state.set("key", "b" * 100_000)
    reads = []

    def get(key):
        reads.append(key)
        return outdated if reads.count("key") == 1 and key == "key" else accessor.values.get(key)

    accessor.get = get
    assert state.get("key") == "b" * 100_000


@pytest.mark.fault("D8")
def test_asset_state_with_a_missing_page_raises_value_error(accessor, state):
    state.set("key", "a" * 100_000)
    del accessor.values[accessor.values["key"]["pages"][1]]
    with pytest.raises(ValueError, match="the state 'key' of an asset is incomplete"):
        state.get("key")


@pytest.mark.fault("D8")
def test_asset_state_with_ledger_of_100_000_computations_fits(accessor, state):
    ledger = ClaimLedger(unavailable=SeenSet().updated_with(f"old {number}" for number in range(100_000)))
    for number in range(1500):
        ledger.claim(f"scheduled__{number:030}", [f"{number:036}"], 1)
    ledger = ledger.compacted()
    state.set("taken", ledger.to_json())
    assert ClaimLedger.from_json(state.get("taken")) == ledger
    assert len(accessor.values) > 30
