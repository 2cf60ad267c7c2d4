"""Waiting in the triggerer if the connection or its certificates are missing."""

from __future__ import annotations

import time

import pytest

from airflow_provider_codeocean.api.errors import CodeOceanTransportError
from airflow_provider_codeocean.compat.features import Feature
from airflow_provider_codeocean.polling import poller
from airflow_provider_codeocean.polling.waits import DataAssetWait
from airflow_provider_codeocean.triggers import _base

NAME = "AIRFLOW_CONN_CODEOCEAN_DEFAULT"


@pytest.fixture
async def read(monkeypatch):
    """Return the function with which the poller reads the connection."""
    connects = []

    async def take(wait, *, connect, **_):
        connects.append(connect)

    monkeypatch.setattr(poller, "wait_on_shared_poller", take)
    await _base.wait_in_triggerer("codeocean_default", None)
    return connects[0]


@pytest.mark.parametrize("missing", ["connection", "certificates"])
async def test_connect_without_connection_or_certificates_has_grace_period(
    monkeypatch, connect, read, missing
):
    def remove():
        if missing == "connection":
            monkeypatch.delenv(NAME, raising=False)
        else:
            connect("https://co.test", "cop_s3cret", verify="/nowhere/ca.pem")

    remove()
    with pytest.raises(CodeOceanTransportError):
        await read(None)
    connect("https://co.test", "cop_s3cret")
    client = await read(None)
    assert await read(client) is client
    remove()
    start = time.monotonic() + 3600
    for seconds, error in ((0, CodeOceanTransportError), (119, CodeOceanTransportError), (120, ValueError)):
        monkeypatch.setattr(_base.time, "monotonic", lambda now=start + seconds: now)
        with pytest.raises(error):
            await read(None)
    await client.aclose()


@pytest.mark.fault("N2")
@pytest.mark.skipif(
    not Feature.TASK_EXECUTION_API.is_available, reason="Airflow 2 reads connections from its database"
)
async def test_wait_in_dag_test_with_missing_connection_raises_at_once(monkeypatch):
    """``dag.test()`` runs triggers in a process whose supervisor has no ``asend``."""
    from airflow.sdk.exceptions import ErrorType
    from airflow.sdk.execution_time import task_runner
    from airflow.sdk.execution_time.comms import ErrorResponse

    class InLineSupervisor:
        def send(self, message):
            return ErrorResponse(error=ErrorType.CONNECTION_NOT_FOUND)

    monkeypatch.delenv(NAME, raising=False)
    monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", InLineSupervisor(), raising=False)
    started = time.monotonic()
    with pytest.raises(ValueError, match="codeocean_default"):
        await _base.wait_in_triggerer(
            "codeocean_default", DataAssetWait("a", poll_interval=1.0, deadline=None)
        )
    assert time.monotonic() - started < 30
