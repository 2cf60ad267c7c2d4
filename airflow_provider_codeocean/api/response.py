"""Decide which responses are Code Ocean's, and turn them into results and errors. Knows no HTTP library.

This is the one place that decides what counts as a response of Code Ocean:

- a 2xx status with JSON of the expected kind, or without a body if the endpoint returns none;
- an error status with a JSON object that has a ``message``;
- 401, 429, and 5xx, unless it is a 401 with a web page: the request was not accepted, whoever sent that.

Everything else says nothing about the resource: a proxy's 403 or 404 page, a redirect to a sign-in page, a
maintenance page with status 200, an empty body. It raises
:class:`~airflow_provider_codeocean.api.errors.UnexpectedAnswer`, a transient transport error. So do 408, 421,
and 425, which ask for another attempt.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from http import HTTPStatus
from types import NoneType
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import ValidationError

from airflow_provider_codeocean.api.errors import (
    CodeOceanError,
    NotFound,
    UnexpectedAnswer,
    error_class,
)
from airflow_provider_codeocean.api.models.base import Payload
from airflow_provider_codeocean.api.request import Call, Effect
from airflow_provider_codeocean.api.retry import retry_after
from airflow_provider_codeocean.api.security import origin

if TYPE_CHECKING:
    from collections.abc import Mapping

T = TypeVar("T")

#: Maximum number of characters of a body that an error message repeats, and that are searched for a title.
_MESSAGE_LIMIT = 500
_READ_LIMIT = 100 * _MESSAGE_LIMIT
_PAGE = re.compile("<!doctype html|<html|<title", re.IGNORECASE)
_TITLE = re.compile("<title[^<>]*>([^<]*)", re.IGNORECASE)

#: Request Timeout, Misdirected Request, Too Early: by definition, the same request may succeed later.
_RETRY_REQUESTED = frozenset({408, 421, 425})


@dataclass(frozen=True, slots=True)
class Response:
    """An HTTP response.

    :param status: HTTP status code.
    :param headers: headers by their names in lower case.
    :param content: body, decompressed. Like the headers, it does not repeat the access token.
    """

    status: int
    headers: Mapping[str, str]
    content: bytes


def conclude(call: Call[T], response: Response, *, again: bool) -> T:
    """Parse a response.

    :param call: the request.
    :param response: the response.
    :param again: whether an earlier attempt may have been carried out: then a DELETE that gets Code Ocean's
        404 has succeeded.
    :returns: the result.
    :raises CodeOceanApiError: if Code Ocean responded with an error.
    :raises UnexpectedAnswer: if the response is not Code Ocean's.
    """
    if HTTPStatus(200) <= response.status < HTTPStatus(300):
        return _result(call, response)
    error = _error(call, response)
    if again and call.method == "DELETE" and isinstance(error, NotFound):
        return call.read(None)
    raise error


def _result(call: Call[T], response: Response) -> T:
    if call.answers is NoneType and not response.content.strip():
        return call.read(None)
    try:
        result = call.decode(response.content)
    except (ValueError, ValidationError, RecursionError):
        problem = _text_of(response.content) or "nothing"
    else:
        if not isinstance(result, Payload) or result.is_whole():
            return result
        problem = f"an object without {' or '.join(result.essential)}"
    raise _unexpected(call, response, problem)


def _error(call: Call[Any], response: Response) -> CodeOceanError:
    status = response.status
    try:
        data = json.loads(response.content)
    except (ValueError, RecursionError):
        data = None
    message = data.get("message") if isinstance(data, dict) else None
    is_code_oceans = isinstance(message, str) and bool(message.strip())
    is_rejected = status in {401, 429} or status >= HTTPStatus(500)
    if not is_rejected or (status == 401 and _PAGE.search(_beginning(response.content))):  # noqa: PLR2004
        if HTTPStatus(300) <= status < HTTPStatus(400):
            host = origin(response.headers.get("location", ""))
            where = _shorten(host) if host else "another path of this host"
            return _unexpected(
                call,
                response,
                f"a redirect to {where}",
                "It may be a proxy's sign-in page. If Code Ocean is there now, change the host",
            )
        if status in _RETRY_REQUESTED or not is_code_oceans:
            return _unexpected(call, response, _text_of(response.content) or _phrase(status))
    return error_class(status)(
        status,
        _shorten(str(message)) if is_code_oceans else _text_of(response.content) or _phrase(status),
        data=data,
        method=call.method,
        path=call.path,
        retry_after=retry_after(response.headers),
        maybe_applied=status >= HTTPStatus(500) and call.effect is not Effect.READ,
    )


def _unexpected(
    call: Call[Any], response: Response, problem: str, remedy: str = "Is the host right?"
) -> UnexpectedAnswer:
    return UnexpectedAnswer(
        f"{call.method} {call.path} got a response that is not Code Ocean's ({response.status}): {problem}. "
        f"{remedy}",
        maybe_applied=call.effect is not Effect.READ,
        status=response.status,
        retry_after=retry_after(response.headers),
    )


def _text_of(content: bytes) -> str:
    """Summarize a body: the title of a web page, or the text."""
    text = _beginning(content)
    page = _PAGE.search(text)
    if page is None:
        return _shorten(text)
    title = _TITLE.search(text, page.start())
    return f"a web page, {_shorten(title[1])!r}" if title else "a web page"


def _beginning(content: bytes) -> str:
    return content[:_READ_LIMIT].decode(errors="replace")


def _shorten(text: str) -> str:
    text = " ".join(text.encode(errors="replace").decode().split())
    return text if len(text) <= _MESSAGE_LIMIT else f"{text[:_MESSAGE_LIMIT]}…"


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "no message"
