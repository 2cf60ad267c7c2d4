"""Sensors of data assets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_codeocean.links import ShowsDataAsset
from airflow_provider_codeocean.polling.waits import DataAssetWait
from airflow_provider_codeocean.sensors._base import CodeOceanWaitSensorBase
from airflow_provider_codeocean.triggers.data_asset import CodeOceanDataAssetTrigger
from airflow_provider_codeocean.validation import check_identifier, check_identifier_early

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.providers.common.compat.sdk import Context


class CodeOceanDataAssetSensor(ShowsDataAsset, CodeOceanWaitSensorBase):
    """Wait until a data asset is ready, and return it.

    Source: ``GET data_assets/{id}``. It fails for good where the creation of the data asset failed.

    The result, in XCom, is the data asset with the fields of Code Ocean's API and the address of its page as
    ``url``.

    :param data_asset_id: id of the data asset. (templated)
    :param **kwargs: what every sensor that waits for one thing takes: see
        :class:`~airflow_provider_codeocean.sensors._base.CodeOceanWaitSensorBase`.
    """

    template_fields: Sequence[str] = ("data_asset_id", *CodeOceanWaitSensorBase.template_fields)
    returns_id_of: ClassVar[str] = "data_asset_id"

    def __init__(self, *, data_asset_id: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.data_asset_id = data_asset_id
        check_identifier_early("data_asset_id", data_asset_id)
        self.start_as_asked_for()

    def new_wait(self, poll_interval: float) -> DataAssetWait:
        """Make the wait, without a deadline; see the base class."""
        self.data_asset_id = check_identifier("data_asset_id", self.data_asset_id)
        return DataAssetWait(self.data_asset_id, poll_interval=poll_interval, deadline=None)

    def new_trigger(self, poll_interval: float, deadline: float) -> CodeOceanDataAssetTrigger:
        """Make the trigger that waits; see the base class."""
        return CodeOceanDataAssetTrigger(
            check_identifier("data_asset_id", self.data_asset_id),
            codeocean_conn_id=self.codeocean_conn_id,
            poll_interval=poll_interval,
            deadline=deadline,
        )

    def show(self, context: Context, deployment: str) -> str:
        """Show the data asset in the UI; see the base class."""
        return self.show_data_asset(context, deployment, self.data_asset_id)
