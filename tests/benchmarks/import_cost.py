"""Cost of importing operators, over the imports of any DAG: ``python -m tests.benchmarks.import_cost``.

Each figure is a median over processes: the wall time and the CPU time of the case, and the modules that came
with it; those that are known to be heavy are named. The processes are forked from one that has done the base
import, as Airflow does for DAG files and tasks. The cases take turns, so that a busy machine slows them all.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import pkgutil
import statistics
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

BASE_IMPORT = "from airflow.sdk import DAG, BaseOperator, BaseSensorOperator"
PACKAGE = "airflow_provider_codeocean"
FOLDER = Path(__file__).parents[2] / PACKAGE
ONE_OPERATOR, ALL_OPERATORS, PEER = "one operator", "all operators, sensors", "HTTP provider"
#: Limit of :data:`ALL_OPERATORS`.
LIMIT_MILLISECONDS = 60
OPERATOR_IMPORT = f"from {PACKAGE}.operators.data_asset import CodeOceanCaptureResultOperator"
HEAVY_MODULES = {
    "airflow.triggers.base",
    "fsspec",
    "httpx",
    "httpx2",
    "msgspec",
    "pandas",
    "pydantic",
    "requests",
    "sqlalchemy",
    "ssl",
    f"{PACKAGE}.api.client",
    f"{PACKAGE}.api.models.base",
}


def public_modules(*kinds: str) -> list[str]:
    """Return the public modules of folders of the package, without importing it.

    :param kinds: names of the folders.
    :returns: the modules.
    """
    return [
        f"{PACKAGE}.{kind}.{module.name}"
        for kind in kinds
        for module in pkgutil.iter_modules([str(FOLDER / kind)])
        if not module.name.startswith("_")
    ]


CASES = {
    ONE_OPERATOR: OPERATOR_IMPORT,
    ALL_OPERATORS: f"import {', '.join(public_modules('operators', 'sensors'))}",
    "one operator, created": f"{OPERATOR_IMPORT}; "
    "CodeOceanCaptureResultOperator(task_id='t', computation_id='c', name='n')",
    PEER: "import airflow.providers.http.operators.http, airflow.providers.http.sensors.http",
    "the SDK": "import codeocean",
}


def measure(case: str) -> tuple[float, float, set[str]]:
    """Run a case in a forked process.

    :param case: the code.
    :returns: the wall time and the CPU time in seconds, and the modules that it brought.
    """
    receiver, sender = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.get_context("fork").Process(target=_run, args=(case, sender))
    process.start()
    sender.close()
    result: tuple[float, float, set[str]] = receiver.recv()
    process.join()
    return result


def _run(case: str, sender: Connection) -> None:
    before = set(sys.modules)
    started_at, cpu_before = time.perf_counter(), time.process_time()
    exec(case)
    wall, cpu = time.perf_counter() - started_at, time.process_time() - cpu_before
    sender.send((wall, cpu, set(sys.modules) - before))


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=25)
    rounds = parser.parse_args().rounds
    sys.dont_write_bytecode = False
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as home:
        os.environ["AIRFLOW_HOME"] = home
        exec(BASE_IMPORT)
        modules = {name: measure(case)[2] for name, case in CASES.items()}  # fills the caches
        seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in CASES}
        for _ in range(rounds):
            for name, case in CASES.items():
                seconds[name].append(measure(case)[:2])
    wall, cpu = (
        {name: statistics.median(value[index] for value in values) * 1000 for name, values in seconds.items()}
        for index in (0, 1)
    )
    print(f"added to `{BASE_IMPORT}`, median of {rounds} processes:")
    for name in CASES:
        heavy = ", ".join(sorted(modules[name] & HEAVY_MODULES)) or "none of the heavy ones"
        times = f"{wall[name]:6.1f} ms wall {cpu[name]:6.1f} ms CPU"
        print(f"  {name:22} {times} {len(modules[name]):4} modules, {heavy}")
    verdict = "kept" if wall[ALL_OPERATORS] <= LIMIT_MILLISECONDS else "EXCEEDED"
    print(
        f"{ALL_OPERATORS}: {wall[ALL_OPERATORS]:.1f} ms wall, limit {LIMIT_MILLISECONDS} ms {verdict}; CPU "
        f"{cpu[ALL_OPERATORS] / cpu[PEER]:.2f} times the {PEER}, {ONE_OPERATOR} "
        f"{cpu[ONE_OPERATOR] / cpu[PEER]:.2f} times"
    )


if __name__ == "__main__":
    main()
