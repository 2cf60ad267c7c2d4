"""Wait for many data assets in several ways, side by side: ``python -m tests.benchmarks.waits [--docs]``.

N data assets become ready at random between 5 and 35 s after all waits have begun; each is looked at every
5 s. Server and contestant have a process each. ``--docs`` writes the table and the plots into ``docs/``.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scripts.environment import find_free_ports
from scripts.waiting import wait_until
from tests.benchmarks.waits.certificate import make_certificate
from tests.benchmarks.waits.contestant_process import call_server
from tests.benchmarks.waits.contestants import CONTESTANTS, TIMEOUT_SECONDS
from tests.benchmarks.waits.report import Result, plots, table

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

DOCS = Path(__file__).parents[3] / "docs"
_HEADING = """# Benchmark: ways to wait

N data assets become ready at random, between 5 and 35 s after all waits have started. Each is polled every 5
s. [How waiting works](waiting.md#cost) describes the setup and shows the plots. `python -m
tests.benchmarks.waits --docs` writes this page."""


@dataclass(frozen=True)
class Setting:
    """One row of runs.

    :param asset_count: how many data assets.
    :param requests_per_second: requests a second that the server allows; 0 for all.
    :param uses_tls: over TLS.
    """

    asset_count: int
    requests_per_second: int = 0
    uses_tls: bool = False


SETTINGS = (
    Setting(100),
    Setting(1000),
    Setting(5000),
    Setting(10000),
    Setting(1000, requests_per_second=50),
    Setting(1000, uses_tls=True),
)


def main() -> None:
    """Run all, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--docs", action="store_true", help="write docs/benchmark_waits.md and its plots")
    parser.add_argument("--most", type=int, default=10_000, help="the most data assets")
    parser.add_argument("--only", choices=CONTESTANTS, help="one contestant alone")
    arguments = parser.parse_args()
    results = []
    with tempfile.TemporaryDirectory() as folder:
        for setting in SETTINGS:
            for name in CONTESTANTS if setting.asset_count <= arguments.most else ():
                if arguments.only in (None, name):
                    results.append(measure(name, setting, Path(folder)))
                    print(results[-1], flush=True)
    print(table(results))
    if arguments.docs:
        write_docs(results)


def measure(name: str, setting: Setting, folder: Path) -> Result:
    """Run one contestant.

    :param name: its name.
    :param setting: how.
    :param folder: for files that it needs.
    :returns: what came of it.
    """
    environment = {key: value for key, value in os.environ.items() if not key.lower().endswith("_proxy")}
    environment |= {"AIRFLOW_HOME": str(folder / "airflow"), "PYTHONWARNINGS": "ignore"}
    tls: list[str] = []
    if setting.uses_tls:
        certificate, key = make_certificate(folder)
        tls = [str(certificate), str(key)]
        environment |= {"SSL_CERT_FILE": str(certificate), "REQUESTS_CA_BUNDLE": str(certificate)}
    with run_server(setting, tls) as url:
        program = [
            sys.executable,
            "-m",
            "tests.benchmarks.waits.contestant_process",
            name,
            str(setting.asset_count),
            "7",
            url,
        ]
        try:
            done = subprocess.run(
                program,
                env=environment,
                capture_output=True,
                text=True,
                timeout=TIMEOUT_SECONDS + 120,
                check=True,
            )
        except subprocess.TimeoutExpired:
            figures: dict[str, Any] = {"failed": setting.asset_count}
        except subprocess.CalledProcessError as error:
            raise RuntimeError(f"{name} ended with an error:\n{error.stderr[-3000:]}") from error
        else:
            figures = json.loads(done.stdout.splitlines()[-1])
        figures["server"] = call_server(f"{url}/bench/stats")
    return Result(name, setting.asset_count, setting.requests_per_second, setting.uses_tls, figures)


@contextmanager
def run_server(setting: Setting, tls: Sequence[str] = ()) -> Iterator[str]:
    """Run a server.

    :param setting: how.
    :param tls: the files of its certificate and key; none serves without TLS.
    :yields: its address.
    """
    (port,) = find_free_ports(1)
    program = [
        sys.executable,
        "-m",
        "tests.benchmarks.waits.server",
        str(port),
        str(setting.requests_per_second),
        *tls,
    ]
    url = f"{'https' if tls else 'http'}://localhost:{port}"

    def answers() -> bool:
        try:
            return bool(call_server(f"{url}/bench/stats"))
        except OSError:
            return False

    with subprocess.Popen(program) as process:
        try:
            wait_until(answers, description="the server", timeout=30)
            yield url
        finally:
            process.terminate()


def write_docs(results: list[Result]) -> None:
    """Write the results where readers find them."""
    (DOCS / "benchmark_waits.md").write_text(f"{_HEADING}\n\n{table(results)}\n")
    for name, plot in plots(results).items():
        (DOCS / f"benchmark_{name}.svg").write_text(plot)


if __name__ == "__main__":
    main()
