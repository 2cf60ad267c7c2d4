"""``python -m tests.crash [RELEASE ...]``: captures that are killed at every point, on real Airflows.

A release is ``3.3``, or any whose environment is there (``.venv-RELEASE``). A line for each point and mode,
and at the end how many data assets there were once, not at all, or twice.
"""

from __future__ import annotations

import argparse
import queue
import sys
import tempfile
import threading
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from scripts.environment import airflow_version
from tests.crash.crash_points import POINTS, RUN_POINTS
from tests.crash.matrix import run_matrix

if TYPE_CHECKING:
    from tests.crash.crash_run import CrashResult

CHECKOUT = Path(__file__).parents[2]


def main() -> int:
    """Play all points on all releases, beside one another."""
    parser = argparse.ArgumentParser(prog="python -m tests.crash", description=__doc__)
    parser.add_argument("releases", nargs="*", default=["3.3"], metavar="RELEASE")
    parser.add_argument("--only", default="", help="a part of the names of the points to play")
    arguments = parser.parse_args()

    folder = Path(tempfile.mkdtemp(prefix="crash-"))
    lines: queue.Queue[tuple[str, CrashResult] | BaseException | None] = queue.Queue()

    def run(release: str) -> None:
        try:
            python = _python(release)
            name = ".".join(map(str, airflow_version(python)))
            for outcome in run_matrix(
                folder / release, python=python, points=(*POINTS, *RUN_POINTS), only=arguments.only
            ):
                lines.put((name, outcome))
        except BaseException as error:  # noqa: BLE001 - raised again in the main thread
            lines.put(error)
        lines.put(None)

    for release in arguments.releases:
        threading.Thread(target=run, args=(release,), daemon=True).start()
    verdicts: Counter[str] = Counter()
    left = len(arguments.releases)
    while left:
        line = lines.get()
        if line is None:
            left -= 1
        elif isinstance(line, BaseException):
            raise line
        else:
            verdicts[line[1].verdict] += 1
            print(_describe(*line), flush=True)
    return _print_summary(verdicts, folder)


def _python(release: str) -> str:
    own = CHECKOUT / ".venv" / "bin" / "python"
    other = CHECKOUT / f".venv-{release}" / "bin" / "python"
    return str(own if release == "3.3" else other)


def _describe(release: str, outcome: CrashResult) -> str:
    assets = f"{outcome.job_count} made"
    line = (
        f"{release:<7} {outcome.mode:<9} {outcome.point:<50} {assets:<9} "
        f"{outcome.state:<8} {outcome.recovery_seconds:4.0f} s  {outcome.verdict}"
    )
    return f"{line}\n{outcome.error}" if outcome.error else line


def _print_summary(verdicts: Counter[str], folder: Path) -> int:
    points = verdicts.total()
    if unreached := verdicts["not reached"]:
        print(f"{unreached} points were not reached; logs: {folder}")
    once, lost, doubled = verdicts["once"], verdicts["lost"], verdicts["doubled"]
    print(f"crash: {points} points, {once} once, {lost} lost, {doubled} doubled")
    return 0 if once == points and points else 1


if __name__ == "__main__":
    sys.exit(main())
