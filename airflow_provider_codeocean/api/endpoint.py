"""Declaring an endpoint once, as a method of both clients."""

from __future__ import annotations

import inspect
import re
import string
from functools import update_wrapper
from typing import (
    TYPE_CHECKING,
    Any,
    ClassVar,
    Concatenate,
    Generic,
    Protocol,
    TypeVar,
    overload,
)
from urllib.parse import quote

from airflow_provider_codeocean.api.request import Call, Effect, P, Pages, Parts, R, T

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Iterator

S = TypeVar("S")
#: The most characters of an argument in a path, and what it may have: no slashes, quotes, control characters.
_LONGEST_SEGMENT = 255
_ONE_SEGMENT = re.compile(r"[^/\\%\x00-\x1f\x7f-\x9f]+")


class Sender(Protocol):
    """What sends calls and waits for the answer."""

    def send(self, call: Call[T]) -> T:
        """Send a request and return the answer."""
        ...

    def walk(self, pages: Pages[R]) -> Iterator[R]:
        """Send the requests for all pages of a search and yield the results."""
        ...


class AsyncSender(Protocol):
    """What sends calls and can be awaited."""

    def send(self, call: Call[T]) -> Coroutine[Any, Any, T]:
        """Send a request and return the answer."""
        ...

    def walk(self, pages: Pages[R]) -> AsyncIterator[R]:
        """Send the requests for all pages of a search and yield the results."""
        ...


class Resource(Generic[S]):
    """Base of the endpoints of one resource, bound to a client.

    :param sender: the client.
    """

    #: First segment of the path of all its endpoints.
    root: ClassVar[str]

    def __init__(self, sender: S) -> None:
        self._sender = sender

    @classmethod
    def endpoints(cls) -> dict[str, Endpoint[..., Any]]:
        """Return what is declared, by name of the method."""
        members = {name: inspect.getattr_static(cls, name) for name in dir(cls)}
        return {name: member for name, member in members.items() if isinstance(member, Endpoint)}


class Endpoint(Generic[P, T]):
    """A declared endpoint. As a member of a bound resource it is the method that sends it.

    :param method: HTTP method.
    :param path: path below the resource's root; ``{name}`` stands for the argument of that name, quoted.
    :param answers: type of the answer.
    :param effect: what sending it does.
    :param build: the method that takes the arguments and returns the request's parts.
    """

    def __init__(
        self,
        method: str,
        path: str,
        answers: type[T],
        effect: Effect,
        build: Callable[Concatenate[Any, P], Parts | None],
    ) -> None:
        self.method = method
        self.path = path
        self.answers = answers
        self.effect = effect
        self._build = build
        self._signature = inspect.signature(build)
        self._path_arguments = [name for _, name, _, _ in string.Formatter().parse(path) if name]
        _, *arguments = self._signature.parameters.values()
        self.signature = inspect.Signature(arguments, return_annotation=answers)
        self.__doc__ = build.__doc__

    def call(self, root: str, *args: P.args, **kwargs: P.kwargs) -> Call[T]:
        """Build the request.

        :param root: first segment of the path.
        :param *args: arguments of the endpoint's method.
        :param **kwargs: arguments of the endpoint's method.
        :returns: the request.
        :raises ValueError: where an argument of the path is empty or would lead elsewhere.
        """
        given = self._signature.bind(None, *args, **kwargs).arguments
        segments = {name: _segment(name, given[name]) for name in self._path_arguments}
        parts = self._build(None, *args, **kwargs) or Parts()
        return Call(
            method=self.method,
            path=root + self.path.format_map(segments),
            answers=self.answers,
            effect=self.effect,
            query=parts.query,
            body=parts.body_json(),
        )

    @overload
    def __get__(self, resource: None, owner: type) -> Endpoint[P, T]: ...
    @overload
    def __get__(self, resource: Resource[Sender], owner: type) -> Callable[P, T]: ...
    @overload
    def __get__(
        self, resource: Resource[AsyncSender], owner: type
    ) -> Callable[P, Coroutine[Any, Any, T]]: ...
    def __get__(self, resource: Any, owner: type) -> Any:
        if resource is None:
            return self

        def send(*args: P.args, **kwargs: P.kwargs) -> Any:
            return resource._sender.send(self.call(resource.root, *args, **kwargs))  # noqa: SLF001

        update_wrapper(send, self._build)
        send.__signature__ = self.signature  # type: ignore[attr-defined]
        return send


def endpoint(
    method: str, path: str, answers: type[T], *, effect: Effect | None = None
) -> Callable[[Callable[Concatenate[Any, P], Parts | None]], Endpoint[P, T]]:
    """Declare a method of a resource to be an endpoint; see :class:`Endpoint`.

    :param method: HTTP method.
    :param path: path below the resource's root.
    :param answers: type of the answer.
    :param effect: what sending it does; if not given, GET reads, POST is for once, others can be repeated.
    :returns: the decorator.
    """
    effect = effect or {"GET": Effect.READ, "POST": Effect.ONCE}.get(method, Effect.REPEATABLE)
    return lambda build: Endpoint(method, path, answers, effect, build)


def identifiers(name: str, value: Any) -> list[str]:
    """Check a list of identifiers, for a body.

    :param name: name of the argument.
    :param value: the list.
    :returns: the list.
    :raises ValueError: where it is empty, no list, or holds something else.
    """
    given = value if isinstance(value, list | tuple) else [None]
    if not given or not all(isinstance(item, str) and item.strip() for item in given):
        raise ValueError(f"{name} must be a list of identifiers, at least one, got {value!r}")
    return [*given]


def _segment(name: str, value: Any) -> str:
    """Quote one argument of a path.

    What would lead elsewhere is refused although it is quoted: proxies may take quotes off, even twice.
    """
    segment = value.strip() if isinstance(value, str) else ""
    if segment in {"", ".", ".."} or len(segment) > _LONGEST_SEGMENT or not _ONE_SEGMENT.fullmatch(segment):
        raise ValueError(f"{name} must be an identifier, got {_shown(value)}")
    return quote(segment, safe="")


def _shown(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= _LONGEST_SEGMENT else f"{shown[:_LONGEST_SEGMENT]}…"
