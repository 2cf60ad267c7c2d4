"""Many deferred tasks in a real triggerer: this provider's sensor and HttpSensor, one after the other.

``python -m tests.benchmarks.triggerer [--tasks 1000] [--docs]``. All tasks are deferred first; then the data
assets become ready, within half a minute. HttpSensor cannot look into an answer while it is deferred, so it
is given an address that answers 404 until the data asset is ready.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from scripts.real_airflow import RealAirflow
from tests.benchmarks.waits.__main__ import DOCS, Setting, run_server
from tests.benchmarks.waits.contestant_process import call_server
from tests.benchmarks.waits.contestants import TOKEN

DAGS = Path(__file__).parent / "waits" / "dags"
#: Between how many seconds after all are deferred the data assets become ready, and how long they wait as
#: drafts before that.
FIRST_READY_SECONDS, LAST_READY_SECONDS, WAIT_SECONDS = 5.0, 35.0, 60.0
#: Seconds for all tasks to be deferred, and to end.
TIMEOUT_SECONDS = 1800.0
_COLUMNS = (
    "A DAG of N deferred tasks",
    "N",
    "Triggerer's CPU s, a minute of waiting",
    "until all ends are noticed",
    "Triggerer's memory, MB",
    "Requests",
    "Connections",
    "Last end noticed after s",
    "Run ended after s",
)


@dataclass(frozen=True)
class Cost:
    """What one DAG cost.

    :param name: the DAG.
    :param waiting_cpu_seconds: the triggerer's CPU seconds in the minute in which all waited.
    :param ending_cpu_seconds: its CPU seconds from then until the last one had been noticed.
    :param memory_mb: megabytes of its processes at most.
    :param requests: requests from the start of that minute on.
    :param connections: connections that they took.
    :param detection_seconds: seconds from the end of the last data asset's creation to the last event.
    :param run_seconds: seconds from the same time to the end of the run.
    """

    name: str
    waiting_cpu_seconds: float
    ending_cpu_seconds: float
    memory_mb: float
    requests: int
    connections: int
    detection_seconds: float
    run_seconds: float


def main() -> None:
    """Measure both, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", type=int, default=1000)
    parser.add_argument("--docs", action="store_true", help="write docs/benchmark_triggerer.md")
    arguments = parser.parse_args()
    lines = [f"| {' | '.join(_COLUMNS)} |", f"|{' --- |' * len(_COLUMNS)}"]
    for name, label in (("ours", "**CodeOceanDataAssetSensor**"), ("http", "HttpSensor")):
        cost = measure(name, arguments.tasks)
        lines.append(
            f"| {label} | {arguments.tasks:,} | {cost.waiting_cpu_seconds:.1f} | "
            f"{cost.ending_cpu_seconds:.1f} | {cost.memory_mb:.0f} | {cost.requests:,} | "
            f"{cost.connections:,} | {cost.detection_seconds:.0f} | {cost.run_seconds:.0f} |"
        )
        print(lines[-1], flush=True)
    print("\n".join(lines))
    if arguments.docs:
        (DOCS / "benchmark_triggerer.md").write_text("\n".join(lines) + "\n")


def measure(dag_id: str, tasks: int) -> Cost:
    """Run one DAG in an Airflow of its own.

    :param dag_id: the DAG.
    :param tasks: how many tasks.
    :returns: what it cost.
    """
    with tempfile.TemporaryDirectory() as name, run_server(Setting(tasks)) as url:
        folder = Path(name)
        ready_in: dict[str, float] = call_server(
            f"{url}/bench/assets",
            {"count": tasks, "seed": 7, "first": FIRST_READY_SECONDS, "last": LAST_READY_SECONDS},
        )
        (folder / "ids.json").write_text(json.dumps(list(ready_in)))
        with RealAirflow(
            folder / "airflow",
            dags_folder=DAGS,
            connections={
                "codeocean_default": {"conn_type": "codeocean", "host": url, "password": TOKEN},
                "bench_http": {"conn_type": "http", "host": url},
            },
            env={"BENCH_IDS": str(folder / "ids.json")},
            config={
                "core.max_map_length": str(tasks),
                "core.max_active_tasks_per_dag": str(tasks),
                "triggerer.capacity": str(2 * tasks),
            },
            parallelism=4,
        ) as airflow:
            return _run(airflow, dag_id, tasks, url)


def _run(airflow: RealAirflow, dag_id: str, tasks: int, url: str) -> Cost:
    run_id = airflow.trigger(dag_id)
    triggerer = _TriggererProcesses(airflow)

    def in_state(state: str, count: int) -> None:
        def are() -> bool:
            triggerer.sample_memory()
            found = airflow.database.query(
                "SELECT COUNT(*) FROM task_instance WHERE run_id = ? AND state = ?", run_id, state
            )
            return int(found[0][0]) == count

        airflow.wait_until(are, description=f"{count} tasks {state}", timeout=TIMEOUT_SECONDS)

    in_state("deferred", tasks)
    before = call_server(f"{url}/bench/stats")
    began, cpu = time.monotonic(), triggerer.cpu_seconds()
    airflow.wait_until(
        lambda: triggerer.sample_memory() or time.monotonic() > began + WAIT_SECONDS,
        description="a minute",
        timeout=2 * WAIT_SECONDS,
    )
    waiting = triggerer.cpu_seconds() - cpu
    while_waiting = call_server(f"{url}/bench/stats")
    started = call_server(f"{url}/bench/start", {})
    in_state("deferred", 0)
    noticed, ending = time.monotonic() - started - LAST_READY_SECONDS, triggerer.cpu_seconds() - cpu - waiting
    after = call_server(f"{url}/bench/stats")
    airflow.wait_for_run(dag_id, run_id, timeout=TIMEOUT_SECONDS)
    requests = sum(after[kind] + while_waiting[kind] - before[kind] for kind in ("searches", "readings"))
    connections = after["connections"] + while_waiting["connections"] - before["connections"]
    finished = time.monotonic() - started - LAST_READY_SECONDS
    return Cost(dag_id, waiting, ending, triggerer.max_memory_mb, requests, connections, noticed, finished)


class _TriggererProcesses:
    """The triggerer's processes."""

    def __init__(self, airflow: RealAirflow) -> None:
        self._airflow = airflow
        self.max_memory_mb = 0.0

    def sample_memory(self) -> None:
        """See how much memory they take."""
        self.max_memory_mb = max(
            self.max_memory_mb, self._sum(lambda process: process.memory_full_info().pss) / 2**20
        )

    def cpu_seconds(self) -> float:
        """Return the CPU seconds that they have taken."""
        return self._sum(lambda process: sum(process.cpu_times()[:2]))

    def _sum(self, value: Any) -> float:
        total = 0.0
        for process in self._airflow.living_processes("triggerer"):
            try:
                total += value(process)
            except psutil.NoSuchProcess:
                continue
        return total


if __name__ == "__main__":
    main()
