"""Tell a story on a terminal: with colours for people, plainly for files and pipes."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from collections.abc import Mapping

_COLOURS = {
    "success": "32",
    "failed": "31",
    "upstream_failed": "31",
    "up_for_retry": "33",
    "running": "36",
    "deferred": "35",
}
_UNTOLD = {"none", "scheduled"}  # states that mean nothing to somebody who watches


class Terminal:
    """Writes lines, each with the seconds since it was made.

    :param stream: where to; colours are used if it is a terminal and ``NO_COLOR`` is not set.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._coloured = stream.isatty() and "NO_COLOR" not in os.environ
        self._begin = time.monotonic()

    def say(self, text: str) -> None:
        """Write a line.

        :param text: the line.
        """
        self._write(f"{self._paint(f'{time.monotonic() - self._begin:6.1f} s', '2')}  {text}")

    def task_changed(self, task: str, state: str) -> None:
        """Write that a task came into a state, if that is worth a line.

        :param task: the task.
        :param state: its new state.
        """
        if state not in _UNTOLD:
            self.say(f"  {task:<12} {self._paint(state, _COLOURS.get(state, '0'))}")

    def title(self, text: str) -> None:
        """Write a line that stands out.

        :param text: the line.
        """
        self._write(f"\n{self._paint(text, '1')}")

    def table(self, rows: Mapping[str, object]) -> None:
        """Write names and values.

        :param rows: the values by their names.
        """
        width = max(map(len, rows))
        for name, value in rows.items():
            self._write(f"  {self._paint(f'{name:<{width}}', '2')}  {value}")

    def failure(self, what: str, details: str) -> None:
        """Write that something failed, with the end of what is known about it.

        :param what: what failed.
        :param details: a log or an error's text.
        """
        lines = [f"    {line}" for line in details.splitlines()[-40:]]
        self._write("\n".join([f"\n{self._paint(what, '31')}", *lines]))

    def _paint(self, text: str, colour: str) -> str:
        return f"\x1b[{colour}m{text}\x1b[0m" if self._coloured else text

    def _write(self, text: str) -> None:
        print(text, file=self._stream, flush=True)
