"""What importing an operator adds to what a DAG file imports anyway: ``python -m
tests.benchmarks.import_cost``.

Each figure is the median over fresh processes of the CPU time between the base import and the end of the
case, taken in that process, and the modules that came with it; those that are known to be heavy are named.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile

BASE_IMPORT = "from airflow.sdk import DAG"
PACKAGE = "airflow_provider_codeocean"
OPERATOR_IMPORT = f"from {PACKAGE}.operators.data_asset import CodeOceanCaptureResultOperator"
CASES = {
    "operators": OPERATOR_IMPORT,
    "sensors": f"from {PACKAGE}.sensors.data_asset import CodeOceanDataAssetSensor",
    "triggers": f"from {PACKAGE}.triggers.data_asset import CodeOceanDataAssetTrigger",
    "an operator, made": f"{OPERATOR_IMPORT}; "
    "CodeOceanCaptureResultOperator(task_id='t', computation_id='c', name='n')",
    "Airflow's BaseTrigger": "import airflow.triggers.base",
    "the SDK": "import codeocean",
}
HEAVY_MODULES = {"httpx", "requests", "pydantic", "sqlalchemy", "pandas", "ssl", f"{PACKAGE}.api.client"}
PROGRAM = """
import json, sys, time
{base}
before, started = set(sys.modules), time.process_time()
{case}
print(json.dumps([time.process_time() - started, sorted(set(sys.modules) - before)]))
"""


def measure(case: str, environment: dict[str, str]) -> tuple[float, set[str]]:
    """Run a case in a fresh process.

    :param case: the code.
    :param environment: environment variables.
    :returns: the CPU seconds that it took, and the modules that it brought.
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
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    print(f"added to `{BASE_IMPORT}`, median of {rounds} processes:")
    with tempfile.TemporaryDirectory() as home:
        environment = os.environ | {"AIRFLOW_HOME": home}
        measure("pass", environment)  # fills the caches
        for name, case in CASES.items():
            results = [measure(case, environment) for _ in range(rounds)]
            milliseconds = statistics.median(seconds for seconds, _ in results) * 1000
            modules = results[0][1]
            heavy = ", ".join(sorted(modules & HEAVY_MODULES)) or "none of the heavy ones"
            print(f"  {name:21} {milliseconds:6.1f} ms CPU  {len(modules):4} modules, {heavy}")


if __name__ == "__main__":
    main()
