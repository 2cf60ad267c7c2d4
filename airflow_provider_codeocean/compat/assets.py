"""Assets among inlets and outlets, what their events can hold, and who reads the lineage of hooks."""

from __future__ import annotations

import json
from importlib import import_module
from typing import TYPE_CHECKING, Any

from airflow_provider_codeocean.compat.features import Feature

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def is_asset(outlet: Any) -> bool:
    """Tell whether an inlet or outlet is an asset: Airflow 3 also has references to them.

    :param outlet: the inlet or outlet.
    :returns: whether it is.
    """
    from airflow.providers.common.compat.sdk import Asset

    if isinstance(outlet, Asset) or not Feature.ASSET_REFERENCES.is_there:
        return isinstance(outlet, Asset)
    from airflow.sdk.definitions.asset import AssetRef

    return isinstance(outlet, AssetRef)


def told_under_alias(extra: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the event of an asset alias tells, so that Airflow can keep it.

    Before 3.1, Airflow puts it into a set on the way, and fails the task over a mapping or a list in it:
    Airflow 2 in this process, 3.0 after it came there as JSON.

    :param extra: what it tells: JSON values.
    :returns: what becomes the same JSON; on 3.0, mappings and lists are JSON within a text.
    """
    if Feature.ALIAS_EVENTS_HOLD_JSON.is_there:
        return dict(extra)
    keep: Callable[[Any], Any] = json.dumps if Feature.TASK_API.is_there else _hashable
    return {key: keep(each) if isinstance(each, dict | list) else each for key, each in extra.items()}


def _hashable(value: dict[str, Any] | list[Any]) -> Any:
    return tuple(value) if isinstance(value, list) else _HashableDict(value)


class _HashableDict(dict[str, Any]):
    def __hash__(self) -> int:  # type: ignore[override]
        return hash(json.dumps(self, sort_keys=True))


def hook_lineage_collector() -> Any | None:
    """Return what collects which assets hooks have read and made.

    Airflow's own makes itself even where it is to do nothing, and with it loads all providers, for a second.

    :returns: the collector, None where no plugin wants to know.
    """
    if Feature.LINEAGE_READERS_IN_SDK.is_there:
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
