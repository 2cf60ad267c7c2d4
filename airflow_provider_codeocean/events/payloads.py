"""Read the payloads of asset events, in DAGs that asset watchers start."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


def finished_computations(triggering_asset_events: Mapping[Any, Iterable[Any]]) -> list[dict[str, Any]]:
    """Return the computations in the events that started a DAG run.

    :param triggering_asset_events: the variable of this name in a task's context: lists of events by asset.
    :returns: the computations without duplicates, in the order of the events, with the fields that
        :class:`~airflow_provider_codeocean.triggers.events.CodeOceanComputationsFinishedTrigger` lists.
    """
    return _collect_payloads(triggering_asset_events, "computations")


def ready_data_assets(triggering_asset_events: Mapping[Any, Iterable[Any]]) -> list[dict[str, Any]]:
    """Return the data assets in the events that started a DAG run.

    :param triggering_asset_events: the variable of this name in a task's context: lists of events by asset.
    :returns: the data assets without duplicates, in the order of the events, with the fields that
        :class:`~airflow_provider_codeocean.triggers.events.CodeOceanDataAssetsReadyTrigger` lists.
    """
    return _collect_payloads(triggering_asset_events, "data_assets")


def _collect_payloads(events_by_asset: Mapping[Any, Iterable[Any]], payload_key: str) -> list[dict[str, Any]]:
    items_by_id: dict[str, dict[str, Any]] = {}
    for events in events_by_asset.values():
        for event in events:
            payload = (event.extra or {}).get("payload")
            if isinstance(payload, dict):  # events of other sources have none
                for item in payload.get(payload_key, ()):
                    items_by_id.setdefault(item["id"], item)
    return list(items_by_id.values())
