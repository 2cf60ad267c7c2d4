"""No answer is read beyond its bound, however it comes."""

from __future__ import annotations

import gzip
import json
import tracemalloc
import zlib

import httpx
import pytest

from airflow_provider_codeocean.api._http.body import MAX_ERROR_ANSWER
from airflow_provider_codeocean.api.client import MAX_ANSWER
from airflow_provider_codeocean.api.errors import ServerError, UnexpectedAnswer
from airflow_provider_codeocean.api.models.data_asset_params import DataAssetParams
from tests.api.fake_server import reply

NEW_ASSET = DataAssetParams(name="n", tags=[], mount="m", data_asset_ids=["a1"])
MIB = 1024 * 1024
ASSET = json.dumps({"id": "a1", "name": "x" * 900}).encode()


class Endless(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A body without an end, which counts what is read of it."""

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


def test_one_within_the_bound_is_read(server, ask):
    server.answers = [reply(content=ASSET)]
    assert get(ask, max_answer=len(ASSET)).id == "a1"


def test_one_byte_more_is_one_error_for_good(server, ask, clock):
    server.answers = [reply(content=ASSET, headers={"Content-Length": "0"})]  # which it need not tell
    with pytest.raises(UnexpectedAnswer, match=f"a1 was answered with more than {len(ASSET) - 1} b"):
        get(ask, max_answer=len(ASSET) - 1)
    assert (len(server.requests), clock.waits) == (1, [])


def test_one_without_an_end_is_left(server, ask):
    body = Endless()
    server.answers = [lambda request: httpx.Response(200, stream=body)]
    with pytest.raises(UnexpectedAnswer, match="more than 64 MiB") as caught:
        get(ask)
    assert MAX_ANSWER < body.read < MAX_ANSWER + MIB
    assert body.closed
    assert not caught.value.transient


def test_one_that_says_that_it_is_too_long_is_not_read(server, ask):
    body = Endless()
    headers = {"Content-Length": str(MAX_ANSWER + 1)}
    server.answers = [lambda request: httpx.Response(200, headers=headers, stream=body)]
    with pytest.raises(UnexpectedAnswer, match="more than 64 MiB"):
        get(ask)
    assert body.read == 0


@pytest.mark.parametrize(
    ("coding", "bomb"),
    [("gzip", gzip.compress(b" " * 32 * MIB)), ("deflate", zlib.compress(b" " * 32 * MIB))],
)
def test_what_is_small_until_it_is_unpacked_takes_little_memory(server, ask, coding, bomb):
    assert len(bomb) < MIB // 16

    def answer(request):
        return httpx.Response(200, headers={"Content-Encoding": coding}, stream=Slices(bomb))

    server.answers = [answer]
    tracemalloc.start()
    try:
        with pytest.raises(UnexpectedAnswer, match="more than 1 MiB"):
            get(ask, max_answer=MIB)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 8 * MIB


class Slices(Endless):
    """A body that comes in pieces of a KiB, of which one unpacks to a MiB."""

    def __init__(self, body: bytes) -> None:
        super().__init__()
        self.body = body

    def __iter__(self):
        for start in range(0, len(self.body), 1024):
            yield self.body[start : start + 1024]


@pytest.mark.parametrize("coding", ["br", "zstd", "gzip, gzip", "compress"])
def test_what_was_not_asked_for_is_not_unpacked(server, ask, coding, clock):
    body = Endless()
    server.answers = [lambda request: httpx.Response(200, headers={"Content-Encoding": coding}, stream=body)]
    with pytest.raises(UnexpectedAnswer, match=f"in the content coding '{coding}', which was not asked for"):
        get(ask)
    assert body.read == 0
    assert server.requests[0].headers["accept-encoding"] == "gzip, deflate"


def test_what_is_no_name_of_a_coding_is_not_repeated(server, ask, clock):
    server.answers = [reply(content=ASSET, headers={"Content-Encoding": "cop_Token"})]
    with pytest.raises(UnexpectedAnswer, match="in a content coding, which was not asked for"):
        get(ask)


@pytest.mark.parametrize("coding", ["gzip", "deflate", "identity"])
def test_what_was_asked_for_is(server, ask, coding):
    pack = {"gzip": gzip.compress, "deflate": zlib.compress, "identity": bytes}[coding]
    server.answers = [reply(content=pack(ASSET), headers={"Content-Encoding": coding})]
    assert get(ask).id == "a1"


def test_of_an_error_the_beginning_is_read(server, ask):
    body = Endless(b"trouble " * 8192)
    server.answers = [lambda request: httpx.Response(500, stream=body)]
    with pytest.raises(ServerError, match="trouble trouble") as caught:
        get(ask)
    assert MAX_ERROR_ANSWER < body.read <= 2 * MAX_ERROR_ANSWER
    assert len(str(caught.value)) < 700


def test_an_error_that_cannot_be_unpacked_is_that_error_all_the_same(server, ask):
    body = Endless()
    server.answers = [lambda request: httpx.Response(500, headers={"Content-Encoding": "br"}, stream=body)]
    with pytest.raises(ServerError, match="Internal Server Error"):
        get(ask)
    assert body.read == 0


def test_what_creates_may_have_created(server, ask):
    server.answers = [reply(content=ASSET)]
    with pytest.raises(UnexpectedAnswer) as caught:
        ask(lambda client: client.data_assets.create(NEW_ASSET), max_answer=10)
    assert caught.value.maybe_applied
