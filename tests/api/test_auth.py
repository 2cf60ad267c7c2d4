"""A token that is replaced while a client uses it."""

from __future__ import annotations

import asyncio
import base64
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from airflow_provider_codeocean.api.auth import Token
from airflow_provider_codeocean.api.client import CodeOceanAsyncClient, CodeOceanClient
from airflow_provider_codeocean.api.errors import Forbidden, Unauthorized
from airflow_provider_codeocean.api.models.data_asset_params import DataAssetParams
from tests.api.fake_server import ask_async, ask_sync

NEW_ASSET = DataAssetParams(name="n", tags=[], mount="m", data_asset_ids=["a1"])


class Guarded:
    """A server that lets in who has the valid token, and a connection that holds one."""

    url = "https://codeocean.test"
    token = "old"

    def __init__(self, valid="new", known="new", status=401):
        self.valid, self.known, self.status = valid, known, status
        self.used, self.acted, self.asked = [], 0, 0
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
        self.asked += 1
        if self.known is None:
            raise OSError("the secrets backend is away")
        return self.known

    async def read_async(self):
        await asyncio.sleep(0)
        return self.read()


@pytest.fixture(params=["sync", "async"])
def ask(request):
    """``ask(server, use)`` uses the client of either kind."""
    if request.param == "sync":
        return lambda server, use: ask_sync(server, use, new_token=server.read)
    return lambda server, use: ask_async(server, use, new_token=server.read_async)


@pytest.mark.parametrize("status", [401, 403])
def test_a_request_is_sent_again_with_the_token_that_is_there_by_now(ask, status):
    server = Guarded(status=status)
    assert ask(server, lambda client: client.data_assets.get("a1")).id == "a1"
    assert (server.used, server.asked) == (["old", "new"], 1)


def test_what_creates_is_sent_again_too_for_the_server_has_not_acted(ask):
    server = Guarded()
    assert ask(server, lambda client: client.data_assets.create(NEW_ASSET)).id == "a1"
    assert (server.used, server.acted) == (["old", "new"], 1)


@pytest.mark.parametrize(("status", "error"), [(401, Unauthorized), (403, Forbidden)])
@pytest.mark.parametrize("known", ["old", None])
def test_where_there_is_no_other_it_is_refused_at_once(ask, status, error, known):
    server = Guarded(known=known, status=status)
    with pytest.raises(error):
        ask(server, lambda client: client.data_assets.get("a1"))
    assert (server.used, server.asked) == (["old"], 1)


def test_where_the_other_is_refused_too_it_is_not_tried_a_third_time(ask):
    server = Guarded(known="newer, but wrong")
    with pytest.raises(Unauthorized):
        ask(server, lambda client: client.data_assets.get("a1"))
    assert server.used == ["old", "newer, but wrong"]


async def test_those_who_are_refused_together_ask_once():
    server = Guarded()
    client = CodeOceanAsyncClient(
        server.url, server.token, new_token=server.read_async, transport=server.transport
    )
    async with client:
        found = await asyncio.gather(*(client.data_assets.get("a1") for _ in range(20)))
    assert len(found) == 20
    assert server.asked == 1
    assert server.used.count("old") <= 20
    assert server.used.count("new") == 20


def test_so_do_threads_that_share_a_client():
    """None fails because another one has asked and is not answered yet."""
    server = Guarded()
    together = threading.Barrier(8)

    def answer(request):
        response = server.answer(request)
        if response.status_code == 401:
            together.wait(timeout=20)
        return response

    def read():
        time.sleep(0.1)  # as long as a secrets backend takes
        return server.read()

    with (
        CodeOceanClient(
            server.url, server.token, new_token=read, transport=httpx.MockTransport(answer)
        ) as client,
        ThreadPoolExecutor(8) as threads,
    ):
        found = list(threads.map(client.data_assets.get, ["a1"] * 8))
    assert len(found) == 8
    assert server.asked == 1


async def test_a_backend_that_does_not_answer_is_not_waited_for_any_longer_than_a_server(caplog):
    """All who share the client would wait with the one that asks."""
    server = Guarded()
    client = CodeOceanAsyncClient(
        server.url, server.token, new_token=asyncio.Event().wait, timeout=0.1, transport=server.transport
    )
    async with client:
        looks = (client.data_assets.get("a1") for _ in range(3))
        ends = await asyncio.wait_for(asyncio.gather(*looks, return_exceptions=True), 20)
    assert {type(each) for each in ends} == {Unauthorized}
    (line,) = caplog.messages
    assert line.endswith("could not be found out: TimeoutError")


def test_it_is_not_asked_for_all_the_time():
    now = [100.0]
    token = Token("old", "https://codeocean.test", lambda: now[0])
    assert [token.may_ask(), token.may_ask()] == [True, False]
    now[0] += 10
    assert token.may_ask()


def test_no_repr_shows_it():
    assert "s3cret" not in repr(Token("s3cret", "https://codeocean.test"))
