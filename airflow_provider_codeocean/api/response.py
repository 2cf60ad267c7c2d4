"""Parse responses into results and errors.

A response is Code Ocean's if it has

- a 2xx status with JSON of the expected kind, or without a body if the endpoint returns none;
- an error status with a JSON object that has a ``message``;
- the status 401, 429, or 5xx: the request was rejected, by Code Ocean or a proxy. A 401 with a web page is
  a sign-in page.

Other responses say nothing about the resource: a proxy's 403 or 404 page, a redirect to a sign-in page, a
maintenance page with status 200, an empty body. They raise ``UnexpectedResponse``, a transient transport
error. So do 408, 421, and 425, which request a retry.
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
    UnexpectedResponse,
    error_class,
)
from airflow_provider_codeocean.api.models.base import ResponseModel
from airflow_provider_codeocean.api.request import Idempotency, Request
from airflow_provider_codeocean.api.retry import parse_retry_after
from airflow_provider_codeocean.api.security import url_origin

if TYPE_CHECKING:
    from collections.abc import Mapping

T = TypeVar("T")

#: Limits for quoting a body in an error message, and for finding its title.
_MAX_MESSAGE_CHARACTERS = 500
_MAX_SEARCHED_BYTES = 100 * _MAX_MESSAGE_CHARACTERS
_HAS_AUTHORITY = re.compile(r"([A-Za-z][A-Za-z0-9+.-]{0,30}:)?//")
_HTML = re.compile("<!doctype html|<html|<title", re.IGNORECASE)
_HTML_TITLE = re.compile("<title[^<>]*>([^<]*)", re.IGNORECASE)

#: Request Timeout, Misdirected Request, Too Early: the same request may succeed later.
_RETRY_LATER_STATUSES = frozenset({408, 421, 425})


@dataclass(frozen=True, slots=True)
class Response:
    """An HTTP response.

    :param status: HTTP status code.
    :param headers: headers by their names in lower case.
    :param content: body, decompressed. The access token is redacted in it and in the headers.
    """

    status: int
    headers: Mapping[str, str]
    content: bytes


def parse_response(request: Request[T], response: Response, *, may_have_been_applied: bool) -> T:
    """Parse a response.

    :param request: the request.
    :param response: the response.
    :param may_have_been_applied: whether an earlier attempt may have been carried out. If so, a DELETE that
        gets Code Ocean's 404 has succeeded.
    :returns: the result.
    :raises CodeOceanApiError: if Code Ocean responded with an error.
    :raises UnexpectedResponse: if the response is not Code Ocean's.
    """
    if HTTPStatus(200) <= response.status < HTTPStatus(300):
        return _parse_success(request, response)
    error = _to_error(request, response)
    if may_have_been_applied and request.method == "DELETE" and isinstance(error, NotFound):
        return request.parse(None)
    raise error


def _parse_success(request: Request[T], response: Response) -> T:
    if request.response_model is NoneType and not response.content.strip():
        return request.parse(None)
    try:
        result = request.parse_json(response.content)
    except (ValueError, ValidationError, RecursionError):
        problem = _summarize_body(response.content) or "nothing"
    else:
        if not isinstance(result, ResponseModel) or result.has_characteristic_field():
            return result
        problem = f"an object without {' or '.join(result.characteristic_fields)}"
    raise _unexpected_response(request, response, problem)


def _to_error(request: Request[Any], response: Response) -> CodeOceanError:
    status = response.status
    try:
        data = json.loads(response.content)
    except (ValueError, RecursionError):
        data = None
    message = data.get("message") if isinstance(data, dict) else None
    is_code_oceans = isinstance(message, str) and bool(message.strip())
    summary = _summarize_body(response.content) or _status_phrase(status)
    is_sign_in_page = status == HTTPStatus.UNAUTHORIZED and _HTML.search(_decode_beginning(response.content))
    is_rejected = status in {401, 429} or status >= HTTPStatus(500)
    if is_sign_in_page or not is_rejected:
        if HTTPStatus(300) <= status < HTTPStatus(400):
            return _unexpected_response(
                request,
                response,
                f"a redirect to {_describe_location(response.headers.get('location', ''))}",
                "It may be a proxy's sign-in page. If Code Ocean is there now, change the host",
            )
        if status in _RETRY_LATER_STATUSES or not is_code_oceans:
            return _unexpected_response(request, response, summary)
    return error_class(status)(
        status,
        _shorten(str(message)) if is_code_oceans else summary,
        data=data,
        method=request.method,
        path=request.path,
        retry_after=parse_retry_after(response.headers),
        may_have_been_applied=status >= HTTPStatus(500) and request.idempotency is not Idempotency.SAFE,
    )


def _describe_location(location: str) -> str:
    """Return the target of a redirect without its path, which may contain a secret."""
    origin = url_origin(location)
    if origin:
        return _shorten(origin)
    return "an invalid URL" if _HAS_AUTHORITY.match(location) else "another path of this host"


def _unexpected_response(
    request: Request[Any], response: Response, problem: str, remedy: str = "Is the host right?"
) -> UnexpectedResponse:
    return UnexpectedResponse(
        f"{request} got a response that is not Code Ocean's ({response.status}): {problem}. {remedy}",
        may_have_been_applied=request.idempotency is not Idempotency.SAFE,
        status=response.status,
        retry_after=parse_retry_after(response.headers),
    )


def _summarize_body(content: bytes) -> str:
    """Summarize a body: the title of a web page, or the text."""
    text = _decode_beginning(content)
    page = _HTML.search(text)
    if page is None:
        return _shorten(text)
    title = _HTML_TITLE.search(text, page.start())
    return f"a web page, {_shorten(title[1])!r}" if title else "a web page"


def _decode_beginning(content: bytes) -> str:
    return content[:_MAX_SEARCHED_BYTES].decode(errors="replace")


def _shorten(text: str) -> str:
    text = " ".join(text.encode(errors="replace").decode().split())
    return text if len(text) <= _MAX_MESSAGE_CHARACTERS else f"{text[:_MAX_MESSAGE_CHARACTERS]}…"


def _status_phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "no message"
