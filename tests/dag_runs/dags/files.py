"""One DAG per operation on files. The arguments come from the run's configuration."""

from __future__ import annotations

from functools import partial
from typing import Any

from airflow_provider_codeocean.operators.files import (
    CodeOceanDownloadFilesOperator,
    CodeOceanListFilesOperator,
)
from tests.dag_runs.dag_factory import build_dag

PARAMS: dict[str, Any] = {**dict.fromkeys(("id", "target", "path"), ""), "pattern": None}
FILE_SELECTION: dict[str, Any] = {"path": "{{ params.path }}", "pattern": "{{ params.pattern }}"}
RETRIES: dict[str, Any] = {"retries": 6, "retry_delay": 0}
DAGS: list[Any] = []
# Objects in the configuration stay objects.
dag = partial(build_dag, DAGS, params=PARAMS, render_template_as_native_obj=True)

for id_argument in ("data_asset_id", "computation_id"):
    arguments: dict[str, Any] = {id_argument: "{{ params.id }}", **FILE_SELECTION, **RETRIES}
    with dag(f"list_{id_argument}"):
        CodeOceanListFilesOperator(task_id="act", **arguments)
    with dag(f"download_{id_argument}"):
        CodeOceanDownloadFilesOperator(task_id="act", target="{{ params.target }}", **arguments)

for on_empty in ("return", "skip", "fail"):
    with dag(f"list_nothing_{on_empty}"):
        CodeOceanListFilesOperator(
            task_id="act", computation_id="{{ params.id }}", pattern="*.none", on_empty=on_empty
        )
