"""A sensor that searches data assets."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_codeocean.airflow_errors import no_retry_for_what_it_cannot_mend
from airflow_provider_codeocean.api.errors import CodeOceanError
from airflow_provider_codeocean.api.models.search import DEFAULT_PAGE
from airflow_provider_codeocean.hooks.codeocean import CodeOceanHook
from airflow_provider_codeocean.polling.waits import SearchWait
from airflow_provider_codeocean.sensors._base import CodeOceanWaitSensorBase
from airflow_provider_codeocean.triggers.search import CodeOceanDataAssetSearchTrigger
from airflow_provider_codeocean.validation import (
    ReadField,
    as_rendered,
    check_flags,
    data_asset_search,
    known_now,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from airflow.providers.common.compat.sdk import Context, PokeReturnValue

    from airflow_provider_codeocean.api.client import CodeOceanClient
    from airflow_provider_codeocean.api.models.data_asset import DataAsset
    from airflow_provider_codeocean.api.models.data_asset_params import DataAssetSearchParams
    from airflow_provider_codeocean.api.models.search import Page
    from airflow_provider_codeocean.api.request import Call
    from airflow_provider_codeocean.outcomes import WaitEvent

log = logging.getLogger(__name__)


class CodeOceanDataAssetSearchSensor(CodeOceanWaitSensorBase):
    """Wait until a search finds a data asset.

    Source: ``POST data_assets/search``. Search may find data assets seconds after they were created, and also
    those that are not ready.

    The result, in XCom, is a list of up to 100 data assets with the fields of Code Ocean's API. A warning is
    logged if there are more: search for all of them with a
    :class:`~airflow_provider_codeocean.operators.search.CodeOceanSearchDataAssetsOperator` after the sensor.

    :param query: free text and terms ``name:``, ``tag:``, ``run_script:``, ``commit_id:``,
        ``contained_data_id:``. (templated)
    :param filters: conditions that must all be met: see
        :class:`~airflow_provider_codeocean.operators.search.CodeOceanSearchDataAssetsOperator`. (templated)
    :param type: only ``dataset``, ``result``, ``combined``, or ``model``. (templated)
    :param ownership: only data assets that the token's user ``created``, or that are ``shared`` with it.
        (templated)
    :param origin: only ``internal``, or only ``external`` data assets. (templated)
    :param archived: archived data assets instead of the others.
    :param **kwargs: arguments of :class:`~airflow_provider_codeocean.sensors._base.CodeOceanWaitSensorBase`.
    """

    template_fields: Sequence[str] = (
        "query",
        "filters",
        "type",
        "ownership",
        "origin",
        *CodeOceanWaitSensorBase.template_fields,
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {"filters": "json"}
    ui_color = "#e8f1fb"
    _is_fitted = False

    def __init__(
        self,
        *,
        query: str | None = None,
        filters: Sequence[Mapping[str, Any]] | None = None,
        type: str | None = None,  # noqa: A002 - the API's name
        ownership: str | None = None,
        origin: str | None = None,
        archived: bool | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.query = query
        self.filters = filters
        self.type = type
        self.ownership = ownership
        self.origin = origin
        self.archived = archived
        if query is None and filters is None and type is None and ownership is None and origin is None:
            raise ValueError("give at least one of query, filters, type, ownership and origin")
        check_flags(archived=archived)
        self.search_params(known_now)
        self.start_as_asked_for()

    def search_params(self, read: ReadField = as_rendered) -> DataAssetSearchParams:
        """Return the search.

        :param read: reads the value of a template field.
        :returns: the parameters.
        :raises ValueError: if an argument is invalid.
        """
        return data_asset_search(self, read, limit=DEFAULT_PAGE, needs_condition=True)

    def _look(
        self, context: Context, send: Callable[[CodeOceanClient, Call[Any]], Any]
    ) -> bool | PokeReturnValue:
        try:
            self._fit_filters()
        except CodeOceanError as error:
            self.log.warning("The fields of custom metadata could not be read: %s", error)
            return False
        return super()._look(context, send)

    def execute_complete(self, context: Context, event: WaitEvent) -> Any:
        """Return what the search found; see the base class."""
        self._fit_filters()
        return super().execute_complete(context, event)

    def _fit_filters(self) -> None:
        """Convert the values of filters to the types of their custom fields: others would match nothing."""
        from airflow_provider_codeocean.custom_metadata import fit_filters, has_ambiguous_filters

        with no_retry_for_what_it_cannot_mend(self):
            params = self.search_params()
            if not self._is_fitted and has_ambiguous_filters(params):
                with CodeOceanHook(self.codeocean_conn_id).get_conn() as client:
                    self.filters = fit_filters(client, params).to_json()["filters"]
        self._is_fitted = True

    def _search(self) -> dict[str, Any]:
        """Return the search to send, which in the triggerer must not need the fields of custom metadata."""
        from airflow_provider_codeocean.custom_metadata import has_ambiguous_filters

        params = self.search_params()
        if not self._is_fitted and has_ambiguous_filters(params):
            raise CodeOceanError("The fields of custom metadata, which the filters are about, were not read")
        return params.to_json()

    def new_wait(self, poll_interval: float) -> SearchWait:
        """Return the wait, without a deadline; see the base class."""
        return SearchWait(self._search(), poll_interval=poll_interval, deadline=None)

    def new_trigger(self, poll_interval: float, deadline: float) -> CodeOceanDataAssetSearchTrigger:
        """Return the trigger that waits; see the base class."""
        return CodeOceanDataAssetSearchTrigger(
            self._search(),
            codeocean_conn_id=self.codeocean_conn_id,
            poll_interval=poll_interval,
            deadline=deadline,
        )

    def result(self, seen: Page[DataAsset], url: str | None) -> list[dict[str, Any]]:  # noqa: ARG002
        """Return the data assets that were found; see the base class."""
        if seen.results and seen.has_more:
            log.warning(
                "Returning the first %d data assets, but there are more: search for all of them with a "
                "CodeOceanSearchDataAssetsOperator after this sensor, or narrow the search",
                len(seen.results),
            )
        return [asset.model_dump(mode="json") for asset in seen.results]
