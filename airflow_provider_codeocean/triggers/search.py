"""Trigger that waits for a search to find data assets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from typing_extensions import override

from airflow_provider_codeocean.polling.waits import SearchWait
from airflow_provider_codeocean.triggers._base import CodeOceanWaitTriggerBase

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider_codeocean.api.models.data_asset import DataAsset
    from airflow_provider_codeocean.api.models.search import Page


class CodeOceanDataAssetSearchTrigger(CodeOceanWaitTriggerBase):
    """Wait until a search finds a data asset.

    Its event is a :class:`~airflow_provider_codeocean.outcomes.WaitEvent` with the ``params``.

    :param params: fields of a search of Code Ocean's API, as JSON values.
    :param **kwargs: arguments of
        :class:`~airflow_provider_codeocean.triggers._base.CodeOceanWaitTriggerBase`.
    """

    def __init__(self, params: Mapping[str, Any], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.search_params = dict(params)  # ``params`` is an attribute of Airflow's triggers

    @override
    def build_wait(self) -> SearchWait:
        return SearchWait(self.search_params, **self.wait_options)

    @override
    def build_result(self, response: Page[DataAsset], url: str | None) -> list[dict[str, Any]]:
        return [asset.model_dump(mode="json") for asset in response.results]

    @override
    def event_fields(self) -> dict[str, Any]:
        return {"params": self.search_params}
