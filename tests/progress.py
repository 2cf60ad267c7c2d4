"""A pytest plugin for ``make test`` and ``make check``: a live display, and the time that each part took.

On a terminal, a bar shows the progress. Elsewhere, a line is printed for each tenth of the tests. A failed
test is named at once, and explained at the end as usual. Load this with ``-p tests.progress``.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

if TYPE_CHECKING:
    from collections.abc import Generator

#: Parts by the beginning of a test's address, the first that fits.
_PARTS = {
    "tests/checks/test_make_targets.py::test_make_target_succeeds[lint]": "lint",
    "tests/checks/test_make_targets.py::test_make_target_succeeds[docs]": "documentation",
    "tests/e2e/": "real Airflow",
    "tests/dag_runs/": "DAGs in process",
    "tests/contract/": "contract with the SDK",
    "tests/": "unit tests",
}
_PRINTED_FRACTION = 0.1
#: The output of the process, which pytest captures later.
_CONSOLE = Console(file=os.fdopen(os.dup(1), "w", buffering=1), highlight=False, soft_wrap=True)


def pytest_configure(config: pytest.Config) -> None:
    """Register the display, in the process that prints."""
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(_Display(config))


class _Display:
    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._started_at = time.monotonic()
        self._total = self._next_printed = 0
        self._seconds: Counter[str] = Counter()
        self._tests: Counter[str] = Counter()
        self._failures = 0
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=_CONSOLE,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._task = self._bar.add_task("collecting", total=None)

    @property
    def _reporter(self) -> pytest.TerminalReporter:
        reporter = self._config.pluginmanager.get_plugin("terminalreporter")
        assert isinstance(reporter, pytest.TerminalReporter)
        return reporter

    @pytest.hookimpl(wrapper=True)
    def pytest_report_teststatus(self) -> Generator[None, tuple[str, str, str], tuple[str, str, str]]:
        """Print no letter for a test."""
        category, _, word = yield
        return category, "", word

    def pytest_sessionstart(self) -> None:
        """Start the bar."""
        if _CONSOLE.is_terminal:
            self._bar.start()

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Learn the number of tests, if they run in this process."""
        self._begin(len(session.items))

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, ids: list[str]) -> None:
        """Learn the number of tests, if they run in workers."""
        self._begin(len(ids))

    def _begin(self, total: int) -> None:
        if total and not self._total:
            self._total = total
            self._bar.update(self._task, description="testing", total=total)
            self._print(f"{total} tests")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Count a test, and print it if it failed."""
        part = next(part for prefix, part in _PARTS.items() if report.nodeid.startswith(prefix))
        self._seconds[part] += report.duration
        if report.failed:
            self._failures += 1
            self._bar.update(self._task, description=f"[red]{self._failures} failed")
            _CONSOLE.print(f"FAILED {report.nodeid}", markup=False)
        if report.when == "teardown":
            self._tests[part] += 1
            self._bar.advance(self._task)
            done = self._tests.total()
            if done >= self._next_printed:
                self._next_printed = done + max(1, round(_PRINTED_FRACTION * self._total))
                self._print(f"{done} of {self._total}")

    def _print(self, text: str) -> None:
        if not _CONSOLE.is_terminal:
            _CONSOLE.print(f"{time.monotonic() - self._started_at:6.1f} s  {text}")

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self) -> None:
        """Remove the bar."""
        self._bar.update(self._task, visible=False)
        self._bar.stop()

    def pytest_terminal_summary(self) -> None:
        """Print the parts, the slowest first."""
        self._reporter.section("parts, in seconds of work", "-")
        for part, seconds in self._seconds.most_common():
            self._reporter.write_line(f"{seconds:7.1f} s  {self._tests[part]:5} {part}")
        if self._config.getoption("--quick"):
            self._reporter.write_line(
                "make check adds: all examples and cases, fault table, coverage, end-to-end tests on "
                "Airflow 3.3 and 2.11, UI, crashes, matrix"
            )
