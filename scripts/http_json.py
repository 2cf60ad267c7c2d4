"""Send JSON to servers on this machine."""

from __future__ import annotations

from typing import Any

from airflow_provider_codeocean.api._http.library import httpx


class HttpError(Exception):
    """The server responded with an error status.

    :param status: the HTTP status.
    :param body: the text of the response.
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
    """Send a request without a proxy, and decode the response.

    :param body: the request's body, to be sent as JSON.
    :param authorization: value of the header ``Authorization``.
    :returns: the decoded JSON, or None for an empty response.
    :raises HttpError: if the server responds with an error status.
    :raises httpx.TransportError: if there is no response.
    """
    headers = {"Authorization": authorization} if authorization else {}
    response = httpx.request(
        method, url, json=body, headers=headers, timeout=timeout, follow_redirects=True, trust_env=False
    )
    if response.is_error:
        raise HttpError(response.status_code, response.text)
    return response.json() if response.content.strip() else None
