"""What to make of a response: the answer, or the error that it is. Knows no HTTP library."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from http import HTTPStatus
from types import NoneType
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import ValidationError

from airflow_provider_codeocean.api.address import origin
from airflow_provider_codeocean.api.call import Call, Effect
from airflow_provider_codeocean.api.errors import (
    CodeOceanApiError,
    NotFound,
    UnexpectedAnswer,
    error_class,
)
from airflow_provider_codeocean.api.models.base import Payload
from airflow_provider_codeocean.api.retry import retry_after

if TYPE_CHECKING:
    from collections.abc import Mapping

T = TypeVar("T")

#: The most characters of a body that an error's text repeats, and the most that are looked at for them.
_MESSAGE_LIMIT = 500
_READ_LIMIT = 100 * _MESSAGE_LIMIT
_TITLE = re.compile(r"<title[^<>]*>([^<]*)", re.IGNORECASE)
_PAGE = re.compile(rb"<!doctype html|<html|<title", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Response:
    """A response as it came over the wire.

    :param status: HTTP status code.
    :param headers: headers by their names in lower case.
    :param content: body, decompressed. Like the headers, it does not repeat the access token.
    """

    status: int
    headers: Mapping[str, str]
    content: bytes


def conclude(call: Call[T], response: Response, *, again: bool) -> T:
    """Turn a response into the answer, or raise the error that it is.

    :param call: the request.
    :param response: the response.
    :param again: whether an attempt before this one may have been carried out: a DELETE that now finds
        nothing has done its work.
    :returns: the answer.
    :raises CodeOceanApiError: where the API answered with an error.
    :raises UnexpectedAnswer: where the answer is not the API's.
    """
    if HTTPStatus(200) <= response.status < HTTPStatus(300):
        return _answer(call, response)
    error = _error(call, response)
    if again and call.method == "DELETE" and isinstance(error, NotFound):
        return call.read(None)
    raise error


def _answer(call: Call[T], response: Response) -> T:
    if call.answers is NoneType and not _is_page(response.content):
        return call.read(None)
    try:
        answer = call.decode(response.content)
    except (ValueError, ValidationError, RecursionError):
        problem = _text_of(response.content) or "nothing"
    else:
        if not isinstance(answer, Payload) or answer.is_whole():
            return answer
        problem = f"an object without {' or '.join(answer.essential)}"
    raise UnexpectedAnswer(
        f"{call.method} {call.path} was answered with {response.status}, but not as the API answers: "
        f"{problem}",
        maybe_applied=call.effect is not Effect.READ,
    )


def _error(call: Call[Any], response: Response) -> CodeOceanApiError:
    data, message = None, ""
    if HTTPStatus(300) <= response.status < HTTPStatus(400):
        host = origin(response.headers.get("location", ""))
        where = _shorten(host) if host else "another path of this host"
        message = f"redirected to {where}; give the host that it leads to"
    else:
        try:
            data = json.loads(response.content)
        except (ValueError, RecursionError):
            message = _text_of(response.content)
        else:
            message = _message_of(data)
    return error_class(response.status)(
        response.status,
        message or _phrase(response.status),
        data=data,
        method=call.method,
        path=call.path,
        retry_after=retry_after(response.headers),
        maybe_applied=response.status >= HTTPStatus(500) and call.effect is not Effect.READ,
    )


def _message_of(data: Any) -> str:
    """Return an error body's ``message``, or the body itself where it has none."""
    if isinstance(data, dict) and isinstance(data.get("message"), str) and data["message"]:
        return _shorten(data["message"])
    return _shorten(data if isinstance(data, str) else json.dumps(data)) if data else ""


def _text_of(content: bytes) -> str:
    """Return what a person could read of a body that is no JSON: a page's title, or the text."""
    text = content[:_READ_LIMIT].decode(errors="replace")
    title = _TITLE.search(text)
    if title:
        return f"a web page, {_shorten(title[1])!r}"
    return "a web page" if _is_page(content) else _shorten(text)


def _is_page(content: bytes) -> bool:
    """Tell whether a body is a web page: a proxy's, or one to sign in at, but not the API's."""
    return _PAGE.search(content[:_READ_LIMIT]) is not None


def _shorten(text: str) -> str:
    text = " ".join(text.encode(errors="replace").decode().split())
    return text if len(text) <= _MESSAGE_LIMIT else f"{text[:_MESSAGE_LIMIT]}…"


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "no message"
