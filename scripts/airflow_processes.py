"""Start, watch, kill, and stop the processes of a real Airflow."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Self

from airflow_provider_codeocean.api._http.library import httpx
from scripts.airflow_console import AirflowConsole
from scripts.airflow_database import MetadataDatabase, create_database
from scripts.airflow_release import Airflow2, Airflow3, Settings
from scripts.environment import airflow_version, build_component_environment, create_home, find_free_ports
from scripts.http_json import request_json
from scripts.processes import GuardedProcess
from scripts.waiting import ConditionTimeoutError, ResultT, format_log_tail, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

    import psutil

JOB_TYPES = {"scheduler": "SchedulerJob", "triggerer": "TriggererJob", "dag-processor": "DagProcessorJob"}


class RealAirflowError(Exception):
    """Airflow failed. The message contains the folder of its logs, and the ends of the relevant ones."""


class AirflowProcesses:
    """An Airflow with SQLite and the LocalExecutor, whose components are separate processes.

    A subclass can use another database, other components, and an environment for each of them.

    :param home: its AIRFLOW_HOME. It is created, or recreated if an earlier run created it.
    :param dags_folder: the folder with the DAG files.
    :param python: an interpreter with the Airflow to run.
    :param env: further environment variables for all components. They never inherit ``AIRFLOW*`` variables.
    :param connections: Airflow connections by id, as the JSON objects that Airflow accepts (``conn_type``,
        ``host``, ``password``, ``extra``).
    :param config: further options, as ``section.key`` to value.
    :param ui: whether users open the UI. Adds the webserver on 2.11, and the log servers.
    :param parallelism: number of tasks that run at once.
    :param reparse_unchanged_dags: see :class:`~scripts.airflow_release.Settings`.
    :param start_timeout: seconds until all components must be healthy.
    """

    def __init__(
        self,
        home: Path,
        *,
        dags_folder: Path,
        python: str = sys.executable,
        env: Mapping[str, str] | None = None,
        connections: Mapping[str, Mapping[str, Any]] | None = None,
        config: Mapping[str, str] | None = None,
        ui: bool = False,
        parallelism: int = 4,
        reparse_unchanged_dags: bool = False,
        start_timeout: float = 180.0,
    ) -> None:
        self.home = home.absolute()
        self.logs = self.home / "logs"
        self.version = airflow_version(python)
        self._interpreter = python
        self._ui = ui
        self._start_timeout = start_timeout
        port, *log_ports = find_free_ports(3)
        settings = Settings(
            self.home,
            dags_folder.absolute(),
            port,
            (log_ports[0], log_ports[1]),
            parallelism,
            reparse_unchanged_dags,
        )
        self.url = settings.url
        self.database = self.build_database(settings)
        self.release = self.build_release(settings)
        self.env = {
            **build_component_environment(self.home, python, self.release.environment()),
            **{
                f"AIRFLOW__{name.upper().replace('.', '__')}": value for name, value in (config or {}).items()
            },
            **{
                f"AIRFLOW_CONN_{name.upper()}": json.dumps(value)
                for name, value in (connections or {}).items()
            },
            **(env or {}),
        }
        self._console = AirflowConsole(python, env=self.env, cwd=self.home, log=self.logs / "console.log")
        self._components: dict[str, GuardedProcess] = {}
        self._previous_job_ids: dict[str, int] = {}
        self._killed_components: set[str] = set()

    def __enter__(self) -> Self:
        with ExitStack() as undo:
            undo.callback(self.stop)
            create_home(self.home)
            self.release.prepare()
            self.create_database()
            for name, arguments in self.release.components(ui=self._ui).items():
                command = [self._interpreter, "-m", "airflow", *arguments]
                env = {**self.env, **self.component_env(name)}
                self._components[name] = GuardedProcess(name, command, env=env, directory=self.logs)
                self.start(name)
            for name in self._components:
                self.wait_until_healthy(name, timeout=self._start_timeout)
            undo.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Stop all components, and wait until none of their processes is left."""
        self._console.stop()
        for component in self._components.values():
            component.request_stop()
        for component in self._components.values():
            component.stop()

    def build_database(self, settings: Settings) -> MetadataDatabase:
        """Return the reader of the metadata database."""
        return MetadataDatabase(settings.database)

    def build_release(self, settings: Settings) -> Airflow2 | Airflow3:
        """Return the adapter for the Airflow release."""
        return Airflow3(settings) if self.version >= (3,) else Airflow2(settings, self.run_code)

    def create_database(self) -> None:
        """Create the metadata database, empty and migrated."""
        create_database(
            self.database.path, python=self._interpreter, env=self.env, airflow_version=self.version_text
        )

    def component_env(self, name: str) -> Mapping[str, str]:  # noqa: ARG002 - for subclasses
        """Return further environment variables of a component."""
        return {}

    def job_type_and_host(self, name: str) -> tuple[str, str | None] | None:
        """Return type and host of a component's rows in Airflow's table of jobs, or None."""
        return (JOB_TYPES[name], None) if name in JOB_TYPES else None

    @property
    def version_text(self) -> str:
        """The Airflow version as text."""
        return ".".join(map(str, self.version))

    @property
    def components(self) -> list[str]:
        """The names of all components, which are subcommands of ``airflow``."""
        return list(self.release.components(ui=self._ui))

    def add_connection(self, conn_id: str, connection: Mapping[str, Any]) -> None:
        """Add a connection to the database, so that the UI shows it."""
        self.release.add_connection(conn_id, connection)

    def update_connection(self, conn_id: str, connection: Mapping[str, Any]) -> None:
        """Change a connection in the database."""
        self.release.update_connection(conn_id, connection)

    def pid(self, name: str) -> int:
        """Return the id of a component's main process."""
        return self._components[name].pid

    def living_processes(self, name: str) -> list[psutil.Process]:
        """Return all living processes of a component, including orphans."""
        return self._components[name].living_processes()

    def kill(self, name: str, signal_number: int = signal.SIGKILL) -> None:
        """Send a signal to a component's main process; for SIGKILL and SIGTERM, wait for its end.

        As on a real machine, its children are not killed.

        """
        self._killed_components.add(name)
        self._components[name].kill(signal_number)

    def kill_all(self, name: str) -> None:
        """Send SIGKILL to all processes of a component, and wait: its machine has failed."""
        self._killed_components.add(name)
        self._components[name].kill_all()

    def start(self, name: str) -> None:
        """Start or restart a component without waiting for it; see :meth:`wait_until_healthy`."""
        if job := self.job_type_and_host(name):
            self._previous_job_ids[name], _ = self.database.latest_job(*job)
        self._components[name].start()
        self._killed_components.discard(name)

    def wait_until_healthy(self, name: str, *, timeout: float = 90.0) -> None:
        """Wait until a component is healthy.

        :raises RealAirflowError: if it exits, or after the timeout.
        """
        self.wait_until(
            lambda: self.is_healthy(name), description=f"a healthy {name}", timeout=timeout, logs=[name]
        )

    def is_healthy(self, name: str) -> bool:
        """Return whether a component is healthy."""
        if job := self.job_type_and_host(name):
            number, state = self.database.latest_job(*job)
            return number > self._previous_job_ids[name] and state == "running"
        try:
            request_json("GET", self.url + self.release.health_path, timeout=5)
        except httpx.TransportError:
            return False
        return True

    def component_log(self, name: str) -> Path:
        """Return the log file of a component, which contains all its starts."""
        return self._components[name].log

    def run_airflow(self, *arguments: str, timeout: float = 90.0) -> subprocess.CompletedProcess[str]:
        """Run Airflow's command line in this Airflow.

        :param arguments: the arguments of ``airflow``.
        :returns: the completed process, with its output as text.
        """
        return self.run_python("-m", "airflow", *arguments, timeout=timeout)

    def run_python(self, *arguments: str, timeout: float = 90.0) -> subprocess.CompletedProcess[str]:
        """Run this Airflow's interpreter in its environment.

        :param arguments: the arguments of ``python``.
        :returns: the completed process, with its output as text.
        """
        return subprocess.run(
            [self._interpreter, *arguments],
            env=self.env,
            cwd=self.home,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def run_code(self, code: str, *arguments: str) -> None:
        """Run a snippet in a process that has imported this Airflow.

        :param arguments: ``sys.argv[1:]`` of the snippet.
        :raises RuntimeError: if the snippet raises.
        """
        self._console.run(code, *arguments)

    def check_alive(self) -> None:
        """Raise an error if a component has exited by itself.

        :raises RealAirflowError: with the end of its log.
        """
        for name, component in self._components.items():
            if name not in self._killed_components and not component.is_running:
                raise RealAirflowError(component.describe_exit())

    def wait_until(
        self,
        condition: Callable[[], ResultT | None],
        *,
        description: str,
        timeout: float,
        interval: float = 0.1,
        logs: Sequence[str] = ("scheduler",),
        get_failure_details: Callable[[], list[str]] = list,
    ) -> ResultT:
        """Wait for a condition while all components run.

        :param condition: returns a true value when it is met.
        :param description: the condition in the error message.
        :param interval: seconds between two checks.
        :param logs: components whose logs are part of the error message.
        :param get_failure_details: returns further paragraphs for the error message.
        :returns: the condition's value.
        :raises RealAirflowError: after the timeout, or if a component exits by itself.
        """

        def check_while_alive() -> ResultT | None:
            self.check_alive()
            return condition()

        try:
            return wait_until(check_while_alive, description=description, timeout=timeout, interval=interval)
        except ConditionTimeoutError as expired:
            parts = [f"{expired}. All logs are in {self.logs}"]
            parts += [
                f"{name} cannot be imported:\n{trace}"
                for name, trace in self.database.import_errors().items()
            ]
            parts += [
                format_log_tail(self._components[name].log) for name in logs if name in self._components
            ]
            raise RealAirflowError("\n".join([*parts, *get_failure_details()])) from expired
