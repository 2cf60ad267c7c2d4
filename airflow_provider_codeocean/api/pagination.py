"""Search results from all pages, each once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, overload

from airflow_provider_codeocean.api.pages import Pages
from airflow_provider_codeocean.api.request import P, ResultT

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from airflow_provider_codeocean.api.endpoint import AsyncRequestSender, Endpoint, RequestSender, Resource
    from airflow_provider_codeocean.api.models.search import Page


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
            request = self._search_endpoint.build_request(resource.path_prefix, *args, **kwargs)
            return resource._sender.iterate(Pages(request))  # noqa: SLF001

        iterate.__doc__ = self.__doc__
        iterate.__signature__ = self._search_endpoint.signature  # type: ignore[attr-defined]
        return iterate
