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
from tests.benchmarks.waits.__main__ import DOCS, Setting, serving
from tests.benchmarks.waits.contestants import TOKEN
from tests.benchmarks.waits.measured import call

DAGS = Path(__file__).parent / "waits" / "dags"
#: Between how many seconds after all are deferred the data assets become ready, and how long they wait as
#: drafts before that.
FIRST, LAST, DEFERRED = 5.0, 35.0, 60.0
#: Seconds for all tasks to be deferred, and to end.
PATIENCE = 1800.0
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
    :param waiting: the triggerer's CPU seconds in the minute in which all waited.
    :param ending: its CPU seconds from then until the last one had been noticed.
    :param memory: megabytes of its processes at most.
    :param requests: requests from the start of that minute on.
    :param connections: connections that they took.
    :param noticed: seconds from the time that the last data asset was ready to the last trigger's event.
    :param finished: seconds from the same time to the end of the run.
    """

    name: str
    waiting: float
    ending: float
    memory: float
    requests: int
    connections: int
    noticed: float
    finished: float


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
            f"| {label} | {arguments.tasks:,} | {cost.waiting:.1f} | {cost.ending:.1f} | {cost.memory:.0f} | "
            f"{cost.requests:,} | {cost.connections:,} | {cost.noticed:.0f} | {cost.finished:.0f} |"
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
    with tempfile.TemporaryDirectory() as name, serving(Setting(tasks)) as url:
        folder = Path(name)
        ready_in: dict[str, float] = call(
            f"{url}/bench/assets", {"n": tasks, "seed": 7, "first": FIRST, "last": LAST}
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
            return _play(airflow, dag_id, tasks, url)


def _play(airflow: RealAirflow, dag_id: str, tasks: int, url: str) -> Cost:
    run_id = airflow.trigger(dag_id)
    triggerer = _Processes(airflow)

    def in_state(state: str, count: int) -> None:
        def are() -> bool:
            triggerer.look()
            found = airflow.database.query(
                "SELECT COUNT(*) FROM task_instance WHERE run_id = ? AND state = ?", run_id, state
            )
            return int(found[0][0]) == count

        airflow.wait_until(are, awaited=f"{count} tasks {state}", timeout=PATIENCE)

    in_state("deferred", tasks)
    before = call(f"{url}/bench/stats")
    began, cpu = time.monotonic(), triggerer.cpu()
    airflow.wait_until(
        lambda: triggerer.look() or time.monotonic() > began + DEFERRED,
        awaited="a minute",
        timeout=2 * DEFERRED,
    )
    waiting = triggerer.cpu() - cpu
    while_waiting = call(f"{url}/bench/stats")
    started = call(f"{url}/bench/start", {})
    in_state("deferred", 0)
    noticed, ending = time.monotonic() - started - LAST, triggerer.cpu() - cpu - waiting
    after = call(f"{url}/bench/stats")
    airflow.wait_for(dag_id, run_id, timeout=PATIENCE)
    requests = sum(after[kind] + while_waiting[kind] - before[kind] for kind in ("searches", "readings"))
    connections = after["connections"] + while_waiting["connections"] - before["connections"]
    finished = time.monotonic() - started - LAST
    return Cost(dag_id, waiting, ending, triggerer.memory, requests, connections, noticed, finished)


class _Processes:
    """The triggerer's processes."""

    def __init__(self, airflow: RealAirflow) -> None:
        self._airflow = airflow
        self.memory = 0.0

    def look(self) -> None:
        """See how much memory they take."""
        self.memory = max(self.memory, self._sum(lambda process: process.memory_full_info().pss) / 2**20)

    def cpu(self) -> float:
        """Return the CPU seconds that they have taken."""
        return self._sum(lambda process: sum(process.cpu_times()[:2]))

    def _sum(self, value: Any) -> float:
        total = 0.0
        for process in self._airflow.tree("triggerer"):
            try:
                total += value(process)
            except psutil.NoSuchProcess:
                continue
        return total


if __name__ == "__main__":
    main()
