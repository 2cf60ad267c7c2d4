"""Searches page by page, with each result once."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import replace
from typing import (
    TYPE_CHECKING,
    Any,
    Generic,
    overload,
)

from airflow_provider_codeocean.api.errors import UnexpectedAnswer
from airflow_provider_codeocean.api.request import Call, P, Pages, R

if TYPE_CHECKING:
    from airflow_provider_codeocean.api.endpoint import AsyncSender, Endpoint, Resource, Sender
    from airflow_provider_codeocean.api.models.search import Page

#: Limits of one search: a server that goes beyond them never ends.
_MAX_RESULTS = 1_000_000
_MAX_PAGES = 10_000
#: How many pages in a row may show nothing new before the search fails.
_MAX_STALE_PAGES = 10


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
            new = []
            for result in results:
                key = result.id.lower()
                if key not in ids:
                    new.append(result)
                    if key:
                        ids.add(key)
            results[:] = new
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
