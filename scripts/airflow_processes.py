"""The processes of a real Airflow: made, watched, killed, started again, and surely ended."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Self

from scripts.airflow_console import AirflowConsole
from scripts.airflow_database import MetadataDatabase, make_database
from scripts.airflow_release import Airflow2, Airflow3, Settings
from scripts.environment import airflow_version, component_environment, free_ports, make_home
from scripts.http_json import request_json
from scripts.processes import GuardedProcess
from scripts.waiting import Found, WaitExpiredError, ending, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

    import psutil

JOBS = {"scheduler": "SchedulerJob", "triggerer": "TriggererJob", "dag-processor": "DagProcessorJob"}


class RealAirflowError(Exception):
    """Airflow did not do what was asked; the message says where its logs are and how they end."""


class AirflowProcesses:
    """One Airflow: SQLite, LocalExecutor, every component a process of its own.

    A subclass may have another database, other components, and an environment for each of them.

    :param home: its AIRFLOW_HOME; made if missing, and made anew if it came from here.
    :param dags_folder: the directory with the DAG files.
    :param python: the interpreter that has the Airflow to run.
    :param env: environment variables for all components, beside what they inherit; the caller's own
        ``AIRFLOW*`` variables are never inherited.
    :param connections: Airflow connections by id, each the JSON object Airflow takes (``conn_type``,
        ``host``, ``password``, ``extra``).
    :param config: further options, as ``section.key`` to value.
    :param ui: whether somebody will look at the UI: adds the webserver on 2.11, and the log servers.
    :param parallelism: how many tasks run at once.
    :param parses_often: whether DAGs whose files have not changed are parsed again soon; see
        :class:`~scripts.airflow_release.Settings`.
    :param start_timeout: seconds for everything to be up.
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
        parses_often: bool = False,
        start_timeout: float = 180.0,
    ) -> None:
        self.home = home.absolute()
        self.logs = self.home / "logs"
        self.version = airflow_version(python)
        self._interpreter = python
        self._ui = ui
        self._start_timeout = start_timeout
        port, *log_ports = free_ports(3)
        settings = Settings(
            self.home, dags_folder.absolute(), port, (log_ports[0], log_ports[1]), parallelism, parses_often
        )
        self.url = settings.url
        self.database = self.new_database(settings)
        self.release = self.new_release(settings)
        self.env = {
            **component_environment(self.home, python, self.release.environment()),
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
        self._jobs_before: dict[str, int] = {}
        self._killed: set[str] = set()

    def __enter__(self) -> Self:
        with ExitStack() as undo:
            undo.callback(self.stop)
            make_home(self.home)
            self.release.prepare()
            self.make_database()
            for name, arguments in self.release.components(ui=self._ui).items():
                command = [self._interpreter, "-m", "airflow", *arguments]
                env = {**self.env, **self.own_env(name)}
                self._components[name] = GuardedProcess(name, command, env=env, directory=self.logs)
                self.start(name)
            for name in self._components:
                self.wait_healthy(name, timeout=self._start_timeout)
            undo.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End all components and wait until none of their processes is left."""
        self._console.stop()
        for component in self._components.values():
            component.release()
        for component in self._components.values():
            component.stop()

    def new_database(self, settings: Settings) -> MetadataDatabase:
        """Return what reads the metadata database.

        :param settings: what this Airflow is to be like.
        """
        return MetadataDatabase(settings.database)

    def new_release(self, settings: Settings) -> Airflow2 | Airflow3:
        """Return what its release does in its own way.

        :param settings: what this Airflow is to be like.
        """
        return Airflow3(settings) if self.version >= (3,) else Airflow2(settings, self.run_code)

    def make_database(self) -> None:
        """Make the metadata database, empty and migrated."""
        make_database(self.database.path, python=self._interpreter, env=self.env, release=self.release_name)

    def own_env(self, name: str) -> Mapping[str, str]:  # noqa: ARG002 - for subclasses
        """Return the environment variables that a component has for itself.

        :param name: the component.
        """
        return {}

    def job_of(self, name: str) -> tuple[str, str | None] | None:
        """Return the type and host of a component's jobs in Airflow's table of them; None where it has none.

        :param name: the component.
        """
        return (JOBS[name], None) if name in JOBS else None

    @property
    def release_name(self) -> str:
        """The Airflow version as text."""
        return ".".join(map(str, self.version))

    @property
    def components(self) -> list[str]:
        """The names of all components: those of ``airflow``'s own subcommands."""
        return list(self.release.components(ui=self._ui))

    def add_connection(self, conn_id: str, connection: Mapping[str, Any]) -> None:
        """Put a connection into the database, where the UI shows it.

        :param conn_id: its id.
        :param connection: the JSON object Airflow takes.
        """
        self.release.add_connection(conn_id, connection)

    def change_connection(self, conn_id: str, connection: Mapping[str, Any]) -> None:
        """Change a connection in the database.

        :param conn_id: its id.
        :param connection: the JSON object Airflow takes.
        """
        self.release.change_connection(conn_id, connection)

    def pid(self, name: str) -> int:
        """Return the process id of a component's main process.

        :param name: the component.
        """
        return self._components[name].pid

    def tree(self, name: str) -> list[psutil.Process]:
        """Return all living processes of a component, orphans of a killed one too.

        :param name: the component.
        """
        return self._components[name].tree()

    def kill(self, name: str, signal_number: int = signal.SIGKILL) -> None:
        """Send a signal to a component's main process; for SIGKILL and SIGTERM, wait for its end.

        Its children are left to what they do then, as on a real machine.

        :param name: the component.
        :param signal_number: which signal.
        """
        self._killed.add(name)
        self._components[name].kill(signal_number)

    def kill_all(self, name: str) -> None:
        """Send SIGKILL to all processes of a component, and wait for their end: its machine has died.

        :param name: the component.
        """
        self._killed.add(name)
        self._components[name].kill_all()

    def start(self, name: str) -> None:
        """Start a component (again), without waiting for it; see :meth:`wait_healthy`.

        :param name: the component.
        """
        if job := self.job_of(name):
            self._jobs_before[name], _ = self.database.latest_job(*job)
        self._components[name].start()
        self._killed.discard(name)

    def wait_healthy(self, name: str, *, timeout: float = 90.0) -> None:
        """Wait until a component that was started does its work.

        :param name: the component.
        :param timeout: seconds.
        :raises RealAirflowError: when it ends, or the time is over.
        """
        self.wait_until(
            lambda: self.is_healthy(name), awaited=f"a healthy {name}", timeout=timeout, logs=[name]
        )

    def is_healthy(self, name: str) -> bool:
        """Return whether a component that was started does its work.

        :param name: the component.
        """
        if job := self.job_of(name):
            number, state = self.database.latest_job(*job)
            return number > self._jobs_before[name] and state == "running"
        try:
            request_json("GET", self.url + self.release.health_path, timeout=5)
        except OSError:
            return False
        return True

    def component_log(self, name: str) -> Path:
        """Return the log file of a component, over all its starts.

        :param name: the component.
        """
        return self._components[name].log

    def command(self, *arguments: str, timeout: float = 90.0) -> subprocess.CompletedProcess[str]:
        """Run Airflow's command line in this Airflow.

        :param arguments: what comes after ``airflow``.
        :param timeout: seconds.
        :returns: the finished process, with its output as text.
        """
        return self.python("-m", "airflow", *arguments, timeout=timeout)

    def python(self, *arguments: str, timeout: float = 90.0) -> subprocess.CompletedProcess[str]:
        """Run this Airflow's interpreter in its environment.

        :param arguments: what comes after ``python``.
        :param timeout: seconds.
        :returns: the finished process, with its output as text.
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
        """Run a snippet in a Python of this Airflow's that stays, without importing it each time.

        :param code: the snippet.
        :param arguments: what it finds in ``sys.argv[1:]``.
        :raises RuntimeError: when it raises.
        """
        self._console.run(code, *arguments)

    def check_alive(self) -> None:
        """Raise if a component has ended that nobody killed.

        :raises RealAirflowError: with the end of its log.
        """
        for name, component in self._components.items():
            if name not in self._killed and not component.running:
                raise RealAirflowError(component.describe_end())

    def wait_until(
        self,
        condition: Callable[[], Found | None],
        *,
        awaited: str,
        timeout: float,
        every: float = 0.1,
        logs: Sequence[str] = ("scheduler",),
        evidence: Callable[[], list[str]] = list,
    ) -> Found:
        """Wait for a condition while all components live.

        :param condition: returns something true when what is awaited has come.
        :param awaited: what is waited for, for the error's text.
        :param timeout: seconds.
        :param every: seconds between two looks.
        :param logs: the components whose logs explain a failure.
        :param evidence: called after a failure for more that explains it, in paragraphs.
        :returns: the condition's answer.
        :raises RealAirflowError: when the time is over or a component ends that nobody killed.
        """

        def alive_and_true() -> Found | None:
            self.check_alive()
            return condition()

        try:
            return wait_until(alive_and_true, awaited=awaited, timeout=timeout, every=every)
        except WaitExpiredError as expired:
            parts = [f"{expired}. All logs are in {self.logs}"]
            parts += [
                f"{name} cannot be imported:\n{trace}"
                for name, trace in self.database.import_errors().items()
            ]
            parts += [ending(self._components[name].log) for name in logs if name in self._components]
            raise RealAirflowError("\n".join([*parts, *evidence()])) from expired
