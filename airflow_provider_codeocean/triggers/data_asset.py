"""The wait for a data asset, in the triggerer."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import Any, Literal

from airflow_provider_codeocean.compat import task_state
from airflow_provider_codeocean.hooks.codeocean import CodeOceanHook
from airflow_provider_codeocean.polling.wait import DataAssetWait
from airflow_provider_codeocean.removal import remove_data_asset_async
from airflow_provider_codeocean.triggers.base import CodeOceanWaitTriggerBase

#: What becomes of a data asset that is not ready when its task is ended by a user.
OnKill = Literal["leave", "delete"]

#: Seconds that deleting a data asset may take at most, and within which its requests are sent again.
_DELETE_SECONDS = 25.0
_RETRY_SECONDS = 10.0

_CLEARED = frozenset({None, "scheduled"})
_NEXT_TRY_IS_UNDER_WAY = frozenset({"queued", "running", "restarting", "up_for_retry", "up_for_reschedule"})


class CodeOceanDataAssetTrigger(CodeOceanWaitTriggerBase):
    """Wait until a data asset is ``ready`` or ``failed``.

    Its event is a :class:`~airflow_provider_codeocean.states.DataAssetEvent`. What all triggers that wait
    have in common: :class:`~airflow_provider_codeocean.triggers.base.CodeOceanWaitTriggerBase`.

    :param data_asset_id: id of the data asset.
    :param codeocean_conn_id: id of the connection.
    :param poll_interval: the most seconds between two looks, above 0: a young wait is looked at more often.
    :param deadline: when to give up, in Unix seconds; None never gives up. An absolute time, because a wait
        that moves to another triggerer starts anew.
    :param on_kill: what becomes of the data asset if a user ends the task that waits and the data asset is
        not ready then: ``leave`` names it in the task's log, ``delete`` deletes it. None where the task did
        not make it.
    """

    _farewell: asyncio.Task[None] | None = None

    def __init__(
        self,
        data_asset_id: str,
        codeocean_conn_id: str = CodeOceanHook.default_conn_name,
        poll_interval: float = 60.0,
        deadline: float | None = None,
        on_kill: OnKill | None = None,
    ) -> None:
        super().__init__(codeocean_conn_id=codeocean_conn_id, poll_interval=poll_interval, deadline=deadline)
        self.data_asset_id = data_asset_id
        self.when_killed = on_kill  # on_kill itself is what Airflow calls

    def new_wait(self) -> DataAssetWait:
        """Make the wait."""
        return DataAssetWait(self.data_asset_id, poll_interval=self.poll_interval, deadline=self.deadline)

    def about(self) -> dict[str, Any]:
        """Return what the event says of what was waited for, as JSON values."""
        return {"data_asset_id": self.data_asset_id}

    def arguments(self) -> dict[str, Any]:
        """Return the arguments of its own, as JSON values."""
        return {"data_asset_id": self.data_asset_id, "on_kill": self.when_killed}

    async def cancelled(self) -> None:
        """Do what was asked for in case that a user ends the task, unless all of the triggerer ends."""
        if not _all_is_ending():
            await self.on_kill()

    async def on_kill(self) -> None:
        """Do what was asked for in case that a user ends the task.

        Airflow cancels a trigger for that, as it does for other reasons: it is asked what has become of the
        task. It also calls this method from 3.3 on; by then it has been done, when the wait was cancelled,
        because there Airflow cancels it anew each second, and lets what comes late miss the task's log.
        """
        if self.when_killed is None:
            return
        if self._farewell is None:
            self._farewell = asyncio.create_task(self._take_leave(self.when_killed))
        while not self._farewell.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait({self._farewell})

    async def _take_leave(self, when_killed: OnKill) -> None:
        try:
            state = await task_state(self)
        except LookupError as error:
            self._say_left(str(error))
            return
        if state == "deferred":  # nobody has ended it, or the next try waits already
            self.log.info(
                "The wait for data asset %s is not this trigger's any more: its task goes on in another one",
                self.data_asset_id,
            )
            return
        why = self._why_to_leave(state, when_killed)
        if why is not None:
            self._say_left(why)
            return
        try:
            await self._delete()
        except asyncio.CancelledError:
            self.log.warning(
                "The task was ended, and then the triggerer: see what became of data asset %s",
                self.data_asset_id,
            )
            raise

    def _why_to_leave(self, state: str | None, when_killed: OnKill) -> str | None:
        """Say why the data asset of a task in this state is not deleted; None: it is to be."""
        if state in _NEXT_TRY_IS_UNDER_WAY:
            return "the next try goes on with it"
        if state == "success":
            return "the task has ended with success"
        if self.deadline is not None and time.time() >= self.deadline:
            return "the time to wait for it was over"  # so that it need not have been a user
        if when_killed == "delete":
            return None
        if state in _CLEARED:
            return "the task was cleared, and goes on with it"
        return f"the task was ended ({state}) while it waited; once cleared, it goes on with it"

    def _say_left(self, why: str) -> None:
        last = self._wait.last_state if self._wait else None
        self.log.warning(
            "Data asset %s (last state: %s) is left as it is: %s", self.data_asset_id, last or "unknown", why
        )

    async def _delete(self) -> None:
        try:
            hook = CodeOceanHook(self.codeocean_conn_id)
            async with (
                await hook.get_async_conn(retry_budget=_RETRY_SECONDS) as client,
                asyncio.timeout(_DELETE_SECONDS),
            ):
                removed = await remove_data_asset_async(client, self.data_asset_id, even_if_ready=False)
        except Exception as error:  # noqa: BLE001 - whatever it is, the data asset is to be named
            self.log.warning(
                "The task was ended; data asset %s could not be deleted: %s",
                self.data_asset_id,
                str(error) or type(error).__name__,
            )
        else:
            self.log.warning("The task was ended. %s", removed)


def _all_is_ending() -> bool:
    """Whether all of the event loop's tasks are being cancelled, as asyncio does when the triggerer ends."""
    return all(task.cancelling() for task in asyncio.all_tasks())
