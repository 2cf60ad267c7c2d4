"""The wait for a search to find something, in the triggerer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_codeocean.hooks.codeocean import CodeOceanHook
from airflow_provider_codeocean.polling.waits import SearchWait
from airflow_provider_codeocean.triggers.base import CodeOceanWaitTriggerBase

if TYPE_CHECKING:
    from collections.abc import Mapping


class CodeOceanDataAssetSearchTrigger(CodeOceanWaitTriggerBase):
    """Wait until a search finds a data asset.

    Its event is a :class:`~airflow_provider_codeocean.states.WaitEvent`, with the ``params``. What all
    triggers that wait have in common:
    :class:`~airflow_provider_codeocean.triggers.base.CodeOceanWaitTriggerBase`.

    :param params: what to search for: the fields of a search of Code Ocean's API, as JSON values.
    :param codeocean_conn_id: id of the connection.
    :param poll_interval: the most seconds between two looks, above 0.
    :param deadline: when to give up, in Unix seconds; None never gives up.
    """

    def __init__(
        self,
        params: Mapping[str, Any],
        *,
        codeocean_conn_id: str = CodeOceanHook.default_conn_name,
        poll_interval: float = 60.0,
        deadline: float | None = None,
    ) -> None:
        super().__init__(codeocean_conn_id=codeocean_conn_id, poll_interval=poll_interval, deadline=deadline)
        self.search_params = dict(params)  # Airflow has params of its own

    def new_wait(self) -> SearchWait:
        """Make the wait."""
        return SearchWait(self.search_params, poll_interval=self.poll_interval, deadline=self.deadline)

    def about(self) -> dict[str, Any]:
        """Return what the event says of what was waited for, as JSON values."""
        return {"params": self.search_params}
