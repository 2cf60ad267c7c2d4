"""The last lines that a computation has printed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_codeocean.api._http.library import httpx
from airflow_provider_codeocean.api.client import CodeOceanClient
from airflow_provider_codeocean.api.errors import CodeOceanError
from airflow_provider_codeocean.emulator import FaultRule
from airflow_provider_codeocean.files.output import MAX_LINES, read_output_tail
from airflow_provider_codeocean.hooks.codeocean import CodeOceanHook


def read_tail(computation_id):
    with CodeOceanHook().get_conn(retry_budget=0) as client:
        return read_output_tail(client, computation_id)


def test_tail_of_short_output_contains_all_lines(results):
    results.put("output", b"one\n\n  two \nthree")
    assert read_tail(results.id) == ["one", "  two", "three"]


def test_tail_of_long_output_is_read_with_one_partial_request(results):
    lines = [f"line {number}" for number in range(100_000)]
    results.put("output", "\n".join(lines).encode())
    assert read_tail(results.id) == lines[-MAX_LINES:]
    assert results.count_downloads() == 1


def test_tail_without_output_is_empty(results):
    results.put("summary.json", b"{}")
    results.put("folder/output", b"another one")
    assert read_tail(results.id) == []


def test_tail_without_output_lists_no_subfolder(results):
    results.put("folder/subfolder/output", b"another one")
    assert read_tail(results.id) == []
    assert results.server.emulator.traffic.requests["POST /api/v1/computations/{computation_id}/results"] == 1


def test_tail_of_output_without_line_breaks_is_short(results):
    results.put("output", b"x" * 1_000_000)
    assert read_tail(results.id) == []
    results.put("output", b"x" * 1000)
    (line,) = read_tail(results.id)
    assert (len(line), line[-1]) == (500, "…")


def test_tail_shows_last_state_of_progress_bar_without_colors(results):
    results.put("output", b"\x1b[31mred\x1b[0m\r\n 1 %\r 50 %\r100 %\na\tb\n\x1b[2J\xff\n")
    assert read_tail(results.id) == ["red", "100 %", "a       b", "\\x1b[2J\ufffd"]


def test_tail_with_failing_host_raises_error(results):
    results.put("output", b"text")
    results.server.faults.add(FaultRule(path="/storage/**", kind="status", status=503, times=None))
    with pytest.raises(CodeOceanError, match="503"):
        read_tail(results.id)


def client_of(content, *, ignores_range):
    """Return a client of a deployment with one file ``output``."""

    def respond(request):
        if request.url.host == "files.test":
            start = int(request.headers.get("range", "bytes=0-")[6:-1])
            if ignores_range or not start:
                return httpx.Response(200, stream=httpx.ByteStream(content))
            span = f"bytes {start}-{len(content) - 1}/{len(content)}"
            return httpx.Response(
                206, stream=httpx.ByteStream(content[start:]), headers={"Content-Range": span}
            )
        if request.url.path.endswith("/urls"):
            return httpx.Response(200, json={"download_url": "https://files.test/output"})
        item = {"name": "output", "path": "output", "type": "file", "size": len(content)}
        return httpx.Response(200, json={"items": [item]})

    transport = httpx.MockTransport(respond)
    return CodeOceanClient("https://codeocean.test", "cop_token", transport=transport, retry_budget=0)


@given(
    lines=st.lists(st.text(st.characters(categories=["L", "N", "P", "Zs"]), max_size=80), max_size=3000),
    ignores_range=st.booleans(),
)
def test_tail_of_any_text_is_its_last_lines(lines, ignores_range):
    with client_of("\n".join(lines).encode(), ignores_range=ignores_range) as client:
        tail = read_output_tail(client, "c1")
    shown = [line.rstrip() for line in lines if line.strip()]
    assert len(tail) <= MAX_LINES
    assert [line.rstrip() for line in tail] == [line.expandtabs() for line in shown[len(shown) - len(tail) :]]


def test_tail_of_huge_output_from_host_without_ranges_is_empty():
    with client_of(b"line\n" * 4_000_000, ignores_range=True) as client:
        assert read_output_tail(client, "c1") == []
