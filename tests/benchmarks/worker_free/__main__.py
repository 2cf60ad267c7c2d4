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
from tests.benchmarks.waits.__main__ import Setting, serving
from tests.benchmarks.waits.contestants import TOKEN
from tests.benchmarks.waits.measured import call

if TYPE_CHECKING:
    from collections.abc import Iterator

DAGS = Path(__file__).parent / "dags"
LABELS = {"deferrable": "deferrable, from workers", "worker_free": "**`start_from_trigger=True`**"}
#: How many waits of each warm Airflow up.
WARM_UP = 4
#: Seconds for a run.
PATIENCE = 1800.0
#: What each process of a task writes into its log first.
_FIRST_LINE = "::group::Pre Execute"


@dataclass(frozen=True)
class Cost:
    """What one run cost.

    :param seconds: from its start to its end.
    :param workers: processes that were started for tasks.
    :param cpu: CPU seconds of each component, with all the processes that it started.
    """

    seconds: float
    workers: int
    cpu: dict[str, float]


def main() -> None:
    """Measure both, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=5.0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, serving(Setting(arguments.tasks)) as url:
        folder = Path(name)
        ids = {
            prefix + dag_id: _make(url, seed, n, arguments.seconds)
            for number, (prefix, n) in enumerate((("warm_up_", WARM_UP), ("", arguments.tasks)))
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
    _print(arguments.tasks, arguments.seconds, {dag_id: costs[dag_id] for dag_id in LABELS})


def _make(url: str, seed: int, n: int, seconds: float) -> list[str]:
    return list(
        call(f"{url}/bench/assets", {"n": n, "seed": seed, "first": seconds, "last": seconds, "begun": False})
    )


def measure(airflow: RealAirflow, dag_id: str) -> Cost:
    """Run one DAG.

    :param airflow: runs it.
    :param dag_id: the DAG.
    :returns: what it cost.
    """
    airflow.wait_for_dag(dag_id)
    before, began = _cpu(airflow), time.monotonic()
    run = airflow.run(dag_id, timeout=PATIENCE)
    seconds, after = time.monotonic() - began, _cpu(airflow)
    if run.state != "success":
        raise RuntimeError(f"{dag_id} has {run.state}")
    logs = airflow.task_logs(dag_id, run.run_id)
    workers = sum(path.read_text(errors="replace").count(_FIRST_LINE) for path in logs)
    return Cost(seconds, workers, {name: after[name] - before[name] for name in after})


def _cpu(airflow: RealAirflow) -> dict[str, float]:
    """CPU seconds of each component until now, with those of the processes that have ended."""
    return {name: sum(_times(airflow, name)) for name in airflow.components}


def _times(airflow: RealAirflow, component: str) -> Iterator[float]:
    for process in airflow.tree(component):
        try:
            yield sum(process.cpu_times()[:4])
        except psutil.NoSuchProcess:
            continue


def _print(tasks: int, seconds: float, costs: dict[str, Cost]) -> None:
    components = list(next(iter(costs.values())).cpu)
    columns = (f"{tasks} mapped waits of {seconds:g} s", "Seconds", "Worker processes", "CPU s", *components)
    print(f"| {' | '.join(columns)} |\n|{' --- |' * len(columns)}")
    for dag_id, cost in costs.items():
        cpu = " | ".join(f"{value:.0f}" for value in (sum(cost.cpu.values()), *cost.cpu.values()))
        print(f"| {LABELS[dag_id]} | {cost.seconds:.0f} | {cost.workers} | {cpu} |")
    classic, ours = costs.values()
    print(
        f"{classic.seconds / ours.seconds:.1f} times sooner, "
        f"{sum(classic.cpu.values()) / sum(ours.cpu.values()):.1f} times less CPU"
    )


if __name__ == "__main__":
    main()
