"""Whatever a server answers, what comes of it is an answer or an error of ours, soon, and no secret."""

from __future__ import annotations

import asyncio
import base64
import json
import socket
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import httpx
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from airflow_provider_codeocean.api.client import CodeOceanAsyncClient, CodeOceanClient
from airflow_provider_codeocean.api.errors import CodeOceanError
from airflow_provider_codeocean.outcomes import as_xcom
from airflow_provider_codeocean.polling.poller import wait_together
from airflow_provider_codeocean.polling.waits import (
    ComputationWait,
    DataAssetWait,
    SearchWait,
    TransferWait,
)
from airflow_provider_codeocean.polling.watches import ComputationsWatch, DataAssetsWatch, follow
from tests.faults.declared import CALLS
from tests.faults.garbage import answers, nearly, values
from tests.polling.virtual_time import run

if TYPE_CHECKING:
    from collections.abc import Iterator

TOKEN = "cop_s3cret"
AS_SENT = base64.b64encode(f"{TOKEN}:".encode()).decode()
#: Each run tries the same, and as many: what is found in CI is found again.
fixed = settings(
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[
        HealthCheck.too_slow,
        HealthCheck.function_scoped_fixture,
        HealthCheck.data_too_large,
        HealthCheck.large_base_example,
    ],
)


class Babbler:
    """A server that answers each request with the same bytes, and hangs up."""

    def __init__(self) -> None:
        self.says = b""
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            connection, _ = self._listener.accept()
            with connection, suppress(OSError):
                connection.settimeout(10)
                if not connection.recv(65536):
                    return  # it was closed
                connection.sendall(self.says)

    def close(self) -> None:
        with socket.create_connection(self._listener.getsockname()):
            pass
        self._thread.join()
        self._listener.close()


@pytest.fixture(scope="module")
def babbler() -> Iterator[Babbler]:
    babbler = Babbler()
    yield babbler
    babbler.close()


def is_clear(error: CodeOceanError) -> None:
    text = str(error)
    assert 0 < len(text) < 2000
    assert TOKEN not in text
    assert AS_SENT not in text
    text.encode()


async def ask_async(url: str, call, transport=None) -> object:
    async with CodeOceanAsyncClient(url, TOKEN, timeout=10, retry_budget=0, transport=transport) as client:
        return await client.send(call)


def ask_sync(url: str, call, transport=None) -> object:
    with CodeOceanClient(url, TOKEN, timeout=10, retry_budget=0, transport=transport) as client:
        return client.send(call)


@pytest.mark.parametrize("in_loop", [False, True], ids=["sync", "async"])
@settings(fixed, max_examples=150)
@given(says=answers, name=st.sampled_from(sorted(CALLS)))
def test_any_bytes(babbler, in_loop, says, name):
    babbler.says = says
    call, began = CALLS[name], time.monotonic()
    try:
        if in_loop:
            asyncio.run(ask_async(babbler.url, call))
        else:
            ask_sync(babbler.url, call)
    except CodeOceanError as error:
        is_clear(error)
    assert time.monotonic() - began < 20


@pytest.mark.parametrize("name", CALLS)
@settings(fixed, max_examples=20)
@given(data=st.data())
def test_any_json_that_looks_like_the_answer(name, data):
    call = CALLS[name]
    said = data.draw(nearly(call.answers))
    status = data.draw(st.sampled_from([200, 200, 200, 400, 429, 500]))
    headers = {"Content-Type": "application/json"}
    transport = httpx.MockTransport(
        lambda request: httpx.Response(status, headers=headers, content=json.dumps(said))
    )
    try:
        answer = ask_sync("https://codeocean.test", call, transport)
    except CodeOceanError as error:
        is_clear(error)
    else:
        for each in answer if isinstance(answer, list) else [answer]:
            repr(each)
            if each is not None:
                json.dumps(as_xcom(each), allow_nan=False)


WAITS = {
    "data asset": lambda: DataAssetWait("a1", poll_interval=5, deadline=time.time() + 60),
    "computation": lambda: ComputationWait("a1", poll_interval=5, deadline=time.time() + 60),
    "transfer": lambda: TransferWait(
        "a1", poll_interval=5, deadline=time.time() + 60, last_transferred=None, transfer_error=None
    ),
    "search": lambda: SearchWait({}, poll_interval=5, deadline=time.time() + 60),
}


def connecting(said, status=200):
    transport = httpx.MockTransport(lambda request: httpx.Response(status, content=json.dumps(said)))

    async def connect(current: CodeOceanAsyncClient | None) -> CodeOceanAsyncClient:
        if current is not None:
            return current
        return CodeOceanAsyncClient("https://codeocean.test", TOKEN, retry_budget=0, transport=transport)

    return connect


@pytest.mark.parametrize("kind", WAITS)
@settings(fixed, max_examples=12)
@given(data=st.data())
def test_a_poller_that_is_shown_anything_ends_each_wait_in_time(kind, data):
    with pytest.MonkeyPatch.context() as patch:

        async def scene() -> None:
            wait = WAITS[kind]()
            said = data.draw(nearly(_asked(wait)))
            with suppress(CodeOceanError):
                await wait_together(wait, connect=connecting(said), name="c")

        run(asyncio.wait_for(scene(), 70), patch)


@pytest.mark.parametrize("kind", ["computations", "data assets"])
@settings(fixed, max_examples=12)
@given(data=st.data())
def test_a_watch_that_is_shown_anything_goes_on_until_it_is_shown_something(kind, data):
    with pytest.MonkeyPatch.context() as patch:

        async def scene() -> None:
            watch = (
                ComputationsWatch("capsules", "c1", poll_interval=5)
                if kind == "computations"
                else DataAssetsWatch({}, poll_interval=5)
            )
            said = data.draw(nearly(_asked(watch)))
            looks = follow(watch, lambda watch: wait_together(watch, connect=connecting(said), name="c"))
            with suppress(TimeoutError):
                async with asyncio.timeout(60):
                    assert isinstance(await anext(looks), list)
            await looks.aclose()

        run(scene(), patch)


def _asked(wait):
    return wait.call.answers


@settings(fixed, max_examples=100)
@given(says=values)
@example("\ud800")
def test_any_message(says):
    content = json.dumps({"message": says})
    transport = httpx.MockTransport(lambda request: httpx.Response(400, content=content))
    with pytest.raises(CodeOceanError) as caught:
        ask_sync("https://codeocean.test", CALLS["data_assets.get"], transport)
    is_clear(caught.value)
