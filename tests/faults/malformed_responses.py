"""Answers that no Code Ocean would give: as bytes on the wire, and as JSON that is nearly right."""

from __future__ import annotations

import gzip
import json
from types import NoneType
from typing import Any

from hypothesis import strategies as st
from pydantic import TypeAdapter

_STATUS_LINES = st.sampled_from(
    [
        f"HTTP/1.1 {status} x".encode()
        for status in (200, 201, 204, 304, 301, 400, 401, 404, 418, 429, 500, 503)
    ]
    + [
        b"HTTP/1.0 200 OK",
        b"HTTP/1.1 100 Continue",
        b"HTTP/1.1 999 ?",
        b"HTTP/1.1 20",
        b"HTTP/9.9 200 OK",
        b"SSH-2.0",
    ]
) | st.binary(max_size=20)

_CONTENT_LENGTHS = st.sampled_from([b"0", b"5", b"-1", b"x", b"99999", b"1e3", b"5, 6", b"9" * 400])
_RETRY_AFTERS = st.sampled_from(
    [b"0", b"-1", b"nan", b"inf", b"1e400", b"soon", b"Wed, 99 Foo 0000", b"9" * 400, b"\xff\xfe"]
)
_HEADERS = st.lists(
    st.builds(lambda value: b"Content-Length: " + value, _CONTENT_LENGTHS)
    | st.builds(lambda value: b"Retry-After: " + value, _RETRY_AFTERS)
    | st.sampled_from(
        [
            b"Transfer-Encoding: chunked",
            b"Transfer-Encoding: gzip, chunked",
            b"Transfer-Encoding: nonsense",
            b"Content-Encoding: gzip",
            b"Content-Encoding: deflate",
            b"Content-Encoding: br, zstd",
            b"Content-Type: application/json; charset=utf-7",
            b"Content-Type: text/html; charset=\xff",
            b"Location: http://[::1",
            b"Location: \x00",
            b"Connection: upgrade",
            b"Set-Cookie: a=b",
            b"Date: yesterday",
            b": nameless",
            b"folded:\r\n value",
            b"X: " + b"x" * 70_000,
        ]
    )
    | st.binary(max_size=20),
    max_size=4,
)

#: Any JSON, with what JSON itself does not forbid.
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
    | st.sampled_from(["ready", "failed", "completed", "draft", "\ud800", "0001-01-01T00:00:00Z", "1e999"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)

_BODIES = st.one_of(
    st.binary(max_size=60),
    st.builds(lambda value: json.dumps(value).encode(), json_values),
    st.builds(lambda value: gzip.compress(json.dumps(value).encode())[:-3], json_values),
    st.builds(lambda value: gzip.compress(json.dumps(value).encode()), json_values),
    st.builds(
        lambda size, data: b"%x\r\n%b\r\n0\r\n\r\n" % (size, data), st.integers(0, 99), st.binary(max_size=20)
    ),
    st.sampled_from(
        [
            b"",
            b"[" * 100_000,
            b'{"message": "' + b"x" * 100_000 + b'"}',
            b'{"a": NaN}',
            b'{"id": 1e999}',
            b"9" * 5000,
            b"<title>" + b"t" * 100_000,
            b"ffffffffffffffffff\r\n",
            b"\xef\xbb\xbf{}",
        ]
    ),
)

#: Bytes for the wire.
response_bytes = st.builds(
    lambda line, headers, body: b"\r\n".join([line, *headers, b"", body]), _STATUS_LINES, _HEADERS, _BODIES
)


def nearly_valid(response_type: Any) -> st.SearchStrategy[Any]:
    """Make JSON that has the names of a type's fields, and often enough not what belongs there.

    :param response_type: what an endpoint answers.
    :returns: the strategy.
    """
    if response_type is NoneType:
        return json_values
    schema = TypeAdapter(response_type).json_schema()
    return _nearly_valid(schema, schema.get("$defs", {}), depth=0)


def _nearly_valid(schema: dict[str, Any], defs: dict[str, Any], depth: int) -> st.SearchStrategy[Any]:
    if depth > 4:
        return json_values
    if "$ref" in schema:
        schema = defs[schema["$ref"].rsplit("/", 1)[1]]
    if "enum" in schema:
        return st.sampled_from(schema["enum"]) | json_values
    if "anyOf" in schema:
        return st.one_of(*(_nearly_valid(each, defs, depth + 1) for each in schema["anyOf"]))
    fields = {
        name: _nearly_valid(each, defs, depth + 1) for name, each in schema.get("properties", {}).items()
    }
    right = {
        "object": st.fixed_dictionaries({}, optional=fields),
        "array": st.deferred(
            lambda: st.lists(_nearly_valid(schema.get("items", {}), defs, depth + 1), max_size=3)
        ),
        "string": st.text(max_size=8),
        "integer": st.integers(-(10**20), 10**20),
        "number": st.integers(-(10**20), 10**20),
    }
    return right.get(schema.get("type", ""), json_values) | json_values
