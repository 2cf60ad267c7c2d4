"""``make matrix``: tests on every supported Airflow and Python, each from its lock file."""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from xml.etree.ElementTree import ParseError

from scripts.junit import Results, read_results
from scripts.waiting import tail

CHECKOUT = Path(__file__).resolve().parent.parent
LOGS = CHECKOUT / ".airflow" / "matrix"
PYTHONS = ("3.11", "3.12", "3.13")
STEPS = {
    # More processes than this machine may have cores: half of their time they wait.
    "unit": ["-m", "not e2e and not ui", "-n", "4", "--dist", "worksteal"],
    # What depends on the release most, for CI: make compat.
    "compat": ["-n", "4", "--dist", "worksteal", "tests/compat", "tests/contract", "tests/dag_runs"],
    "e2e": ["-n", "2", "--dist", "loadfile", "--no-loadscope-reorder", "tests/e2e"],
}
_STEP_SECONDS = 3600.0
_SET_UP_SECONDS = 900.0
_LINE = "{:<9}{:<9}{:<8}{:>8}{:>8}{:>9}{:>9}{:>9}"


@dataclass(frozen=True)
class Row:
    """An Airflow on a Python.

    :param release: the Airflow, such as ``3.0``.
    :param python: the Python, such as ``3.12``; None for whichever ``scripts/find_python`` prefers.
    """

    release: str
    python: str | None = None

    def __str__(self) -> str:
        return self.release if self.python is None else f"{self.release}/{self.python}"

    @property
    def environment(self) -> Path:
        """The directory of its environment; ``.venv`` is that of the newest Airflow, and runs this script."""
        if self.release == releases()[-1] and self.python in (None, _own_python()):
            return CHECKOUT / ".venv"
        return CHECKOUT / f".venv-{self.release}{f'-py{self.python}' if self.python else ''}"


@dataclass(frozen=True)
class Outcome:
    """How one step of a row went.

    :param row: the row.
    :param python: the version of the Python that ran it.
    :param step: the step's name.
    :param results: what became of the tests; None where pytest told nothing.
    :param exit_code: pytest's, None where it was stopped because it took too long.
    :param seconds: how long it took.
    :param cpu_seconds: how long its processes were at work, where they have ended by themselves.
    """

    row: Row
    python: str
    step: str
    results: Results | None
    exit_code: int | None
    seconds: float
    cpu_seconds: float

    @property
    def passed(self) -> bool:
        """Whether all went well, and anything was tested."""
        if self.exit_code != 0 or self.results is None:
            return False
        return self.results.failed == 0 and self.results.passed > 0


def _own_python() -> str:
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def releases() -> list[str]:
    """Return all supported Airflow releases, oldest first, as the lock files name them."""
    names = [path.stem.removeprefix("airflow-") for path in (CHECKOUT / "locks").glob("airflow-*.txt")]
    return sorted(names, key=lambda name: [int(part) for part in name.split(".")])


def all_rows() -> list[Row]:
    """Return what ``make matrix`` runs: each Airflow, and the newest on each Python."""
    *older, newest = releases()
    return [Row(release) for release in older] + [Row(newest, python) for python in PYTHONS]


def row_named(name: str) -> Row:
    """Return a row as it is chosen.

    :param name: such as ``3.0``, or ``3.3/3.12``.
    :raises ValueError: when there is no such Airflow, or Python is not supported.
    """
    release, _, python = name.partition("/")
    if release not in releases():
        raise ValueError(f"no lock file for Airflow {release}")
    if python and python not in PYTHONS:
        raise ValueError(f"{name}: Python is one of {', '.join(PYTHONS)}")
    return Row(release, python or None)


def find_python(row: Row) -> str | None:
    """Return the Python that a row's environment is made with, None where this machine has none.

    :param row: the row.
    """
    found = subprocess.run(
        ["/bin/sh", CHECKOUT / "scripts" / "find_python", row.release, *filter(None, [row.python])],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return found.stdout.strip() or None


def set_up(row: Row, python: str) -> bool:
    """Make a row's environment, or bring it up to date.

    :param row: the row.
    :param python: what to make it with.
    :returns: whether it is there.
    """
    lock = f"locks/airflow-{row.release}.txt"
    try:
        done = subprocess.run(
            ["scripts/setup_env", row.environment.name, lock],
            cwd=CHECKOUT,
            env=os.environ | {"PYTHON": python},
            timeout=_SET_UP_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


def run_step(row: Row, step: str) -> Outcome:
    """Run one step of a row.

    :param row: the row; its environment is there.
    :param step: the step's name.
    """
    name = f"{str(row).replace('/', '-py')}-{step}"
    log, report = LOGS / f"{name}.log", LOGS / f"{name}.xml"
    LOGS.mkdir(parents=True, exist_ok=True)
    report.unlink(missing_ok=True)
    python = str(row.environment / "bin" / "python")
    version = subprocess.run([python, "-V"], capture_output=True, text=True, timeout=30, check=True).stdout
    print(f"== Airflow {row.release}, {version.strip()}: {step}", flush=True)
    begin, worked = time.monotonic(), _cpu_seconds()
    exit_code: int | None
    with log.open("wb") as output:
        try:
            exit_code = subprocess.run(
                [python, "-m", "pytest", "-q", *STEPS[step], f"--junitxml={report}"],
                cwd=CHECKOUT,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=_STEP_SECONDS,
                check=False,
            ).returncode
        except subprocess.TimeoutExpired:
            exit_code = None
    try:
        results = read_results(report)
    except (OSError, ParseError):
        results = None
    outcome = Outcome(
        row, version.split()[-1], step, results, exit_code, time.monotonic() - begin, _cpu_seconds() - worked
    )
    print(tail(log, 1), flush=True)
    if not outcome.passed:
        print(f"  FAILED: see {log}", flush=True)
    return outcome


def _cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def summary(outcomes: list[Outcome], not_run: dict[Row, str]) -> str:
    """Return what became of all rows, and each reason to skip tests, once.

    :param outcomes: how the steps went.
    :param not_run: the rows of which nothing was run, and why.
    """
    heads = ("Airflow", "Python", "tests", "passed", "failed", "skipped", "seconds", "CPU s")
    lines = [_LINE.format(*heads)]
    skips: dict[str, list[str]] = defaultdict(list)
    for each in outcomes:
        seconds = (f"{each.seconds:.0f}", f"{each.cpu_seconds:.0f}")
        if each.results is None:
            counts = ("-", "-", "-")
        else:
            counts = (str(each.results.passed), str(each.results.failed), str(each.results.skipped))
            for reason, count in each.results.skips.items():
                skips[reason].append(f"{count} on {each.row}")
        line = _LINE.format(each.row.release, each.python, each.step, *counts, *seconds)
        lines.append(line if each.passed else f"{line}  FAILED")
    lines += [f"{row!s:<18}NOT RUN: {why}" for row, why in not_run.items()]
    if skips:
        lines += ["", "Skipped tests, by the reason they say:"]
        lines += [f"- {reason} ({', '.join(where)})" for reason, where in sorted(skips.items())]
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """Run the matrix.

    :param arguments: the command line's arguments: the rows; all by default.
    :returns: the exit code: 0 where all rows that were asked for were run, and passed.
    """
    parser = argparse.ArgumentParser(prog="python -m scripts.matrix", description=__doc__)
    parser.add_argument("rows", nargs="*", help="such as 2.11 or 3.3/3.12; all by default")
    parser.add_argument("--steps", nargs="+", choices=STEPS, default=["unit"], help="which tests")
    parser.add_argument(
        "--where-possible", action="store_true", help="a Python that is not there is no fault"
    )
    chosen = parser.parse_args(arguments)
    try:
        rows = [row_named(name) for name in chosen.rows] or all_rows()
    except ValueError as error:
        parser.error(str(error))
    outcomes: list[Outcome] = []
    not_run: dict[Row, str] = {}
    no_environment = False
    for row in rows:
        python = find_python(row)
        if python is None:
            not_run[row] = f"no Python {row.python or 'for it'} on this machine"
        elif not set_up(row, python):
            not_run[row], no_environment = "its environment could not be made", True
        else:
            outcomes += [run_step(row, step) for step in chosen.steps]
    print(f"\n{summary(outcomes, not_run)}")
    is_missing_a_fault = no_environment or (bool(not_run) and not chosen.where_possible)
    return 0 if all(each.passed for each in outcomes) and not is_missing_a_fault else 1


if __name__ == "__main__":
    sys.exit(main())
