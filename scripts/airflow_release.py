"""What differs between the Airflow releases that a real Airflow is run of; the only place that asks."""

from __future__ import annotations

import base64
import json
import os
import secrets
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from scripts.http_json import HttpError, request_json

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

# For Airflow to answer: on a machine that is busy starting tasks it takes its time.
_CALL_SECONDS = 60.0
# SQLite, which waits for its lock but not in a line, may keep one writer waiting until it gives up.
_LOCKED, _CALLS = "Database error", 4
# What "airflow dags trigger" does.
_TRIGGER = """
import json, sys
from airflow.api.common.trigger_dag import trigger_dag

dag_id, run_id, conf = sys.argv[1:]
# With microseconds, so that two can be triggered within a second.
trigger_dag(dag_id=dag_id, run_id=run_id, conf=json.loads(conf), replace_microseconds=False)
"""
_CONNECT = """
import sys
from airflow.models.connection import Connection
from airflow.utils.session import create_session

conn_id, connection = sys.argv[1:]
with create_session() as session:
    session.add(Connection.from_json(connection, conn_id=conn_id))
"""
_CHANGE = """
import sys
from airflow.models.connection import Connection
from airflow.utils.session import create_session

conn_id, connection = sys.argv[1:]
with create_session() as session:
    session.query(Connection).filter_by(conn_id=conn_id).delete()
    session.add(Connection.from_json(connection, conn_id=conn_id))
"""
# What the webserver does for the buttons in its UI.
_MARK = """
import sys
from airflow.api.common.mark_tasks import set_state
from airflow.models.serialized_dag import SerializedDagModel
from airflow.utils.state import TaskInstanceState

dag_id, run_id, task_id, state = sys.argv[1:]
task = SerializedDagModel.get_dag(dag_id).get_task(task_id)
set_state(tasks=[task], run_id=run_id, state=TaskInstanceState(state), commit=True)
"""
_CLEAR = """
import sys
from airflow.models.serialized_dag import SerializedDagModel
from airflow.models.taskinstance import TaskInstance, clear_task_instances
from airflow.utils.session import create_session

dag_id, run_id, task_id = sys.argv[1:]
with create_session() as session:
    tis = session.query(TaskInstance).filter_by(dag_id=dag_id, run_id=run_id, task_id=task_id).all()
    clear_task_instances(tis, session, dag=SerializedDagModel.get_dag(dag_id))
"""


@dataclass(frozen=True)
class Settings:
    """What one Airflow is to be like.

    :param home: its AIRFLOW_HOME.
    :param dags_folder: where it finds its DAGs.
    :param port: the api-server's (3.x) or webserver's (2.x) port.
    :param log_ports: two ports for the log servers of scheduler and triggerer.
    :param parallelism: how many tasks the LocalExecutor runs at once.
    :param parses_often: whether DAGs whose files have not changed are parsed again soon. All examples every
        ten seconds take a whole core; what waits for it is a DAG that is switched on and has a watch, and, on
        Airflow 2, one that is scheduled on an alias.
    """

    home: Path
    dags_folder: Path
    port: int
    log_ports: tuple[int, int]
    parallelism: int
    parses_often: bool = False

    @property
    def parse_interval(self) -> str:
        """Seconds after which a DAG whose file has not changed is parsed again; a changed one is at once."""
        return "10" if self.parses_often else "600"

    @property
    def database(self) -> Path:
        """The metadata database's file."""
        return self.home / "airflow.db"

    @property
    def url(self) -> str:
        """Where the UI and the REST API answer."""
        return f"http://127.0.0.1:{self.port}"

    def common(self) -> dict[str, str]:
        """Return the options that all releases know, as option name (``section.key``) to value."""
        return {
            "core.dags_folder": str(self.dags_folder),
            "core.plugins_folder": str(self.home / "plugins"),
            "core.executor": "LocalExecutor",
            "core.load_examples": "False",
            "core.dags_are_paused_at_creation": "False",
            "core.parallelism": str(self.parallelism),
            "core.max_active_tasks_per_dag": "64",
            "core.test_connection": "Enabled",
            "core.fernet_key": base64.urlsafe_b64encode(os.urandom(32)).decode(),
            # In WAL mode readers never wait; a second writer waits this long before "database is locked".
            "database.sql_alchemy_conn": f"sqlite:///{self.database}?timeout=30",
            "database.load_default_connections": "False",
            "logging.base_log_folder": str(self.home / "logs"),
            "logging.colored_console_log": "False",
            "logging.worker_log_server_port": str(self.log_ports[0]),
            "logging.trigger_log_server_port": str(self.log_ports[1]),
            "scheduler.scheduler_idle_sleep_time": "0.2",
            "scheduler.scheduler_heartbeat_sec": "1",
            "scheduler.trigger_timeout_check_interval": "2",
            "usage_data_collection.enabled": "False",
        }


@dataclass
class Airflow3:
    """Airflow 3: tasks talk to the api-server, so it always runs; everybody is an admin."""

    settings: Settings
    health_path = "/api/v2/version"
    web_component = "api-server"
    _token: str | None = field(default=None, init=False)

    def components(self, *, ui: bool) -> dict[str, list[str]]:
        """Return the arguments of ``airflow`` for each component, by the component's name.

        :param ui: whether task logs are to be looked at while tasks run, through the log servers.
        """
        quiet = [] if ui else ["--skip-serve-logs"]
        address = ["--host", "127.0.0.1", "--port", str(self.settings.port)]
        return {
            "api-server": ["api-server", *address, "--workers", "1"],
            "scheduler": ["scheduler", *quiet],
            "dag-processor": ["dag-processor"],
            "triggerer": ["triggerer", *quiet],
        }

    def environment(self) -> dict[str, str]:
        """Return Airflow's configuration as environment variables."""
        options = self.settings.common() | {
            "core.simple_auth_manager_all_admins": "True",
            "core.execution_api_server_url": f"{self.settings.url}/execution/",
            "api.base_url": self.settings.url,
            "api.port": str(self.settings.port),
            "api.secret_key": secrets.token_hex(16),
            "api_auth.jwt_secret": secrets.token_hex(32),
            # Airflow 3.0 notices a task's end only this often. If the end of a deferral is noticed after the
            # task was resumed, the scheduler fails the task (apache/airflow issues 66374, 67287, 72716).
            "workers.min_heartbeat_interval": "1",
            "dag_processor.refresh_interval": "3",
            "dag_processor.min_file_process_interval": self.settings.parse_interval,
            "dag_processor.parsing_processes": "2",
        }
        return as_variables(options)

    def prepare(self) -> None:
        """Write what the components read from the home; nothing here."""

    def trigger(self, dag_id: str, run_id: str, conf: Mapping[str, Any]) -> None:
        """Create a DAG run.

        :param dag_id: the DAG.
        :param run_id: the run's id.
        :param conf: the run's configuration.
        """
        self.call(
            "POST",
            f"/api/v2/dags/{dag_id}/dagRuns",
            {"dag_run_id": run_id, "conf": dict(conf), "logical_date": None},
        )

    def mark(self, dag_id: str, run_id: str, task_id: str, state: str) -> None:
        """Mark a task as ``failed`` or ``success``, as a user does.

        :param dag_id: the DAG.
        :param run_id: the run.
        :param task_id: the task.
        :param state: its new state.
        """
        path = f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}"
        self.call("PATCH", path, {"new_state": state})

    def clear(self, dag_id: str, run_id: str, task_id: str) -> None:
        """Clear a task, as a user does.

        :param dag_id: the DAG.
        :param run_id: the run.
        :param task_id: the task.
        """
        body = {"dry_run": False, "only_failed": False, "dag_run_id": run_id, "task_ids": [task_id]}
        self.call("POST", f"/api/v2/dags/{dag_id}/clearTaskInstances", body)

    def add_connection(self, conn_id: str, connection: Mapping[str, Any]) -> None:
        """Put a connection into the database.

        :param conn_id: its id.
        :param connection: the JSON object Airflow takes.
        """
        self.call("POST", "/api/v2/connections", {"connection_id": conn_id, **connection})

    def change_connection(self, conn_id: str, connection: Mapping[str, Any]) -> None:
        """Change a connection in the database.

        :param conn_id: its id.
        :param connection: the JSON object Airflow takes.
        """
        self.call("PATCH", f"/api/v2/connections/{conn_id}", {"connection_id": conn_id, **connection})

    def call(self, method: str, path: str, body: object | None = None) -> Any:
        """Call the REST API as an admin.

        :param method: the HTTP method.
        :param path: the path, from ``/api/v2``.
        :param body: what to send as JSON.
        :returns: the decoded answer.
        """
        if self._token is None:
            answer = request_json("GET", f"{self.settings.url}/auth/token", timeout=_CALL_SECONDS)
            self._token = answer["access_token"]
        send = partial(
            request_json,
            method,
            self.settings.url + path,
            body,
            authorization=f"Bearer {self._token}",
            timeout=_CALL_SECONDS,
        )
        for _ in range(_CALLS - 1):
            try:
                return send()
            except HttpError as error:
                if error.status != HTTPStatus.INTERNAL_SERVER_ERROR or _LOCKED not in error.body:
                    raise
        return send()


@dataclass
class Airflow2:
    """Airflow 2.11: tasks use the database themselves; a webserver runs only for the UI.

    :param run: runs a snippet of Python with arguments, in its environment; raises RuntimeError where it
        refuses.
    """

    settings: Settings
    run: Callable[..., None]
    health_path = "/health"
    web_component = "webserver"

    def components(self, *, ui: bool) -> dict[str, list[str]]:
        """Return the arguments of ``airflow`` for each component, by the component's name.

        :param ui: whether to run the webserver, and the log servers it asks.
        """
        quiet = [] if ui else ["--skip-serve-logs"]
        web = ["webserver", "--hostname", "127.0.0.1", "--port", str(self.settings.port), "--workers", "1"]
        needed = {"scheduler": ["scheduler", *quiet], "triggerer": ["triggerer", *quiet]}
        return needed | ({"webserver": web} if ui else {})

    def environment(self) -> dict[str, str]:
        """Return Airflow's configuration as environment variables."""
        options = self.settings.common() | {
            "webserver.base_url": self.settings.url,
            "webserver.secret_key": secrets.token_hex(16),
            "webserver.warn_deployment_exposure": "False",
            "scheduler.min_file_process_interval": self.settings.parse_interval,
            "scheduler.dag_dir_list_interval": "3",
            "scheduler.parsing_processes": "2",
            # A task that ends would schedule the next ones as well as the scheduler does. On a busy machine
            # both do: the first try of a task is then number 2, and a capture takes it for a retry.
            "scheduler.schedule_after_task_execution": "False",
            "metrics.timer_unit_consistency": "True",
        }
        variables = as_variables(options)
        # Airflow 2 refuses SQLite with the LocalExecutor; for one machine and one scheduler it does.
        variables["_AIRFLOW__SKIP_DATABASE_EXECUTOR_COMPATIBILITY_CHECK"] = "1"
        return variables

    def prepare(self) -> None:
        """Let everybody who reaches the webserver be an admin, so that it asks for no login."""
        config = 'AUTH_ROLE_PUBLIC = "Admin"\nWTF_CSRF_ENABLED = True\n'
        (self.settings.home / "webserver_config.py").write_text(config)

    def trigger(self, dag_id: str, run_id: str, conf: Mapping[str, Any]) -> None:
        """Create a DAG run.

        :param dag_id: the DAG.
        :param run_id: the run's id.
        :param conf: the run's configuration.
        :raises RuntimeError: when Airflow refuses.
        """
        self.run(_TRIGGER, dag_id, run_id, json.dumps(dict(conf)))

    def mark(self, dag_id: str, run_id: str, task_id: str, state: str) -> None:
        """Mark a task as ``failed`` or ``success``, as a user does.

        :param dag_id: the DAG.
        :param run_id: the run.
        :param task_id: the task.
        :param state: its new state.
        :raises RuntimeError: when Airflow refuses.
        """
        self.run(_MARK, dag_id, run_id, task_id, state)

    def clear(self, dag_id: str, run_id: str, task_id: str) -> None:
        """Clear a task, as a user does.

        :param dag_id: the DAG.
        :param run_id: the run.
        :param task_id: the task.
        :raises RuntimeError: when Airflow refuses.
        """
        self.run(_CLEAR, dag_id, run_id, task_id)

    def add_connection(self, conn_id: str, connection: Mapping[str, Any]) -> None:
        """Put a connection into the database.

        :param conn_id: its id.
        :param connection: the JSON object Airflow takes.
        :raises RuntimeError: when Airflow refuses.
        """
        self.run(_CONNECT, conn_id, json.dumps(dict(connection)))

    def change_connection(self, conn_id: str, connection: Mapping[str, Any]) -> None:
        """Change a connection in the database.

        :param conn_id: its id.
        :param connection: the JSON object Airflow takes.
        :raises RuntimeError: when Airflow refuses.
        """
        self.run(_CHANGE, conn_id, json.dumps(dict(connection)))

    def call(self, method: str, path: str, body: object | None = None) -> Any:
        """Refuse: without a webserver Airflow 2 has no REST API."""
        raise NotImplementedError("the REST API is there on Airflow 3 only")


def as_variables(options: Mapping[str, str]) -> dict[str, str]:
    """Turn ``section.key`` into the environment variable that Airflow reads it from."""
    return {"AIRFLOW__" + name.upper().replace(".", "__"): value for name, value in options.items()}
