"""Sensors of transfers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_codeocean.links import ShowsDataAsset
from airflow_provider_codeocean.polling.waits import TransferWait
from airflow_provider_codeocean.sensors._base import CodeOceanWaitSensorBase
from airflow_provider_codeocean.triggers.transfer import CodeOceanTransferTrigger
from airflow_provider_codeocean.validation import check_identifier, check_identifier_early, known_now

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.providers.common.compat.sdk import Context


class CodeOceanTransferSensor(ShowsDataAsset, CodeOceanWaitSensorBase):
    """Wait until the files of a data asset have been transferred, and return the data asset.

    Source: ``GET data_assets/{id}``. For a transfer that something else has begun, or a task with
    ``wait_for_completion=False``: that returns the data asset as it was before, with the fields that tell
    this transfer from earlier ones. It fails for good where the transfer failed.

    The result, in XCom, is the data asset with the fields of Code Ocean's API and the address of its page as
    ``url``.

    :param data_asset_id: id of the data asset. (templated)
    :param last_transferred: its field of that name before the transfer was begun, in Unix seconds; None where
        it had none: any transfer counts then. (templated)
    :param transfer_error: its field of that name before the transfer was begun. (templated)
    :param **kwargs: what every sensor that waits for one thing takes: see
        :class:`~airflow_provider_codeocean.sensors._base.CodeOceanWaitSensorBase`.
    """

    template_fields: Sequence[str] = (
        "data_asset_id",
        "last_transferred",
        "transfer_error",
        *CodeOceanWaitSensorBase.template_fields,
    )
    returns_id_of: ClassVar[str] = "data_asset_id"

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
        check_identifier_early("data_asset_id", data_asset_id)
        _check_time("last_transferred", known_now(last_transferred, instead=None))
        self.start_as_asked_for()

    def _before(self) -> dict[str, Any]:
        self.data_asset_id = check_identifier("data_asset_id", self.data_asset_id)
        # What is not there is rendered as text.
        error = None if self.transfer_error in (None, "", "None") else str(self.transfer_error)
        return {
            "last_transferred": _check_time("last_transferred", self.last_transferred),
            "transfer_error": error,
        }

    def new_wait(self, poll_interval: float) -> TransferWait:
        """Make the wait, without a deadline; see the base class."""
        return TransferWait(self.data_asset_id, poll_interval=poll_interval, deadline=None, **self._before())

    def new_trigger(self, poll_interval: float, deadline: float) -> CodeOceanTransferTrigger:
        """Make the trigger that waits; see the base class."""
        return CodeOceanTransferTrigger(
            self.data_asset_id,
            **self._before(),
            codeocean_conn_id=self.codeocean_conn_id,
            poll_interval=poll_interval,
            deadline=deadline,
        )

    def show(self, context: Context, deployment: str) -> str:
        """Show the data asset in the UI; see the base class."""
        return self.show_data_asset(context, deployment, self.data_asset_id)


def _check_time(name: str, value: Any) -> float | None:
    if value in (None, "", "None"):
        return None
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        seconds = -1.0
    if isinstance(value, bool) or not 0 <= seconds < float("inf"):
        raise ValueError(f"{name} must be a time in Unix seconds, or None, got {value!r}")
    return seconds
