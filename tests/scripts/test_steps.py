from __future__ import annotations

import io
import os
import time

import psutil
import pytest

from scripts.steps import StepError, StepRunner
from scripts.terminal import Terminal


@pytest.fixture
def runner(tmp_path):
    return StepRunner(Terminal(io.StringIO()), tmp_path / "logs")


def run(runner, tmp_path, script, timeout=20.0):
    return runner.run("Count", ["sh", "-c", script], env=os.environ, cwd=tmp_path, timeout=timeout)


def test_step_returns_its_own_output(runner, tmp_path):
    assert run(runner, tmp_path, "echo one") == "one\n"
    assert run(runner, tmp_path, "echo two; echo warning >&2") == "two\nwarning\n"


def test_step_with_error_raises_with_its_output(runner, tmp_path):
    with pytest.raises(StepError) as caught:
        run(runner, tmp_path, "echo reason; exit 3")
    assert (caught.value.title, caught.value.details) == ("Count: exit code 3", "reason\n")


def test_step_after_timeout_raises_and_ends_its_processes(runner, tmp_path):
    with pytest.raises(StepError, match=r"Count: timed out after 0\.5 s"):
        run(runner, tmp_path, "sleep 600 & echo $! > pid; wait", timeout=0.5)
    pid = int((tmp_path / "pid").read_text())
    deadline = time.monotonic() + 10
    while psutil.pid_exists(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not psutil.pid_exists(pid)
