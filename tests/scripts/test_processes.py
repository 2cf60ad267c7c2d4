"""A guarded process takes everything with it, however it or its owner ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import uuid
from pathlib import Path

import psutil
import pytest

from scripts.processes import GuardedProcess
from scripts.waiting import wait_until

CHECKOUT = Path(__file__).parent.parent.parent

# Starts a child that leaves its session and is orphaned, and one that ignores SIGTERM; then waits.
FAMILY = """
    import os, signal, subprocess, sys, time

    sleep = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.execv(sys.executable, [sys.executable, "-c", sleep])
        os._exit(0)
    subprocess.Popen([sys.executable, "-c", sleep])
    os.wait()
    print("family is here", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def mark(monkeypatch):
    """An environment variable by which all processes of a test are found, wherever they hang."""
    value = uuid.uuid4().hex
    monkeypatch.setenv("GUARD_TEST", value)

    def find() -> list[psutil.Process]:
        found = []
        for process in psutil.process_iter():
            try:
                if process.pid != os.getpid() and process.environ().get("GUARD_TEST") == value:
                    found.append(process)
            except psutil.Error:
                continue
        return found

    return find


def family(directory: Path) -> GuardedProcess:
    command = [sys.executable, "-c", textwrap.dedent(FAMILY)]
    process = GuardedProcess("family", command, env=os.environ, directory=directory, stop_timeout=0.2)
    process.start()
    wait_until(lambda: "here" in process.log.read_text(), description="the family", timeout=20)
    return process


def test_stop_ends_descendants_that_left_the_session_or_ignore_sigterm(tmp_path, mark):
    process = family(tmp_path)
    assert len(process.living_processes()) == 3
    assert len(mark()) == 4  # and the guard

    process.stop()

    assert mark() == []
    assert not process.is_running
    assert process.exit_code == -signal.SIGTERM


def test_kill_all_ends_all_processes_and_allows_restart(tmp_path, mark):
    process = family(tmp_path)

    process.kill_all()

    assert process.living_processes() == []
    assert process.exit_code == -signal.SIGKILL
    process.start()
    wait_until(lambda: process.log.read_text().count("here") == 2, description="the next family", timeout=20)
    process.stop()
    assert mark() == []


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_guard_after_kill_of_the_owner_ends_all_processes(tmp_path, mark, number):
    code = f"""
        import sys
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        from pathlib import Path
        from test_processes import family
        process = family(Path({str(tmp_path)!r}))
        print("ready", flush=True)
        sys.stdin.read()
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    with subprocess.Popen(
        command,
        cwd=CHECKOUT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as owner:
        assert owner.stdout.readline() == "ready\n"
        assert len(mark()) == 5
        owner.send_signal(number)
    wait_until(lambda: not mark(), description="all processes to be gone", timeout=20)


def test_kill_leaves_children_running_until_stop(tmp_path, mark):
    process = family(tmp_path)
    first = process.pid

    process.kill(signal.SIGKILL)

    assert process.exit_code == -signal.SIGKILL
    assert len(process.living_processes()) == 2
    process.start()
    assert process.pid != first
    wait_until(lambda: len(process.living_processes()) == 5, description="two families", timeout=20)
    process.stop()
    assert mark() == []


def test_describe_exit_of_exited_command_shows_code_and_log(tmp_path, mark):
    command = [sys.executable, "-c", "import sys; print('last words'); sys.exit(3)"]
    process = GuardedProcess("short", command, env=os.environ, directory=tmp_path)
    process.start()
    wait_until(lambda: not process.is_running, description="its end", timeout=20)

    assert process.exit_code == 3
    assert "short ended with exit code 3" in process.describe_exit()
    assert "last words" in process.describe_exit()
    wait_until(lambda: not mark(), description="the guard to end too", timeout=20)
    process.stop()


def test_start_of_missing_command_raises_runtime_error(tmp_path):
    process = GuardedProcess("nobody", ["/nonexistent/command"], env=os.environ, directory=tmp_path)
    with pytest.raises(RuntimeError, match="nobody did not start"):
        process.start()
    process.stop()


def test_start_gives_empty_stdin_and_default_sigint(tmp_path):
    code = "import signal, sys; print(sys.stdin.read() == '', signal.getsignal(signal.SIGINT))"
    process = GuardedProcess("child", [sys.executable, "-c", code], env=os.environ, directory=tmp_path)
    process.start()
    wait_until(lambda: not process.is_running, description="its end", timeout=20)

    assert process.log.read_text().startswith("True <built-in function default_int_handler>")
    process.stop()


def test_start_of_running_process_raises_runtime_error(tmp_path):
    code = "import time; time.sleep(600)"
    process = GuardedProcess("once", [sys.executable, "-c", code], env=os.environ, directory=tmp_path)
    process.start()
    try:
        with pytest.raises(RuntimeError, match="once is already running"):
            process.start()
    finally:
        process.stop()
