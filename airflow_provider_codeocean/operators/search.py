"""Operators that search for data assets, and for what uses them."""

from __future__ import annotations

import logging
from itertools import islice
from typing import TYPE_CHECKING, Any, ClassVar, Literal, get_args

from typing_extensions import override

from airflow_provider_codeocean.airflow_errors import OnEmpty, handle_empty_result
from airflow_provider_codeocean.hooks.uses import USE_KINDS, check_use_kinds, search_uses
from airflow_provider_codeocean.operators._base import CodeOceanActionBase, CodeOceanDataAssetActionBase
from airflow_provider_codeocean.validation import (
    FieldReader,
    build_data_asset_search,
    check_choice,
    check_flags,
    rendered_value,
    static_value,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow_provider_codeocean.api.client import CodeOceanClient
    from airflow_provider_codeocean.api.models.data_asset_params import DataAssetSearchParams

log = logging.getLogger(__name__)

#: What a search does if there are more matches than its limit.
OnMore = Literal["warn", "fail", "ignore"]


class CodeOceanSearchDataAssetsOperator(CodeOceanActionBase):
    """Search data assets.

    Source: ``POST data_assets/search``, user guide "Search data assets". All pages are read, and each data
    asset is returned once.

    The result, in XCom, is a list of data assets with the fields of Code Ocean's API, or of their ids, to
    ``.expand()`` over. Search may not find data assets that were created seconds ago.

    :param query: free text and terms ``name:``, ``tag:``, ``run_script:``, ``commit_id:``,
        ``contained_data_id:``. The same field twice means or, different fields mean and; quotes make an exact
        phrase; case is ignored; there are no wildcards. (templated)
    :param filters: conditions that must all be met, each with ``key`` (``name``, ``description``, ``tags``,
        or a custom field), one of ``value``, ``values``, and ``range`` (``min``, ``max``), and optionally
        ``exclude``. (templated)
    :param type: only ``dataset``, ``result``, ``combined``, or ``model``. (templated)
    :param ownership: only data assets that the token's user ``created``, or that are ``shared`` with it.
        (templated)
    :param origin: only ``internal``, or only ``external`` data assets. (templated)
    :param favorite: only favorites.
    :param archived: archived data assets instead of the others.
    :param sort_field: order by ``created``, ``type``, ``name``, or ``size``. (templated)
    :param sort_order: ``asc`` or ``desc``; together with ``sort_field``. (templated)
    :param limit: maximum number of data assets to return, from 1; None returns all.
    :param return_ids: return ids.
    :param on_empty: if nothing is found: ``return`` an empty list, ``skip`` the task, or ``fail`` it, which
        keeps its retries.
    :param on_more: if there are more matches than ``limit``: ``warn`` in the log, ``fail`` the task
        permanently, or ``ignore`` them, for example to return the newest ten.
    :param **kwargs: arguments of :class:`~airflow_provider_codeocean.operators._base.CodeOceanOperatorBase`.
    """

    template_fields: Sequence[str] = (
        "query",
        "filters",
        "type",
        "ownership",
        "origin",
        "sort_field",
        "sort_order",
        *CodeOceanActionBase.template_fields,
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {"filters": "json"}

    def __init__(
        self,
        *,
        query: str | None = None,
        filters: Sequence[Mapping[str, Any]] | None = None,
        type: str | None = None,  # noqa: A002 - the API's name
        ownership: str | None = None,
        origin: str | None = None,
        favorite: bool | None = None,
        archived: bool | None = None,
        sort_field: str | None = None,
        sort_order: str | None = None,
        limit: int | None = 1000,
        return_ids: bool = False,
        on_empty: OnEmpty = "return",
        on_more: OnMore = "warn",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.query = query
        self.filters = filters
        self.type = type
        self.ownership = ownership
        self.origin = origin
        self.favorite = favorite
        self.archived = archived
        self.sort_field = sort_field
        self.sort_order = sort_order
        if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or limit < 1):
            raise ValueError(f"limit must be a whole number from 1, or None for all, got {limit!r}")
        self.limit = limit
        check_flags(favorite=favorite, archived=archived, return_ids=return_ids)
        self.return_ids = return_ids
        check_choice("on_empty", on_empty, get_args(OnEmpty))
        self.on_empty: OnEmpty = on_empty
        check_choice("on_more", on_more, get_args(OnMore))
        self.on_more: OnMore = on_more
        self.search_params(static_value)

    def search_params(self, read: FieldReader = rendered_value) -> DataAssetSearchParams:
        """Return the search."""
        from airflow_provider_codeocean.api.models.search import MAX_PAGE_SIZE

        page_size = min(self._max_results or MAX_PAGE_SIZE, MAX_PAGE_SIZE)
        return build_data_asset_search(self, read, limit=page_size)

    @property
    def _max_results(self) -> int | None:
        """How many results to read: one more than the limit, to know whether there are more."""
        return self.limit if self.limit is None or self.on_more == "ignore" else self.limit + 1

    @override
    def perform(self, client: CodeOceanClient) -> list[Any]:
        from airflow_provider_codeocean.custom_metadata import coerce_filters

        params = coerce_filters(client, self.search_params())
        assets = list(islice(client.data_assets.search_all(params), self._max_results))
        if self.limit is not None and len(assets) > self.limit:
            assets.pop()
            problem = (
                f"more than {self.limit} data assets match: set limit=None to return all, or a higher "
                "limit, or narrow the search; on_more='ignore' accepts the first ones"
            )
            if self.on_more == "fail":
                raise ValueError(f"limit: {problem}")
            log.warning("Returning %d data assets, but %s", self.limit, problem)
        log.info("Found %d data assets", len(assets))
        if not assets:
            handle_empty_result(self.on_empty, "No data asset was found")
        return [asset.id if self.return_ids else asset.model_dump(mode="json") for asset in assets]


class CodeOceanSearchDataAssetUsesOperator(CodeOceanDataAssetActionBase):
    """Search the capsules, pipelines, and combined data assets that use a data asset, archived ones too.

    Source: ``POST capsules/search``, ``POST pipelines/search``, and ``POST data_assets/search``; see
    :meth:`~airflow_provider_codeocean.hooks.codeocean.CodeOceanHook.find_data_asset_uses`.

    The result, in XCom, is a list of objects with the fields of Code Ocean's API and their ``kind``, or of
    their ids. Code Ocean returns only objects that the token's user can see, and possibly none that were
    changed seconds ago, so an empty list does not prove that nothing uses the data asset. A capsule that only
    mentions the id, for example in its description, may be among the results.

    :param data_asset_id: id of the data asset. (templated)
    :param kinds: kinds of objects to search: any of ``capsule``, ``pipeline``, and ``data_asset``.
    :param return_ids: return ids.
    :param on_empty: if nothing is found: ``return`` an empty list, ``skip`` the task, or ``fail`` it, which
        keeps its retries.
    :param **kwargs: arguments of :class:`~airflow_provider_codeocean.operators._base.CodeOceanOperatorBase`.
    """

    def __init__(
        self,
        *,
        data_asset_id: str,
        kinds: Sequence[str] = USE_KINDS,
        return_ids: bool = False,
        on_empty: OnEmpty = "return",
        **kwargs: Any,
    ) -> None:
        super().__init__(data_asset_id=data_asset_id, **kwargs)
        check_use_kinds(kinds)
        self.kinds = kinds
        check_flags(return_ids=return_ids)
        self.return_ids = return_ids
        check_choice("on_empty", on_empty, get_args(OnEmpty))
        self.on_empty: OnEmpty = on_empty

    @override
    def perform(self, client: CodeOceanClient) -> list[Any]:
        uses = search_uses(client, self.data_asset_id, self.kinds)
        log.info("Found %d uses of data asset %s", len(uses), self.data_asset_id)
        if not uses:
            handle_empty_result(self.on_empty, f"No use of data asset {self.data_asset_id} was found")
        if self.return_ids:
            return [use.id for _, use in uses]
        return [{"kind": kind, **use.model_dump(mode="json")} for kind, use in uses]
