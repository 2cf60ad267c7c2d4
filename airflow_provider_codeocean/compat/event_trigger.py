"""Airflow's base class of triggers for asset watchers, which Airflow 2 lacks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_codeocean.compat.features import Feature

if TYPE_CHECKING:
    from airflow.triggers.base import BaseEventTrigger as BaseEventTrigger  # noqa: PLC0414 - others import it from here


def __getattr__(name: str) -> Any:
    if name != "BaseEventTrigger":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    require_asset_watchers()
    from airflow.triggers.base import BaseEventTrigger

    return BaseEventTrigger


def require_asset_watchers() -> None:
    """Check that Airflow has asset watchers.

    :raises ImportError: before Airflow 3.0.
    """
    if not Feature.ASSET_WATCHERS.is_available:
        raise ImportError("Asset watchers require Airflow 3.0 or later; use a sensor on Airflow 2")
