"""Listing and downloading, each in a DAG of its own; the run's configuration says what."""

from __future__ import annotations

from functools import partial
from typing import Any

from airflow_provider_codeocean.operators.files import (
    CodeOceanDownloadFilesOperator,
    CodeOceanListFilesOperator,
)
from tests.dag_runs.one_of_many import one_of

PARAMS: dict[str, Any] = {**dict.fromkeys(("id", "target", "path"), ""), "pattern": None}
WHICH: dict[str, Any] = {"path": "{{ params.path }}", "pattern": "{{ params.pattern }}"}
RETRIES: dict[str, Any] = {"retries": 6, "retry_delay": 0}
DAGS: list[Any] = []
# What is an object in the configuration stays one.
dag = partial(one_of, DAGS, params=PARAMS, render_template_as_native_obj=True)

for whose in ("data_asset_id", "computation_id"):
    arguments: dict[str, Any] = {whose: "{{ params.id }}", **WHICH, **RETRIES}
    with dag(f"list_{whose}"):
        CodeOceanListFilesOperator(task_id="act", **arguments)
    with dag(f"download_{whose}"):
        CodeOceanDownloadFilesOperator(task_id="act", target="{{ params.target }}", **arguments)

for on_empty in ("return", "skip", "fail"):
    with dag(f"list_nothing_{on_empty}"):
        CodeOceanListFilesOperator(
            task_id="act", computation_id="{{ params.id }}", pattern="*.none", on_empty=on_empty
        )
