"""JSON over HTTP on this machine, with the standard library alone."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any

_DIRECT = urllib.request.build_opener(
    urllib.request.ProxyHandler({})
)  # a proxy has no business on the loopback


class HttpError(Exception):
    """The server answered with an error status.

    :param status: the HTTP status.
    :param body: the answer's text.
    """

    def __init__(self, status: int, body: str) -> None:
        super().__init__(f"HTTP {status}: {body[:500]}")
        self.status = status
        self.body = body


def request_json(
    method: str,
    url: str,
    body: object | None = None,
    *,
    authorization: str | None = None,
    timeout: float = 20.0,
) -> Any:
    """Send one HTTP request on this machine and decode the answer.

    :param method: the HTTP method.
    :param url: where to.
    :param body: what to send as JSON.
    :param authorization: the Authorization header's value.
    :param timeout: seconds until it is given up.
    :returns: the decoded JSON, or None for an empty answer.
    :raises HttpError: for an error status.
    :raises OSError: when nobody answers.
    """
    headers = {"Accept": "application/json", "Content-Type": "application/json"}
    if authorization:
        headers["Authorization"] = authorization
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, headers=headers, method=method)  # noqa: S310 - our own URL
    try:
        with _DIRECT.open(request, timeout=timeout) as answer:
            text = answer.read().decode()
    except urllib.error.HTTPError as error:
        raise HttpError(error.code, error.read().decode(errors="replace")) from error
    return json.loads(text) if text.strip() else None
