from __future__ import annotations

import os
import sys

import psutil
import pytest

from scripts.airflow_console import AirflowConsole


@pytest.fixture
def console(tmp_path):
    console = AirflowConsole(
        sys.executable, env=os.environ, cwd=tmp_path, log=tmp_path / "logs" / "console.log"
    )
    yield console
    console.stop()


WRITE = "import os, sys; open(sys.argv[1], 'w').write(f'{os.getpid()} {sys.argv[2]}'); print('written')"


def test_console_runs_snippets_in_one_process(console, tmp_path):
    console.run(WRITE, "first", "a b")
    console.run(WRITE, "second", "c")
    first, second = ((tmp_path / name).read_text().split(" ", 1) for name in ("first", "second"))
    assert first[0] == second[0]
    assert (first[1], second[1]) == ("a b", "c")
    assert (tmp_path / "logs" / "console.log").read_text() == "written\nwritten\n"


def test_console_after_snippet_error_runs_the_next(console, tmp_path):
    with pytest.raises(RuntimeError, match="KeyError: 'no such DAG'"):
        console.run("raise KeyError('no such DAG')")
    console.run(WRITE, "next", "x")
    assert (tmp_path / "next").exists()


def test_console_after_process_exit_starts_again(console, tmp_path):
    with pytest.raises(RuntimeError, match=r"Airflow did not respond; see .*console\.log"):
        console.run("import os; os._exit(1)")
    console.run(WRITE, "next", "x")
    assert (tmp_path / "next").exists()


def test_console_stop_ends_its_process(console, tmp_path):
    console.run(WRITE, "pid", "x")
    pid = int((tmp_path / "pid").read_text().split()[0])
    console.stop()
    assert not psutil.pid_exists(pid)
