"""Runs of whole DAGs in this process, through Airflow's own ``dag.test()``.

``run_dag(dag_id, **params)`` runs a DAG of ``dags/`` and returns a :class:`Run`.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_codeocean.compat.features import Feature
from airflow_provider_codeocean.emulator import FaultRule
from airflow_provider_codeocean.hooks.codeocean import CodeOceanHook
from scripts.airflow_database import create_database
from tests.dag_runs.dag_factory import DAG_ID_VARIABLE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from airflow_provider_codeocean.api.client import CodeOceanClient
    from airflow_provider_codeocean.emulator import EmulatorServer

HERE = Path(__file__).parent
DAGS = HERE / "dags"


@dataclass(frozen=True)
class DagRunResult:
    """A finished run."""

    dag_run: Any

    @property
    def states(self) -> dict[str, str]:
        """States by task id, with ``task[0]`` for mapped tasks."""
        return {
            ti.task_id + (f"[{ti.map_index}]" if ti.map_index >= 0 else ""): str(ti.state)
            for ti in self.dag_run.get_task_instances()
        }

    def xcom(self, task_id: str, key: str = "return_value", map_index: int = -1) -> Any:
        """Return an XCom of a task."""
        ti = self.dag_run.get_task_instance(task_id, map_index=map_index)
        return ti.xcom_pull(task_ids=task_id, key=key, map_indexes=map_index)


@pytest.fixture(scope="session")
def airflow_database() -> None:
    """A migrated database in this process' Airflow home."""
    path = Path(os.environ["AIRFLOW_HOME"]) / "airflow.db"
    create_database(path, python=sys.executable, env=os.environ, airflow_version=version("apache-airflow"))


@pytest.fixture(scope="session")
def one_api() -> Iterator[None]:
    """One API server for all tasks that ``dag.test()`` runs; from 3.3 on, Airflow reuses it.

    Creating one for each task took most of the time of these tests.
    """
    with pytest.MonkeyPatch.context() as patch:
        if Feature.TASK_EXECUTION_API.is_available:
            from airflow.sdk.execution_time import supervisor

            patch.setattr(supervisor, "in_process_api_server", cache(supervisor.in_process_api_server))
        yield


@pytest.fixture
def run_dag(
    airflow_database: None, one_api: None, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., DagRunResult]:
    """Run a DAG of ``dags/``."""

    def run(dag_id: str, **params: Any) -> DagRunResult:
        monkeypatch.setenv(DAG_ID_VARIABLE, dag_id)
        for path in DAGS.glob("*.py"):
            spec = spec_from_file_location(path.stem, path)
            assert spec is not None
            assert spec.loader is not None
            module = module_from_spec(spec)
            spec.loader.exec_module(module)
            dag = next((dag for dag in module.DAGS if dag.dag_id == dag_id), None)
            if dag is not None:
                return DagRunResult(dag.test(run_conf=params))
        raise LookupError(f"no DAG {dag_id!r} in {DAGS}")

    return run


@pytest.fixture
def client(code_ocean: EmulatorServer) -> Iterator[CodeOceanClient]:
    """A client of the emulator."""
    with CodeOceanHook().get_conn() as client:
        yield client


@pytest.fixture(params=["in peace", "in trouble"])
def weather(code_ocean: EmulatorServer, request: pytest.FixtureRequest) -> None:
    """``in trouble`` answers a third of all requests with 429 or 503, without an effect."""
    if request.param == "in trouble":
        for status in (429, 503):
            code_ocean.faults.add(
                FaultRule(kind="status", status=status, probability=1 / 6, times=None, retry_after=0)
            )
