"""``make matrix``: all tests on every supported Airflow, each in an environment made from its lock file."""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from scripts.waiting import tail

CHECKOUT = Path(__file__).resolve().parent.parent
STEPS = {
    "unit": ["-m", "not e2e and not ui", "-n", "2"],
    "e2e": ["-n", "2", "--dist", "loadfile", "tests/e2e"],
}
_STEP_SECONDS = 1800.0
_ROW = "{:<8} {:<8} {:<24} {:<24}"


@dataclass(frozen=True)
class Outcome:
    """How one step went.

    :param passed: whether it did.
    :param text: a few words about it.
    """

    passed: bool
    text: str


def releases() -> list[str]:
    """Return all supported Airflow releases, oldest first, as the lock files name them."""
    names = [path.stem.removeprefix("airflow-") for path in (CHECKOUT / "locks").glob("airflow-*.txt")]
    return sorted(names, key=lambda name: [int(part) for part in name.split(".")])


def environment_of(release: str) -> Path:
    """Return the directory of a release's environment.

    :param release: the release, such as ``3.0``.
    """
    return CHECKOUT / (".venv" if release == releases()[-1] else f".venv-{release}")


def set_up(release: str) -> Outcome:
    """Make a release's environment, if it is not there.

    :param release: the release.
    """
    ready = environment_of(release).relative_to(CHECKOUT) / ".ready"
    done = subprocess.run(
        ["make", "--no-print-directory", str(ready)], cwd=CHECKOUT, timeout=900, check=False
    )
    return Outcome(done.returncode == 0, "set up" if done.returncode == 0 else "no environment")


def python_of(release: str) -> str:
    """Return the Python version of a release's environment.

    :param release: the release.
    """
    code = "import platform; print(platform.python_version())"
    python = environment_of(release) / "bin" / "python"
    return subprocess.run(
        [python, "-c", code], capture_output=True, text=True, timeout=30, check=True
    ).stdout.strip()


def run_step(release: str, step: str) -> Outcome:
    """Run one step of the tests.

    :param release: the release.
    :param step: the step's name.
    """
    log = CHECKOUT / ".airflow" / "matrix" / f"{release}-{step}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    command = [str(environment_of(release) / "bin" / "python"), "-m", "pytest", "-q", *STEPS[step]]
    begin = time.monotonic()
    with log.open("wb") as output:
        try:
            done = subprocess.run(
                command,
                cwd=CHECKOUT,
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=_STEP_SECONDS,
                check=False,
            )
            passed = done.returncode == 0
        except subprocess.TimeoutExpired:
            passed = False
    print(tail(log, 1), flush=True)
    if not passed:
        print(f"  see {log.relative_to(CHECKOUT)}", flush=True)
    return Outcome(passed, f"{'passed' if passed else 'FAILED'} in {time.monotonic() - begin:.0f} s")


def main(arguments: list[str] | None = None) -> int:
    """Run the matrix.

    :param arguments: the command line's arguments: the releases; all by default.
    :returns: the exit code.
    """
    parser = argparse.ArgumentParser(prog="python -m scripts.matrix", description=__doc__)
    parser.add_argument("releases", nargs="*", help="such as 2.11; all by default")
    chosen = parser.parse_args(arguments).releases or releases()
    if unknown := set(chosen) - set(releases()):
        parser.error(f"no lock file for {', '.join(sorted(unknown))}")
    rows = []
    all_passed = True
    for release in chosen:
        outcomes = [set_up(release)]
        python = "-"
        if outcomes[0].passed:
            python = python_of(release)
            for step in STEPS:
                print(f"== Airflow {release}, Python {python}: {step}", flush=True)
                outcomes.append(run_step(release, step))
        all_passed = all_passed and all(outcome.passed for outcome in outcomes)
        texts = [outcome.text for outcome in outcomes if outcome.text != "set up"]
        rows.append((release, python, *(texts + [""] * 2)[:2]))
    print("\n" + _ROW.format("Airflow", "Python", *STEPS))
    for row in rows:
        print(_ROW.format(*row).rstrip())
    return 0 if all_passed else 1


if __name__ == "__main__":
    sys.exit(main())
