"""Create and read Airflow's metadata database.

Reading SQLite directly is fast, and works the same on all releases.
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

_TEMPLATE_FOLDER = Path(__file__).resolve().parent.parent / ".airflow" / "templates"
_MIGRATE_TIMEOUT_SECONDS = 180.0  # usually 5; longer without bytecode files


@dataclass(frozen=True)
class TaskState:
    """A task instance.

    :param task: the task's id, followed by ``[map_index]`` for a mapped task.
    :param state: its state; ``none`` if Airflow has not scheduled it yet.
    :param try_number: number of the current attempt.
    :param started_at: start of the attempt, as text in UTC; None before it.
    :param ended_at: end of the attempt; None before it.
    """

    task: str
    state: str
    try_number: int
    started_at: str | None
    ended_at: str | None


class MetadataDatabase:
    """Queries of a running Airflow's SQLite file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def query(self, sql: str, *parameters: object) -> list[tuple[Any, ...]]:
        """Run a SELECT in a read-only connection.

        :param sql: the statement, with ``?`` for parameters.
        """
        uri = self.path.resolve().as_uri() + "?mode=ro"
        with closing(sqlite3.connect(uri, uri=True, timeout=30)) as connection:
            return connection.execute(sql, parameters).fetchall()

    def is_writable(self, *, timeout: float = 2.0) -> bool:
        """Return whether SQLite's write lock becomes free within the timeout."""
        with closing(sqlite3.connect(self.path, timeout=timeout, isolation_level=None)) as connection:
            try:
                connection.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                return False
        return True

    def latest_job(self, job_type: str, host: str | None = None) -> tuple[int, str]:
        """Return id and state of the newest job of a type, or ``(0, "none")``.

        :param job_type: ``SchedulerJob``, ``TriggererJob`` or ``DagProcessorJob``.
        :param host: host of the job. Default: any.
        """
        rows = self.query(
            "SELECT id, state FROM job WHERE job_type = ? AND hostname = COALESCE(?, hostname)"
            " ORDER BY id DESC LIMIT 1",
            job_type,
            host,
        )
        return (int(rows[0][0]), str(rows[0][1])) if rows else (0, "none")

    def has_dag(self, dag_id: str) -> bool:
        """Return whether a DAG has been parsed and can be triggered."""
        sql = "SELECT 1 FROM dag JOIN serialized_dag USING (dag_id) WHERE dag_id = ?"
        return bool(self.query(sql, dag_id))

    def import_errors(self) -> dict[str, str]:
        """Return the stack trace for each DAG file that cannot be imported."""
        return {
            str(name): str(trace)
            for name, trace in self.query("SELECT filename, stacktrace FROM import_error")
        }

    def run_state(self, dag_id: str, run_id: str) -> str:
        """Return the state of a DAG run, or ``none`` if it does not exist."""
        rows = self.query("SELECT state FROM dag_run WHERE dag_id = ? AND run_id = ?", dag_id, run_id)
        return str(rows[0][0]) if rows else "none"

    def tasks(self, dag_id: str, run_id: str) -> list[TaskState]:
        """Return all task instances of a DAG run."""
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
                started_at=started,
                ended_at=ended,
            )
            for task_id, map_index, state, try_number, started, ended in rows
        ]

    def xcom(
        self, dag_id: str, run_id: str, task_id: str, key: str, map_index: int
    ) -> bytes | str | float | None:
        """Return the stored value of an XCom, or None.

        :param key: the XCom's key.
        :param map_index: -1 for tasks that are not mapped.
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


def create_database(path: Path, *, python: str, env: Mapping[str, str], airflow_version: str) -> None:
    """Create an empty, migrated metadata database, or copy one from the cache.

    :param path: the file to create.
    :param python: an interpreter with this Airflow.
    :param airflow_version: key of the cache.
    :raises RuntimeError: if the migration fails.
    """
    cached = _TEMPLATE_FOLDER / f"airflow-{airflow_version}.db"
    if not cached.exists():
        cached.parent.mkdir(parents=True, exist_ok=True)
        draft = cached.with_suffix(f".{os.getpid()}")
        _migrate(draft, python=python, env=env)
        draft.replace(cached)  # atomic: other processes may do the same
    shutil.copyfile(cached, path)


def _migrate(path: Path, *, python: str, env: Mapping[str, str]) -> None:
    completed = subprocess.run(
        [python, "-m", "airflow", "db", "migrate"],
        env={**env, "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{path}"},
        capture_output=True,
        text=True,
        timeout=_MIGRATE_TIMEOUT_SECONDS,
        check=False,
    )
    if completed.returncode != 0:
        raise RuntimeError(
            f"airflow db migrate failed:\n{completed.stdout[-3000:]}\n{completed.stderr[-3000:]}"
        )
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")  # stored in the file
