"""Operators that search."""

from __future__ import annotations

import logging
from itertools import islice
from typing import TYPE_CHECKING, Any, ClassVar, get_args

from airflow.providers.common.compat.sdk import BaseOperator

from airflow_provider_codeocean.api.models.search import MAX_PAGE
from airflow_provider_codeocean.arguments import (
    ReadField,
    as_rendered,
    check_choice,
    data_asset_search,
    known_now,
)
from airflow_provider_codeocean.failures import OnEmpty, end_as_asked_for, no_retry_for_what_it_cannot_mend
from airflow_provider_codeocean.hooks.codeocean import CodeOceanHook

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_codeocean.api.models.data_asset_params import DataAssetSearchParams

log = logging.getLogger(__name__)


class CodeOceanSearchDataAssetsOperator(BaseOperator):
    """Search data assets.

    Source: ``POST data_assets/search``, user guide "Search data assets". It pages by itself.

    The result, in XCom, is a list of data assets with the fields of Code Ocean's API, or of their ids, to
    ``.expand()`` over. What was created seconds ago may not be found yet.

    :param query: free text and terms ``name:``, ``tag:``, ``run_script:``, ``commit_id:``,
        ``contained_data_id:``. The same field twice means or, different fields mean and; quotes make an exact
        phrase; case is ignored; there are no wildcards. (templated)
    :param filters: conditions that must all hold: ``key`` (``name``, ``description``, ``tags`` or a custom
        field), one of ``value``, ``values`` and ``range`` (``min``, ``max``), and ``exclude`` each.
        (templated)
    :param type: only ``dataset``, ``result``, ``combined`` or ``model``. (templated)
    :param ownership: only what the token's user ``created``, or what was ``shared`` with it. (templated)
    :param origin: only ``internal``, or only ``external`` ones. (templated)
    :param favorite: only favorites.
    :param archived: archived ones instead of the others.
    :param sort_field: order by ``created``, ``type``, ``name`` or ``size``. (templated)
    :param sort_order: ``asc`` or ``desc``; together with ``sort_field``. (templated)
    :param limit: the most data assets to return, from 1; None returns all.
    :param only_ids: return ids.
    :param on_empty: what to do where nothing is found: ``return`` an empty list, ``skip`` the task or
        ``fail`` it, which keeps its retries.
    :param codeocean_conn_id: id of the connection. (templated)
    :param **kwargs: what every operator takes.
    """

    template_fields: Sequence[str] = (
        "query",
        "filters",
        "type",
        "ownership",
        "origin",
        "sort_field",
        "sort_order",
        "codeocean_conn_id",
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {"filters": "json"}
    ui_color = "#e8f1fb"

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
        only_ids: bool = False,
        on_empty: OnEmpty = "return",
        codeocean_conn_id: str = CodeOceanHook.default_conn_name,
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
        self.only_ids = only_ids
        check_choice("on_empty", on_empty, get_args(OnEmpty))
        self.on_empty: OnEmpty = on_empty
        self.codeocean_conn_id = codeocean_conn_id
        self.search_params(known_now)

    def search_params(self, read: ReadField = as_rendered) -> DataAssetSearchParams:
        """Build what to search for.

        :param read: reads the value of a template field.
        :returns: the parameters of a page.
        :raises ValueError: where an argument is wrong, naming it.
        """
        return data_asset_search(self, read, limit=min(self.limit or MAX_PAGE, MAX_PAGE))

    def execute(self, context: Context) -> list[Any]:  # noqa: ARG002 - as every operator
        """Search."""
        with no_retry_for_what_it_cannot_mend():
            params = self.search_params()
            with CodeOceanHook(self.codeocean_conn_id).get_conn() as client:
                found = list(islice(client.data_assets.search_all(params), self.limit))
        log.info("Found %d data assets", len(found))
        if not found:
            end_as_asked_for(self.on_empty, "No data asset was found")
        return [asset.id if self.only_ids else asset.model_dump(mode="json") for asset in found]
