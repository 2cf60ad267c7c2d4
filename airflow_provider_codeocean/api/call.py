"""One request as data, and the declaration that serves it sync and async.

An endpoint is declared once, as a method of a resource (``endpoints/``) under the decorator :func:`endpoint`.
The decorator says method, path and what is answered; the method takes the arguments and returns the
:class:`Parts` that go beside the path. From that follow a :class:`Call`, which is all that a client needs in
order to send it, the rule by which it may be sent again, and two methods:
``CodeOceanClient(…).data_assets.get(…)`` answers, ``CodeOceanAsyncClient(…).data_assets.get(…)`` is awaited.
"""

from __future__ import annotations

import enum
import inspect
import json
import re
import string
from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, update_wrapper
from typing import (
    Any,
    ClassVar,
    Concatenate,
    Generic,
    ParamSpec,
    Protocol,
    TypeVar,
    cast,
    get_origin,
    overload,
)
from urllib.parse import quote

from pydantic import TypeAdapter

from airflow_provider_codeocean.api.errors import UnexpectedAnswer
from airflow_provider_codeocean.api.models.base import Params, Payload
from airflow_provider_codeocean.api.models.search import Page

T = TypeVar("T")
P = ParamSpec("P")
R = TypeVar("R", bound=Payload)
S = TypeVar("S")

JSON = Mapping[str, Any] | list[Any]

#: Integers in a response that have more digits are absent: Python refuses to convert them.
_MAX_DIGITS = 300

#: The most characters of an argument in a path, and what it may have: no slashes, quotes, control characters.
_LONGEST_SEGMENT = 255
_ONE_SEGMENT = re.compile(r"[^/\\%\x00-\x1f\x7f-\x9f]+")
#: Limits of one search: a server that goes beyond them never ends.
_MAX_RESULTS = 1_000_000
_MAX_PAGES = 10_000
#: How many pages in a row may show nothing new before the search fails.
_MAX_STALE_PAGES = 10


class Effect(enum.Enum):
    """What sending a request does, which decides when it may be sent again."""

    READ = enum.auto()
    """Nothing changes."""
    REPEATABLE = enum.auto()
    """Something changes, and twice is as good as once."""
    ONCE = enum.auto()
    """Something is created or started: twice is once too often."""


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """One request, ready to be sent.

    :param method: HTTP method.
    :param path: path below ``/api/v1/``, quoted.
    :param answers: type of the answer; ``NoneType`` where it is empty. One that has a class method
        ``from_bytes`` decodes it itself.
    :param effect: what sending it does.
    :param query: query parameters.
    :param body: JSON body, or None.
    """

    method: str
    path: str
    answers: type[T]
    effect: Effect
    query: Mapping[str, str] = field(default_factory=dict)
    body: JSON | None = field(default=None, repr=False)  # may hold the secret of a bucket

    def read(self, value: Any) -> T:
        """Read the answer from its decoded JSON.

        :param value: the JSON.
        :returns: the answer.
        :raises pydantic.ValidationError: where it is not even of the right kind: a string, not an object.
        """
        answers: Any = self.answers
        if value is None and get_origin(answers) is list:  # how some languages write an empty list
            value = []
        adapter: TypeAdapter[T] = _adapter(answers)
        return adapter.validate_python(value)

    def decode(self, content: bytes) -> T:
        """Read the answer from the bytes that came.

        :param content: the JSON.
        :returns: the answer.
        :raises ValueError: where it is not of the right kind.
        """
        from_bytes = getattr(self.answers, "from_bytes", None)
        if from_bytes is not None:
            return cast("T", from_bytes(content))
        return self.read(json.loads(content, parse_int=_read_integer))


def _read_integer(digits: str) -> int | None:
    return int(digits) if len(digits) <= _MAX_DIGITS else None


@cache
def _adapter(answers: Any) -> TypeAdapter[Any]:
    return TypeAdapter(answers)


@dataclass(frozen=True, slots=True)
class Parts:
    """What an endpoint's method adds to the path: query and body."""

    query: Mapping[str, str] = field(default_factory=dict)
    body: Params | Sequence[Params | str] | None = None

    def body_json(self) -> JSON | None:
        """Return the body as JSON values."""
        if self.body is None:
            return None
        if isinstance(self.body, Params):
            return self.body.to_json()
        return [item.to_json() if isinstance(item, Params) else item for item in self.body]


#: The pages of a search: a generator that yields the request for each page and is sent the page.
Pages = Generator[Call[Page[R]], Page[R], None]


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


class paginated(Generic[P, R]):  # noqa: N801 - declares, as endpoint does
    """Declare the method that returns the results of all pages of a search, each once.

    The method takes the search's parameters; ``limit`` is the size of a page. Pages overlap if something is
    created or deleted between two requests, so results whose id was on an earlier page are dropped, whatever
    its letter case. The search ends after the last page, or after a page that shows nothing new and repeats
    a token. It fails if ten pages in a row show nothing new, or beyond a million results.

    :param search: the endpoint that returns one page, given ``params``.
    """

    def __init__(self, search: Endpoint[P, Page[R]]) -> None:
        self._search = search
        self.__doc__ = f"{search.__doc__}\n\n        All pages, one result after the other."

    @overload
    def __get__(self, resource: None, owner: type) -> paginated[P, R]: ...
    @overload
    def __get__(self, resource: Resource[Sender], owner: type) -> Callable[P, Iterator[R]]: ...
    @overload
    def __get__(self, resource: Resource[AsyncSender], owner: type) -> Callable[P, AsyncIterator[R]]: ...
    def __get__(self, resource: Any, owner: type) -> Any:
        if resource is None:
            return self

        def walk(*args: P.args, **kwargs: P.kwargs) -> Any:
            return resource._sender.walk(self.pages(resource.root, *args, **kwargs))  # noqa: SLF001

        walk.__doc__ = self.__doc__
        walk.__signature__ = self._search.signature  # type: ignore[attr-defined]
        return walk

    def pages(self, root: str, *args: P.args, **kwargs: P.kwargs) -> Pages[R]:
        """Yield the request for each page, and remove from each page sent in return what earlier ones had.

        :param root: first segment of the path.
        :param *args: arguments of the search.
        :param **kwargs: arguments of the search.
        :returns: a generator of the requests.
        :raises UnexpectedAnswer: if the server says that there is more, after a million results, ten thousand
            pages, or ten pages without anything new.
        """
        call = self._search.call(root, *args, **kwargs)
        body: dict[str, Any] = dict(call.body) if isinstance(call.body, Mapping) else {}
        tokens = {body["next_token"]} if "next_token" in body else set()
        ids: set[str] = set()
        pages = stale = 0
        while True:
            page = yield replace(call, body=body)
            results: list[Any] = page.results
            pages, size, known = pages + 1, len(results), len(ids)
            results[:] = [result for result in results if not result.id or _add(ids, result.id)]
            stale = 0 if len(ids) > known else stale + 1
            repeated = page.next_token in tokens
            if not page.has_more or (stale and repeated):
                return
            if pages >= _MAX_PAGES or len(ids) >= _MAX_RESULTS or stale >= _MAX_STALE_PAGES:
                nothing_new = f", the last {stale} of them without a new one" if stale else ""
                raise UnexpectedAnswer(
                    f"{call.method} {call.path} returned {len(ids)} results on {pages} pages{nothing_new}, "
                    "and says that there are more: narrow the search"
                )
            if page.next_token:
                tokens.add(page.next_token)
                body = {**body, "next_token": page.next_token}
            elif size and "next_token" not in body:  # a 2.x server: it pages by offset
                body = {**body, "offset": body.get("offset", 0) + size}
            else:
                return


def next_call(pages: Pages[R], page: Page[R]) -> Call[Page[R]] | None:
    """Send a page to the generator of :meth:`paginated.pages`.

    :param pages: the generator.
    :param page: the page; it keeps the results that no earlier page had.
    :returns: the request for the next page, or None after the last one.
    """
    try:
        return pages.send(page)
    except StopIteration:
        return None


def _add(ids: set[str], value: str) -> bool:
    """Add an id, and return whether it is new."""
    count = len(ids)
    ids.add(value.lower())
    return len(ids) > count


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
