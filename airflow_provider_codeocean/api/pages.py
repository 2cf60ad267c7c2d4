"""The pages of one search."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Generic

from airflow_provider_codeocean.api.errors import UnexpectedResponse
from airflow_provider_codeocean.api.request import Request, ResultT, T

if TYPE_CHECKING:
    from airflow_provider_codeocean.api.models.data_asset_summary import DataAssetSummaryPage
    from airflow_provider_codeocean.api.models.search import Page

#: A search that exceeds these limits is endless.
_MAX_RESULTS = 1_000_000
_MAX_PAGES = 10_000
_MAX_CONSECUTIVE_STALE_PAGES = 10


class Pages(Generic[ResultT]):
    """The pages of one search, whose results are taken once.

    :param request: the request for the first page.
    :ivar request: the request for the next page; None after the last one.
    """

    def __init__(self, request: Request[Page[ResultT]]) -> None:
        self.request: Any = request
        body: Any = request.body
        self._tokens = {body.get("next_token")}
        self._ids: set[str] = set()
        self._page_count = self._stale_count = 0

    def take(self, page: Page[ResultT]) -> list[ResultT]:
        """Return the results of the requested page that were on no earlier page, and move to the next one.

        :param page: the page.
        :returns: the results.
        :raises UnexpectedResponse: if there are more than a million results or ten thousand pages, or ten
            pages in a row without new results.
        """
        known_count, new = len(self._ids), []
        results: list[Any] = page.results
        for result in results:
            key = result.id.lower()
            if key not in self._ids:
                new.append(result)
                if key:
                    self._ids.add(key)
        count = len(self._ids)
        self._page_count += 1
        stale = self._stale_count = 0 if count > known_count else self._stale_count + 1
        following = request_after(self.request, page)
        if stale and page.next_token and page.next_token in self._tokens:
            following = None
        if following is not None and (
            self._page_count >= _MAX_PAGES or count >= _MAX_RESULTS or stale >= _MAX_CONSECUTIVE_STALE_PAGES
        ):
            no_news = f", the last {stale} of them without a new one" if stale else ""
            raise UnexpectedResponse(
                f"{self.request} returned {count} results on {self._page_count} pages{no_news}, and says "
                "that there are more: narrow the search"
            )
        self._tokens.add(page.next_token)
        self.request = following
        return new


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
