"""The crash tests' points, with this provider's operator and with a plain one beside it: ``python -m
tests.benchmarks.crash_matrix``.

The plain one does what deferrable operators do as a rule: it submits in every try, and polls. Both run on a
real Airflow of their own, at the same time. Prints a table for the docs.
"""

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from tests.crash.matrix import HERE, run_matrix

if TYPE_CHECKING:
    from tests.crash.crash_run import CrashResult

PLAIN_DAGS = Path(__file__).parent / "dags"


def main() -> None:
    """Play both, and print what came of them side by side."""
    folder = Path(tempfile.mkdtemp(prefix="crash-matrix-"))

    def run(prefix: str) -> dict[tuple[str, str], CrashResult]:
        dags = (HERE / "dags", PLAIN_DAGS)
        outcomes = run_matrix(folder / prefix, python=sys.executable, dags=dags, prefix=prefix)
        return {(each.point, each.mode): each for each in outcomes}

    with ThreadPoolExecutor() as pool:
        ours, plain = pool.map(run, ("capture", "plain"))
    print(
        "| What is killed, and when | Waits | This provider | A plain operator |\n| --- | --- | --- | --- |"
    )
    for key in sorted(ours):
        point, mode = key
        print(f"| {point} | {mode} | {_describe(ours[key])} | {_describe(plain[key])} |")
    for name, outcomes in (("this provider", ours), ("a plain operator", plain)):
        verdicts = Counter(each.verdict for each in outcomes.values())
        print(f"{name}: {', '.join(f'{count} {verdict}' for verdict, count in sorted(verdicts.items()))}")


def _describe(outcome: CrashResult) -> str:
    if outcome.error:
        return f"not reached: {outcome.error.splitlines()[0]}"
    return f"{outcome.verdict}: {outcome.job_count} made, {outcome.state}, {outcome.recovery_seconds:.0f} s"


if __name__ == "__main__":
    main()
