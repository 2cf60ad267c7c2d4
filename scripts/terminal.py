"""Print the progress of the demo: in color on a terminal, as plain text elsewhere."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TextIO

from rich.console import Console
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Mapping

_STATE_STYLES = {
    "success": "green",
    "failed": "red",
    "upstream_failed": "red",
    "up_for_retry": "yellow",
    "running": "cyan",
    "deferred": "magenta",
}
_HIDDEN_STATES = {"none", "scheduled"}  # of no interest to a user
_MAX_DETAIL_LINES = 40


class Terminal:
    """Prints lines with the seconds since its creation.

    :param stream: the output.
    """

    def __init__(self, stream: TextIO) -> None:
        self._console = Console(file=stream, highlight=False, soft_wrap=True)
        self._started_at = time.monotonic()

    def print_line(self, text: str | Text) -> None:
        """Print a line with the elapsed time."""
        elapsed = f"{time.monotonic() - self._started_at:6.1f} s"
        self._console.print(Text.assemble((elapsed, "dim"), "  ", text))

    def print_task_state(self, task: str, state: str) -> None:
        """Print the new state of a task, unless it is of no interest."""
        if state not in _HIDDEN_STATES:
            self.print_line(Text.assemble(f"  {task:<12} ", (state, _STATE_STYLES.get(state, ""))))

    def print_title(self, text: str) -> None:
        """Print a heading."""
        self._console.print(Text(f"\n{text}", "bold"))

    def print_table(self, rows: Mapping[str, object]) -> None:
        """Print names and values."""
        width = max(map(len, rows))
        for name, value in rows.items():
            self._console.print(Text.assemble("  ", (f"{name:<{width}}", "dim"), f"  {value}"))

    def print_failure(self, title: str, details: str) -> None:
        """Print an error with the end of its details, such as a log."""
        self._console.print(Text(f"\n{title}", "red"))
        for line in details.splitlines()[-_MAX_DETAIL_LINES:]:
            self._console.print(Text(f"    {line}"))
