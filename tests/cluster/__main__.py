"""``python -m tests.cluster``: captures on an Airflow of several machines, some of which die meanwhile.

Two schedulers, two triggerers and two Celery workers share PostgreSQL and Redis. A DAG captures many
computations, of a Code Ocean that refuses, fails and loses answers, while a worker, a triggerer and a
scheduler are killed and started again. Exits 0 if each capture has left one data asset and no task has
failed.
"""

from __future__ import annotations

import argparse
import fcntl
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_provider_codeocean.api._http.library import httpx
from scripts.airflow_processes import RealAirflowError
from scripts.http_json import HttpError
from scripts.terminal import Terminal
from scripts.waiting import ConditionTimeoutError
from tests.cluster.code_ocean import EmulatedCodeOcean, run_emulator
from tests.cluster.deployment import Cluster
from tests.cluster.failure_drill import PLANNED_FAILURES, FailureDrill
from tests.cluster.local_servers import MissingProgramError
from tests.cluster.progress import DAG_ID, TASK_ID, read_progress
from tests.cluster.report import sizing_rows, summarize, summary_rows
from tests.cluster.resource_usage import ResourceUsage
from tests.cluster.services import ServiceError, provide_services

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

    from tests.cluster.report import CaptureSummary

HERE = Path(__file__).parent
WORK_FOLDER = HERE.parent.parent / ".airflow" / "cluster"
#: Exit codes: captures were doubled, lost or failed; the run could not be made; it was interrupted.
EXIT_NOT_ONCE, EXIT_NOT_RUN, EXIT_INTERRUPTED = 1, 2, 130
#: Errors that say nothing about the captures.
_INFRASTRUCTURE_ERRORS = (
    HttpError,
    httpx.TransportError,
    MissingProgramError,
    OSError,
    RealAirflowError,
    RuntimeError,
    ServiceError,
    ConditionTimeoutError,
    subprocess.SubprocessError,
)
#: Seconds between two looks at the run.
_POLL_INTERVAL_SECONDS = 0.5


class ClusterRun:
    """One run of the DAG.

    :param cluster: where it runs.
    :param code_ocean: what it captures from.
    :param terminal: where to tell what happens.
    :param deaths: whether machines are to die.
    :param deadline: when to give up, by the monotonic clock.
    """

    def __init__(
        self,
        cluster: Cluster,
        code_ocean: EmulatedCodeOcean,
        terminal: Terminal,
        *,
        deaths: bool,
        deadline: float,
    ) -> None:
        self._cluster = cluster
        self._code_ocean = code_ocean
        self._terminal = terminal
        self._deadline = deadline
        self._capture_count = len(code_ocean.computations)
        self._drill = FailureDrill(
            cluster, self._capture_count, terminal.print_line, PLANNED_FAILURES if deaths else ()
        )
        self._load = ResourceUsage(cluster, code_ocean)
        self._reported_tenths = -1
        self._last_progress = "nothing begun"

    def execute(self) -> bool:
        """Run it, and print what came of it.

        :returns: whether all went as it should.
        """
        conf = {"computation_ids": self._code_ocean.computations}
        run_id = self._cluster.trigger(DAG_ID, conf=conf)
        self._terminal.print_line(f"{self._capture_count} captures begin")
        begin = time.monotonic()
        self._cluster.wait_until(
            lambda: self._advance(run_id),
            description=f"the end of {run_id}, and for all that died to be back",
            timeout=max(1.0, self._deadline - begin),
            interval=_POLL_INTERVAL_SECONDS,
            logs=("scheduler-1",),
            get_failure_details=lambda: [f"At last: {self._last_progress}"],
        )
        seconds = time.monotonic() - begin
        self._load.measure()
        verdict, tries = self._evaluate(run_id)
        requests = self._load.stats["requests"]
        self._terminal.print_title(f"{', '.join(self._drill.killed_components) or 'nothing'} killed")
        self._terminal.print_table(sizing_rows(self._load, tries))
        self._terminal.print_title("Captured once" if verdict.is_exactly_once else "NOT captured once")
        self._terminal.print_table(summary_rows(verdict, requests, seconds))
        return verdict.is_exactly_once

    def _advance(self, run_id: str) -> bool:
        """Look at the run, and do what is to be done; return whether it has ended."""
        ended = self._cluster.database.run_state(DAG_ID, run_id) in {"success", "failed"}
        seen = read_progress(self._cluster.database, run_id)
        self._load.update(seen)
        self._drill.advance(seen, run_ended=ended)
        states = ", ".join(f"{count} {state}" for state, count in sorted(seen.states.items()))
        self._last_progress = f"{seen.submitted} begun; {states}"
        tenth = 10 * (seen.submitted + seen.succeeded) // self._capture_count
        if tenth != self._reported_tenths:
            self._reported_tenths = tenth
            self._terminal.print_line(f"  {self._last_progress}")
        if ended and self._drill.needs_more_progress:
            raise RealAirflowError("the run ended before all machines had died: ask for more captures")
        return ended and self._drill.is_finished

    def _evaluate(self, run_id: str) -> tuple[CaptureSummary, Counter[int]]:
        made = self._code_ocean.find_captured_assets()
        tasks = self._cluster.tasks(DAG_ID, run_id)
        returned: dict[str, Any] = {}
        for number, computation in enumerate(self._code_ocean.computations):
            xcom = self._cluster.xcom(DAG_ID, run_id, TASK_ID, map_index=number)
            returned[computation] = xcom["id"] if xcom else ""
        verdict = summarize(
            self._code_ocean.computations,
            {computation: [(each.id, each.state) for each in found] for computation, found in made.items()},
            returned,
            [task.state for task in tasks],
        )
        return verdict, Counter(task.try_number for task in tasks if task.task.startswith(f"{TASK_ID}["))


def main() -> int:
    """Make everything, run it, and take everything down.

    :returns: the exit code.
    """
    parser = argparse.ArgumentParser(prog="python -m tests.cluster", description=__doc__)
    parser.add_argument("--captures", type=int, default=500, help="how many (default: %(default)s)")
    parser.add_argument("--wait", type=float, help="seconds that each takes (default: 20, and 0.2 for each)")
    parser.add_argument("--no-deaths", action="store_true", help="kill nothing")
    parser.add_argument("--minutes", type=float, default=30.0, help="give up after (default: %(default)s)")
    arguments = parser.parse_args()
    captures: int = arguments.captures
    wait = 20 + 0.2 * captures if arguments.wait is None else arguments.wait
    deadline = time.monotonic() + 60 * arguments.minutes
    terminal = Terminal(sys.stdout)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    try:
        with ExitStack() as stack:
            stack.enter_context(_exclusive_run())
            shutil.rmtree(WORK_FOLDER, ignore_errors=True)
            WORK_FOLDER.mkdir(parents=True)
            servers = stack.enter_context(provide_services(WORK_FOLDER))
            server = stack.enter_context(run_emulator(WORK_FOLDER, captures, wait))
            cluster = Cluster(
                WORK_FOLDER / "airflow",
                services=servers,
                capture_count=captures,
                dags_folder=HERE / "dags",
                connections={"codeocean_default": server.connection},
            )
            terminal.print_line(f"Airflow {cluster.version_text} starts: {', '.join(cluster.components)} ...")
            stack.enter_context(cluster)
            run = ClusterRun(cluster, server, terminal, deaths=not arguments.no_deaths, deadline=deadline)
            return 0 if run.execute() else EXIT_NOT_ONCE
    except _INFRASTRUCTURE_ERRORS as error:
        what, _, details = str(error).partition("\n")
        terminal.print_failure(f"The run could not be made: {what}", details)
        return EXIT_NOT_RUN
    except KeyboardInterrupt:
        terminal.print_line("Interrupted; all that was started has ended")
        return EXIT_INTERRUPTED
    finally:
        terminal.print_line(f"Logs: {WORK_FOLDER}")


@contextmanager
def _exclusive_run() -> Iterator[None]:
    """Keep other runs away, which would remove what this one has in its folder."""
    WORK_FOLDER.parent.mkdir(parents=True, exist_ok=True)
    with WORK_FOLDER.with_suffix(".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RuntimeError("another one runs in this checkout: wait for its end") from None
        yield


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    """End everything in order; another signal meanwhile would leave half of it."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
