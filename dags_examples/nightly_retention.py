"""Each night, delete archived data assets that nobody has used for long.

It only says what it would delete, unless it is triggered with ``{"really": true}``.
"""

from __future__ import annotations

import logging
import time
from datetime import UTC, datetime
from typing import Any

from airflow.providers.common.compat.sdk import Param, dag, task

from airflow_provider_codeocean.operators.data_asset import CodeOceanDeleteDataAssetOperator
from airflow_provider_codeocean.operators.search import CodeOceanSearchDataAssetsOperator

log = logging.getLogger(__name__)


@dag(
    schedule="@daily",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    params={"days": Param(365, type="number", minimum=0), "really": Param(False, type="boolean")},
    tags=["codeocean"],
)
def nightly_retention() -> None:
    """Find, choose, delete."""
    archived = CodeOceanSearchDataAssetsOperator(task_id="archived", archived=True, limit=None)

    @task
    def unused(assets: list[dict[str, Any]], params: dict[str, Any] | None = None) -> list[str]:
        """Choose those that were neither made nor used in the last days."""
        settings = params or {}
        before = time.time() - settings["days"] * 86_400
        dated = [each for each in assets if each["created"]]
        chosen = [each for each in dated if max(each["last_used"] or 0, each["created"]) < before]
        for each in chosen:
            log.info(
                "%s %s (%s)", "Deleting" if settings["really"] else "Would delete", each["id"], each["name"]
            )
        return [each["id"] for each in chosen] if settings["really"] else []

    CodeOceanDeleteDataAssetOperator.partial(task_id="delete").expand(data_asset_id=unused(archived.output))


nightly_retention()
