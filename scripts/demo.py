"""``make demo``: the provider's main job on the emulator, in a real Airflow, told as it happens.

Starts the emulator of the Code Ocean API and an Airflow of its own, runs the DAG ``capture_result`` of
``dags_examples/`` (a finished computation is captured as a data asset, waiting in the triggerer, and read
back), and says what happened. Exits 0 if that was a success. With ``--ui`` it then stays, with Airflow's UI
to look at.
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

from scripts.emulator_process import EmulatorProcess
from scripts.http_json import HttpError
from scripts.real_airflow import RealAirflow, RealAirflowError, RunResult, TaskChange
from scripts.task_log import readable
from scripts.terminal import Terminal
from scripts.waiting import WaitExpiredError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import FrameType

CHECKOUT = Path(__file__).resolve().parent.parent
DAG_ID = "capture_result"
CAPTURE_TASK = "capture"
READ_BACK_TASK = "read_back"
RUN_SECONDS = 120.0


@dataclass
class TaskTimes:
    """How long a task was in which state, from the changes seen.

    :param changes: all changes of all tasks, in order.
    """

    changes: list[TaskChange] = field(default_factory=list)

    def seconds_in(self, task: str, state: str) -> float:
        """Return the seconds that a task spent in a state, over all its stays there.

        :param task: the task.
        :param state: the state.
        """
        own = [change for change in self.changes if change.task == task]
        pairs = itertools.pairwise(own)
        return sum(after.seconds - before.seconds for before, after in pairs if before.state == state)


class Demo:
    """One run of the demo.

    :param home: directory for everything it writes: the AIRFLOW_HOME and, in ``logs/``, all logs.
    :param computation_id: the computation to capture; by default the emulator's finished one.
    :param terminal: where to tell the story.
    :param ui: whether to show Airflow's UI afterwards.
    """

    def __init__(self, home: Path, computation_id: str | None, terminal: Terminal, *, ui: bool) -> None:
        self._home = home
        self._computation_id = computation_id
        self._terminal = terminal
        self._ui = ui
        self._times = TaskTimes()

    def run(self) -> int:
        """Run it all.

        :returns: the exit code.
        """
        say = self._terminal.say
        with EmulatorProcess(self._home.parent / f"{self._home.name}-emulator") as emulator:
            say(f"The emulator of the Code Ocean API answers at {emulator.url}")
            airflow = RealAirflow(
                self._home,
                dags_folder=CHECKOUT / "dags_examples",
                connections={} if self._ui else {"codeocean_default": emulator.connection},
                ui=self._ui,
                parses_often=self._ui,  # somebody may switch a DAG on
            )
            say(f"Airflow {airflow.release_name} starts: {', '.join(airflow.components)} ...")
            with airflow:
                if self._ui:
                    airflow.add_connection("codeocean_default", emulator.connection_for_the_ui)
                computation_id = self._computation_id or emulator.computation_id
                say(f"Airflow is up. DAG {DAG_ID} captures computation {computation_id}:")
                result = self._run_dag(airflow, computation_id)
                if result.state == "success":
                    self._summarise(airflow, emulator, result, computation_id)
                else:
                    self._blame(airflow, result)
                if self._ui:
                    self._stay(airflow, emulator)
        return 0 if result.state == "success" else 1

    def _run_dag(self, airflow: RealAirflow, computation_id: str) -> RunResult:
        def tell(change: TaskChange) -> None:
            self._times.changes.append(change)
            self._terminal.task_changed(change.task, change.state)

        run_id = airflow.trigger(DAG_ID, conf={"computation_id": computation_id})
        return airflow.wait_for(DAG_ID, run_id, timeout=RUN_SECONDS, on_change=tell)

    def _summarise(
        self, airflow: RealAirflow, emulator: EmulatorProcess, result: RunResult, computation_id: str
    ) -> None:
        captured = airflow.xcom(DAG_ID, result.run_id, CAPTURE_TASK) or {}
        asset = emulator.get(f"/api/v1/data_assets/{captured['id']}")
        deferred = self._times.seconds_in(CAPTURE_TASK, "deferred")
        self._terminal.title("What happened")
        self._terminal.table(
            {
                "Computation": computation_id,
                "Data asset": f"{asset['name']} ({asset['id']})",
                "State": f"{asset['state']}, {asset.get('files')} files, {asset.get('size')} bytes",
                "Files": ", ".join(airflow.xcom(DAG_ID, result.run_id, READ_BACK_TASK) or ()),
                "Link": captured["url"] + ("" if self._ui else " (gone with the emulator; stays with UI=1)"),
                "Waiting": f"{deferred:.1f} s in the triggerer, in which no worker was held",
                "Requests": _requests_made(emulator),
                "Logs": _relative(self._home / "logs"),
            }
        )

    def _blame(self, airflow: RealAirflow, result: RunResult) -> None:
        for task, state in result.tasks.items():
            if state == "failed":
                log = airflow.task_log(DAG_ID, result.run_id, task.partition("[")[0])
                self._terminal.failure(f"The task {task} failed", readable(log))
        self._terminal.title(f"The demo failed. Logs: {_relative(self._home / 'logs')}")

    def _stay(self, airflow: RealAirflow, emulator: EmulatorProcess) -> None:
        self._terminal.title("Have a look; Ctrl-C ends it")
        self._terminal.table(
            {
                "Airflow": f"{airflow.url} (no login needed)",
                "DAG": f"{airflow.url}/dags/{DAG_ID}",
                "Connection": "codeocean_default, under Admin, Connections",
                "Code Ocean": f"{emulator.url} (the emulator)",
            }
        )
        parent = os.getppid()
        try:
            while os.getppid() == parent:  # else make was killed: nobody is looking any more
                airflow.check_alive()
                time.sleep(0.5)
        except KeyboardInterrupt:
            self._terminal.title("Stopping ...")


def _requests_made(emulator: EmulatorProcess) -> str:
    try:
        stats: dict[str, Any] = emulator.get("/_emulator/stats")
    except (HttpError, OSError):
        return "unknown"
    return f"{stats['requests']} to Code Ocean's API"


def _relative(path: Path) -> str:
    return os.path.relpath(path)


def _end(number: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo from the command line.

    :param arguments: the command line's arguments.
    :returns: the exit code.
    """
    parser = argparse.ArgumentParser(prog="python -m scripts.demo", description=__doc__)
    parser.add_argument("--ui", action="store_true", help="stay, with Airflow's UI, until Ctrl-C")
    parser.add_argument("--home", type=Path, default=CHECKOUT / ".airflow" / "demo", help="where to work")
    parser.add_argument("--computation-id", help="what to capture; by default a finished computation")
    options = parser.parse_args(arguments)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _end)
    terminal = Terminal(sys.stdout)
    demo = Demo(options.home.absolute(), options.computation_id, terminal, ui=options.ui)
    try:
        return demo.run()
    except KeyboardInterrupt:
        terminal.title("Stopped; nothing is left running")
        return 130
    except (RealAirflowError, WaitExpiredError, RuntimeError, OSError, HttpError) as error:
        terminal.failure("The demo could not be run", str(error))
        terminal.title(f"The demo failed. Logs: {_relative(options.home / 'logs')}")
        return 1


if __name__ == "__main__":
    sys.exit(main())
