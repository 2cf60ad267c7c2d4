"""One run that is to crash: what a point does to it, and what came of it."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psutil

from airflow_provider_codeocean.api._http.library import httpx
from scripts.http_json import HttpError
from scripts.real_airflow import RealAirflowError
from scripts.waiting import ConditionTimeoutError, wait_until
from tests.crash.emulators import RestartableEmulator, ThreadedEmulator

if TYPE_CHECKING:
    from pathlib import Path

    from airflow_provider_codeocean.emulator.domain.faults import Fault
    from scripts.real_airflow import RealAirflow
    from tests.crash.crash_points import CrashPoint

#: Seconds to reach a point, and to recover from it.
REACH_TIMEOUT_SECONDS, RECOVERY_TIMEOUT_SECONDS = 200.0, 300.0


@dataclass(frozen=True)
class CrashResult:
    """What came of one point.

    :param point: its name.
    :param mode: how the task waited.
    :param job_count: how many data assets, or computations, there are in the end.
    :param state: state of the task.
    :param returned_existing_job: whether the task returned one that is there and ready.
    :param recovery_seconds: from the kill to the end of the run.
    :param error: why the point was not reached, or the run did not end.
    """

    point: str
    mode: str
    job_count: int = 0
    state: str = "none"
    returned_existing_job: bool = False
    recovery_seconds: float = 0.0
    error: str = ""

    @property
    def verdict(self) -> str:
        """``once``, ``doubled``, ``lost``, or ``not reached``."""
        if self.error:
            return "not reached"
        if self.job_count > 1:
            return "doubled"
        return (
            "once"
            if self.job_count == 1 and self.state == "success" and self.returned_existing_job
            else "lost"
        )


class HeldRequest:
    """A request that a fault holds.

    :param fault: the fault.
    """

    def __init__(self, fault: Fault) -> None:
        self._fault = fault
        self.release = fault.release_requests
        self.drop = fault.remove

    def wait(self) -> None:
        """Wait until it holds one."""
        if not self._fault.wait(held=1, timeout=REACH_TIMEOUT_SECONDS):
            raise ConditionTimeoutError(
                f"{self._fault.rule.method} {self._fault.rule.path} to be held", REACH_TIMEOUT_SECONDS
            )


class CrashRun:
    """A run of its own, with an emulator of its own, in an Airflow that it may share.

    :param point: what is to happen.
    :param mode: how the task waits.
    :param emulator: the emulator.
    :param prefix: first part of the names of the DAGs that capture.
    :param pid_folder: where tasks tell their process ids.
    """

    airflow: RealAirflow

    def __init__(
        self,
        point: CrashPoint,
        mode: str,
        emulator: ThreadedEmulator | RestartableEmulator,
        *,
        prefix: str,
        pid_folder: Path,
    ) -> None:
        self.point = point
        self.mode = mode
        self.emulator = emulator
        self.dag_id = f"{prefix if point.job_kind == 'capture' else point.job_kind}_{mode}"
        self.run_id = f"{point.name} {mode}".replace(" ", "_").replace(":", "").replace(",", "")
        self._pid_folder = pid_folder
        self._crashed_at = 0.0

    @property
    def conn_id(self) -> str:
        """Id of its connection."""
        return f"at_{self.run_id.lower()}"

    def execute(self) -> CrashResult:
        """Bring the run to the point, let it crash, and wait for its end.

        :returns: what came of it.
        """
        try:
            self.point.reach(self)
            self.airflow.wait_for_run(self.dag_id, self.run_id, timeout=RECOVERY_TIMEOUT_SECONDS)
        except (
            RealAirflowError,
            ConditionTimeoutError,
            HttpError,
            httpx.TransportError,
            RuntimeError,
            OSError,
        ) as error:
            return CrashResult(self.point.name, self.mode, error=str(error))
        seconds = time.monotonic() - self._crashed_at
        (task,) = self.airflow.tasks(self.dag_id, self.run_id)
        assets = self.emulator.find_jobs(self.point.job_kind)
        result: Any = self.airflow.xcom(self.dag_id, self.run_id, self.point.job_kind)
        ready = {asset.id for asset in assets if asset.state in ("ready", "completed")}
        return CrashResult(
            point=self.point.name,
            mode=self.mode,
            job_count=len(assets),
            state=task.state,
            returned_existing_job=isinstance(result, dict) and result.get("id") in ready,
            recovery_seconds=seconds,
        )

    # What points do.

    def start(self) -> None:
        """Start the run."""
        conf = {"connection": self.conn_id, **self.emulator.ids}
        self.airflow.trigger(self.dag_id, conf=conf, run_id=self.run_id)

    def add_fault(self, kind: str, method: str, path: str) -> HeldRequest:
        """Let the next request of a kind go wrong."""
        return HeldRequest(self.threaded_emulator.add_fault(kind, method, path))

    def kill_task(self, signal_number: int = signal.SIGKILL) -> None:
        """Send a signal to the process that runs the task's code."""
        task, _ = self._processes()
        os.kill(task, signal_number)
        self.start_recovery_clock()

    def kill_supervisor(self) -> None:
        """Kill the process that supervises the task's, which lives on."""
        task, supervisor = self._processes()
        os.kill(supervisor, signal.SIGKILL)
        self.start_recovery_clock()
        assert psutil.pid_exists(task), "the task's process went with its supervisor"

    def kill_component(self, name: str) -> None:
        """Kill one of Airflow's components."""
        self.airflow.kill(name)
        self.start_recovery_clock()

    def start_component(self, name: str) -> None:
        """Start it again."""
        self.airflow.start(name)
        self.airflow.wait_until_healthy(name)

    def restart_code_ocean(self) -> None:
        """Kill Code Ocean, and start it again."""
        assert isinstance(self.emulator, RestartableEmulator)
        self.start_recovery_clock()
        self.emulator.restart()

    def finish_jobs(self) -> None:
        """Let what is a draft be ready."""
        self.threaded_emulator.finish_jobs()

    def start_recovery_clock(self) -> None:
        """Take the time: from here on it has to recover."""
        self._crashed_at = time.monotonic()

    def wait_for_requests(self, endpoint: str, count: int) -> None:
        """Wait until so many requests of a kind have been answered."""
        self._wait(lambda: self.emulator.count_requests(endpoint) >= count, f"{count} of {endpoint}")

    def wait_for_assets(self, count: int) -> None:
        """Wait until so many data assets have been created."""
        self._wait(lambda: self.threaded_emulator.count_captured() >= count, f"{count} data assets")

    def wait_for_state(self, state: str) -> None:
        """Wait until the task is in a state."""
        self.airflow.wait_for_task(
            self.dag_id, self.run_id, self.point.job_kind, state, timeout=REACH_TIMEOUT_SECONDS
        )

    @property
    def threaded_emulator(self) -> ThreadedEmulator:
        """The emulator, where it runs in a thread."""
        assert isinstance(self.emulator, ThreadedEmulator)
        return self.emulator

    def _processes(self) -> tuple[int, int]:
        """Return the process ids of the first try, and of what supervises it."""
        report = self._pid_folder / f"{self.run_id}.1"
        self._wait(report.exists, f"the process of {self.run_id}")
        task, supervisor = map(int, report.read_text().split())
        return task, supervisor

    def _wait(self, condition: Any, description: str) -> None:
        wait_until(condition, description=description, timeout=REACH_TIMEOUT_SECONDS, interval=0.05)
