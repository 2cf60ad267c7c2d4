"""Wait for a condition with a deadline, and say what was awaited when it passes."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypeVar

from scripts.task_log import readable

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Found = TypeVar("Found")


class WaitExpiredError(Exception):
    """A condition did not come true in time.

    :param awaited: what was waited for, as the end of "waited in vain for …".
    :param timeout: seconds waited.
    """

    def __init__(self, awaited: str, timeout: float) -> None:
        super().__init__(f"waited {timeout:g} s in vain for {awaited}")
        self.awaited = awaited
        self.timeout = timeout


def wait_until(
    condition: Callable[[], Found | None], *, awaited: str, timeout: float, every: float = 0.1
) -> Found:
    """Ask again and again until the answer is true.

    :param condition: returns something true when what is awaited has come; may raise to give up early.
    :param awaited: what is waited for, for the error's text.
    :param timeout: seconds until :class:`WaitExpiredError`.
    :param every: seconds between two questions.
    :returns: the condition's answer.
    :raises WaitExpiredError: when the time is over.
    """
    deadline = time.monotonic() + timeout
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() >= deadline:
            raise WaitExpiredError(awaited, timeout)
        time.sleep(every)


def tail(path: Path, lines: int = 25) -> str:
    """Return the last lines of a text file, or an empty string where there is none.

    :param path: the file.
    :param lines: how many lines at most.
    """
    try:
        with path.open("rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - 400 * lines))
            text = file.read().decode(errors="replace")
    except FileNotFoundError:
        return ""
    return "\n".join(text.splitlines()[-lines:])


def ending(path: Path) -> str:
    """Return the end of a log file under a heading that says where it is.

    :param path: the file.
    """
    return f"--- the end of {path}:\n{readable(tail(path)) or '(empty)'}"
