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
    monkeypatch.setattr(run, "WORK_FOLDER", tmp_path / "state" / "cluster")
    monkeypatch.setattr(signal, "signal", lambda number, handler: None)
    monkeypatch.setattr(sys, "argv", ["tests.cluster"])
    return run.WORK_FOLDER


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
def test_main_with_service_error_has_its_own_exit_code(error, monkeypatch, capsys):
    @contextmanager
    def services(folder):
        raise error
        yield

    monkeypatch.setattr(run, "provide_services", services)
    assert run.main() == run.EXIT_NOT_RUN
    assert f"The run could not be made: {error}" in capsys.readouterr().out


def test_main_while_another_run_is_active_is_rejected(folder, monkeypatch, capsys):
    outcomes = []

    @contextmanager
    def services(folder):
        (folder / "mine").touch()
        if not outcomes:
            outcomes.append(run.main())  # another one, meanwhile
            assert (folder / "mine").exists()
        raise ServiceError("no database")
        yield

    monkeypatch.setattr(run, "provide_services", services)
    assert run.main() == run.EXIT_NOT_RUN
    assert outcomes == [run.EXIT_NOT_RUN]
    told = capsys.readouterr().out
    assert "The run could not be made: another one runs in this checkout" in told
    assert "The run could not be made: no database" in told
    assert run.main() == run.EXIT_NOT_RUN  # the first is over
    assert "another one" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("variables", "arguments"),
    [
        ((), []),
        (("CLUSTER_MINUTES=5",), ["--minutes", "5"]),
        (("CAPTURES=40", "CLUSTER_MINUTES=5"), ["--captures", "40", "--minutes", "5"]),
    ],
)
def test_make_cluster_passes_its_variables(variables, arguments):
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
