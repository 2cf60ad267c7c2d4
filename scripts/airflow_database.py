"""Airflow's metadata database: made quickly, then only read.

Reading SQLite directly is the one way to see the states of tasks that is quick, and the same on all releases.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

_TEMPLATES = Path(__file__).resolve().parent.parent / ".airflow" / "templates"
_MIGRATE_SECONDS = 180.0  # 5 here; more where nothing is compiled yet


@dataclass(frozen=True)
class TaskState:
    """One task instance as the database has it now.

    :param task: the task's id, with ``[map_index]`` after it for a mapped task.
    :param state: its state; ``none`` when Airflow has not looked at it yet.
    :param try_number: the number of its current try.
    :param started: when this try began, as text in UTC; None before that.
    :param ended: when this try ended; None before that.
    """

    task: str
    state: str
    try_number: int
    started: str | None
    ended: str | None


class MetadataDatabase:
    """Answer questions about a running Airflow from its SQLite file.

    :param path: the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def query(self, sql: str, *parameters: object) -> list[tuple[Any, ...]]:
        """Run a SELECT, without being able to change anything.

        :param sql: the statement, with ``?`` for parameters.
        :param parameters: their values.
        """
        uri = self.path.resolve().as_uri() + "?mode=ro"
        with closing(sqlite3.connect(uri, uri=True, timeout=30)) as connection:
            return connection.execute(sql, parameters).fetchall()

    def is_writable(self, *, within: float = 2.0) -> bool:
        """Return whether nobody keeps SQLite's lock for longer, for which all who write wait.

        :param within: seconds.
        """
        with closing(sqlite3.connect(self.path, timeout=within, isolation_level=None)) as connection:
            try:
                connection.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                return False
        return True

    def latest_job(self, job_type: str, host: str | None = None) -> tuple[int, str]:
        """Return id and state of the newest job of a type, ``(0, "none")`` if there never was one.

        :param job_type: ``SchedulerJob``, ``TriggererJob`` or ``DagProcessorJob``.
        :param host: the host that it runs on; any by default.
        """
        rows = self.query(
            "SELECT id, state FROM job WHERE job_type = ? AND hostname = COALESCE(?, hostname)"
            " ORDER BY id DESC LIMIT 1",
            job_type,
            host,
        )
        return (int(rows[0][0]), str(rows[0][1])) if rows else (0, "none")

    def has_dag(self, dag_id: str) -> bool:
        """Return whether a DAG has been parsed and can be triggered.

        :param dag_id: the DAG.
        """
        sql = "SELECT 1 FROM dag JOIN serialized_dag USING (dag_id) WHERE dag_id = ?"
        return bool(self.query(sql, dag_id))

    def import_errors(self) -> dict[str, str]:
        """Return the stack trace for each DAG file that cannot be imported."""
        return {
            str(name): str(trace)
            for name, trace in self.query("SELECT filename, stacktrace FROM import_error")
        }

    def run_state(self, dag_id: str, run_id: str) -> str:
        """Return the state of a DAG run, or ``none`` when it does not exist.

        :param dag_id: the DAG.
        :param run_id: the run.
        """
        rows = self.query("SELECT state FROM dag_run WHERE dag_id = ? AND run_id = ?", dag_id, run_id)
        return str(rows[0][0]) if rows else "none"

    def tasks(self, dag_id: str, run_id: str) -> list[TaskState]:
        """Return all task instances of a DAG run.

        :param dag_id: the DAG.
        :param run_id: the run.
        """
        rows = self.query(
            "SELECT task_id, map_index, state, try_number, start_date, end_date FROM task_instance"
            " WHERE dag_id = ? AND run_id = ? ORDER BY start_date, task_id, map_index",
            dag_id,
            run_id,
        )
        return [
            TaskState(
                task=task_id if map_index < 0 else f"{task_id}[{map_index}]",
                state=state or "none",
                try_number=try_number,
                started=started,
                ended=ended,
            )
            for task_id, map_index, state, try_number, started, ended in rows
        ]

    def xcom(
        self, dag_id: str, run_id: str, task_id: str, key: str, map_index: int
    ) -> bytes | str | float | None:
        """Return an XCom as it is stored, None when there is none.

        :param dag_id: the DAG.
        :param run_id: the run.
        :param task_id: the task.
        :param key: the XCom's key.
        :param map_index: the index of a mapped task, -1 for others.
        """
        rows = self.query(
            "SELECT value FROM xcom"
            " WHERE dag_id = ? AND run_id = ? AND task_id = ? AND key = ? AND map_index = ?",
            dag_id,
            run_id,
            task_id,
            key,
            map_index,
        )
        value: bytes | str | float | None = rows[0][0] if rows else None
        return value


def make_database(target: Path, *, python: str, env: Mapping[str, str], release: str) -> None:
    """Make an empty, migrated metadata database, by copying one made before where there is one.

    :param target: the file to make.
    :param python: the interpreter that has this Airflow.
    :param env: its environment.
    :param release: the Airflow version, by which the copy for the next time is kept.
    :raises RuntimeError: when Airflow cannot migrate.
    """
    cached = _TEMPLATES / f"airflow-{release}.db"
    if not cached.exists():
        cached.parent.mkdir(parents=True, exist_ok=True)
        draft = cached.with_suffix(f".{os.getpid()}")
        _migrate(draft, python=python, env=env)
        draft.replace(cached)  # in one step: others may be doing the same
    shutil.copyfile(cached, target)


def _migrate(path: Path, *, python: str, env: Mapping[str, str]) -> None:
    done = subprocess.run(
        [python, "-m", "airflow", "db", "migrate"],
        env={**env, "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{path}"},
        capture_output=True,
        text=True,
        timeout=_MIGRATE_SECONDS,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"airflow db migrate failed:\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")  # kept in the file: holds for every later connection
