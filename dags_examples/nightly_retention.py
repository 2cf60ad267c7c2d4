"""Each night, delete archived data assets that nobody has used for long.

It only logs what it would delete, unless you trigger it with ``{"really": true}``. A run deletes at most 500,
the oldest first; the next runs delete the rest.
"""

from __future__ import annotations

import logging
import time
from datetime import UTC, datetime
from typing import Any

from airflow.providers.common.compat.sdk import Param, dag, task

from airflow_provider_codeocean.operators.data_asset import CodeOceanDeleteDataAssetOperator
from airflow_provider_codeocean.operators.search import CodeOceanSearchDataAssetsOperator

# Airflow maps over at most 1024 items: [core] max_map_length.
MOST_PER_RUN = 500

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
        """Choose the oldest of those that were neither created nor used in the last days."""
        settings = params or {}
        before = time.time() - settings["days"] * 86_400
        dated = [each for each in assets if each["created"]]
        old = [each for each in dated if max(each["last_used"] or 0, each["created"]) < before]
        chosen = sorted(old, key=lambda each: each["created"])[:MOST_PER_RUN]
        for each in chosen:
            log.info(
                "%s %s (%s)", "Deleting" if settings["really"] else "Would delete", each["id"], each["name"]
            )
        if len(old) > len(chosen):
            log.info("%d more are left for the next nights", len(old) - len(chosen))
        return [each["id"] for each in chosen] if settings["really"] else []

    CodeOceanDeleteDataAssetOperator.partial(task_id="delete").expand(data_asset_id=unused(archived.output))


nightly_retention()
