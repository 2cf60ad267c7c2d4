"""One DAG per operation on data assets. The arguments come from the run's configuration."""

from __future__ import annotations

from functools import partial
from typing import Any

from airflow_provider_codeocean.operators.attachment import (
    CodeOceanAttachDataAssetsOperator,
    CodeOceanDetachDataAssetsOperator,
)
from airflow_provider_codeocean.operators.data_asset import (
    CodeOceanArchiveDataAssetOperator,
    CodeOceanCreateDataAssetOperator,
    CodeOceanDeleteDataAssetOperator,
    CodeOceanUpdateDataAssetOperator,
)
from airflow_provider_codeocean.operators.permissions import (
    CodeOceanGetDataAssetPermissionsOperator,
    CodeOceanSetDataAssetPermissionsOperator,
)
from airflow_provider_codeocean.operators.search import CodeOceanSearchDataAssetsOperator
from airflow_provider_codeocean.operators.transfer import CodeOceanTransferDataAssetOperator
from airflow_provider_codeocean.sensors.computation import CodeOceanComputationSensor
from airflow_provider_codeocean.sensors.search import CodeOceanDataAssetSearchSensor
from airflow_provider_codeocean.sensors.transfer import CodeOceanTransferSensor
from tests.dag_runs.dag_factory import build_dag

ASSET = "{{ params.data_asset_id }}"
TEXT_PARAMS = ("data_asset_id", "computation_id", "capsule_id", "bucket", "prefix", "query", "email", "group")
PARAMS: dict[str, Any] = {
    **dict.fromkeys(TEXT_PARAMS, ""),
    "source": {},
    "metadata": {},
    "last_transferred": None,
}
WAIT_MODES: dict[str, dict[str, Any]] = {"deferred": {"deferrable": True}, "in_worker": {"deferrable": False}}
RETRIES: dict[str, Any] = {"retries": 6, "retry_delay": 0}
DAGS: list[Any] = []
# Objects in the configuration stay objects.
dag = partial(build_dag, DAGS, params=PARAMS, render_template_as_native_obj=True)

for mode, arguments in WAIT_MODES.items():
    with dag(f"create_{mode}"):
        CodeOceanCreateDataAssetOperator(
            task_id="act",
            name="made of files",
            source="{{ params.source }}",
            tags=["made"],
            custom_metadata="{{ params.metadata }}",
            poll_interval=0.05,
            **arguments,
            **RETRIES,
        )

    with dag(f"combine_{mode}"):
        CodeOceanCreateDataAssetOperator(
            task_id="act", name="combined", data_asset_ids=[ASSET], poll_interval=0.05, **arguments, **RETRIES
        )

    with dag(f"transfer_{mode}"):
        CodeOceanTransferDataAssetOperator(
            task_id="act",
            data_asset_id=ASSET,
            target={"bucket": "{{ params.bucket }}", "prefix": "{{ params.prefix }}"},
            poll_interval=0.05,
            timeout=60,
            **arguments,
            **RETRIES,
        )

    with dag(f"sense_transfer_{mode}"):
        CodeOceanTransferSensor(
            task_id="act",
            data_asset_id=ASSET,
            last_transferred="{{ params.last_transferred }}",
            poke_interval=0.05,
            timeout=60,
            **arguments,
            **RETRIES,
        )

    with dag(f"sense_computation_{mode}"):
        CodeOceanComputationSensor(
            task_id="act",
            computation_id="{{ params.computation_id }}",
            poke_interval=0.05,
            timeout=60,
            **arguments,
            **RETRIES,
        )

    with dag(f"sense_search_{mode}"):
        CodeOceanDataAssetSearchSensor(
            task_id="act", query="{{ params.query }}", poke_interval=0.05, timeout=60, **arguments, **RETRIES
        )

with dag("update"):
    CodeOceanUpdateDataAssetOperator(
        task_id="act",
        data_asset_id=ASSET,
        name="renamed",
        description="by {{ dag.dag_id }}",
        add_tags=["checked"],
        remove_tags=["raw", "not there"],
        custom_metadata="{{ params.metadata }}",
        **RETRIES,
    )
with dag("update_all_tags"):
    CodeOceanUpdateDataAssetOperator(task_id="act", data_asset_id=ASSET, tags=["only"], **RETRIES)
with dag("archive"):
    CodeOceanArchiveDataAssetOperator(task_id="act", data_asset_id=ASSET, **RETRIES)
with dag("bring_back"):
    CodeOceanArchiveDataAssetOperator(task_id="act", data_asset_id=ASSET, archived=False, **RETRIES)
with dag("delete"):
    CodeOceanDeleteDataAssetOperator(task_id="act", data_asset_id=ASSET, **RETRIES)
for mode in ("merge", "ensure"):
    with dag(f"share_{mode}"):
        CodeOceanSetDataAssetPermissionsOperator(
            task_id="act",
            data_asset_id=ASSET,
            users=[{"email": "{{ params.email }}", "role": "editor"}],
            groups=[{"group": "{{ params.group }}", "role": "viewer"}],
            everyone="discoverable",
            mode=mode,
            **RETRIES,
        )
with dag("permissions"):
    CodeOceanGetDataAssetPermissionsOperator(task_id="act", data_asset_id=ASSET, **RETRIES)
for on_empty in ("return", "skip", "fail"):
    with dag(f"search_{on_empty}"):
        CodeOceanSearchDataAssetsOperator(
            task_id="act", query="{{ params.query }}", on_empty=on_empty, return_ids=True, retries=0
        )
with dag("search_in_trouble"):
    CodeOceanSearchDataAssetsOperator(task_id="act", query="{{ params.query }}", **RETRIES)
with dag("attach"):
    CodeOceanAttachDataAssetsOperator(
        task_id="act",
        capsule_id="{{ params.capsule_id }}",
        data_assets=[{"id": ASSET, "mount": "here"}],
        **RETRIES,
    )
with dag("detach"):
    CodeOceanDetachDataAssetsOperator(
        task_id="act", capsule_id="{{ params.capsule_id }}", data_asset_ids=[ASSET], **RETRIES
    )
