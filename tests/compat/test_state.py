"""State of tasks and of assets, where Airflow has it."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from airflow_provider_codeocean.compat.features import Feature
from airflow_provider_codeocean.compat.state import (
    durable_state,
    state_of_asset,
    states_of_watched_assets,
)
from airflow_provider_codeocean.events.claims import Ledger
from airflow_provider_codeocean.events.seen_set import Seen


@pytest.mark.skipif(not Feature.ASSET_STATE.is_there, reason="assets have a state from Airflow 3.3 on")
def test_the_states_of_all_watched_assets_are_found():
    from airflow.sdk import Asset
    from airflow.sdk.execution_time.context import AssetStateStoreAccessors

    watched = [Asset("one"), Asset("two"), Asset.ref(uri="s3://three")]
    states = AssetStateStoreAccessors(inlets=watched)
    found = states_of_watched_assets(SimpleNamespace(asset_state_store=states))
    assert [each._state for each in found] == [states[each] for each in watched]


def test_before_airflow_3_3_a_watched_asset_has_no_state():
    assert states_of_watched_assets(SimpleNamespace()) == []


def test_durable_state_is_there_where_airflow_has_it():
    state = object()
    assert durable_state({"task_state_store": state}) is state
    assert durable_state({}) is None


class KilledError(Exception):
    pass


class FakeAccessor:
    """Airflow's accessor of an asset's state. The process can be killed before one of its writes."""

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
    if not Feature.ASSET_STATE.is_there:
        pytest.skip("assets have a state from Airflow 3.3 on")
    return state_of_asset({"asset_state_store": {"asset": accessor}}, "asset")


@pytest.mark.fault("D8")
@pytest.mark.parametrize("new", [["b" * 50_000] * 4, "small"], ids=["large", "small"])
def test_asset_state_killed_at_any_write_holds_the_old_or_the_new_value(accessor, state, new):
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
def test_asset_state_replaced_while_it_is_read_is_read_again(accessor, state):
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
def test_asset_state_with_a_missing_page_is_an_error(accessor, state):
    state.set("key", "a" * 100_000)
    del accessor.values[accessor.values["key"]["pages"][1]]
    with pytest.raises(ValueError, match="the state 'key' of an asset is incomplete"):
        state.get("key")


@pytest.mark.fault("D8")
def test_asset_state_ledger_of_100_000_computations_stays_below_the_limit(accessor, state):
    ledger = Ledger(taken=Seen().with_all(f"old {number}" for number in range(100_000)))
    for number in range(1500):
        ledger.take(f"scheduled__{number:030}", [f"{number:036}"], 1)
    ledger = ledger.shortened()
    state.set("taken", ledger.written())
    assert Ledger.read(state.get("taken")) == ledger
    assert len(accessor.values) > 30
