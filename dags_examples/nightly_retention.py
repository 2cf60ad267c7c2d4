"""Delete archived data assets that nobody has used for a year, every night.

By default, the DAG only logs the data assets that it would delete. Trigger it with ``{"confirm_deletion":
true}`` to delete them. A run deletes at most 500 data assets, the oldest first; the next runs delete the
rest.
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
MAX_DELETIONS_PER_RUN = 500

log = logging.getLogger(__name__)


@dag(
    schedule="@daily",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    params={"days": Param(365, type="number", minimum=0), "confirm_deletion": Param(False, type="boolean")},
    tags=["codeocean"],
)
def nightly_retention() -> None:
    """Search, choose, and delete."""
    archived = CodeOceanSearchDataAssetsOperator(task_id="archived", archived=True, limit=None)

    @task
    def unused(assets: list[dict[str, Any]], params: dict[str, Any] | None = None) -> list[str]:
        """Return the ids of the oldest data assets that were neither created nor used in the last days."""
        settings = params or {}
        confirmed = settings["confirm_deletion"]
        cutoff = time.time() - settings["days"] * 86_400
        dated = [asset for asset in assets if asset["created"]]
        old = [asset for asset in dated if max(asset["last_used"] or 0, asset["created"]) < cutoff]
        chosen = sorted(old, key=lambda asset: asset["created"])[:MAX_DELETIONS_PER_RUN]
        for asset in chosen:
            log.info("%s %s (%s)", "Deleting" if confirmed else "Would delete", asset["id"], asset["name"])
        if len(old) > len(chosen):
            log.info("%d more are left for the next nights", len(old) - len(chosen))
        return [asset["id"] for asset in chosen] if confirmed else []

    CodeOceanDeleteDataAssetOperator.partial(task_id="delete").expand(data_asset_id=unused(archived.output))


nightly_retention()
