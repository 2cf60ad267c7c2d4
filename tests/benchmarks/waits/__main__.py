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

from scripts.environment import free_ports
from scripts.waiting import wait_until
from tests.benchmarks.waits.certificate import make_certificate
from tests.benchmarks.waits.contestants import CAP, CONTESTANTS
from tests.benchmarks.waits.measured import call
from tests.benchmarks.waits.report import Result, plots, table

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

DOCS = Path(__file__).parents[3] / "docs"
_HEADING = """# Benchmark: ways to wait

N data assets become ready at random between 5 and 35 s after all waits have begun; each is to be looked at
every 5 s. [What it costs](waiting.md#what-it-costs) says more about the setting, and shows the plots. Made by
`python -m tests.benchmarks.waits --docs`."""


@dataclass(frozen=True)
class Setting:
    """One row of runs.

    :param n: how many data assets.
    :param rate: requests a second that the server allows; 0 for all.
    :param tls: over TLS.
    """

    n: int
    rate: int = 0
    tls: bool = False


SETTINGS = (
    Setting(100),
    Setting(1000),
    Setting(5000),
    Setting(10000),
    Setting(1000, rate=50),
    Setting(1000, tls=True),
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
            for name in CONTESTANTS if setting.n <= arguments.most else ():
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
    if setting.tls:
        certificate, key = make_certificate(folder)
        tls = [str(certificate), str(key)]
        environment |= {"SSL_CERT_FILE": str(certificate), "REQUESTS_CA_BUNDLE": str(certificate)}
    with serving(setting, tls) as url:
        program = [sys.executable, "-m", "tests.benchmarks.waits.measured", name, str(setting.n), "7", url]
        try:
            done = subprocess.run(
                program, env=environment, capture_output=True, text=True, timeout=CAP + 120, check=True
            )
        except subprocess.TimeoutExpired:
            figures: dict[str, Any] = {"failed": setting.n}
        except subprocess.CalledProcessError as error:
            raise RuntimeError(f"{name} ended with an error:\n{error.stderr[-3000:]}") from error
        else:
            figures = json.loads(done.stdout.splitlines()[-1])
        figures["server"] = call(f"{url}/bench/stats")
    return Result(name, setting.n, setting.rate, setting.tls, figures)


@contextmanager
def serving(setting: Setting, tls: Sequence[str] = ()) -> Iterator[str]:
    """Run a server.

    :param setting: how.
    :param tls: the files of its certificate and key; none serves without TLS.
    :yields: its address.
    """
    (port,) = free_ports(1)
    program = [sys.executable, "-m", "tests.benchmarks.waits.server", str(port), str(setting.rate), *tls]
    url = f"{'https' if tls else 'http'}://localhost:{port}"

    def answers() -> bool:
        try:
            return bool(call(f"{url}/bench/stats"))
        except OSError:
            return False

    with subprocess.Popen(program) as process:
        try:
            wait_until(answers, awaited="the server", timeout=30)
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
