"""Run tests on all supported releases of Airflow and Python, each from its lock file (``make matrix``)."""

from __future__ import annotations

import argparse
import os
import re
import resource
import subprocess
import sys
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from xml.etree.ElementTree import ParseError

from scripts.junit import JUnitResults, read_results
from scripts.waiting import read_tail

CHECKOUT = Path(__file__).resolve().parent.parent
LOG_FOLDER = CHECKOUT / ".airflow" / "matrix"
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
#: The row with the lowest versions that ``pyproject.toml`` allows, which all run on the oldest Airflow.
LOWEST = "2.11-lowest"
STEPS = {
    # More processes than cores, because they wait half of their time.
    "unit": ["-m", "not e2e and not ui", "-n", "4", "--dist", "worksteal"],
    # The tests that depend most on the release, for CI (make compat).
    "compat": ["-n", "4", "--dist", "worksteal", "tests/compat", "tests/contract", "tests/dag_runs"],
    "e2e": ["-n", "2", "--dist", "loadfile", "--no-loadscope-reorder", "tests/e2e"],
}
_STEP_TIMEOUT_SECONDS = 3600.0
_SETUP_TIMEOUT_SECONDS = 900.0
_LINE_FORMAT = "{:<12}{:<9}{:<8}{:>8}{:>8}{:>9}{:>9}{:>9}"


@dataclass(frozen=True)
class MatrixRow:
    """A combination of Airflow and Python.

    :param release: release of Airflow, such as ``3.0``, or :data:`LOWEST`.
    :param python: version of Python, such as ``3.12``; None for the default of ``scripts/find_python``.
    """

    release: str
    python: str | None = None

    def __str__(self) -> str:
        return self.release if self.python is None else f"{self.release}/{self.python}"

    @property
    def environment(self) -> Path:
        """The folder of its environment. ``.venv`` has the newest Airflow, and runs this script."""
        if self.release == supported_releases()[-1] and self.python in (None, _running_python_version()):
            return CHECKOUT / ".venv"
        return CHECKOUT / f".venv-{self.release}{f'-py{self.python}' if self.python else ''}"


@dataclass(frozen=True)
class StepResult:
    """The result of a step.

    :param python: version of Python.
    :param results: results of the tests; None if pytest wrote none.
    :param exit_code: pytest's exit code; None after a timeout.
    :param seconds: duration.
    :param cpu_seconds: CPU time of all processes that have ended by themselves.
    """

    row: MatrixRow
    python: str
    step: str
    results: JUnitResults | None
    exit_code: int | None
    seconds: float
    cpu_seconds: float

    @property
    def has_passed(self) -> bool:
        """Whether there are passed tests, and no failed ones."""
        if self.exit_code != 0 or self.results is None:
            return False
        return self.results.failed == 0 and self.results.passed > 0


def _running_python_version() -> str:
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def pinned_version(release: str, package: str) -> str | None:
    """Return the version of a package that a lock file pins, or None.

    :param release: the release in the name of the lock file, such as ``3.0``.
    :param package: name of the package.
    """
    lock = (CHECKOUT / "locks" / f"airflow-{release}.txt").read_text()
    pin = re.search(rf"^{re.escape(package)}==(\S+)", lock, re.MULTILINE)
    return pin and pin[1]


def locked_releases() -> list[str]:
    """Return all Airflow releases with a lock file, oldest first."""
    names = [path.stem.removeprefix("airflow-") for path in (CHECKOUT / "locks").glob("airflow-*.txt")]
    releases = [name for name in names if name != LOWEST]
    return sorted(releases, key=lambda name: [int(part) for part in name.split(".")])


def is_pre_release(release: str) -> bool:
    """Return whether the locked version of an Airflow release is a beta or a release candidate."""
    return re.search("a|b|rc", pinned_version(release, "apache-airflow") or "") is not None


def supported_releases() -> list[str]:
    """Return all final Airflow releases with a lock file, oldest first."""
    return [release for release in locked_releases() if not is_pre_release(release)]


def all_rows() -> list[MatrixRow]:
    """Return the default rows: the lowest versions, each Airflow, and the newest final one on each Python."""
    newest = supported_releases()[-1]
    rows = [MatrixRow(LOWEST)]
    for release in locked_releases():
        pythons = PYTHONS if release == newest else (None,)
        rows += [MatrixRow(release, python) for python in pythons]
    return rows


def parse_row(name: str) -> MatrixRow:
    """Parse the name of a row, such as ``3.0`` or ``3.3/3.12``.

    :raises ValueError: if this Airflow or Python is not supported.
    """
    release, _, python = name.partition("/")
    if release not in {LOWEST, *locked_releases()}:
        raise ValueError(f"Airflow {release} is not supported: there is no lock file for it")
    if python and python not in PYTHONS:
        raise ValueError(f"{name}: Python must be one of {', '.join(PYTHONS)}")
    return MatrixRow(release, python or None)


def find_python(row: MatrixRow) -> str | None:
    """Return the Python interpreter for a row, or None if this machine has none."""
    completed = subprocess.run(
        ["/bin/sh", CHECKOUT / "scripts" / "find_python", row.release, *filter(None, [row.python])],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return completed.stdout.strip() or None


def set_up_environment(row: MatrixRow, python: str) -> bool:
    """Create or update the environment of a row, and return whether that succeeded."""
    lock = f"locks/airflow-{row.release}.txt"
    try:
        completed = subprocess.run(
            ["scripts/setup_env", row.environment.name, lock],
            cwd=CHECKOUT,
            env=os.environ | {"PYTHON": python},
            timeout=_SETUP_TIMEOUT_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return False
    return completed.returncode == 0


def run_step(row: MatrixRow, step: str) -> StepResult:
    """Run a step of a row, whose environment exists."""
    name = f"{str(row).replace('/', '-py')}-{step}"
    log, report = LOG_FOLDER / f"{name}.log", LOG_FOLDER / f"{name}.xml"
    LOG_FOLDER.mkdir(parents=True, exist_ok=True)
    report.unlink(missing_ok=True)
    python = str(row.environment / "bin" / "python")
    version = subprocess.run([python, "-V"], capture_output=True, text=True, timeout=30, check=True).stdout
    print(f"== Airflow {row.release}, {version.strip()}: {step}", flush=True)
    started_at = time.monotonic()
    cpu_before = _get_cpu_seconds()
    exit_code: int | None
    with log.open("wb") as output:
        try:
            exit_code = subprocess.run(
                [python, "-m", "pytest", "-q", *STEPS[step], f"--junitxml={report}"],
                cwd=CHECKOUT,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=_STEP_TIMEOUT_SECONDS,
                check=False,
            ).returncode
        except subprocess.TimeoutExpired:
            exit_code = None
    try:
        results = read_results(report)
    except (OSError, ParseError):
        results = None
    result = StepResult(
        row,
        version.split()[-1],
        step,
        results,
        exit_code,
        time.monotonic() - started_at,
        _get_cpu_seconds() - cpu_before,
    )
    print(read_tail(log, 1), flush=True)
    if not result.has_passed:
        print(f"  FAILED: see {log}", flush=True)
    return result


def _get_cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def render_summary(step_results: list[StepResult], skipped_rows: dict[MatrixRow, str]) -> str:
    """Return a table of the results, with each reason for skipped tests once.

    :param skipped_rows: rows that did not run, and the reason.
    """
    heads = ("Airflow", "Python", "tests", "passed", "failed", "skipped", "seconds", "CPU s")
    lines = [_LINE_FORMAT.format(*heads)]
    skips: dict[str, list[str]] = defaultdict(list)
    for each in step_results:
        seconds = (f"{each.seconds:.0f}", f"{each.cpu_seconds:.0f}")
        if each.results is None:
            counts = ("-", "-", "-")
        else:
            counts = (str(each.results.passed), str(each.results.failed), str(each.results.skipped))
            for reason, count in each.results.skip_counts.items():
                skips[reason].append(f"{count} on {each.row}")
        line = _LINE_FORMAT.format(each.row.release, each.python, each.step, *counts, *seconds)
        lines.append(line if each.has_passed else f"{line}  FAILED")
    lines += [f"{row!s:<18}NOT RUN: {why}" for row, why in skipped_rows.items()]
    if skips:
        lines += ["", "Skipped tests, by the reason they say:"]
        lines += [f"- {reason} ({', '.join(where)})" for reason, where in sorted(skips.items())]
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """Run the matrix.

    :param arguments: the command line; ``sys.argv`` by default.
    :returns: the exit code: 0 if all requested rows have run and passed.
    """
    parser = argparse.ArgumentParser(prog="python -m scripts.matrix", description=__doc__)
    parser.add_argument("rows", nargs="*", help="such as 2.11 or 3.3/3.12 (default: all)")
    parser.add_argument(
        "--steps", nargs="+", choices=STEPS, default=["unit"], help="tests to run (default: unit)"
    )
    parser.add_argument("--where-possible", action="store_true", help="do not fail if a Python is missing")
    chosen = parser.parse_args(arguments)
    try:
        rows = [parse_row(name) for name in chosen.rows] or all_rows()
    except ValueError as error:
        parser.error(str(error))
    outcomes: list[StepResult] = []
    not_run: dict[MatrixRow, str] = {}
    has_setup_failed = False
    for row in rows:
        python = find_python(row)
        if python is None:
            not_run[row] = f"no Python {row.python or 'for it'} on this machine"
        elif not set_up_environment(row, python):
            not_run[row], has_setup_failed = "its environment could not be created", True
        else:
            outcomes += [run_step(row, step) for step in chosen.steps]
    print(f"\n{render_summary(outcomes, not_run)}")
    is_incomplete = has_setup_failed or (bool(not_run) and not chosen.where_possible)
    return 0 if all(each.has_passed for each in outcomes) and not is_incomplete else 1


if __name__ == "__main__":
    sys.exit(main())
