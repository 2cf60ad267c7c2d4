"""CPU time that a capture uses in its worker: ``python -m tests.benchmarks.capture_cpu``.

A real Airflow runs captures, and tasks that do nothing. Airflow forks a process for each task, which imports
the DAG file, runs the task, and records its own CPU time. The extra is the difference of the medians of a
capture and of a task that does nothing. A part of it is Airflow's, for template fields and the result; and a
deployment with https costs another 20 ms, for the certificates to trust. ``--compare CHECKOUT`` also measures
the package of another checkout, in alternating rounds.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
from pathlib import Path

from scripts.emulator_process import EmulatorProcess
from scripts.real_airflow import RealAirflow

CHECKOUT = Path(__file__).parents[3]
DAGS = Path(__file__).parent / "dags"
DAG_IDS = ("empty_cpu", "templates_cpu", "capture_cpu")
#: Seconds for one DAG run.
RUN_TIMEOUT_SECONDS = 600.0


def measure(checkout: Path, tasks: int) -> dict[str, list[float]]:
    """Run both DAGs once.

    :param checkout: the checkout with the package.
    :param tasks: number of tasks of each DAG.
    :returns: CPU milliseconds of each task's process, by DAG.
    """
    with tempfile.TemporaryDirectory() as name, EmulatorProcess(Path(name)) as emulator:
        folder = Path(name)
        (folder / "cpu").mkdir()
        emulator.call_api("PUT", "/_emulator/transitions", {"assets": {"seconds": 0}})
        with RealAirflow(
            folder / "airflow",
            dags_folder=DAGS,
            connections={"codeocean_default": emulator.connection},
            env={
                "BENCH_COMPUTATION": emulator.computation_id,
                "BENCH_CPU": str(folder / "cpu"),
                "BENCH_TASKS": str(tasks),
                "PYTHONPATH": str(checkout),
            },
            parallelism=1,
        ) as airflow:
            for dag_id in DAG_IDS:
                run = airflow.run(dag_id, timeout=RUN_TIMEOUT_SECONDS)
                if run.state != "success":
                    raise RuntimeError(f"{dag_id} has {run.state}")
        return {
            dag_id: [float(line) * 1000 for line in (folder / "cpu" / dag_id).read_text().split()]
            for dag_id in DAG_IDS
        }


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--compare", type=Path, metavar="CHECKOUT")
    arguments = parser.parse_args()
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # every process would compile the package
    checkouts = [CHECKOUT, *([arguments.compare.resolve()] if arguments.compare else [])]
    cpu: dict[tuple[Path, str], list[float]] = {}
    for _ in range(arguments.rounds):
        for checkout in checkouts:
            for dag_id, milliseconds in measure(checkout, arguments.tasks).items():
                cpu.setdefault((checkout, dag_id), []).extend(milliseconds)
    print(f"Median of {arguments.rounds} rounds of {arguments.tasks} tasks, CPU ms of the task's process:\n")
    print(
        "| Package | Task that does nothing | The same with a capture's template fields and result "
        "| Capture | Extra |\n| --- | --- | --- | --- | --- |"
    )
    extras = []
    for checkout in checkouts:
        medians = [statistics.median(cpu[checkout, dag_id]) for dag_id in DAG_IDS]
        extras.append(medians[-1] - medians[0])
        print(f"| {checkout.name} | {' | '.join(f'{value:.0f}' for value in (*medians, extras[-1]))} |")
    if arguments.compare:
        print(f"\nExtra: {extras[0] / extras[1]:.2f} times that of {checkouts[1].name}")


if __name__ == "__main__":
    main()
