"""Search results from all pages, each once."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Generic, overload

from airflow_provider_codeocean.api.errors import UnexpectedResponse
from airflow_provider_codeocean.api.request import P, PageRequests, Request, ResultT, T

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from airflow_provider_codeocean.api.endpoint import AsyncRequestSender, Endpoint, RequestSender, Resource
    from airflow_provider_codeocean.api.models.data_asset_summary import DataAssetSummaryPage
    from airflow_provider_codeocean.api.models.search import Page

#: A search that exceeds these limits is endless.
_MAX_RESULTS = 1_000_000
_MAX_PAGES = 10_000
_MAX_CONSECUTIVE_STALE_PAGES = 10


class paginated(Generic[P, ResultT]):  # noqa: N801 - used like a decorator
    """Declare the method that returns the results of all pages of a search, each once.

    The method takes the search's parameters; ``limit`` is the size of a page. Pages overlap if something is
    created or deleted between two requests, so results whose id (in any letter case) was on an earlier page
    are dropped. The search ends after the last page, or after a page without new results that repeats a
    token. It fails after ten pages in a row without new results, and after a million results.

    :param search: the endpoint that returns one page.
    """

    def __init__(self, search: Endpoint[P, Page[ResultT]]) -> None:
        self._search_endpoint = search
        self.__doc__ = f"{search.__doc__}\n\n        All pages, one result after the other."

    @overload
    def __get__(self, resource: None, owner: type) -> paginated[P, ResultT]: ...
    @overload
    def __get__(self, resource: Resource[RequestSender], owner: type) -> Callable[P, Iterator[ResultT]]: ...
    @overload
    def __get__(
        self, resource: Resource[AsyncRequestSender], owner: type
    ) -> Callable[P, AsyncIterator[ResultT]]: ...
    def __get__(self, resource: Any, owner: type) -> Any:
        if resource is None:
            return self

        def iterate(*args: P.args, **kwargs: P.kwargs) -> Any:
            return resource._sender.iterate(self.iter_requests(resource.path_prefix, *args, **kwargs))  # noqa: SLF001

        iterate.__doc__ = self.__doc__
        iterate.__signature__ = self._search_endpoint.signature  # type: ignore[attr-defined]
        return iterate

    def iter_requests(self, path_prefix: str, *args: P.args, **kwargs: P.kwargs) -> PageRequests[ResultT]:
        """Yield the request for each page. Send the page: results of earlier pages are removed from it.

        :param path_prefix: first segment of the path.
        :param *args: arguments of the search.
        :param **kwargs: arguments of the search.
        :returns: a generator of the requests.
        :raises UnexpectedResponse: if there are more than a million results or ten thousand pages, or ten
            pages in a row without new results.
        """
        request = self._search_endpoint.build_request(path_prefix, *args, **kwargs)
        body: Any = request.body
        tokens = {body.get("next_token")}
        ids: set[str] = set()
        pages = stale = 0
        while True:
            page = yield request
            following = request_after(request, page)
            results: list[Any] = page.results
            pages, known = pages + 1, len(ids)
            new = []
            for result in results:
                key = result.id.lower()
                if key not in ids:
                    new.append(result)
                    if key:
                        ids.add(key)
            results[:] = new
            stale = 0 if len(ids) > known else stale + 1
            if following is None or (stale and page.next_token and page.next_token in tokens):
                return
            if pages >= _MAX_PAGES or len(ids) >= _MAX_RESULTS or stale >= _MAX_CONSECUTIVE_STALE_PAGES:
                no_news = f", the last {stale} of them without a new one" if stale else ""
                raise UnexpectedResponse(
                    f"{request} returned {len(ids)} results on {pages} pages{no_news}, and says that there "
                    "are more: narrow the search"
                )
            tokens.add(page.next_token)
            request = following


def request_after(request: Request[T], page: Page[Any] | DataAssetSummaryPage) -> Request[T] | None:
    """Return the request for the page after a page, or None after the last one.

    :param request: the request for the page.
    :param page: the page, with all its results.
    :returns: the request.
    """
    body: Any = request.body
    if not page.has_more:
        return None
    if page.next_token:
        return replace(request, body={**body, "next_token": page.next_token})
    if page.results and "next_token" not in body:  # a 2.x server pages by offset
        return replace(request, body={**body, "offset": body.get("offset", 0) + len(page.results)})
    return None


def next_request(page_requests: PageRequests[ResultT], page: Page[ResultT]) -> Request[Page[ResultT]] | None:
    """Send a page to the generator of :meth:`paginated.iter_requests`.

    :param page_requests: the generator.
    :param page: the page; results of earlier pages are removed from it.
    :returns: the request for the next page, or None after the last one.
    """
    try:
        return page_requests.send(page)
    except StopIteration:
        return None
