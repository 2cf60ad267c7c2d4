"""Declaring an endpoint once, as a method of both clients.

An endpoint is a method of a resource (in ``endpoints/``) with the decorator :func:`endpoint`. The method
takes the arguments and returns the request's query and body. ``CodeOceanClient(…).data_assets.get(…)``
returns the result, ``CodeOceanAsyncClient(…).data_assets.get(…)`` is awaited.
"""

from __future__ import annotations

import inspect
import re
import string
from functools import update_wrapper
from typing import TYPE_CHECKING, Any, ClassVar, Concatenate, Generic, Protocol, TypeVar, overload
from urllib.parse import quote

from airflow_provider_codeocean.api.request import Idempotency, P, Request, RequestParts, T

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Iterator

    from airflow_provider_codeocean.api.pages import Pages
    from airflow_provider_codeocean.api.request import ResultT

SenderT = TypeVar("SenderT")
_MAX_SEGMENT_CHARACTERS = 255
_VALID_SEGMENT = re.compile(r"[^/\\%\x00-\x1f\x7f-\x9f]+")


class RequestSender(Protocol):
    """A sync client, for endpoints."""

    def send(self, request: Request[T]) -> T:
        """Send a request and return the result."""
        ...

    def iterate(self, pages: Pages[ResultT]) -> Iterator[ResultT]:
        """Send the requests for all pages of a search and yield the results."""
        ...


class AsyncRequestSender(Protocol):
    """An async client, for endpoints."""

    def send(self, request: Request[T]) -> Coroutine[Any, Any, T]:
        """Send a request and return the result."""
        ...

    def iterate(self, pages: Pages[ResultT]) -> AsyncIterator[ResultT]:
        """Send the requests for all pages of a search and yield the results."""
        ...


class Resource(Generic[SenderT]):
    """Base class for the endpoints of one resource, bound to a client.

    :param sender: the client.
    """

    #: First segment of the endpoints' paths.
    path_prefix: ClassVar[str]

    def __init__(self, sender: SenderT) -> None:
        self._sender = sender

    @classmethod
    def endpoints(cls) -> dict[str, Endpoint[..., Any]]:
        """Return the declared endpoints by method name."""
        members = {name: inspect.getattr_static(cls, name) for name in dir(cls)}
        return {name: member for name, member in members.items() if isinstance(member, Endpoint)}


class Endpoint(Generic[P, T]):
    """A declared endpoint. As a member of a bound resource, it is a method that sends the request.

    :param method: HTTP method.
    :param path: path below the resource's prefix; ``{name}`` stands for the argument with that name.
    :param response_model: type of the response.
    :param idempotency: effect of the request.
    :param build_parts: the method that takes the arguments and returns the query and body.
    """

    def __init__(
        self,
        method: str,
        path: str,
        response_model: type[T],
        idempotency: Idempotency,
        build_parts: Callable[Concatenate[Any, P], RequestParts | None],
    ) -> None:
        self.method = method
        self.path = path
        self.response_model = response_model
        self.idempotency = idempotency
        self._build_parts = build_parts
        self._signature = inspect.signature(build_parts)
        self._path_parameters = [name for _, name, _, _ in string.Formatter().parse(path) if name]
        _, *arguments = self._signature.parameters.values()
        self.signature = inspect.Signature(arguments, return_annotation=response_model)
        self.__doc__ = build_parts.__doc__

    def build_request(self, path_prefix: str, *args: P.args, **kwargs: P.kwargs) -> Request[T]:
        """Build the request.

        :param path_prefix: first segment of the path.
        :param *args: arguments of the endpoint's method.
        :param **kwargs: arguments of the endpoint's method.
        :returns: the request.
        :raises ValueError: if an argument in the path is not an identifier.
        """
        arguments = self._signature.bind(None, *args, **kwargs).arguments
        segments = {name: _quote_path_segment(name, arguments[name]) for name in self._path_parameters}
        parts = self._build_parts(None, *args, **kwargs) or RequestParts()
        return Request(
            method=self.method,
            path=path_prefix + self.path.format_map(segments),
            response_model=self.response_model,
            idempotency=self.idempotency,
            query=parts.query,
            body=parts.to_json_body(),
        )

    @overload
    def __get__(self, resource: None, owner: type) -> Endpoint[P, T]: ...
    @overload
    def __get__(self, resource: Resource[RequestSender], owner: type) -> Callable[P, T]: ...
    @overload
    def __get__(
        self, resource: Resource[AsyncRequestSender], owner: type
    ) -> Callable[P, Coroutine[Any, Any, T]]: ...
    def __get__(self, resource: Any, owner: type) -> Any:
        if resource is None:
            return self

        def send(*args: P.args, **kwargs: P.kwargs) -> Any:
            return resource._sender.send(self.build_request(resource.path_prefix, *args, **kwargs))  # noqa: SLF001

        update_wrapper(send, self._build_parts)
        send.__signature__ = self.signature  # type: ignore[attr-defined]
        return send


def endpoint(
    method: str, path: str, response_model: type[T], *, idempotency: Idempotency | None = None
) -> Callable[[Callable[Concatenate[Any, P], RequestParts | None]], Endpoint[P, T]]:
    """Declare a method of a resource as an endpoint; see :class:`Endpoint`.

    :param method: HTTP method.
    :param path: path below the resource's prefix.
    :param response_model: type of the response.
    :param idempotency: effect of the request. By default, GET is safe, POST is non-idempotent, and other
        methods are idempotent.
    :returns: the decorator.
    """
    idempotency = idempotency or {"GET": Idempotency.SAFE, "POST": Idempotency.NON_IDEMPOTENT}.get(
        method, Idempotency.IDEMPOTENT
    )
    return lambda build: Endpoint(method, path, response_model, idempotency, build)


def check_identifier_list(name: str, value: Any) -> list[str]:
    """Check a list of identifiers in a request body.

    :param name: name of the argument.
    :param value: the list.
    :returns: the list.
    :raises ValueError: if it is not a list of identifiers, or empty.
    """
    items = value if isinstance(value, list | tuple) else []
    if not items or not all(isinstance(item, str) and item.strip() for item in items):
        raise ValueError(f"{name} must be a list of identifiers, at least one, got {value!r}")
    return [*items]


def _quote_path_segment(name: str, value: Any) -> str:
    """Quote an argument in a path.

    Arguments that would change the path unquoted are rejected: proxies may unquote the path, even twice.
    """
    segment = value.strip() if isinstance(value, str) else ""
    if (
        segment in {"", ".", ".."}
        or len(segment) > _MAX_SEGMENT_CHARACTERS
        or not _VALID_SEGMENT.fullmatch(segment)
    ):
        shown = repr(value)
        if len(shown) > _MAX_SEGMENT_CHARACTERS:
            shown = f"{shown[:_MAX_SEGMENT_CHARACTERS]}…"
        raise ValueError(f"{name} must be an identifier, got {shown}")
    return quote(segment, safe="")
