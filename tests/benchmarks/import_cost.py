"""Cost of importing operators, over the imports of any DAG: ``python -m tests.benchmarks.import_cost``.

Each figure is the median over fresh processes of the wall time between the base import and the end of the
case, taken in that process, and the modules that came with it; those that are known to be heavy are named.
The cases take turns, so that a busy machine slows them all.
"""

from __future__ import annotations

import argparse
import json
import os
import pkgutil
import statistics
import subprocess
import sys
import tempfile
from importlib import import_module

BASE_IMPORT = "from airflow.sdk import DAG, BaseOperator, BaseSensorOperator"
PACKAGE = "airflow_provider_codeocean"
ONE_OPERATOR, ALL_OPERATORS, PEER = "one operator", "all operators, sensors", "HTTP provider"
#: Limit of :data:`ALL_OPERATORS`.
LIMIT_MILLISECONDS = 60
OPERATOR_IMPORT = f"from {PACKAGE}.operators.data_asset import CodeOceanCaptureResultOperator"
HEAVY_MODULES = {
    "airflow.triggers.base",
    "fsspec",
    "httpx",
    "msgspec",
    "pandas",
    "pydantic",
    "requests",
    "sqlalchemy",
    "ssl",
    f"{PACKAGE}.api.client",
    f"{PACKAGE}.api.models.base",
}
PROGRAM = """
import json, sys, time
{base}
before, started = set(sys.modules), time.perf_counter()
{case}
print(json.dumps([time.perf_counter() - started, sorted(set(sys.modules) - before)]))
"""


def public_modules(*kinds: str) -> list[str]:
    """Return the public modules of the package's folders.

    :param kinds: names of the folders.
    :returns: the modules.
    """
    folders = [import_module(f"{PACKAGE}.{kind}") for kind in kinds]
    return [
        f"{folder.__name__}.{module.name}"
        for folder in folders
        for module in pkgutil.iter_modules(folder.__path__)
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


def measure(case: str, environment: dict[str, str]) -> tuple[float, set[str]]:
    """Run a case in a fresh process.

    :param case: the code.
    :param environment: environment variables.
    :returns: the seconds that it took, and the modules that it brought.
    """
    program = PROGRAM.format(base=BASE_IMPORT, case=case)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=120,
    )
    seconds, modules = json.loads(done.stdout.splitlines()[-1])
    return seconds, set(modules)


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as home:
        environment = os.environ | {"AIRFLOW_HOME": home}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        modules = {name: measure(case, environment)[1] for name, case in CASES.items()}  # fills the caches
        seconds: dict[str, list[float]] = {name: [] for name in CASES}
        for _ in range(rounds):
            for name, case in CASES.items():
                seconds[name].append(measure(case, environment)[0])
    milliseconds = {name: statistics.median(values) * 1000 for name, values in seconds.items()}
    print(f"added to `{BASE_IMPORT}`, median of {rounds} processes:")
    for name, value in milliseconds.items():
        heavy = ", ".join(sorted(modules[name] & HEAVY_MODULES)) or "none of the heavy ones"
        print(f"  {name:22} {value:6.1f} ms  {len(modules[name]):4} modules, {heavy}")
    total = milliseconds[ALL_OPERATORS]
    verdict = "kept" if total <= LIMIT_MILLISECONDS else "EXCEEDED"
    print(
        f"{ALL_OPERATORS}: {total:.1f} ms, limit {LIMIT_MILLISECONDS} ms {verdict}; "
        f"{total / milliseconds[PEER]:.2f} times the {PEER}, one operator "
        f"{milliseconds[ONE_OPERATOR] / milliseconds[PEER]:.2f} times"
    )


if __name__ == "__main__":
    main()
