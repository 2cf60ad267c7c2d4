"""An Airflow as it runs on several machines: PostgreSQL, Redis, CeleryExecutor, two of most components."""

from __future__ import annotations

import re
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from scripts.airflow_database import MetadataDatabase
from scripts.airflow_processes import JOB_TYPES
from scripts.airflow_release import Airflow3, Settings, to_environment_variables
from scripts.real_airflow import RealAirflow

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Mapping
    from pathlib import Path

    from tests.cluster.services import Services

#: Tasks that a worker runs at once, and that a scheduler hands out: no more are queued than workers take.
CONCURRENCY = 8
_MIGRATION_TIMEOUT_SECONDS = 300.0
_PING_TIMEOUT_SECONDS = 1.0
# A machine that died is to be missed in seconds, not after the minutes that are the defaults.
FAILURE_DETECTION_CONFIG = {
    "scheduler.scheduler_health_check_threshold": "20",
    "scheduler.orphaned_tasks_check_interval": "10",
    "scheduler.task_instance_heartbeat_sec": "5",
    "scheduler.task_instance_heartbeat_timeout": "30",
    "scheduler.task_instance_heartbeat_timeout_detection_interval": "5",
    "scheduler.task_queued_timeout": "60",
    "scheduler.task_queued_timeout_check_interval": "10",
    "triggerer.job_heartbeat_sec": "2",
    "triggerer.triggerer_health_check_threshold": "20",
}


class PostgresDatabase(MetadataDatabase):
    """The metadata database, in PostgreSQL.

    :param url: where, as libpq takes it.
    """

    def __init__(self, url: str) -> None:
        self.url = url

    def query(self, sql: str, *parameters: object) -> list[tuple[Any, ...]]:
        """Run a SELECT; see the base class."""
        import psycopg2
        from psycopg2.extras import register_default_json, register_default_jsonb

        with closing(psycopg2.connect(self.url, connect_timeout=10)) as connection:
            connection.set_session(readonly=True, autocommit=True)
            for register in (register_default_json, register_default_jsonb):
                register(connection, loads=str)  # as text, which SQLite has too
            with connection.cursor() as cursor:
                cursor.execute(sql.replace("?", "%s"), parameters)
                return [tuple(map(_to_plain_value, row)) for row in cursor.fetchall()]


def _to_plain_value(value: object) -> object:
    return value.isoformat() if isinstance(value, datetime) else value


@dataclass
class ClusterRelease(Airflow3):
    """Airflow 3 with two schedulers, two triggerers and two Celery workers.

    :param services: its database and its broker.
    """

    services: Services = field(kw_only=True)

    def components(self, *, ui: bool) -> dict[str, list[str]]:
        """Return the arguments of ``airflow`` for each component; see the base class."""
        single = super().components(ui=ui)
        worker = ["celery", "worker", "--skip-serve-logs", "--concurrency", str(CONCURRENCY)]
        components = {"api-server": single["api-server"], "dag-processor": single["dag-processor"]}
        for number in (1, 2):
            components[f"scheduler-{number}"] = single["scheduler"]
            components[f"triggerer-{number}"] = single["triggerer"]
            name = f"worker-{number}"
            pid = str(self.settings.home / f"{name}.pid")
            components[name] = [*worker, "--celery-hostname", f"celery@{name}", "--pid", pid]
        return components

    def environment(self) -> dict[str, str]:
        """Return Airflow's configuration as environment variables."""
        database = self.services.database.partition("://")[2]
        return super().environment() | to_environment_variables(
            {
                "core.executor": "CeleryExecutor",
                "core.hostname_callable": "tests.cluster.hostname.name",
                "core.parallelism": str(CONCURRENCY),
                "database.sql_alchemy_conn": f"postgresql+psycopg2://{database}",
                "database.sql_alchemy_conn_async": f"postgresql+asyncpg://{database}",
                "celery.broker_url": self.services.broker,
                "celery.result_backend": f"db+postgresql+psycopg2://{database}",
                # Longer than any task is in a worker: until then Airflow's own timeouts find what was lost.
                "celery_broker_transport_options.visibility_timeout": "600",
                # What others may use too is asked less often than where one task is waited for.
                "scheduler.scheduler_idle_sleep_time": "1",
                "dag_processor.min_file_process_interval": "60",
                **FAILURE_DETECTION_CONFIG,
            }
        )


class Cluster(RealAirflow):
    """A context manager: the deployment, up and healthy, gone when the block ends or this process does.

    :param home: its AIRFLOW_HOME; made.
    :param services: its database and its broker.
    :param capture_count: how many tasks a mapped task may have.
    :param dags_folder: the DAGs.
    :param connections: Airflow connections by id.
    """

    def __init__(
        self,
        home: Path,
        *,
        services: Services,
        capture_count: int,
        dags_folder: Path,
        connections: Mapping[str, Mapping[str, Any]],
    ) -> None:
        self._services = services
        config = {
            "core.max_map_length": str(capture_count),
            "triggerer.capacity": str(max(1000, capture_count)),
        }
        super().__init__(
            home,
            dags_folder=dags_folder,
            env={"CLUSTER_HOST": "console"},
            connections=connections,
            config=config,
            start_timeout=300.0,
        )

    def build_database(self, settings: Settings) -> MetadataDatabase:
        """Return what reads the metadata database."""
        return PostgresDatabase(self._services.database)

    def build_release(self, settings: Settings) -> ClusterRelease:
        """Return what its release does in its own way."""
        return ClusterRelease(settings, services=self._services)

    def create_database(self) -> None:
        """Migrate the metadata database."""
        done: subprocess.CompletedProcess[str] = self.run_airflow(
            "db", "migrate", timeout=_MIGRATION_TIMEOUT_SECONDS
        )
        if done.returncode != 0:
            raise RuntimeError(f"airflow db migrate failed:\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")

    def component_env(self, name: str) -> Mapping[str, str]:
        """Return the name of its host."""
        return {"CLUSTER_HOST": name}

    def job_type_and_host(self, name: str) -> tuple[str, str | None] | None:
        """Return by which type and host a component is found among the jobs; workers have none."""
        kind = component_kind(name)
        return (JOB_TYPES[kind], name) if kind in JOB_TYPES else None

    def is_healthy(self, name: str) -> bool:
        """Return whether a component that was started does its work; a worker answers a ping."""
        if component_kind(name) != "worker":
            return super().is_healthy(name)
        from celery import Celery

        with Celery(broker=self._services.broker, set_as_current=False) as app:
            return bool(app.control.ping(destination=[f"celery@{name}"], timeout=_PING_TIMEOUT_SECONDS))


def component_kind(name: str) -> str:
    """Return the kind of a component: its name without its number.

    :param name: the component.
    """
    return re.sub(r"-\d+$", "", name)
