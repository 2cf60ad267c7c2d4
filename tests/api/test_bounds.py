"""Limits on the size of responses."""

from __future__ import annotations

import gzip
import json
import tracemalloc
import zlib

import pytest

from airflow_provider_codeocean.api._http.body import MAX_ERROR_RESPONSE_BYTES
from airflow_provider_codeocean.api._http.library import httpx
from airflow_provider_codeocean.api.client import MAX_RESPONSE_BYTES
from airflow_provider_codeocean.api.errors import ServerError, UnexpectedResponse
from airflow_provider_codeocean.api.models.data_asset_params import DataAssetParams
from tests.api.fake_server import reply

NEW_ASSET = DataAssetParams(name="n", tags=[], mount="m", data_asset_ids=["a1"])
MIB = 1024 * 1024
ASSET = json.dumps({"id": "a1", "name": "x" * 900}).encode()


class Endless(httpx.SyncByteStream, httpx.AsyncByteStream):
    """An endless body that counts the bytes that are read."""

    def __init__(self, piece: bytes = b" " * 65536) -> None:
        self.piece = piece
        self.read = 0
        self.closed = False

    def __iter__(self):
        while not self.closed:
            self.read += len(self.piece)
            yield self.piece

    async def __aiter__(self):
        for piece in self:
            yield piece

    def close(self):
        self.closed = True

    async def aclose(self):
        self.closed = True


def get(ask, **options):
    return ask(lambda client: client.data_assets.get("a1"), **options)


def test_response_of_maximum_size_is_read(server, ask):
    server.responders = [reply(content=ASSET)]
    assert get(ask, max_response_bytes=len(ASSET)).id == "a1"


def test_response_one_byte_too_long_is_a_permanent_error(server, ask, clock):
    server.responders = [reply(content=ASSET, headers={"Content-Length": "0"})]  # servers need not send it
    with pytest.raises(UnexpectedResponse, match=f"a1 was answered with more than {len(ASSET) - 1} b"):
        get(ask, max_response_bytes=len(ASSET) - 1)
    assert (len(server.requests), clock.waits) == (1, [])


def test_response_without_end_is_read_up_to_the_limit(server, ask):
    body = Endless()
    server.responders = [lambda request: httpx.Response(200, stream=body)]
    with pytest.raises(UnexpectedResponse, match="more than 64 MiB") as caught:
        get(ask)
    assert MAX_RESPONSE_BYTES < body.read < MAX_RESPONSE_BYTES + MIB
    assert body.closed
    assert not caught.value.is_transient


def test_response_with_too_large_content_length_is_not_read(server, ask):
    body = Endless()
    headers = {"Content-Length": str(MAX_RESPONSE_BYTES + 1)}
    server.responders = [lambda request: httpx.Response(200, headers=headers, stream=body)]
    with pytest.raises(UnexpectedResponse, match="more than 64 MiB"):
        get(ask)
    assert body.read == 0


@pytest.mark.parametrize(
    ("coding", "bomb"),
    [("gzip", gzip.compress(b" " * 32 * MIB, mtime=0)), ("deflate", zlib.compress(b" " * 32 * MIB))],
)
def test_response_decompression_bomb_takes_little_memory(server, ask, coding, bomb):
    assert len(bomb) < MIB // 16

    def answer(request):
        return httpx.Response(200, headers={"Content-Encoding": coding}, stream=Slices(bomb))

    server.responders = [answer]
    tracemalloc.start()
    try:
        with pytest.raises(UnexpectedResponse, match="more than 1 MiB"):
            get(ask, max_response_bytes=MIB)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 8 * MIB


class Slices(Endless):
    """A body in chunks of a KiB, each of which decompresses to a MiB."""

    def __init__(self, body: bytes) -> None:
        super().__init__()
        self.body = body

    def __iter__(self):
        for start in range(0, len(self.body), 1024):
            yield self.body[start : start + 1024]


@pytest.mark.parametrize("coding", ["br", "zstd", "gzip, gzip", "compress"])
def test_response_with_unrequested_coding_is_not_decoded(server, ask, coding, clock):
    body = Endless()
    server.responders = [
        lambda request: httpx.Response(200, headers={"Content-Encoding": coding}, stream=body)
    ]
    with pytest.raises(
        UnexpectedResponse, match=f"in the content coding '{coding}', which was not asked for"
    ):
        get(ask)
    assert body.read == 0
    assert server.requests[0].headers["accept-encoding"] == "gzip, deflate"


def test_response_with_invalid_coding_name_error_omits_it(server, ask, clock):
    server.responders = [reply(content=ASSET, headers={"Content-Encoding": "cop_Token"})]
    with pytest.raises(UnexpectedResponse, match="in a content coding, which was not asked for"):
        get(ask)


@pytest.mark.parametrize("coding", ["gzip", "deflate", "identity"])
def test_response_with_requested_coding_is_decoded(server, ask, coding):
    pack = {"gzip": gzip.compress, "deflate": zlib.compress, "identity": bytes}[coding]
    server.responders = [reply(content=pack(ASSET), headers={"Content-Encoding": coding})]
    assert get(ask).id == "a1"


def test_error_response_without_end_is_read_in_part(server, ask):
    body = Endless(b"trouble " * 8192)
    server.responders = [lambda request: httpx.Response(500, stream=body)]
    with pytest.raises(ServerError, match="trouble trouble") as caught:
        get(ask)
    assert MAX_ERROR_RESPONSE_BYTES < body.read <= 2 * MAX_ERROR_RESPONSE_BYTES
    assert len(str(caught.value)) < 700


def test_error_response_with_unrequested_coding_raises_its_status(server, ask):
    body = Endless()
    server.responders = [lambda request: httpx.Response(500, headers={"Content-Encoding": "br"}, stream=body)]
    with pytest.raises(ServerError, match="Internal Server Error"):
        get(ask)
    assert body.read == 0


def test_create_with_too_long_response_may_have_been_applied(server, ask):
    server.responders = [reply(content=ASSET)]
    with pytest.raises(UnexpectedResponse) as caught:
        ask(lambda client: client.data_assets.create(NEW_ASSET), max_response_bytes=10)
    assert caught.value.may_have_been_applied
