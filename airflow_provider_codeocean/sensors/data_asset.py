"""Sensor of a data asset."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from typing_extensions import override

from airflow_provider_codeocean.links import DataAssetLinkMixin
from airflow_provider_codeocean.sensors._base import CodeOceanWaitSensorBase
from airflow_provider_codeocean.validation import check_identifier, check_unrendered_identifier

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_codeocean.triggers.data_asset import CodeOceanDataAssetTrigger


class CodeOceanDataAssetSensor(DataAssetLinkMixin, CodeOceanWaitSensorBase):
    """Wait until a data asset is ready, and return it.

    Source: ``GET data_assets/{id}``. If the creation of the data asset fails, the task fails permanently.

    The result, in XCom, is the data asset with the fields of Code Ocean's API and the address of its page as
    ``url``.

    :param data_asset_id: id of the data asset. (templated)
    :param **kwargs: arguments of :class:`~airflow_provider_codeocean.sensors._base.CodeOceanWaitSensorBase`.
    """

    template_fields: Sequence[str] = ("data_asset_id", *CodeOceanWaitSensorBase.template_fields)
    result_id_key: ClassVar[str] = "data_asset_id"

    def __init__(self, *, data_asset_id: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.data_asset_id = data_asset_id
        check_unrendered_identifier("data_asset_id", data_asset_id)
        self.enable_start_from_trigger()

    @property
    @override
    def trigger_class(self) -> type[CodeOceanDataAssetTrigger]:
        from airflow_provider_codeocean.triggers.data_asset import CodeOceanDataAssetTrigger

        return CodeOceanDataAssetTrigger

    @override
    def target_arguments(self) -> dict[str, Any]:
        self.data_asset_id = check_identifier("data_asset_id", self.data_asset_id)
        return {"data_asset_id": self.data_asset_id}

    @override
    def set_link(self, context: Context, deployment_url: str) -> str:
        return self.set_data_asset_link(context, deployment_url, self.data_asset_id)
