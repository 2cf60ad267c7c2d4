"""Reloading an access token while a client is in use."""

from __future__ import annotations

import asyncio
import base64
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from airflow_provider_codeocean.api._http.library import httpx
from airflow_provider_codeocean.api.auth import AccessToken
from airflow_provider_codeocean.api.client import CodeOceanAsyncClient, CodeOceanClient
from airflow_provider_codeocean.api.errors import Forbidden, Unauthorized
from airflow_provider_codeocean.api.models.data_asset_params import DataAssetParams
from tests.api.fake_server import call_async, call_sync

NEW_ASSET = DataAssetParams(name="n", tags=[], mount="m", data_asset_ids=["a1"])


class Guarded:
    """A server that accepts one token, and a connection with a token that may be another one."""

    url = "https://codeocean.test"
    token = "old"

    def __init__(self, valid="new", known="new", status=401):
        self.valid, self.known, self.status = valid, known, status
        self.used, self.acted, self.reads = [], 0, 0
        self.transport = httpx.MockTransport(self.answer)

    def answer(self, request):
        scheme, _, encoded = request.headers["authorization"].partition(" ")
        assert scheme == "Basic"
        self.used.append(base64.b64decode(encoded).decode().partition(":")[0])
        if self.used[-1] != self.valid:
            return httpx.Response(self.status, json={"message": "who?"})
        self.acted += 1
        return httpx.Response(200, json={"id": "a1"})

    def read(self):
        self.reads += 1
        if self.known is None:
            raise OSError("the secrets backend is away")
        return self.known

    async def read_async(self):
        await asyncio.sleep(0)
        return self.read()


@pytest.fixture(params=["sync", "async"])
def ask(request):
    """``ask(server, action)`` calls one of the clients."""
    if request.param == "sync":
        return lambda server, use: call_sync(server, use, token_provider=server.read)
    return lambda server, use: call_async(server, use, token_provider=server.read_async)


@pytest.mark.parametrize("status", [401, 403])
def test_request_rejected_with_old_token_is_resent_with_new_one(ask, status):
    server = Guarded(status=status)
    assert ask(server, lambda client: client.data_assets.get("a1")).id == "a1"
    assert (server.used, server.reads) == (["old", "new"], 1)


def test_create_rejected_with_old_token_is_resent_once(ask):
    server = Guarded()
    assert ask(server, lambda client: client.data_assets.create(NEW_ASSET)).id == "a1"
    assert (server.used, server.acted) == (["old", "new"], 1)


@pytest.mark.parametrize(("status", "error"), [(401, Unauthorized), (403, Forbidden)])
@pytest.mark.parametrize("known", ["old", None])
def test_request_without_new_token_fails_at_once(ask, status, error, known):
    server = Guarded(known=known, status=status)
    with pytest.raises(error):
        ask(server, lambda client: client.data_assets.get("a1"))
    assert (server.used, server.reads) == (["old"], 1)


def test_request_rejected_with_new_token_fails_after_two_attempts(ask):
    server = Guarded(known="newer, but wrong")
    with pytest.raises(Unauthorized):
        ask(server, lambda client: client.data_assets.get("a1"))
    assert server.used == ["old", "newer, but wrong"]


async def test_async_client_concurrent_rejections_refresh_the_token_once():
    server = Guarded()
    client = CodeOceanAsyncClient(
        server.url, server.token, token_provider=server.read_async, transport=server.transport
    )
    async with client:
        assets = await asyncio.gather(*(client.data_assets.get("a1") for _ in range(20)))
    assert len(assets) == 20
    assert server.reads == 1
    assert server.used.count("old") <= 20
    assert server.used.count("new") == 20


def test_sync_client_in_threads_refreshes_the_token_once():
    """A thread waits for the token that another thread is reloading."""
    server = Guarded()
    together = threading.Barrier(8)

    def answer(request):
        response = server.answer(request)
        if response.status_code == 401:
            together.wait(timeout=20)
        return response

    def read():
        time.sleep(0.1)  # like a secrets backend
        return server.read()

    with (
        CodeOceanClient(
            server.url, server.token, token_provider=read, transport=httpx.MockTransport(answer)
        ) as client,
        ThreadPoolExecutor(8) as threads,
    ):
        assets = list(threads.map(client.data_assets.get, ["a1"] * 8))
    assert len(assets) == 8
    assert server.reads == 1


async def test_token_provider_that_hangs_times_out_like_a_request(caplog):
    """Otherwise, all users of the client would wait for it."""
    server = Guarded()
    client = CodeOceanAsyncClient(
        server.url, server.token, token_provider=asyncio.Event().wait, timeout=0.1, transport=server.transport
    )
    async with client:
        requests = (client.data_assets.get("a1") for _ in range(3))
        results = await asyncio.wait_for(asyncio.gather(*requests, return_exceptions=True), 20)
    assert {type(result) for result in results} == {Unauthorized}
    (line,) = caplog.messages
    assert line == "Could not reload the access token for https://codeocean.test: TimeoutError"


def test_token_refresh_is_limited_in_rate():
    now = [100.0]
    token = AccessToken("old", "https://codeocean.test", lambda: now[0])
    assert [token.try_start_refresh(), token.try_start_refresh()] == [True, False]
    now[0] += 10
    assert token.try_start_refresh()


def test_token_repr_hides_the_secret():
    assert "s3cret" not in repr(AccessToken("s3cret", "https://codeocean.test"))
