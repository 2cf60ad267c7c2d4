"""Asset watchers, where Airflow has them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_codeocean.compat.features import Feature

if TYPE_CHECKING:
    from airflow.triggers.base import BaseEventTrigger as BaseEventTrigger  # noqa: PLC0414 - others import it from here


def __getattr__(name: str) -> Any:
    """Import the base of triggers that watch for events when it is asked for: Airflow 2 has none."""
    if name != "BaseEventTrigger":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    need_asset_watchers()
    from airflow.triggers.base import BaseEventTrigger

    return BaseEventTrigger


def need_asset_watchers() -> None:
    """Say where there are no asset watchers.

    :raises ImportError: before Airflow 3.0.
    """
    if not Feature.ASSET_WATCHERS.is_there:
        raise ImportError(
            "Watching for events needs Airflow 3.0 or later: before, there are no asset watchers"
        )
