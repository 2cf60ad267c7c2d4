"""Run a capsule, capture its results, and start other DAGs with them.

Trigger it with ``{"capsule_id": "…"}``. In the asset graph, the capsule leads to ``sorted_results``, and that
to the DAGs that are scheduled on it, such as ``use_new_results``. Each data asset also becomes an asset of
the alias.
"""

from __future__ import annotations

from airflow.providers.common.compat.sdk import Asset, AssetAlias, Param, dag

from airflow_provider_codeocean.assets import create_asset
from airflow_provider_codeocean.task_groups.run_and_capture import CodeOceanRunAndCaptureTaskGroup

#: Your host and capsule. The asset graph shows them when the DAG is parsed, so they cannot be templates.
CAPSULE = create_asset(host="codeocean.example.com", capsule_id="3b5f2a44-6a3f-4f1c-9c40-6f0a51b3a6cd")


@dag(schedule=None, params={"capsule_id": Param(type="string")}, tags=["codeocean"])
def publish_results() -> None:
    """Run, capture, and publish."""
    CodeOceanRunAndCaptureTaskGroup(
        "sort",
        capsule_id="{{ params.capsule_id }}",
        name="sorted_{{ run_id }}",
        capture={
            "inlets": [CAPSULE],
            "outlets": [Asset("sorted_results"), AssetAlias("sorted data assets")],
        },
        operator_kwargs={"poll_interval": 2, "retries": 2},
        deferrable=True,
    )


publish_results()
