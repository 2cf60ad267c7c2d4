"""Sensors in each mode. The data asset comes from the run's configuration."""

from __future__ import annotations

from typing import Any

from airflow_provider_codeocean.sensors.data_asset import CodeOceanDataAssetSensor
from tests.dag_runs.dag_factory import build_dag

DAGS: list[Any] = []
MODES: dict[str, dict[str, Any]] = {
    "poke": {"mode": "poke", "deferrable": False},
    "reschedule": {"mode": "reschedule", "deferrable": False},
    "deferred": {"deferrable": True},
}
OUTCOMES: dict[str, dict[str, Any]] = {
    "": {"timeout": 60},
    "_briefly": {"timeout": 0.2},
    "_briefly_softly": {"timeout": 0.2, "soft_fail": True},
    "_softly": {"timeout": 60, "soft_fail": True},
    "_never_failing": {"timeout": 60, "never_fail": True},
}

for mode, arguments in MODES.items():
    for outcome, more in OUTCOMES.items():
        with build_dag(DAGS, f"sense_{mode}{outcome}", params={"data_asset_id": ""}):
            CodeOceanDataAssetSensor(
                task_id="sense",
                data_asset_id="{{ params.data_asset_id }}",
                poke_interval=0.05,
                **arguments,
                **more,
            )
