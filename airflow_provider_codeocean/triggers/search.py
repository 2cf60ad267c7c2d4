"""The wait for a search to find something, in the triggerer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_codeocean.hooks.codeocean import CodeOceanHook
from airflow_provider_codeocean.polling.waits import SearchWait
from airflow_provider_codeocean.triggers._base import CodeOceanWaitTriggerBase

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider_codeocean.api.models.data_asset import DataAsset
    from airflow_provider_codeocean.api.models.search import Page
    from airflow_provider_codeocean.triggers._base import Completion


class CodeOceanDataAssetSearchTrigger(CodeOceanWaitTriggerBase):
    """Wait until a search finds a data asset.

    Its event is a :class:`~airflow_provider_codeocean.outcomes.WaitEvent`, with the ``params``. What all
    triggers that wait have in common:
    :class:`~airflow_provider_codeocean.triggers._base.CodeOceanWaitTriggerBase`.

    :param params: what to search for: the fields of a search of Code Ocean's API, as JSON values.
    :param codeocean_conn_id: id of the connection.
    :param poll_interval: the most seconds between two looks, above 0.
    :param deadline: when to give up, in Unix seconds; None never gives up.
    :param completion: how to end the task in the triggerer; see the base class.
    """

    def __init__(
        self,
        params: Mapping[str, Any],
        *,
        codeocean_conn_id: str = CodeOceanHook.default_conn_name,
        poll_interval: float = 60.0,
        deadline: float | None = None,
        completion: Completion | None = None,
    ) -> None:
        super().__init__(
            codeocean_conn_id=codeocean_conn_id,
            poll_interval=poll_interval,
            deadline=deadline,
            completion=completion,
        )
        self.search_params = dict(params)  # Airflow has params of its own

    def new_wait(self) -> SearchWait:
        """Make the wait."""
        return SearchWait(self.search_params, poll_interval=self.poll_interval, deadline=self.deadline)

    def result(self, seen: Page[DataAsset], url: str | None) -> list[dict[str, Any]]:  # noqa: ARG002
        """Return the data assets that were found; see the base class."""
        return [asset.model_dump(mode="json") for asset in seen.results]

    def about(self) -> dict[str, Any]:
        """Return what the event says of what was waited for, as JSON values."""
        return {"params": self.search_params}
