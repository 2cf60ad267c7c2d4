"""A run that could not be made is not taken for captures that were doubled or lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

from scripts.airflow_processes import RealAirflowError
from scripts.http_json import HttpError
from tests.cluster import __main__ as run
from tests.cluster.services import ServiceError

CHECKOUT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A folder of a run, in place of the checkout's."""
    monkeypatch.setattr(run, "FOLDER", tmp_path / "state" / "cluster")
    monkeypatch.setattr(signal, "signal", lambda number, handler: None)
    monkeypatch.setattr(sys, "argv", ["tests.cluster"])
    return run.FOLDER


@pytest.mark.parametrize(
    "error",
    [
        ServiceError("no database"),
        RealAirflowError("the scheduler has ended"),
        TimeoutError("timed out"),
        HttpError(500, "database is locked"),
        subprocess.TimeoutExpired("airflow db migrate", 300),
    ],
    ids=lambda error: type(error).__name__,
)
def test_it_is_told_with_an_exit_code_of_its_own(error, monkeypatch, capsys):
    @contextmanager
    def services(folder):
        raise error
        yield

    monkeypatch.setattr(run, "services", services)
    assert run.main() == run.NOT_RUN
    assert f"The run could not be made: {error}" in capsys.readouterr().out


def test_two_runs_at_once_do_not_disturb_each_other(folder, monkeypatch, capsys):
    outcomes = []

    @contextmanager
    def services(folder):
        (folder / "mine").touch()
        if not outcomes:
            outcomes.append(run.main())  # another one, meanwhile
            assert (folder / "mine").exists()
        raise ServiceError("no database")
        yield

    monkeypatch.setattr(run, "services", services)
    assert run.main() == run.NOT_RUN
    assert outcomes == [run.NOT_RUN]
    told = capsys.readouterr().out
    assert "The run could not be made: another one runs in this checkout" in told
    assert "The run could not be made: no database" in told
    assert run.main() == run.NOT_RUN  # the first is over
    assert "another one" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("variables", "arguments"),
    [
        ((), []),
        (("CLUSTER_MINUTES=5",), ["--minutes", "5"]),
        (("CAPTURES=40", "CLUSTER_MINUTES=5"), ["--captures", "40", "--minutes", "5"]),
    ],
)
def test_make_hands_its_variables_on(variables, arguments):
    done = subprocess.run(
        ["make", "--dry-run", "cluster", *variables],
        cwd=CHECKOUT,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.replace("\\\n", " ").split("-m tests.cluster")[1].split() == arguments
