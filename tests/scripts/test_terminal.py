from __future__ import annotations

import io

from scripts.demo import TaskTimes
from scripts.real_airflow import TaskChange
from scripts.terminal import Terminal


class Tty(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_plain_where_nobody_watches():
    stream = io.StringIO()
    terminal = Terminal(stream)
    terminal.task_changed("capture", "none")
    terminal.task_changed("capture", "running")
    terminal.title("Done")
    terminal.table({"A": 1, "Long": "x"})
    terminal.failure("It failed", "why\nwhy not")
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


def test_colours_on_a_terminal(monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    stream = Tty()
    Terminal(stream).task_changed("capture", "success")
    assert "\x1b[32msuccess\x1b[0m" in stream.getvalue()


def test_no_colours_where_they_are_not_wanted(monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    stream = Tty()
    Terminal(stream).task_changed("capture", "success")
    assert "\x1b" not in stream.getvalue()


def test_time_spent_in_a_state():
    times = TaskTimes(
        [
            TaskChange("a", "running", 1.0),
            TaskChange("b", "deferred", 1.5),
            TaskChange("a", "deferred", 2.0),
            TaskChange("a", "running", 5.0),
            TaskChange("a", "deferred", 6.0),
            TaskChange("a", "success", 6.5),
        ]
    )
    assert times.seconds_in("a", "deferred") == 3.5
    assert times.seconds_in("b", "deferred") == 0
