"""Wait for a condition, with a timeout and a description for its error."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypeVar

from scripts.task_log import format_task_log

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ResultT = TypeVar("ResultT")


class ConditionTimeoutError(Exception):
    """A condition was not met in time.

    :param description: the condition.
    :param timeout: seconds.
    """

    def __init__(self, description: str, timeout: float) -> None:
        super().__init__(f"timed out after {timeout:g} s: waited for {description}")
        self.description = description
        self.timeout = timeout


def wait_until(
    condition: Callable[[], ResultT | None], *, description: str, timeout: float, interval: float = 0.1
) -> ResultT:
    """Wait until a condition returns a true value.

    :param condition: called repeatedly; may raise an error to stop early.
    :param description: the condition in the error message.
    :param timeout: seconds until :class:`ConditionTimeoutError`.
    :param interval: seconds between two calls.
    :returns: the condition's value.
    :raises ConditionTimeoutError: after the timeout.
    """
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() >= deadline:
            raise ConditionTimeoutError(description, timeout)
        time.sleep(interval)


def read_tail(path: Path, max_lines: int = 25) -> str:
    """Return the last lines of a text file, or an empty string if it does not exist."""
    try:
        with path.open("rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - 400 * max_lines))
            text = file.read().decode(errors="replace")
    except FileNotFoundError:
        return ""
    return "\n".join(text.splitlines()[-max_lines:])


def format_log_tail(path: Path) -> str:
    """Return the end of a log file, with its path as heading."""
    return f"--- end of {path}:\n{format_task_log(read_tail(path)) or '(empty)'}"
