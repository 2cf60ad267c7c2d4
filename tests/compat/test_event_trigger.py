"""Asset watchers, where Airflow has them and where it has none."""

from __future__ import annotations

import pytest

from airflow_provider_codeocean.compat import event_trigger
from airflow_provider_codeocean.compat.features import Feature


@pytest.mark.skipif(Feature.ASSET_WATCHERS.is_there, reason="Airflow 3 has asset watchers")
def test_airflow_2_says_that_it_has_no_asset_watchers():
    for look in (event_trigger.need_asset_watchers, lambda: event_trigger.BaseEventTrigger):
        with pytest.raises(ImportError, match=r"Watching for events needs Airflow 3\.0 or later"):
            look()


@pytest.mark.skipif(not Feature.ASSET_WATCHERS.is_there, reason="Airflow 2 has no asset watchers")
def test_asset_watchers_are_there_from_airflow_3_on():
    from airflow.triggers.base import BaseEventTrigger

    event_trigger.need_asset_watchers()
    assert event_trigger.BaseEventTrigger is BaseEventTrigger


def test_what_it_does_not_have_is_not_there():
    assert not hasattr(event_trigger, "NoSuchThing")
