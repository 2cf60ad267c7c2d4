"""Run commands as steps: each with a title, a time limit, and a log."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

from rich.text import Text

from scripts.processes import GuardedProcess
from scripts.waiting import ConditionTimeoutError, wait_until

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from scripts.terminal import Terminal

_GIT_TIMEOUT_SECONDS = 60.0


class StepError(Exception):
    """A step failed.

    :param title: the step and the problem.
    :param details: the output of the command, if there is one.
    """

    def __init__(self, title: str, details: str = "") -> None:
        super().__init__(f"{title}\n{details}" if details else title)
        self.title = title
        self.details = details


def run_git(checkout: Path, *arguments: str) -> str:
    """Run git in a checkout, and return its output without surrounding white space.

    :raises StepError: if it fails.
    """
    done = subprocess.run(
        ["git", *arguments],
        cwd=checkout,
        capture_output=True,
        text=True,
        timeout=_GIT_TIMEOUT_SECONDS,
        check=False,
    )
    if done.returncode != 0:
        raise StepError(f"git {arguments[0]}: exit code {done.returncode}", done.stderr)
    return done.stdout.strip()


class StepRunner:
    """Runs commands one after the other. Their processes end with the step, or with this process.

    :param terminal: the output.
    :param logs: folder for a log of each step.
    """

    def __init__(self, terminal: Terminal, logs: Path) -> None:
        self.terminal = terminal
        self._logs = logs
        self._count = 0

    def run(
        self, title: str, command: Sequence[str], *, env: Mapping[str, str], cwd: Path, timeout: float
    ) -> str:
        """Print the title, run the command, and return its output.

        :param title: the step.
        :param command: program and arguments.
        :param env: the whole environment.
        :param cwd: the working directory.
        :param timeout: time limit in seconds.
        :raises StepError: if the command fails, or is still running after the time limit.
        """
        self.terminal.print_line(title)
        self._count += 1
        process = GuardedProcess(f"step-{self._count}", command, env=env, directory=self._logs, cwd=cwd)
        process.start()
        try:
            wait_until(lambda: not process.is_running, description=title, timeout=timeout, interval=0.05)
            exit_code = process.exit_code
        except ConditionTimeoutError:
            raise StepError(f"{title}: timed out after {timeout:g} s", _read(process.log)) from None
        finally:
            process.stop()
        output = _read(process.log)
        if exit_code != 0:
            raise StepError(f"{title}: exit code {exit_code}", output)
        return output

    def print_result(self, text: str) -> None:
        """Print a finding of the current step."""
        self.terminal.print_line(Text(f"  {text}", "green"))


def _read(log: Path) -> str:
    return log.read_text(errors="replace")
