from __future__ import annotations

import io

from scripts.demo import TaskDurations
from scripts.real_airflow import TaskStateChange
from scripts.terminal import Terminal


class Tty(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_terminal_without_tty_prints_plain_text():
    stream = io.StringIO()
    terminal = Terminal(stream)
    terminal.print_task_state("capture", "none")
    terminal.print_task_state("capture", "running")
    terminal.print_title("Done")
    terminal.print_table({"A": 1, "Long": "x"})
    terminal.print_failure("It failed", "why\nwhy not")
    text = stream.getvalue()
    assert "\x1b" not in text
    assert text.splitlines() == [
        "   0.0 s    capture      running",
        "",
        "Done",
        "  A     1",
        "  Long  x",
        "",
        "It failed",
        "    why",
        "    why not",
    ]


def test_terminal_with_tty_prints_colors(monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    stream = Tty()
    Terminal(stream).print_task_state("capture", "success")
    assert "\x1b[32msuccess\x1b[0m" in stream.getvalue()


def test_terminal_with_no_color_prints_plain_text(monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    stream = Tty()
    Terminal(stream).print_task_state("capture", "success")
    assert "\x1b[32m" not in stream.getvalue()


def test_task_durations_sum_the_time_in_a_state():
    times = TaskDurations(
        [
            TaskStateChange("a", "running", 1.0),
            TaskStateChange("b", "deferred", 1.5),
            TaskStateChange("a", "deferred", 2.0),
            TaskStateChange("a", "running", 5.0),
            TaskStateChange("a", "deferred", 6.0),
            TaskStateChange("a", "success", 6.5),
        ]
    )
    assert times.seconds_in("a", "deferred") == 3.5
    assert times.seconds_in("b", "deferred") == 0
