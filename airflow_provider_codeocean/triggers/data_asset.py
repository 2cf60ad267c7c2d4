"""The wait for a data asset, in the triggerer."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowNotFoundException
from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_codeocean.api.errors import CodeOceanError, DataAssetFailed, WaitTimeout
from airflow_provider_codeocean.hooks.codeocean import CodeOceanHook
from airflow_provider_codeocean.polling import DataAssetWait

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from airflow_provider_codeocean.api.client import CodeOceanAsyncClient
    from airflow_provider_codeocean.states import DataAssetEvent, WaitStatus


#: Seconds to let Airflow wait for a trigger beyond the trigger's own deadline, before it ends the task
#: itself and without a word about the data asset.
GRACE = 60.0


class CodeOceanDataAssetTrigger(BaseTrigger):
    """Wait until a data asset is ``ready`` or ``failed``.

    It only reads, so that it may run twice at once. Its event is a
    :class:`~airflow_provider_codeocean.states.\
DataAssetEvent`. A server out of reach is waited for.

    :param data_asset_id: id of the data asset.
    :param codeocean_conn_id: id of the connection.
    :param poll_interval: seconds between two looks, above 0.
    :param deadline: when to give up, in Unix seconds; None never gives up. An absolute time, because a wait
        that moves to another triggerer starts anew.
    """

    def __init__(
        self,
        data_asset_id: str,
        codeocean_conn_id: str = CodeOceanHook.default_conn_name,
        poll_interval: float = 10.0,
        deadline: float | None = None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.data_asset_id = data_asset_id
        self.codeocean_conn_id = codeocean_conn_id
        self.poll_interval = poll_interval
        self.deadline = deadline

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class and the arguments, as JSON values, to start the same wait anywhere."""
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {
                "data_asset_id": self.data_asset_id,
                "codeocean_conn_id": self.codeocean_conn_id,
                "poll_interval": self.poll_interval,
                "deadline": self.deadline,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait, and yield the one event."""
        wait = DataAssetWait(self.data_asset_id, poll_interval=self.poll_interval, deadline=self.deadline)
        yield TriggerEvent(await self._wait(wait))

    async def _wait(self, wait: DataAssetWait) -> DataAssetEvent:
        try:
            async with await self._connect(wait) as client:
                while True:
                    try:
                        asset = await client.data_assets.get(self.data_asset_id)
                    except CodeOceanError as error:
                        wait.bear(error)
                    else:
                        if wait.is_over(asset):
                            return self._event("success", wait, f"Data asset {self.data_asset_id} is ready")
                    await asyncio.sleep(wait.pause())
        except DataAssetFailed as error:
            return self._event("failed", wait, str(error))
        except WaitTimeout as error:
            return self._event("timeout", wait, str(error))
        except (CodeOceanError, AirflowNotFoundException, ValueError) as error:
            return self._event("error", wait, str(error))

    async def _connect(self, wait: DataAssetWait) -> CodeOceanAsyncClient:
        """Make the client; a backend that cannot tell the connection just now is waited for, too."""
        while True:
            try:
                return await CodeOceanHook(self.codeocean_conn_id).get_async_conn(retry_budget=0)
            except (AirflowNotFoundException, ValueError):
                raise
            except Exception as error:  # noqa: BLE001 - whatever backend there is, with errors of its own
                self.log.warning("Connection %s is not to be had: %s", self.codeocean_conn_id, error)
            await asyncio.sleep(wait.pause())

    def _event(self, status: WaitStatus, wait: DataAssetWait, message: str) -> DataAssetEvent:
        return {
            "status": status,
            "data_asset_id": self.data_asset_id,
            "state": wait.last_state,
            "message": message,
        }
