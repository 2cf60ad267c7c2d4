"""Assets, the extras of their events, and hook lineage."""

from __future__ import annotations

import json
from importlib import import_module
from typing import TYPE_CHECKING, Any

from airflow_provider_codeocean.compat.features import Feature

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def is_asset(outlet: Any) -> bool:
    """Return whether an inlet or outlet is an asset, or an Airflow 3 reference to one."""
    from airflow.providers.common.compat.sdk import Asset

    if isinstance(outlet, Asset) or not Feature.ASSET_REFERENCES.is_available:
        return isinstance(outlet, Asset)
    from airflow.sdk.definitions.asset import AssetRef

    return isinstance(outlet, AssetRef)


def alias_event_extra(extra: Mapping[str, Any]) -> dict[str, Any]:
    """Return the extra of an asset alias's event in a form that Airflow can store.

    Before 3.1, Airflow adds the values to a set, which fails for mappings and lists: Airflow 2 in this
    process, and 3.0 after it has received them as JSON.

    :param extra: JSON values.
    :returns: the same values; on 3.0, mappings and lists become JSON texts.
    """
    if Feature.ALIAS_EVENTS_HOLD_JSON.is_available:
        return dict(extra)
    convert: Callable[[Any], Any] = json.dumps if Feature.TASK_EXECUTION_API.is_available else _to_hashable
    return {key: convert(value) if isinstance(value, dict | list) else value for key, value in extra.items()}


def _to_hashable(value: dict[str, Any] | list[Any]) -> Any:
    return tuple(value) if isinstance(value, list) else _HashableDict(value)


class _HashableDict(dict[str, Any]):
    def __hash__(self) -> int:  # type: ignore[override]
        return hash(json.dumps(self, sort_keys=True))


def hook_lineage_collector() -> Any | None:
    """Return Airflow's collector of hook lineage, or None if no plugin reads it.

    Airflow creates its collector in any case, which loads all providers and takes a second.
    """
    if Feature.LINEAGE_READERS_IN_SDK.is_available:
        from airflow.sdk.plugins_manager import get_hook_lineage_readers_plugins

        readers: Any = get_hook_lineage_readers_plugins()
    else:
        plugins_manager: Any = import_module("airflow.plugins_manager")
        plugins_manager.initialize_hook_lineage_readers_plugins()
        readers = plugins_manager.hook_lineage_reader_classes
    if not readers:
        return None
    from airflow.providers.common.compat.lineage.hook import get_hook_lineage_collector

    return get_hook_lineage_collector()
