"""A run that could not be made is not taken for captures that were doubled or lost."""

from __future__ import annotations

import signal
import subprocess
import sys
from contextlib import contextmanager

import pytest

from scripts.airflow_processes import RealAirflowError
from scripts.http_json import HttpError
from tests.cluster import __main__ as run
from tests.cluster.services import ServiceError


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
def test_it_is_told_with_an_exit_code_of_its_own(error, tmp_path, monkeypatch, capsys):
    @contextmanager
    def services(folder):
        raise error
        yield

    monkeypatch.setattr(run, "services", services)
    monkeypatch.setattr(run, "FOLDER", tmp_path / "cluster")
    monkeypatch.setattr(signal, "signal", lambda number, handler: None)
    monkeypatch.setattr(sys, "argv", ["tests.cluster"])
    assert run.main() == run.NOT_RUN
    assert f"The run could not be made: {error}" in capsys.readouterr().out
