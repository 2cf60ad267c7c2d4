"""Short deferred captures without retries, with every core kept busy: ``make bench BENCH=short_deferrals``.

If a deferred task is queued again before the scheduler has noticed the exit of its first worker process, the
scheduler fails it (apache/airflow issues 67287, 71580, and 72716). This counts such failures. Run it with the
Python of another environment to measure that Airflow.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from scripts.emulator_process import EmulatorProcess
from scripts.real_airflow import RealAirflow

if TYPE_CHECKING:
    from collections.abc import Iterator

DAGS = Path(__file__).parent / "dags"
RUN_TIMEOUT_SECONDS = 1800.0
_MISMATCH_MESSAGE = "state attribute is"


@contextmanager
def keep_cores_busy(processes: int) -> Iterator[None]:
    """Keep cores busy.

    :param processes: how many.
    """
    with ExitStack() as stack:
        for _ in range(processes):
            busy = stack.enter_context(subprocess.Popen([sys.executable, "-c", "while True: pass"]))
            stack.callback(busy.kill)
        yield


def main() -> int:
    """Run the captures, and print how many failed.

    :returns: the exit code: 1 if any capture failed.
    """
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", type=int, default=150)
    parser.add_argument("--load", type=int, default=os.cpu_count(), help="processes that keep a core busy")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, EmulatorProcess(Path(name)) as emulator:
        folder = Path(name)
        emulator.call_api("PUT", "/_emulator/transitions", {"assets": {"seconds": 3}})
        with RealAirflow(
            folder / "airflow",
            dags_folder=DAGS,
            connections={"codeocean_default": emulator.connection},
            env={"BENCH_COMPUTATION": emulator.computation_id, "BENCH_TASKS": str(arguments.tasks)},
            config={"core.max_active_tasks_per_dag": str(arguments.tasks)},
            parallelism=4,
        ) as airflow:
            airflow.wait_for_dag("short_deferrals")
            started_at = time.monotonic()
            with keep_cores_busy(arguments.load):
                run = airflow.run("short_deferrals", timeout=RUN_TIMEOUT_SECONDS)
            seconds = time.monotonic() - started_at
            log = airflow.component_log("scheduler").read_text(errors="replace")
            version = ".".join(map(str, airflow.version))
    failed = sum(state != "success" for state in run.tasks.values())
    print("| Airflow | Captures | Busy cores | Failed | Reported by the scheduler | Seconds |")
    print("| --- | --- | --- | --- | --- | --- |")
    print(
        f"| {version} | {arguments.tasks} | {arguments.load} | {failed} | {log.count(_MISMATCH_MESSAGE)} "
        f"| {seconds:.0f} |"
    )
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
