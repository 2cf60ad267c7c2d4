"""Waiting in the triggerer, where Airflow is in trouble itself."""

from __future__ import annotations

import pytest
from airflow.providers.common.compat.sdk import AirflowNotFoundException

from airflow_provider_codeocean.api.errors import CodeOceanTransportError, NoCertificates
from airflow_provider_codeocean.hooks import waiting
from airflow_provider_codeocean.polling import poller


@pytest.mark.parametrize("missing", [AirflowNotFoundException, NoCertificates])
@pytest.mark.asyncio
async def test_what_was_there_since_is_borne_anew(monkeypatch, missing):
    """A poller that gives way to another, because certificates were replaced, asks for it again."""
    connects = []

    async def take(wait, *, connect, **_):
        connects.append(connect)

    there = [False]

    async def get_async_conn(self, **_):
        if not there[0]:
            raise missing("not there")
        return "client"

    monkeypatch.setattr(poller, "wait_together", take)
    monkeypatch.setattr(waiting.CodeOceanHook, "get_async_conn", get_async_conn)
    await waiting.wait_in_triggerer("codeocean_default", None)
    [connect] = connects
    with pytest.raises(CodeOceanTransportError, match="not there"):
        await connect()
    there[0] = True
    assert await connect() == "client"
    there[0] = False
    now = waiting.time.monotonic() + 3600
    monkeypatch.setattr(waiting.time, "monotonic", lambda: now)
    with pytest.raises(CodeOceanTransportError):
        await connect()
    much_later = now + 120
    monkeypatch.setattr(waiting.time, "monotonic", lambda: much_later)
    with pytest.raises(ValueError, match="not there"):
        await connect()
