"""Asset watchers, with and without support by Airflow."""

from __future__ import annotations

import pytest

from airflow_provider_codeocean.compat import event_trigger
from airflow_provider_codeocean.compat.features import Feature


@pytest.mark.skipif(Feature.ASSET_WATCHERS.is_available, reason="Airflow 3 has asset watchers")
def test_event_trigger_on_airflow_2_raises_import_error():
    for get in (event_trigger.require_asset_watchers, lambda: event_trigger.BaseEventTrigger):
        with pytest.raises(ImportError, match=r"Asset watchers require Airflow 3\.0 or later"):
            get()


@pytest.mark.skipif(not Feature.ASSET_WATCHERS.is_available, reason="Airflow 2 has no asset watchers")
def test_event_trigger_on_airflow_3_is_available():
    from airflow.triggers.base import BaseEventTrigger

    event_trigger.require_asset_watchers()
    assert event_trigger.BaseEventTrigger is BaseEventTrigger


def test_event_trigger_unknown_attribute_is_missing():
    assert not hasattr(event_trigger, "NoSuchThing")
