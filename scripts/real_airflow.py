"""A real Airflow in a directory of its own, for the demo and the end-to-end tests.

::

    with RealAirflow(home, dags_folder=folder, connections={"codeocean_default": {...}}) as airflow:
        run = airflow.run("capture_result", conf={"computation_id": "..."}, timeout=60)
        assert run.state == "success"
        assert airflow.xcom("capture_result", run.run_id, "capture")

Scheduler, triggerer and the rest run as separate processes, can be killed and started one by one, and are
gone when the ``with`` block ends or this process does, even by SIGKILL (see :mod:`scripts.guard`). The
release is that of the ``python`` it is given: 2.11 to 3.3.
"""

from __future__ import annotations

import json
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scripts.airflow_processes import AirflowProcesses, RealAirflowError
from scripts.waiting import ending

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from scripts.airflow_database import TaskState

__all__ = ["RealAirflow", "RealAirflowError", "RunResult", "TaskChange"]


@dataclass(frozen=True)
class RunResult:
    """How a DAG run ended.

    :param run_id: the run.
    :param state: ``success`` or ``failed``.
    :param tasks: the last state of each task instance, by ``task_id`` or ``task_id[map_index]``.
    """

    run_id: str
    state: str
    tasks: dict[str, str]


@dataclass(frozen=True)
class TaskChange:
    """A task instance came into another state.

    :param task: ``task_id`` or ``task_id[map_index]``.
    :param state: its new state.
    :param seconds: since the wait for the run began.
    """

    task: str
    state: str
    seconds: float


class RealAirflow(AirflowProcesses):
    """One Airflow to run DAGs in; its parameters are those of :class:`AirflowProcesses`."""

    def run(
        self,
        dag_id: str,
        *,
        conf: Mapping[str, Any] | None = None,
        timeout: float,
        on_change: Callable[[TaskChange], None] | None = None,
    ) -> RunResult:
        """Trigger a DAG and wait for the end of the run.

        :param dag_id: the DAG.
        :param conf: the run's configuration.
        :param timeout: seconds, for the run alone.
        :param on_change: called for each change of a task's state.
        :returns: how it ended; a failed run is an answer, not an error.
        """
        return self.wait_for(dag_id, self.trigger(dag_id, conf=conf), timeout=timeout, on_change=on_change)

    def trigger(
        self, dag_id: str, *, conf: Mapping[str, Any] | None = None, run_id: str | None = None
    ) -> str:
        """Create a DAG run, as soon as the DAG has been parsed.

        :param dag_id: the DAG.
        :param conf: the run's configuration.
        :param run_id: the run's id; made up by default.
        :returns: the run's id.
        :raises RealAirflowError: when the DAG cannot be imported or does not turn up.
        """
        run_id = run_id or f"test__{uuid.uuid4().hex[:12]}"
        self.wait_for_dag(dag_id)
        self.release.trigger(dag_id, run_id, conf or {})
        return run_id

    def wait_for_dag(self, dag_id: str, *, timeout: float = 60.0) -> None:
        """Wait until a DAG has been parsed.

        :param dag_id: the DAG.
        :param timeout: seconds.
        :raises RealAirflowError: when the file of its name cannot be imported, or the time is over.
        """

        def is_there() -> bool:
            if self.database.has_dag(dag_id):
                return True
            for name, trace in self.database.import_errors().items():
                if Path(name).stem == dag_id:
                    raise RealAirflowError(f"{name} cannot be imported:\n{trace}")
            return False

        self.wait_until(
            is_there, awaited=f"the DAG {dag_id}", timeout=timeout, logs=["dag-processor", "scheduler"]
        )

    def wait_for(
        self,
        dag_id: str,
        run_id: str,
        *,
        timeout: float,
        on_change: Callable[[TaskChange], None] | None = None,
    ) -> RunResult:
        """Wait for the end of a DAG run.

        :param dag_id: the DAG.
        :param run_id: the run.
        :param timeout: seconds.
        :param on_change: called for each change of a task's state.
        :returns: how it ended; a failed run is an answer, not an error.
        :raises RealAirflowError: when the time is over or a component ends.
        """
        begin = time.monotonic()
        seen: dict[str, str] = {}

        def result() -> RunResult | None:
            run_state = self.database.run_state(dag_id, run_id)  # first: the tasks' states are then final too
            for task in self.tasks(dag_id, run_id):
                if seen.get(task.task) != task.state:
                    seen[task.task] = task.state
                    if on_change:
                        on_change(TaskChange(task.task, task.state, time.monotonic() - begin))
            return RunResult(run_id, run_state, seen) if run_state in {"success", "failed"} else None

        return self.wait_until(
            result,
            awaited=f"the end of {dag_id} / {run_id}",
            timeout=timeout,
            evidence=lambda: self._evidence(dag_id, run_id),
        )

    def wait_for_task(self, dag_id: str, run_id: str, task: str, *states: str, timeout: float) -> TaskState:
        """Wait until a task instance is in one of some states, ``deferred`` for example.

        :param dag_id: the DAG.
        :param run_id: the run.
        :param task: ``task_id`` or ``task_id[map_index]``.
        :param states: the states.
        :param timeout: seconds.
        :returns: the task instance.
        :raises RealAirflowError: when the time is over or a component ends.
        """

        def found() -> TaskState | None:
            tasks = self.tasks(dag_id, run_id)
            return next((each for each in tasks if each.task == task and each.state in states), None)

        awaited = f"{task} of {dag_id} / {run_id} to be {' or '.join(states)}"
        return self.wait_until(
            found, awaited=awaited, timeout=timeout, evidence=lambda: self._evidence(dag_id, run_id)
        )

    def tasks(self, dag_id: str, run_id: str) -> list[TaskState]:
        """Return all task instances of a DAG run as they are now.

        :param dag_id: the DAG.
        :param run_id: the run.
        """
        return self.database.tasks(dag_id, run_id)

    def xcom(
        self, dag_id: str, run_id: str, task_id: str, key: str = "return_value", map_index: int = -1
    ) -> Any | None:
        """Return an XCom's value, None when there is none.

        :param dag_id: the DAG.
        :param run_id: the run.
        :param task_id: the task.
        :param key: the XCom's key.
        :param map_index: the index of a mapped task, -1 for others.
        """
        value = self.database.xcom(dag_id, run_id, task_id, key, map_index)
        return (
            json.loads(value) if isinstance(value, str | bytes) else value
        )  # SQLite makes numbers of numbers

    def task_logs(self, dag_id: str, run_id: str, task_id: str = "*") -> list[Path]:
        """Return the log files of a run's tasks: one for each try, more for what its triggers wrote.

        :param dag_id: the DAG.
        :param run_id: the run.
        :param task_id: the task; all of them by default.
        """
        folder = self.logs / f"dag_id={dag_id}" / f"run_id={run_id}"
        return sorted(path for path in folder.glob(f"task_id={task_id}/**/attempt=*") if path.is_file())

    def task_log(self, dag_id: str, run_id: str, task_id: str) -> str:
        """Return all that a task and its triggers wrote, over all tries.

        :param dag_id: the DAG.
        :param run_id: the run.
        :param task_id: the task.
        """
        return "\n".join(path.read_text(errors="replace") for path in self.task_logs(dag_id, run_id, task_id))

    def _evidence(self, dag_id: str, run_id: str) -> list[str]:
        """Return what tells why a DAG run does not go on: the states of its tasks, and how their logs end."""
        states = [f"{each.task}: {each.state} (try {each.try_number})" for each in self.tasks(dag_id, run_id)]
        return states + [ending(path) for path in self.task_logs(dag_id, run_id)]
