"""Short deferrals without retries, with everything that decides whether a worker has to end the task."""

from __future__ import annotations

from typing import Any

from airflow.providers.common.compat.sdk import DAG, Asset, task

from airflow_provider_codeocean.operators.computation import CodeOceanRunCapsuleOperator
from airflow_provider_codeocean.operators.data_asset import CodeOceanCaptureResultOperator
from airflow_provider_codeocean.sensors.data_asset import CodeOceanDataAssetSensor

DEFERRED_ARGUMENTS: dict[str, Any] = {"deferrable": True, "poll_interval": 1, "timeout": 120, "retries": 0}
PARAMS = {"computation": "", "capsule": ""}


def do_nothing(context: Any) -> None:
    """Stand for a callback of the DAG's author."""


with DAG("deferred_ends", schedule=None, params=PARAMS):

    @task
    def id_of(asset: dict[str, Any]) -> str:
        return str(asset["id"])

    @task
    def id_of_each(assets: Any) -> list[str]:
        return [asset["id"] for asset in assets]

    def capture(task_id: str, **arguments: Any) -> CodeOceanCaptureResultOperator:
        return CodeOceanCaptureResultOperator(
            task_id=task_id,
            computation_id="{{ params.computation }}",
            name=task_id,
            **DEFERRED_ARGUMENTS,
            **arguments,
        )

    plain = capture("plain")
    id_of(plain.output)
    capture("quiet", do_xcom_push=False)
    capture("outlet", outlets=[Asset("test://deferred-ends")])
    capture("callback", on_success_callback=do_nothing)
    mapped = CodeOceanCaptureResultOperator.partial(
        task_id="mapped", computation_id="{{ params.computation }}", **DEFERRED_ARGUMENTS
    ).expand(name=["first", "second"])
    id_of_each(mapped.output)
    CodeOceanRunCapsuleOperator(task_id="run", capsule_id="{{ params.capsule }}", **DEFERRED_ARGUMENTS)
    CodeOceanDataAssetSensor(
        task_id="sensor",
        data_asset_id="{{ ti.xcom_pull(task_ids='not_waited_for')['id'] }}",
        deferrable=True,
        poke_interval=1,
        timeout=120,
    ) << capture("not_waited_for", wait_for_completion=False)
