"""Capture a result in a real Airflow against the emulator (``make demo``).

Starts the emulator and Airflow, and runs the DAG ``capture_result`` of ``dags_examples/``: it captures a
finished computation as a data asset, waits in the triggerer, and reads the files back. Exits with 0 on
success. With ``--ui``, Airflow's UI keeps running.
"""

from __future__ import annotations

import argparse
import itertools
import os
import signal
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_provider_codeocean.api._http.library import httpx
from scripts.emulator_process import EmulatorProcess
from scripts.http_json import HttpError
from scripts.real_airflow import RealAirflow, RealAirflowError, RunResult, TaskStateChange
from scripts.task_log import format_task_log
from scripts.terminal import Terminal
from scripts.waiting import ConditionTimeoutError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import FrameType

CHECKOUT = Path(__file__).resolve().parent.parent
DAG_ID = "capture_result"
CAPTURE_TASK = "capture"
READ_BACK_TASK = "read_back"
RUN_TIMEOUT_SECONDS = 120.0


@dataclass
class TaskDurations:
    """The time that tasks spent in their states.

    :param changes: the state changes of all tasks, in order.
    """

    changes: list[TaskStateChange] = field(default_factory=list)

    def seconds_in(self, task: str, state: str) -> float:
        """Return the seconds that a task spent in a state in total."""
        own = [change for change in self.changes if change.task == task]
        pairs = itertools.pairwise(own)
        return sum(
            after.elapsed_seconds - before.elapsed_seconds for before, after in pairs if before.state == state
        )


class Demo:
    """One run of the demo.

    :param home: the AIRFLOW_HOME, which contains all logs in ``logs/``.
    :param computation_id: the computation to capture. Default: the emulator's finished one.
    :param terminal: the output.
    :param ui: whether Airflow's UI keeps running afterwards.
    """

    def __init__(self, home: Path, computation_id: str | None, terminal: Terminal, *, ui: bool) -> None:
        self._home = home
        self._computation_id = computation_id
        self._terminal = terminal
        self._ui = ui
        self._durations = TaskDurations()

    def run(self) -> int:
        """Run the demo, and return the exit code."""
        print_line = self._terminal.print_line
        with EmulatorProcess(self._home.parent / f"{self._home.name}-emulator") as emulator:
            print_line(f"The Code Ocean emulator listens at {emulator.url}")
            airflow = RealAirflow(
                self._home,
                dags_folder=CHECKOUT / "dags_examples",
                connections={} if self._ui else {"codeocean_default": emulator.connection},
                ui=self._ui,
                reparse_unchanged_dags=self._ui,  # users may unpause a DAG
            )
            print_line(f"Starting Airflow {airflow.version_text}: {', '.join(airflow.components)} ...")
            with airflow:
                if self._ui:
                    airflow.add_connection("codeocean_default", emulator.connection_with_port)
                computation_id = self._computation_id or emulator.computation_id
                print_line(f"Airflow is ready. DAG {DAG_ID} captures computation {computation_id}:")
                result = self._run_dag(airflow, computation_id)
                if result.state == "success":
                    self._print_summary(airflow, emulator, result, computation_id)
                else:
                    self._print_failed_tasks(airflow, result)
                if self._ui:
                    self._wait_for_interrupt(airflow, emulator)
        return 0 if result.state == "success" else 1

    def _run_dag(self, airflow: RealAirflow, computation_id: str) -> RunResult:
        def record_change(change: TaskStateChange) -> None:
            self._durations.changes.append(change)
            self._terminal.print_task_state(change.task, change.state)

        run_id = airflow.trigger(DAG_ID, conf={"computation_id": computation_id})
        return airflow.wait_for_run(DAG_ID, run_id, timeout=RUN_TIMEOUT_SECONDS, on_change=record_change)

    def _print_summary(
        self, airflow: RealAirflow, emulator: EmulatorProcess, result: RunResult, computation_id: str
    ) -> None:
        captured = airflow.xcom(DAG_ID, result.run_id, CAPTURE_TASK) or {}
        asset = emulator.get(f"/api/v1/data_assets/{captured['id']}")
        deferred = self._durations.seconds_in(CAPTURE_TASK, "deferred")
        self._terminal.print_title("Result")
        self._terminal.print_table(
            {
                "Computation": computation_id,
                "Data asset": f"{asset['name']} ({asset['id']})",
                "State": f"{asset['state']}, {asset.get('files')} files, {asset.get('size')} bytes",
                "Files": ", ".join(airflow.xcom(DAG_ID, result.run_id, READ_BACK_TASK) or ()),
                "Link": captured["url"] + ("" if self._ui else " (works with UI=1, while the emulator runs)"),
                "Waiting": f"{deferred:.1f} s in the triggerer, without a worker",
                "Requests": _describe_request_count(emulator),
                "Logs": _relative_path(self._home / "logs"),
            }
        )

    def _print_failed_tasks(self, airflow: RealAirflow, result: RunResult) -> None:
        for task, state in result.tasks.items():
            if state == "failed":
                log = airflow.task_log(DAG_ID, result.run_id, task.partition("[")[0])
                self._terminal.print_failure(f"The task {task} failed", format_task_log(log))
        self._terminal.print_title(f"The demo failed. Logs: {_relative_path(self._home / 'logs')}")

    def _wait_for_interrupt(self, airflow: RealAirflow, emulator: EmulatorProcess) -> None:
        self._terminal.print_title("Airflow keeps running until you press Ctrl-C")
        self._terminal.print_table(
            {
                "Airflow": f"{airflow.url} (no login required)",
                "DAG": f"{airflow.url}/dags/{DAG_ID}",
                "Connection": "codeocean_default, under Admin, Connections",
                "Code Ocean": f"{emulator.url} (the emulator)",
            }
        )
        parent = os.getppid()
        try:
            while os.getppid() == parent:  # otherwise, make was killed
                airflow.check_alive()
                time.sleep(0.5)
        except KeyboardInterrupt:
            self._terminal.print_title("Stopping ...")


def _describe_request_count(emulator: EmulatorProcess) -> str:
    try:
        stats: dict[str, Any] = emulator.get("/_emulator/stats")
    except (HttpError, httpx.TransportError):
        return "unknown"
    return f"{stats['requests']} to Code Ocean's API"


def _relative_path(path: Path) -> str:
    return os.path.relpath(path)


def _exit_on_signal(signal_number: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + signal_number)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m scripts.demo", description=__doc__)
    parser.add_argument("--ui", action="store_true", help="keep Airflow's UI running until Ctrl-C")
    parser.add_argument(
        "--home",
        type=Path,
        default=CHECKOUT / ".airflow" / "demo",
        help="AIRFLOW_HOME (default: %(default)s)",
    )
    parser.add_argument("--computation-id", help="computation to capture (default: a finished one)")
    options = parser.parse_args(arguments)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _exit_on_signal)
    terminal = Terminal(sys.stdout)
    demo = Demo(options.home.absolute(), options.computation_id, terminal, ui=options.ui)
    try:
        return demo.run()
    except KeyboardInterrupt:
        terminal.print_title("Stopped. No process is left running")
        return 130
    except (
        RealAirflowError,
        ConditionTimeoutError,
        RuntimeError,
        OSError,
        HttpError,
        httpx.TransportError,
    ) as error:
        terminal.print_failure("The demo could not run", str(error))
        terminal.print_title(f"The demo failed. Logs: {_relative_path(options.home / 'logs')}")
        return 1


if __name__ == "__main__":
    sys.exit(main())
