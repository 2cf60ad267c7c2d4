"""Run a capsule, capture its results, and let other DAGs begin with them.

In the asset graph, the capsule leads to ``sorted_results``, and that to the DAGs that are scheduled on it,
such as ``use_new_results``. Each data asset is an asset as well, under the alias: it gets its URI when it is
made.
Trigger it with ``{"capsule_id": "…"}``.
"""

from __future__ import annotations

from airflow.providers.common.compat.sdk import Asset, AssetAlias, Param, dag

from airflow_provider_codeocean.assets import create_asset
from airflow_provider_codeocean.task_groups.run_and_capture import CodeOceanRunAndCaptureTaskGroup

#: Known when the DAG is parsed, as all that is in the graph: write your host and capsule here.
CAPSULE = create_asset(host="codeocean.example.com", capsule_id="3b5f2a44-6a3f-4f1c-9c40-6f0a51b3a6cd")


@dag(schedule=None, params={"capsule_id": Param(type="string")}, tags=["codeocean"])
def publish_results() -> None:
    """Run, capture, announce."""
    CodeOceanRunAndCaptureTaskGroup(
        "sort",
        capsule_id="{{ params.capsule_id }}",
        name="sorted_{{ run_id }}",
        capture={
            "inlets": [CAPSULE],
            "outlets": [Asset("sorted_results"), AssetAlias("sorted data assets")],
        },
        task_arguments={"poll_interval": 2, "retries": 2},
        deferrable=True,
    )


publish_results()
