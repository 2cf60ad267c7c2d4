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
from scripts.airflow_database import make_database
from tests.dag_runs.one_of_many import SHOWN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from airflow_provider_codeocean.api.client import CodeOceanClient
    from airflow_provider_codeocean.emulator import EmulatorServer

HERE = Path(__file__).parent
DAGS = HERE / "dags"


@dataclass(frozen=True)
class Run:
    """What became of a run."""

    dag_run: Any

    @property
    def states(self) -> dict[str, str]:
        """State by task, ``task[0]`` for mapped ones."""
        return {
            ti.task_id + (f"[{ti.map_index}]" if ti.map_index >= 0 else ""): str(ti.state)
            for ti in self.dag_run.get_task_instances()
        }

    def xcom(self, task_id: str, key: str = "return_value", map_index: int = -1) -> Any:
        """What a task has left."""
        ti = self.dag_run.get_task_instance(task_id, map_index=map_index)
        return ti.xcom_pull(task_ids=task_id, key=key, map_indexes=map_index)


@pytest.fixture(scope="session")
def airflow_database() -> None:
    """A migrated database in this process' Airflow home."""
    path = Path(os.environ["AIRFLOW_HOME"]) / "airflow.db"
    make_database(path, python=sys.executable, env=os.environ, release=version("apache-airflow"))


@pytest.fixture(scope="session")
def one_api() -> Iterator[None]:
    """One API for all tasks that ``dag.test()`` runs: from 3.3 on Airflow keeps it by itself.

    To make one for each task took most of the time of these tests.
    """
    with pytest.MonkeyPatch.context() as patch:
        if Feature.TASK_API.is_there:
            from airflow.sdk.execution_time import supervisor

            patch.setattr(supervisor, "in_process_api_server", cache(supervisor.in_process_api_server))
        yield


@pytest.fixture
def run_dag(airflow_database: None, one_api: None, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Run]:
    """Runs a DAG of ``dags/`` to its end."""

    def run(dag_id: str, **params: Any) -> Run:
        monkeypatch.setenv(SHOWN, dag_id)
        for path in DAGS.glob("*.py"):
            spec = spec_from_file_location(path.stem, path)
            assert spec is not None
            assert spec.loader is not None
            module = module_from_spec(spec)
            spec.loader.exec_module(module)
            dag = next((dag for dag in module.DAGS if dag.dag_id == dag_id), None)
            if dag is not None:
                return Run(dag.test(run_conf=params))
        raise LookupError(f"no DAG {dag_id!r} in {DAGS}")

    return run


@pytest.fixture
def client(code_ocean: EmulatorServer) -> Iterator[CodeOceanClient]:
    """A client of the emulator."""
    with CodeOceanHook().get_conn() as client:
        yield client


@pytest.fixture(params=["in peace", "in trouble"])
def weather(code_ocean: EmulatorServer, request: pytest.FixtureRequest) -> None:
    """In trouble, a third of all requests is answered with 429 or 503, and not carried out."""
    if request.param == "in trouble":
        for status in (429, 503):
            code_ocean.faults.add(
                FaultRule(kind="status", status=status, probability=1 / 6, times=None, retry_after=0)
            )
