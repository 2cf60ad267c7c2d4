"""Sensors of what a search finds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_codeocean.api.models.search import DEFAULT_PAGE
from airflow_provider_codeocean.arguments import ReadField, as_rendered, data_asset_search, known_now
from airflow_provider_codeocean.polling.waits import SearchWait
from airflow_provider_codeocean.sensors.base import CodeOceanWaitSensorBase
from airflow_provider_codeocean.triggers.search import CodeOceanDataAssetSearchTrigger

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow_provider_codeocean.api.models.data_asset import DataAsset
    from airflow_provider_codeocean.api.models.data_asset_params import DataAssetSearchParams
    from airflow_provider_codeocean.api.models.search import Page


class CodeOceanDataAssetSearchSensor(CodeOceanWaitSensorBase):
    """Wait until a search finds a data asset.

    Source: ``POST data_assets/search``. What was created seconds ago may not be found yet, and what is found
    need not be ready.

    The result, in XCom, is a list of up to 100 data assets with the fields of Code Ocean's API.

    :param query: free text and terms ``name:``, ``tag:``, ``run_script:``, ``commit_id:``,
        ``contained_data_id:``. (templated)
    :param filters: conditions that must all hold: see
        :class:`~airflow_provider_codeocean.operators.search.CodeOceanSearchDataAssetsOperator`. (templated)
    :param type: only ``dataset``, ``result``, ``combined`` or ``model``. (templated)
    :param ownership: only what the token's user ``created``, or what was ``shared`` with it. (templated)
    :param origin: only ``internal``, or only ``external`` ones. (templated)
    :param archived: archived ones instead of the others.
    :param **kwargs: what every sensor that waits for one thing takes: see
        :class:`~airflow_provider_codeocean.sensors.base.CodeOceanWaitSensorBase`.
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
        self.search_params(known_now)
        self.start_as_asked_for()

    def search_params(self, read: ReadField = as_rendered) -> DataAssetSearchParams:
        """Build what to search for.

        :param read: reads the value of a template field.
        :returns: the parameters.
        :raises ValueError: where an argument is wrong, naming it.
        """
        return data_asset_search(self, read, limit=DEFAULT_PAGE)

    def new_wait(self, poll_interval: float) -> SearchWait:
        """Make the wait, without a deadline; see the base class."""
        return SearchWait(self.search_params().to_json(), poll_interval=poll_interval, deadline=None)

    def new_trigger(self, poll_interval: float, deadline: float) -> CodeOceanDataAssetSearchTrigger:
        """Make the trigger that waits; see the base class."""
        return CodeOceanDataAssetSearchTrigger(
            self.search_params().to_json(),
            codeocean_conn_id=self.codeocean_conn_id,
            poll_interval=poll_interval,
            deadline=deadline,
        )

    def result(self, seen: Page[DataAsset], url: str | None) -> list[dict[str, Any]]:  # noqa: ARG002
        """Make the task's result; see the base class."""
        return [asset.model_dump(mode="json") for asset in seen.results]
