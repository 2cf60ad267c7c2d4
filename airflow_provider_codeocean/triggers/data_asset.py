"""Trigger that waits for a data asset."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from typing_extensions import override

from airflow_provider_codeocean.deletion import data_asset_deletion
from airflow_provider_codeocean.polling.waits import DataAssetWait
from airflow_provider_codeocean.triggers._on_kill import CodeOceanJobTriggerBase

if TYPE_CHECKING:
    from airflow_provider_codeocean.deletion import DeletionProcedure


class CodeOceanDataAssetTrigger(CodeOceanJobTriggerBase):
    """Wait until a data asset is ``ready`` or ``failed``.

    Its event is a :class:`~airflow_provider_codeocean.outcomes.DataAssetEvent`.

    :param data_asset_id: id of the data asset.
    :param **kwargs: arguments of
        :class:`~airflow_provider_codeocean.triggers._on_kill.CodeOceanJobTriggerBase`.
    """

    def __init__(self, data_asset_id: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.data_asset_id = data_asset_id

    @override
    def build_wait(self) -> DataAssetWait:
        return DataAssetWait(self.data_asset_id, submitted_at=self.submitted_at, **self.wait_options)

    @override
    def event_fields(self) -> dict[str, Any]:
        return {"data_asset_id": self.data_asset_id}

    @override
    def build_deletion(self) -> DeletionProcedure:
        return data_asset_deletion(self.data_asset_id, only_if_pending=True, submitted_at=self.submitted_at)
