"""What the events of asset watchers tell, put together."""

from __future__ import annotations

from types import SimpleNamespace

from airflow_provider_codeocean.events.payloads import finished_computations, ready_data_assets


def event(**payload):
    return SimpleNamespace(extra={"from_trigger": True, "payload": payload})


def test_each_is_told_once_in_the_order_of_the_events():
    one, two, three = ({"id": each, "name": each} for each in ("1", "2", "3"))
    events = {
        "an asset": [event(computations=[two, one]), event(computations=[one, three])],
        "another": [event(computations=[three])],
    }
    assert finished_computations(events) == [two, one, three]


def test_other_events_of_an_asset_tell_nothing():
    others = [SimpleNamespace(extra=extra) for extra in (None, {}, {"payload": "x"}, {"more": 3})]
    events = {"an asset": [*others, event(params={}, data_assets=[{"id": "1"}])]}
    assert ready_data_assets(events) == [{"id": "1"}]
    assert finished_computations(events) == []
