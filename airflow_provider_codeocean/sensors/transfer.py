"""Sensor of the transfer of a data asset's files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from typing_extensions import override

from airflow_provider_codeocean.links import DataAssetLinkMixin
from airflow_provider_codeocean.sensors._base import CodeOceanWaitSensorBase
from airflow_provider_codeocean.validation import check_identifier, check_unrendered_identifier, static_value

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_codeocean.triggers.transfer import CodeOceanTransferTrigger


#: Values of a missing field, before and after a template renders it.
_RENDERED_NONE = (None, "", "None")


class CodeOceanTransferSensor(DataAssetLinkMixin, CodeOceanWaitSensorBase):
    """Wait until the files of a data asset were transferred, and return the data asset.

    Source: ``GET data_assets/{id}``. If the transfer fails, the task fails permanently. The sensor is for
    transfers that another system has started, or a task with ``wait_for_completion=False``: that task returns
    the data asset as it was before the transfer, with the two fields that identify earlier transfers.

    The result, in XCom, is the data asset with the fields of Code Ocean's API and the address of its page as
    ``url``.

    :param data_asset_id: id of the data asset. (templated)
    :param last_transferred: the data asset's field of this name before the transfer, in Unix seconds. With
        None, any transfer counts. (templated)
    :param transfer_error: the data asset's field of this name before the transfer. (templated)
    :param **kwargs: arguments of :class:`~airflow_provider_codeocean.sensors._base.CodeOceanWaitSensorBase`.
    """

    template_fields: Sequence[str] = (
        "data_asset_id",
        "last_transferred",
        "transfer_error",
        *CodeOceanWaitSensorBase.template_fields,
    )
    result_id_key: ClassVar[str] = "data_asset_id"

    def __init__(
        self,
        *,
        data_asset_id: str,
        last_transferred: float | str | None = None,
        transfer_error: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.data_asset_id = data_asset_id
        self.last_transferred = last_transferred
        self.transfer_error = transfer_error
        check_unrendered_identifier("data_asset_id", data_asset_id)
        _check_unix_time("last_transferred", static_value(last_transferred, placeholder=None))
        self.enable_start_from_trigger()

    @property
    @override
    def trigger_class(self) -> type[CodeOceanTransferTrigger]:
        from airflow_provider_codeocean.triggers.transfer import CodeOceanTransferTrigger

        return CodeOceanTransferTrigger

    @override
    def target_arguments(self) -> dict[str, Any]:
        self.data_asset_id = check_identifier("data_asset_id", self.data_asset_id)
        return {
            "data_asset_id": self.data_asset_id,
            "last_transferred": _check_unix_time("last_transferred", self.last_transferred),
            "transfer_error": None if self.transfer_error in _RENDERED_NONE else str(self.transfer_error),
        }

    @override
    def set_link(self, context: Context, deployment_url: str) -> str:
        return self.set_data_asset_link(context, deployment_url, self.data_asset_id)


def _check_unix_time(name: str, value: Any) -> float | None:
    if value in _RENDERED_NONE:
        return None
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        seconds = -1.0
    if isinstance(value, bool) or not 0 <= seconds < float("inf"):
        raise ValueError(f"{name} must be a time in Unix seconds, or None, got {value!r}")
    return seconds
