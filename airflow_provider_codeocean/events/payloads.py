"""What the events of asset watchers tell, for DAGs that are scheduled on their assets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


def finished_computations(triggering_asset_events: Mapping[Any, Iterable[Any]]) -> list[dict[str, Any]]:
    """Return the computations that the events tell of which have started a run.

    :param triggering_asset_events: what a task is given under this name: lists of events by asset.
    :returns: the computations, each once, in the order of the events: see
        :class:`~airflow_provider_codeocean.triggers.events.CodeOceanComputationsFinishedTrigger`.
    """
    return _told(triggering_asset_events, "computations")


def ready_data_assets(triggering_asset_events: Mapping[Any, Iterable[Any]]) -> list[dict[str, Any]]:
    """Return the data assets that the events tell of which have started a run.

    :param triggering_asset_events: what a task is given under this name: lists of events by asset.
    :returns: the data assets, each once, in the order of the events: see
        :class:`~airflow_provider_codeocean.triggers.events.CodeOceanDataAssetsReadyTrigger`.
    """
    return _told(triggering_asset_events, "data_assets")


def _told(events_by_asset: Mapping[Any, Iterable[Any]], what: str) -> list[dict[str, Any]]:
    told: dict[str, dict[str, Any]] = {}
    for asset in events_by_asset:
        for event in events_by_asset[asset]:
            payload = (event.extra or {}).get("payload")  # other events of an asset have none
            for each in payload.get(what, ()) if isinstance(payload, dict) else ():
                told.setdefault(each["id"], each)
    return list(told.values())
