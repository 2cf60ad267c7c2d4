"""Sensor of a search for data assets."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.common.compat.sdk import PokeReturnValue
from typing_extensions import override

from airflow_provider_codeocean.airflow_errors import fail_without_retry_on_permanent_errors
from airflow_provider_codeocean.api.errors import CodeOceanError
from airflow_provider_codeocean.hooks.codeocean import CodeOceanHook
from airflow_provider_codeocean.sensors._base import CodeOceanWaitSensorBase
from airflow_provider_codeocean.validation import (
    FieldReader,
    build_data_asset_search,
    check_flags,
    rendered_value,
    static_value,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_codeocean.api.models.data_asset import DataAsset
    from airflow_provider_codeocean.api.models.data_asset_params import DataAssetSearchParams
    from airflow_provider_codeocean.api.models.search import Page
    from airflow_provider_codeocean.outcomes import WaitEvent
    from airflow_provider_codeocean.triggers.search import CodeOceanDataAssetSearchTrigger

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
    _has_coerced_filters = False

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
        self.search_params(static_value)
        self.enable_start_from_trigger()

    @property
    @override
    def trigger_class(self) -> type[CodeOceanDataAssetSearchTrigger]:
        from airflow_provider_codeocean.triggers.search import CodeOceanDataAssetSearchTrigger

        return CodeOceanDataAssetSearchTrigger

    def search_params(self, read_field: FieldReader = rendered_value) -> DataAssetSearchParams:
        """Return the search, or raise ValueError if an argument is invalid."""
        from airflow_provider_codeocean.api.models.search import DEFAULT_PAGE_SIZE

        return build_data_asset_search(self, read_field, limit=DEFAULT_PAGE_SIZE, require_condition=True)

    @override
    def _poll_once(self, context: Context, *, with_auth_grace: bool) -> PokeReturnValue:
        try:
            self._coerce_filters()
        except CodeOceanError as error:
            log.warning("Could not read the fields of custom metadata, retrying: %s", error)
            return PokeReturnValue(is_done=False)
        return super()._poll_once(context, with_auth_grace=with_auth_grace)

    @override
    def execute_complete(self, context: Context, event: WaitEvent) -> Any:
        self._coerce_filters()
        return super().execute_complete(context, event)

    def _coerce_filters(self) -> None:
        """Convert the values of filters to the types of their custom fields; other types match nothing."""
        from airflow_provider_codeocean.custom_metadata import coerce_filters, has_ambiguous_filters

        with fail_without_retry_on_permanent_errors(self):
            params = self.search_params()
            if not self._has_coerced_filters and has_ambiguous_filters(params):
                with CodeOceanHook(self.codeocean_conn_id).get_conn() as client:
                    self.filters = coerce_filters(client, params).to_json()["filters"]
        self._has_coerced_filters = True

    @override
    def target_arguments(self) -> dict[str, Any]:
        from airflow_provider_codeocean.custom_metadata import has_ambiguous_filters

        params = self.search_params()
        if not self._has_coerced_filters and has_ambiguous_filters(params):
            raise CodeOceanError("the filters need the types of custom metadata, which could not be read")
        return {"params": params.to_json()}

    @override
    def build_result(self, response: Page[DataAsset], url: str | None) -> list[dict[str, Any]]:
        if response.results and response.has_more:
            log.warning(
                "Returning the first %d data assets, but there are more: search for all of them with a "
                "CodeOceanSearchDataAssetsOperator after this sensor, or narrow the search",
                len(response.results),
            )
        return [asset.model_dump(mode="json") for asset in response.results]
