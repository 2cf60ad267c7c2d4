"""Many mapped waits, deferrable and from the triggerer alone: ``python -m tests.benchmarks.worker_free``.

Both run on the same Airflow, one after the other, after a few of each to warm up. Every data asset is ready
some seconds after the first look at it.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from scripts.real_airflow import RealAirflow
from tests.benchmarks.waits.__main__ import Setting, run_server
from tests.benchmarks.waits.contestant_process import call_server
from tests.benchmarks.waits.contestants import TOKEN

if TYPE_CHECKING:
    from collections.abc import Iterator

DAGS = Path(__file__).parent / "dags"
LABELS = {"deferrable": "deferrable, from workers", "worker_free": "**`start_from_trigger=True`**"}
#: How many waits of each warm Airflow up.
WARM_UP_TASKS = 4
#: Seconds for a run.
RUN_TIMEOUT_SECONDS = 1800.0
#: What each process of a task writes into its log first.
_TASK_LOG_MARKER = "::group::Pre Execute"


@dataclass(frozen=True)
class Cost:
    """What one run cost.

    :param seconds: from its start to its end.
    :param worker_processes: processes that were started for tasks.
    :param cpu_seconds: CPU seconds of each component, with all the processes that it started.
    """

    seconds: float
    worker_processes: int
    cpu_seconds: dict[str, float]


def main() -> None:
    """Measure both, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=5.0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, run_server(Setting(arguments.tasks)) as url:
        folder = Path(name)
        ids = {
            prefix + dag_id: _create_assets(url, seed, n, arguments.seconds)
            for number, (prefix, n) in enumerate((("warm_up_", WARM_UP_TASKS), ("", arguments.tasks)))
            for seed, dag_id in enumerate(LABELS, start=2 * number)
        }
        (folder / "ids.json").write_text(json.dumps(ids))
        with RealAirflow(
            folder / "airflow",
            dags_folder=DAGS,
            connections={"codeocean_default": {"conn_type": "codeocean", "host": url, "password": TOKEN}},
            env={"BENCH_IDS": str(folder / "ids.json")},
            config={"core.max_active_tasks_per_dag": str(arguments.tasks)},
            parallelism=4,
        ) as airflow:
            costs = {dag_id: measure(airflow, dag_id) for dag_id in ids}
    _print_table(arguments.tasks, arguments.seconds, {dag_id: costs[dag_id] for dag_id in LABELS})


def _create_assets(url: str, seed: int, n: int, seconds: float) -> list[str]:
    return list(
        call_server(
            f"{url}/bench/assets",
            {"count": n, "seed": seed, "first": seconds, "last": seconds, "starts_at_once": False},
        )
    )


def measure(airflow: RealAirflow, dag_id: str) -> Cost:
    """Run one DAG.

    :param airflow: runs it.
    :param dag_id: the DAG.
    :returns: what it cost.
    """
    airflow.wait_for_dag(dag_id)
    before, began = _cpu_by_component(airflow), time.monotonic()
    run = airflow.run(dag_id, timeout=RUN_TIMEOUT_SECONDS)
    seconds, after = time.monotonic() - began, _cpu_by_component(airflow)
    if run.state != "success":
        raise RuntimeError(f"{dag_id} has {run.state}")
    logs = airflow.task_logs(dag_id, run.run_id)
    workers = sum(path.read_text(errors="replace").count(_TASK_LOG_MARKER) for path in logs)
    return Cost(seconds, workers, {name: after[name] - before[name] for name in after})


def _cpu_by_component(airflow: RealAirflow) -> dict[str, float]:
    """CPU seconds of each component until now, with those of the processes that have ended."""
    return {name: sum(_process_cpu_seconds(airflow, name)) for name in airflow.components}


def _process_cpu_seconds(airflow: RealAirflow, component: str) -> Iterator[float]:
    for process in airflow.living_processes(component):
        try:
            yield sum(process.cpu_times()[:4])
        except psutil.NoSuchProcess:
            continue


def _print_table(tasks: int, seconds: float, costs: dict[str, Cost]) -> None:
    components = list(next(iter(costs.values())).cpu_seconds)
    columns = (f"{tasks} mapped waits of {seconds:g} s", "Seconds", "Worker processes", "CPU s", *components)
    print(f"| {' | '.join(columns)} |\n|{' --- |' * len(columns)}")
    for dag_id, cost in costs.items():
        cpu = " | ".join(
            f"{value:.0f}" for value in (sum(cost.cpu_seconds.values()), *cost.cpu_seconds.values())
        )
        print(f"| {LABELS[dag_id]} | {cost.seconds:.0f} | {cost.worker_processes} | {cpu} |")
    classic, ours = costs.values()
    print(
        f"{classic.seconds / ours.seconds:.1f} times sooner, "
        f"{sum(classic.cpu_seconds.values()) / sum(ours.cpu_seconds.values()):.1f} times less CPU"
    )


if __name__ == "__main__":
    main()
