"""Trigger that waits for the transfer of a data asset's files."""

from __future__ import annotations

from typing import Any

from typing_extensions import override

from airflow_provider_codeocean.polling.waits import TransferWait
from airflow_provider_codeocean.triggers._base import CodeOceanWaitTriggerBase


class CodeOceanTransferTrigger(CodeOceanWaitTriggerBase):
    """Wait until the files of a data asset were transferred, or the transfer failed.

    Its event is a :class:`~airflow_provider_codeocean.outcomes.TransferEvent`.

    :param data_asset_id: id of the data asset.
    :param last_transferred: the data asset's field of this name before the transfer, in Unix seconds.
    :param transfer_error: the data asset's field of this name before the transfer.
    :param **kwargs: arguments of
        :class:`~airflow_provider_codeocean.triggers._base.CodeOceanWaitTriggerBase`.
    """

    def __init__(
        self,
        data_asset_id: str,
        *,
        last_transferred: float | None = None,
        transfer_error: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.data_asset_id = data_asset_id
        self.last_transferred = last_transferred
        self.transfer_error = transfer_error

    @override
    def build_wait(self) -> TransferWait:
        return TransferWait(
            self.data_asset_id,
            last_transferred=self.last_transferred,
            transfer_error=self.transfer_error,
            **self.wait_options,
        )

    @override
    def event_fields(self) -> dict[str, Any]:
        return {
            "data_asset_id": self.data_asset_id,
            "last_transferred": self.last_transferred,
            "transfer_error": self.transfer_error,
        }
