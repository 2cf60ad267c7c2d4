"""The wait for a data asset's files to be transferred, in the triggerer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_codeocean.hooks.codeocean import CodeOceanHook
from airflow_provider_codeocean.polling.waits import TransferWait
from airflow_provider_codeocean.triggers._base import CodeOceanWaitTriggerBase

if TYPE_CHECKING:
    from airflow_provider_codeocean.triggers._base import Completion


class CodeOceanTransferTrigger(CodeOceanWaitTriggerBase):
    """Wait until the files of a data asset have been transferred, or that has failed.

    Its event is a :class:`~airflow_provider_codeocean.outcomes.TransferEvent`. What all triggers that wait
    have in common: :class:`~airflow_provider_codeocean.triggers._base.CodeOceanWaitTriggerBase`.

    :param data_asset_id: id of the data asset.
    :param last_transferred: the data asset's field of that name before the transfer was begun, in Unix
        seconds.
    :param transfer_error: the data asset's field of that name before the transfer was begun.
    :param codeocean_conn_id: id of the connection.
    :param poll_interval: the most seconds between two looks, above 0.
    :param deadline: when to give up, in Unix seconds; None never gives up.
    :param completion: how to end the task in the triggerer; see the base class.
    """

    def __init__(
        self,
        data_asset_id: str,
        *,
        last_transferred: float | None = None,
        transfer_error: str | None = None,
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
        self.data_asset_id = data_asset_id
        self.last_transferred = last_transferred
        self.transfer_error = transfer_error

    def new_wait(self) -> TransferWait:
        """Make the wait."""
        return TransferWait(
            self.data_asset_id,
            poll_interval=self.poll_interval,
            deadline=self.deadline,
            last_transferred=self.last_transferred,
            transfer_error=self.transfer_error,
        )

    def about(self) -> dict[str, Any]:
        """Return what the event says of what was waited for, as JSON values."""
        return {
            "data_asset_id": self.data_asset_id,
            "last_transferred": self.last_transferred,
            "transfer_error": self.transfer_error,
        }
