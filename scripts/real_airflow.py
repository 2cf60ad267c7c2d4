"""Run DAGs in a real Airflow, for the demo and the end-to-end tests.

::

    with RealAirflow(home, dags_folder=folder, connections={"codeocean_default": {...}}) as airflow:
        run = airflow.run("capture_result", conf={"computation_id": "..."}, timeout=60)
        assert run.state == "success"
        assert airflow.xcom("capture_result", run.run_id, "capture")

The components run as separate processes that can be killed and restarted. They end with the ``with`` block,
or with this process, even after SIGKILL (see :mod:`scripts.guard`). ``python`` selects the release: 2.11 to
3.3.
"""

from __future__ import annotations

import json
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scripts.airflow_processes import AirflowProcesses, RealAirflowError
from scripts.waiting import format_log_tail

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from scripts.airflow_database import TaskState

__all__ = ["RealAirflow", "RealAirflowError", "RunResult", "TaskStateChange"]


@dataclass(frozen=True)
class RunResult:
    """The result of a DAG run.

    :param state: ``success`` or ``failed``.
    :param tasks: final states by ``task_id`` or ``task_id[map_index]``.
    """

    run_id: str
    state: str
    tasks: dict[str, str]


@dataclass(frozen=True)
class TaskStateChange:
    """A state change of a task instance.

    :param task: ``task_id`` or ``task_id[map_index]``.
    :param elapsed_seconds: seconds since the start of the wait for the run.
    """

    task: str
    state: str
    elapsed_seconds: float


class RealAirflow(AirflowProcesses):
    """An Airflow that runs DAGs. The parameters are those of :class:`AirflowProcesses`."""

    def run(
        self,
        dag_id: str,
        *,
        conf: Mapping[str, Any] | None = None,
        timeout: float,
        on_change: Callable[[TaskStateChange], None] | None = None,
    ) -> RunResult:
        """Trigger a DAG and wait for the end of the run.

        :param timeout: seconds for the run.
        :param on_change: called for each state change of a task.
        :returns: the result, also of a failed run.
        """
        return self.wait_for_run(
            dag_id, self.trigger(dag_id, conf=conf), timeout=timeout, on_change=on_change
        )

    def trigger(
        self, dag_id: str, *, conf: Mapping[str, Any] | None = None, run_id: str | None = None
    ) -> str:
        """Create a DAG run as soon as the DAG has been parsed.

        :param run_id: random by default.
        :raises RealAirflowError: if the DAG cannot be imported, or is not found in time.
        """
        run_id = run_id or f"test__{uuid.uuid4().hex[:12]}"
        self.wait_for_dag(dag_id)
        self.release.trigger(dag_id, run_id, conf or {})
        return run_id

    def wait_for_dag(self, dag_id: str, *, timeout: float = 60.0) -> None:
        """Wait until a DAG has been parsed.

        :raises RealAirflowError: if the file of this name cannot be imported, or after the timeout.
        """

        def is_parsed() -> bool:
            if self.database.has_dag(dag_id):
                return True
            for name, trace in self.database.import_errors().items():
                if Path(name).stem == dag_id:
                    raise RealAirflowError(f"{name} cannot be imported:\n{trace}")
            return False

        self.wait_until(
            is_parsed, description=f"the DAG {dag_id}", timeout=timeout, logs=["dag-processor", "scheduler"]
        )

    def wait_for_run(
        self,
        dag_id: str,
        run_id: str,
        *,
        timeout: float,
        on_change: Callable[[TaskStateChange], None] | None = None,
    ) -> RunResult:
        """Wait for the end of a DAG run.

        :param on_change: called for each state change of a task.
        :returns: the result, also of a failed run.
        :raises RealAirflowError: after the timeout, or if a component exits.
        """
        started_at = time.monotonic()
        states: dict[str, str] = {}

        def read_result() -> RunResult | None:
            run_state = self.database.run_state(
                dag_id, run_id
            )  # first, so that the tasks' states are final, too
            for task in self.tasks(dag_id, run_id):
                if states.get(task.task) != task.state:
                    states[task.task] = task.state
                    if on_change:
                        on_change(TaskStateChange(task.task, task.state, time.monotonic() - started_at))
            return RunResult(run_id, run_state, states) if run_state in {"success", "failed"} else None

        return self.wait_until(
            read_result,
            description=f"the end of {dag_id} / {run_id}",
            timeout=timeout,
            get_failure_details=lambda: self._failure_details(dag_id, run_id),
        )

    def wait_for_task(self, dag_id: str, run_id: str, task: str, *states: str, timeout: float) -> TaskState:
        """Wait until a task instance is in one of the given states, such as ``deferred``.

        :param task: ``task_id`` or ``task_id[map_index]``.
        :returns: the task instance.
        :raises RealAirflowError: after the timeout, or if a component exits.
        """

        def find_task() -> TaskState | None:
            instances = self.tasks(dag_id, run_id)
            return next((one for one in instances if one.task == task and one.state in states), None)

        description = f"{task} of {dag_id} / {run_id} to be {' or '.join(states)}"
        return self.wait_until(
            find_task,
            description=description,
            timeout=timeout,
            get_failure_details=lambda: self._failure_details(dag_id, run_id),
        )

    def tasks(self, dag_id: str, run_id: str) -> list[TaskState]:
        """Return all task instances of a DAG run."""
        return self.database.tasks(dag_id, run_id)

    def xcom(
        self, dag_id: str, run_id: str, task_id: str, key: str = "return_value", map_index: int = -1
    ) -> Any | None:
        """Return the value of an XCom, or None.

        :param key: the XCom's key.
        :param map_index: -1 for tasks that are not mapped.
        """
        value = self.database.xcom(dag_id, run_id, task_id, key, map_index)
        return (
            json.loads(value) if isinstance(value, str | bytes) else value
        )  # SQLite returns numbers as they are

    def task_logs(self, dag_id: str, run_id: str, task_id: str = "*") -> list[Path]:
        """Return the log files of a run's tasks: one per attempt, and more from its triggers.

        :param task_id: the task. Default: all.
        """
        folder = self.logs / f"dag_id={dag_id}" / f"run_id={run_id}"
        return sorted(path for path in folder.glob(f"task_id={task_id}/**/attempt=*") if path.is_file())

    def task_log(self, dag_id: str, run_id: str, task_id: str) -> str:
        """Return the logs of a task and its triggers, of all attempts."""
        return "\n".join(path.read_text(errors="replace") for path in self.task_logs(dag_id, run_id, task_id))

    def _failure_details(self, dag_id: str, run_id: str) -> list[str]:
        """Return the states of all tasks, and the ends of their logs."""
        states = [
            f"{task.task}: {task.state} (attempt {task.try_number})" for task in self.tasks(dag_id, run_id)
        ]
        return states + [format_log_tail(path) for path in self.task_logs(dag_id, run_id)]
