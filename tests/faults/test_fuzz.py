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

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from airflow_provider_codeocean.api._http.library import httpx
from airflow_provider_codeocean.api.client import CodeOceanAsyncClient, CodeOceanClient
from airflow_provider_codeocean.api.errors import CodeOceanError
from airflow_provider_codeocean.outcomes import to_xcom
from airflow_provider_codeocean.polling.poller import wait_on_shared_poller
from airflow_provider_codeocean.polling.waits import (
    ComputationWait,
    DataAssetWait,
    SearchWait,
    TransferWait,
)
from airflow_provider_codeocean.polling.watches import ComputationsWatch, DataAssetsWatch, stream_results
from tests.faults.endpoint_requests import REQUESTS_BY_NAME
from tests.faults.malformed_responses import json_values, nearly_valid, response_bytes
from tests.polling.virtual_time import run
from tests.sampling import examples

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.quick

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
@settings(fixed, max_examples=examples(150))
@given(says=response_bytes, name=st.sampled_from(sorted(REQUESTS_BY_NAME)))
def test_client_any_bytes_return_or_raise_a_clear_error(babbler, in_loop, says, name):
    babbler.says = says
    call, began = REQUESTS_BY_NAME[name], time.monotonic()
    try:
        if in_loop:
            asyncio.run(ask_async(babbler.url, call))
        else:
            ask_sync(babbler.url, call)
    except CodeOceanError as error:
        is_clear(error)
    assert time.monotonic() - began < 20


@pytest.mark.parametrize("name", REQUESTS_BY_NAME)
@settings(fixed, max_examples=examples(20))
@given(data=st.data())
def test_client_nearly_valid_json_returns_or_raises_a_clear_error(name, data):
    call = REQUESTS_BY_NAME[name]
    said = data.draw(nearly_valid(call.response_model))
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
                json.dumps(to_xcom(each), allow_nan=False)


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
@settings(fixed, max_examples=examples(12))
@given(data=st.data())
def test_poller_nearly_valid_json_ends_each_wait_in_time(kind, data):
    with pytest.MonkeyPatch.context() as patch:

        async def scene() -> None:
            wait = WAITS[kind]()
            said = data.draw(nearly_valid(_asked(wait)))
            with suppress(CodeOceanError):
                await wait_on_shared_poller(wait, connect=connecting(said), name="c")

        run(asyncio.wait_for(scene(), 70), patch)


@pytest.mark.parametrize("kind", ["computations", "data assets"])
@settings(fixed, max_examples=examples(12))
@given(data=st.data())
def test_watch_nearly_valid_json_yields_lists_or_continues(kind, data):
    with pytest.MonkeyPatch.context() as patch:

        async def scene() -> None:
            watch = (
                ComputationsWatch("capsules", "c1", poll_interval=5)
                if kind == "computations"
                else DataAssetsWatch({}, poll_interval=5)
            )
            said = data.draw(nearly_valid(_asked(watch)))
            looks = stream_results(
                watch, lambda watch: wait_on_shared_poller(watch, connect=connecting(said), name="c")
            )
            with suppress(TimeoutError):
                async with asyncio.timeout(60):
                    assert isinstance(await anext(looks), list)
            await looks.aclose()

        run(scene(), patch)


def _asked(wait):
    return wait.request.response_model


@settings(fixed, max_examples=examples(100))
@given(says=json_values)
@example("\ud800")
def test_client_any_error_message_raises_a_clear_error(says):
    content = json.dumps({"message": says})
    transport = httpx.MockTransport(lambda request: httpx.Response(400, content=content))
    with pytest.raises(CodeOceanError) as caught:
        ask_sync("https://codeocean.test", REQUESTS_BY_NAME["data_assets.get"], transport)
    is_clear(caught.value)
