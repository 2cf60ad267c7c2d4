"""Rotation of the trusted certificates during waits, in virtual time."""

from __future__ import annotations

import asyncio
import os
import ssl
from itertools import count
from typing import TYPE_CHECKING

import pytest

from airflow_provider_codeocean.api._http.library import httpx
from airflow_provider_codeocean.api.client import CodeOceanAsyncClient
from airflow_provider_codeocean.api.errors import CodeOceanTransportError
from tests.api.certificates import CertificateAuthority
from tests.polling.fake_deployment import FakeAsset, FakeDeployment
from tests.polling.test_poller import Waiting
from tests.polling.virtual_time import run

if TYPE_CHECKING:
    from pathlib import Path


class Rotating(FakeDeployment):
    """A deployment that rejects clients that do not trust its certificate authority.

    :ivar signed_by: the certificates of the authority.
    :ivar trusted: the file of certificates that a new client reads.
    """

    def __init__(self, trusted: Path, *assets: FakeAsset) -> None:
        super().__init__(*assets)
        self.trusted = trusted
        self._trusted_by_client = b""
        self._written_at = count(10**18, 10**9)
        self.signed_by = self.trust_another()

    def trust_another(self) -> bytes:
        """Replace the file."""
        CertificateAuthority().write_certificate(self.trusted.parent / "new").replace(self.trusted)
        moment = next(self._written_at)
        os.utime(self.trusted, ns=(moment, moment))
        return self.trusted.read_bytes()

    async def connect(self, current: CodeOceanAsyncClient | None = None) -> CodeOceanAsyncClient:
        trusted = self.trusted.read_bytes()
        if current is not None and trusted == self._trusted_by_client:
            return current
        self._trusted_by_client = trusted

        async def handle(request: httpx.Request) -> httpx.Response:
            if trusted != self.signed_by:
                raise httpx.ConnectError("not trusted") from ssl.SSLCertVerificationError()
            return await self._handle(request)

        client = CodeOceanAsyncClient(
            "https://co.test",
            self.token,
            retry_budget=0,
            verify=str(self.trusted),
            transport=httpx.MockTransport(handle),
        )
        self.clients.append(client)
        return client


@pytest.fixture
def deployment(tmp_path):
    return Rotating(
        CertificateAuthority().write_certificate(tmp_path),
        FakeAsset("early", 10),
        FakeAsset("standing", 60),
        FakeAsset("late", 70),
    )


def test_waits_with_replaced_certificates_continue(deployment, monkeypatch):
    waiting = Waiting(deployment)

    async def scene() -> None:
        async with asyncio.TaskGroup() as waits:
            for asset_id in ("early", "standing"):
                waits.create_task(waiting.wait(asset_id))
            await asyncio.sleep(30)
            deployment.signed_by = deployment.trust_another()
            waits.create_task(waiting.wait("late"))

    run(scene(), monkeypatch)
    assert waiting.errors == {}
    assert waiting.noticed.keys() == deployment.assets.keys()
    assert waiting.lateness()[-1] < 15
    assert len(deployment.clients) == 2


def test_waits_with_untrusted_server_fail(deployment, monkeypatch):
    waiting = Waiting(deployment)

    async def scene() -> None:
        async with asyncio.TaskGroup() as waits:
            for asset_id in deployment.assets:
                waits.create_task(waiting.wait(asset_id))
            await asyncio.sleep(30)
            deployment.trust_another()
            deployment.signed_by = b"nobody's"

    run(scene(), monkeypatch)
    assert waiting.noticed.keys() == {"early"}
    assert waiting.errors.keys() == {"standing", "late"}
    for error in waiting.errors.values():
        assert isinstance(error, CodeOceanTransportError)
        assert not error.is_transient
