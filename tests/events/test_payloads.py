"""Payloads of several asset events."""

from __future__ import annotations

from types import SimpleNamespace

from airflow_provider_codeocean.events.payloads import finished_computations, ready_data_assets


def event(**payload):
    return SimpleNamespace(extra={"from_trigger": True, "payload": payload})


def test_finished_computations_are_unique_in_event_order():
    one, two, three = ({"id": item_id, "name": item_id} for item_id in ("1", "2", "3"))
    events = {
        "an asset": [event(computations=[two, one]), event(computations=[one, three])],
        "another": [event(computations=[three])],
    }
    assert finished_computations(events) == [two, one, three]


def test_payloads_of_other_events_are_ignored():
    others = [SimpleNamespace(extra=extra) for extra in (None, {}, {"payload": "x"}, {"more": 3})]
    events = {"an asset": [*others, event(params={}, data_assets=[{"id": "1"}])]}
    assert ready_data_assets(events) == [{"id": "1"}]
    assert finished_computations(events) == []
