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

from scripts.airflow_processes import RealAirflowError
from scripts.http_json import HttpError
from scripts.terminal import Terminal
from scripts.waiting import WaitExpiredError
from tests.cluster.code_ocean import CodeOcean, code_ocean
from tests.cluster.deployment import Cluster
from tests.cluster.drill import DEATHS, Drill
from tests.cluster.load import Load
from tests.cluster.private import MissingProgramError
from tests.cluster.progress import DAG_ID, TASK_ID, look
from tests.cluster.report import judge, sizing, summary
from tests.cluster.services import ServiceError, services

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

    from tests.cluster.report import Verdict

HERE = Path(__file__).parent
FOLDER = HERE.parent.parent / ".airflow" / "cluster"
#: Exit codes: captures were doubled, lost or failed; the run could not be made; it was interrupted.
NOT_ONCE, NOT_RUN, INTERRUPTED = 1, 2, 130
#: What the run may end with that says nothing of the captures; a server that does not answer is an OSError.
_FAULTS = (
    HttpError,
    MissingProgramError,
    OSError,
    RealAirflowError,
    RuntimeError,
    ServiceError,
    WaitExpiredError,
    subprocess.SubprocessError,
)
#: Seconds between two looks at the run.
_EVERY = 0.5


class Run:
    """One run of the DAG.

    :param cluster: where it runs.
    :param code_ocean: what it captures from.
    :param terminal: where to tell what happens.
    :param deaths: whether machines are to die.
    :param deadline: when to give up, by the monotonic clock.
    """

    def __init__(
        self, cluster: Cluster, code_ocean: CodeOcean, terminal: Terminal, *, deaths: bool, deadline: float
    ) -> None:
        self._cluster = cluster
        self._code_ocean = code_ocean
        self._terminal = terminal
        self._deadline = deadline
        self._captures = len(code_ocean.computations)
        self._drill = Drill(cluster, self._captures, terminal.say, DEATHS if deaths else ())
        self._load = Load(cluster, code_ocean)
        self._told = -1
        self._last = "nothing begun"

    def play(self) -> bool:
        """Run it, and print what came of it.

        :returns: whether all went as it should.
        """
        conf = {"computation_ids": self._code_ocean.computations}
        run_id = self._cluster.trigger(DAG_ID, conf=conf)
        self._terminal.say(f"{self._captures} captures begin")
        begin = time.monotonic()
        self._cluster.wait_until(
            lambda: self._goes_on(run_id),
            awaited=f"the end of {run_id}, and for all that died to be back",
            timeout=max(1.0, self._deadline - begin),
            every=_EVERY,
            logs=("scheduler-1",),
            evidence=lambda: [f"At last: {self._last}"],
        )
        seconds = time.monotonic() - begin
        self._load.measure()
        verdict, tries = self._judge(run_id)
        requests = self._load.stats["requests"]
        self._terminal.title(f"{', '.join(self._drill.died) or 'nothing'} killed")
        self._terminal.table(sizing(self._load, tries))
        self._terminal.title("Captured once" if verdict.good else "NOT captured once")
        self._terminal.table(summary(verdict, requests, seconds))
        return verdict.good

    def _goes_on(self, run_id: str) -> bool:
        """Look at the run, and do what is to be done; return whether it has ended."""
        ended = self._cluster.database.run_state(DAG_ID, run_id) in {"success", "failed"}
        seen = look(self._cluster.database, run_id)
        self._load.look(seen)
        self._drill.go_on(seen, ended=ended)
        states = ", ".join(f"{count} {state}" for state, count in sorted(seen.states.items()))
        self._last = f"{seen.begun} begun; {states}"
        tenth = 10 * (seen.begun + seen.succeeded) // self._captures
        if tenth != self._told:
            self._told = tenth
            self._terminal.say(f"  {self._last}")
        if ended and self._drill.cannot_go_on:
            raise RealAirflowError("the run ended before all machines had died: ask for more captures")
        return ended and self._drill.over

    def _judge(self, run_id: str) -> tuple[Verdict, Counter[int]]:
        made = self._code_ocean.captured()
        tasks = self._cluster.tasks(DAG_ID, run_id)
        returned: dict[str, Any] = {}
        for number, computation in enumerate(self._code_ocean.computations):
            xcom = self._cluster.xcom(DAG_ID, run_id, TASK_ID, map_index=number)
            returned[computation] = xcom["id"] if xcom else ""
        verdict = judge(
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
        signal.signal(number, _stop)
    try:
        with ExitStack() as stack:
            stack.enter_context(_alone())
            shutil.rmtree(FOLDER, ignore_errors=True)
            FOLDER.mkdir(parents=True)
            servers = stack.enter_context(services(FOLDER))
            server = stack.enter_context(code_ocean(FOLDER, captures, wait))
            cluster = Cluster(
                FOLDER / "airflow",
                services=servers,
                captures=captures,
                dags_folder=HERE / "dags",
                connections={"codeocean_default": server.connection},
            )
            terminal.say(f"Airflow {cluster.release_name} starts: {', '.join(cluster.components)} ...")
            stack.enter_context(cluster)
            run = Run(cluster, server, terminal, deaths=not arguments.no_deaths, deadline=deadline)
            return 0 if run.play() else NOT_ONCE
    except _FAULTS as error:
        what, _, details = str(error).partition("\n")
        terminal.failure(f"The run could not be made: {what}", details)
        return NOT_RUN
    except KeyboardInterrupt:
        terminal.say("Interrupted; all that was started has ended")
        return INTERRUPTED
    finally:
        terminal.say(f"Logs: {FOLDER}")


@contextmanager
def _alone() -> Iterator[None]:
    """Keep other runs away, which would remove what this one has in its folder."""
    FOLDER.parent.mkdir(parents=True, exist_ok=True)
    with FOLDER.with_suffix(".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RuntimeError("another one runs in this checkout: wait for its end") from None
        yield


def _stop(_number: int, _frame: FrameType | None) -> None:
    """End everything in order; another signal meanwhile would leave half of it."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
