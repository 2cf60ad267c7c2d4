"""Adapt a real Airflow to the differences between Airflow releases."""

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

# Airflow responds slowly while the machine is busy starting tasks.
_CALL_TIMEOUT_SECONDS = 60.0
# SQLite does not queue its writers, so one of them may time out.
_DATABASE_LOCKED_MESSAGE = "Database error"
_MAX_CALL_ATTEMPTS = 4
# As in "airflow dags trigger".
_TRIGGER_CODE = """
import json, sys
from airflow.api.common.trigger_dag import trigger_dag

dag_id, run_id, conf = sys.argv[1:]
# Keep microseconds, so that two runs can be triggered within a second.
trigger_dag(dag_id=dag_id, run_id=run_id, conf=json.loads(conf), replace_microseconds=False)
"""
_ADD_CONNECTION_CODE = """
import sys
from airflow.models.connection import Connection
from airflow.utils.session import create_session

conn_id, connection = sys.argv[1:]
with create_session() as session:
    session.add(Connection.from_json(connection, conn_id=conn_id))
"""
_UPDATE_CONNECTION_CODE = """
import sys
from airflow.models.connection import Connection
from airflow.utils.session import create_session

conn_id, connection = sys.argv[1:]
with create_session() as session:
    session.query(Connection).filter_by(conn_id=conn_id).delete()
    session.add(Connection.from_json(connection, conn_id=conn_id))
"""
# As the buttons of the webserver's UI.
_SET_TASK_STATE_CODE = """
import sys
from airflow.api.common.mark_tasks import set_state
from airflow.models.serialized_dag import SerializedDagModel
from airflow.utils.state import TaskInstanceState

dag_id, run_id, task_id, state = sys.argv[1:]
task = SerializedDagModel.get_dag(dag_id).get_task(task_id)
set_state(tasks=[task], run_id=run_id, state=TaskInstanceState(state), commit=True)
"""
_CLEAR_TASK_CODE = """
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
    """Settings of an Airflow.

    :param home: its AIRFLOW_HOME.
    :param dags_folder: the folder with the DAG files.
    :param port: port of the api-server (3.x) or webserver (2.x).
    :param log_ports: two ports for the log servers of scheduler and triggerer.
    :param parallelism: number of tasks that the LocalExecutor runs at once.
    :param reparse_unchanged_dags: whether unchanged DAGs are parsed every ten seconds, which uses a core.
        Unpaused DAGs with an asset watcher need it, and on Airflow 2, DAGs that an asset alias schedules.
    """

    home: Path
    dags_folder: Path
    port: int
    log_ports: tuple[int, int]
    parallelism: int
    reparse_unchanged_dags: bool = False

    @property
    def parse_interval_seconds(self) -> str:
        """Seconds after which an unchanged DAG file is parsed again."""
        return "10" if self.reparse_unchanged_dags else "600"

    @property
    def database(self) -> Path:
        """The file of the metadata database."""
        return self.home / "airflow.db"

    @property
    def url(self) -> str:
        """The address of the UI and the REST API."""
        return f"http://127.0.0.1:{self.port}"

    def common_options(self) -> dict[str, str]:
        """Return the options for all releases, as ``section.key`` to value."""
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
            # A second writer waits this long before "database is locked". Readers do not wait in WAL mode.
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
    """Airflow 3: the api-server always runs, because tasks need it; all users are admins."""

    settings: Settings
    health_path = "/api/v2/version"
    web_component = "api-server"
    _token: str | None = field(default=None, init=False)

    def components(self, *, ui: bool) -> dict[str, list[str]]:
        """Return the arguments of ``airflow`` by component.

        :param ui: whether to run the log servers, which show logs of running tasks.
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
        options = self.settings.common_options() | {
            "core.simple_auth_manager_all_admins": "True",
            "core.execution_api_server_url": f"{self.settings.url}/execution/",
            "api.base_url": self.settings.url,
            "api.port": str(self.settings.port),
            "api.secret_key": secrets.token_hex(16),
            "api_auth.jwt_secret": secrets.token_hex(32),
            # Airflow 3.0 detects the end of a task only this often. If it detects a deferral after the task
            # was resumed, the scheduler fails the task (apache/airflow issues 66374, 67287, 72716).
            "workers.min_heartbeat_interval": "1",
            "dag_processor.refresh_interval": "3",
            "dag_processor.min_file_process_interval": self.settings.parse_interval_seconds,
            "dag_processor.parsing_processes": "2",
        }
        return to_environment_variables(options)

    def prepare(self) -> None:
        """Write configuration files; Airflow 3 needs none."""

    def trigger(self, dag_id: str, run_id: str, conf: Mapping[str, Any]) -> None:
        """Create a DAG run."""
        self.call_api(
            "POST",
            f"/api/v2/dags/{dag_id}/dagRuns",
            {"dag_run_id": run_id, "conf": dict(conf), "logical_date": None},
        )

    def set_task_state(self, dag_id: str, run_id: str, task_id: str, state: str) -> None:
        """Mark a task as ``failed`` or ``success``."""
        path = f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}"
        self.call_api("PATCH", path, {"new_state": state})

    def clear_task(self, dag_id: str, run_id: str, task_id: str) -> None:
        """Clear a task."""
        body = {"dry_run": False, "only_failed": False, "dag_run_id": run_id, "task_ids": [task_id]}
        self.call_api("POST", f"/api/v2/dags/{dag_id}/clearTaskInstances", body)

    def add_connection(self, conn_id: str, connection: Mapping[str, Any]) -> None:
        """Add a connection to the database."""
        self.call_api("POST", "/api/v2/connections", {"connection_id": conn_id, **connection})

    def update_connection(self, conn_id: str, connection: Mapping[str, Any]) -> None:
        """Change a connection in the database."""
        self.call_api("PATCH", f"/api/v2/connections/{conn_id}", {"connection_id": conn_id, **connection})

    def call_api(self, method: str, path: str, body: object | None = None) -> Any:
        """Call the REST API as an admin.

        :param path: the path, starting with ``/api/v2``.
        :param body: the request's body, to be sent as JSON.
        :returns: the decoded response.
        """
        if self._token is None:
            response = request_json("GET", f"{self.settings.url}/auth/token", timeout=_CALL_TIMEOUT_SECONDS)
            self._token = response["access_token"]
        send = partial(
            request_json,
            method,
            self.settings.url + path,
            body,
            authorization=f"Bearer {self._token}",
            timeout=_CALL_TIMEOUT_SECONDS,
        )
        for _ in range(_MAX_CALL_ATTEMPTS - 1):
            try:
                return send()
            except HttpError as error:
                if (
                    error.status != HTTPStatus.INTERNAL_SERVER_ERROR
                    or _DATABASE_LOCKED_MESSAGE not in error.body
                ):
                    raise
        return send()


@dataclass
class Airflow2:
    """Airflow 2.11: tasks use the database, and the webserver runs only for the UI.

    :param run_code: runs a Python snippet with arguments; raises RuntimeError if it fails.
    """

    settings: Settings
    run_code: Callable[..., None]
    health_path = "/health"
    web_component = "webserver"

    def components(self, *, ui: bool) -> dict[str, list[str]]:
        """Return the arguments of ``airflow`` by component.

        :param ui: whether to run the webserver and the log servers.
        """
        quiet = [] if ui else ["--skip-serve-logs"]
        web = ["webserver", "--hostname", "127.0.0.1", "--port", str(self.settings.port), "--workers", "1"]
        needed = {"scheduler": ["scheduler", *quiet], "triggerer": ["triggerer", *quiet]}
        return needed | ({"webserver": web} if ui else {})

    def environment(self) -> dict[str, str]:
        """Return Airflow's configuration as environment variables."""
        options = self.settings.common_options() | {
            "webserver.base_url": self.settings.url,
            "webserver.secret_key": secrets.token_hex(16),
            "webserver.warn_deployment_exposure": "False",
            "scheduler.min_file_process_interval": self.settings.parse_interval_seconds,
            "scheduler.dag_dir_list_interval": "3",
            "scheduler.parsing_processes": "2",
            # With this option, both a task that ends and the scheduler can schedule the next task. Its first
            # attempt is then number 2, and a capture treats it as a retry.
            "scheduler.schedule_after_task_execution": "False",
            "metrics.timer_unit_consistency": "True",
        }
        variables = to_environment_variables(options)
        # Airflow 2 rejects SQLite with the LocalExecutor, although it works with a single scheduler.
        variables["_AIRFLOW__SKIP_DATABASE_EXECUTOR_COMPATIBILITY_CHECK"] = "1"
        return variables

    def prepare(self) -> None:
        """Make all users of the webserver admins, so that it needs no login."""
        config = 'AUTH_ROLE_PUBLIC = "Admin"\nWTF_CSRF_ENABLED = True\n'
        (self.settings.home / "webserver_config.py").write_text(config)

    def trigger(self, dag_id: str, run_id: str, conf: Mapping[str, Any]) -> None:
        """Create a DAG run.

        :raises RuntimeError: if Airflow raises an error.
        """
        self.run_code(_TRIGGER_CODE, dag_id, run_id, json.dumps(dict(conf)))

    def set_task_state(self, dag_id: str, run_id: str, task_id: str, state: str) -> None:
        """Mark a task as ``failed`` or ``success``.

        :raises RuntimeError: if Airflow raises an error.
        """
        self.run_code(_SET_TASK_STATE_CODE, dag_id, run_id, task_id, state)

    def clear_task(self, dag_id: str, run_id: str, task_id: str) -> None:
        """Clear a task.

        :raises RuntimeError: if Airflow raises an error.
        """
        self.run_code(_CLEAR_TASK_CODE, dag_id, run_id, task_id)

    def add_connection(self, conn_id: str, connection: Mapping[str, Any]) -> None:
        """Add a connection to the database.

        :raises RuntimeError: if Airflow raises an error.
        """
        self.run_code(_ADD_CONNECTION_CODE, conn_id, json.dumps(dict(connection)))

    def update_connection(self, conn_id: str, connection: Mapping[str, Any]) -> None:
        """Change a connection in the database.

        :raises RuntimeError: if Airflow raises an error.
        """
        self.run_code(_UPDATE_CONNECTION_CODE, conn_id, json.dumps(dict(connection)))

    def call_api(self, method: str, path: str, body: object | None = None) -> Any:
        """Raise an error: Airflow 2 has no REST API without a webserver."""
        raise NotImplementedError("the REST API is available only on Airflow 3")


def to_environment_variables(options: Mapping[str, str]) -> dict[str, str]:
    """Convert options (``section.key``) to Airflow's environment variables."""
    return {"AIRFLOW__" + name.upper().replace(".", "__"): value for name, value in options.items()}
