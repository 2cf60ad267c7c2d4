"""What triggers have in common that wait for what their task has made: a user may end the task."""

from __future__ import annotations

import asyncio
import time
from abc import abstractmethod
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Literal
from weakref import WeakSet

from airflow_provider_codeocean.compat.tasks import task_state
from airflow_provider_codeocean.deletion import remove_async
from airflow_provider_codeocean.hooks.codeocean import CodeOceanHook
from airflow_provider_codeocean.triggers._base import CodeOceanWaitTriggerBase

if TYPE_CHECKING:
    from airflow_provider_codeocean.deletion import Removal

#: What becomes of what a task has begun, and is not over when a user ends the task.
OnKill = Literal["leave", "delete"]

#: Seconds that deleting it may take at most, and within which its requests are sent again.
_DELETE_SECONDS = 25.0
_RETRY_SECONDS = 10.0

#: Event loops that are ending: each of their many triggers would look at all tasks to know.
_ending_loops: WeakSet[asyncio.AbstractEventLoop] = WeakSet()

_CLEARED = frozenset({None, "scheduled"})
_NEXT_TRY_IS_UNDER_WAY = frozenset({"queued", "running", "restarting", "up_for_retry", "up_for_reschedule"})


class CodeOceanOwnWaitTriggerBase(CodeOceanWaitTriggerBase):
    """Wait until something is over that the task may have made.

    What all triggers that wait have in common:
    :class:`~airflow_provider_codeocean.triggers._base.CodeOceanWaitTriggerBase`. A subclass says how it is
    removed, in :meth:`removal`.

    :param on_kill: what becomes of it if a user ends the task that waits and it is not over then: ``leave``
        names it in the task's log, ``delete`` deletes it. None where the task did not make it.
    :param submitted_at: when the task submitted it, in Unix seconds; None if it did not. For some minutes
        after that, Code Ocean's 404 means that it is not visible yet.
    :param **kwargs: what every trigger that waits takes: ``codeocean_conn_id``, ``poll_interval`` and
        ``deadline``.
    """

    _farewell: asyncio.Task[None] | None = None

    def __init__(self, *, on_kill: OnKill | None, submitted_at: float | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.submitted_at = submitted_at
        self.when_killed = on_kill  # on_kill itself is what Airflow calls

    @abstractmethod
    def removal(self) -> Removal:
        """Return the procedure that deletes it, unless it is over by then."""

    def arguments(self) -> dict[str, Any]:
        """Return the arguments of its own, as JSON values."""
        return {**self.about(), "on_kill": self.when_killed, "submitted_at": self.submitted_at}

    def _what(self, *, first: bool = False) -> str:
        """Return what it waits for, for the middle or the beginning of a sentence."""
        wait = self._wait or self.new_wait()
        return f"{wait.kind.value.capitalize() if first else wait.kind.value} {wait.id}"

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
                "The wait for %s is not this trigger's any more: its task goes on in another one",
                self._what(),
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
                "The task was ended, and then the triggerer: see what became of %s", self._what()
            )
            raise

    def _why_to_leave(self, state: str | None, when_killed: OnKill) -> str | None:
        """Say why what a task in this state has made is not deleted; None: it is to be."""
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
            "%s (last state: %s) is left as it is: %s", self._what(first=True), last or "unknown", why
        )

    async def _delete(self) -> None:
        try:
            hook = CodeOceanHook(self.codeocean_conn_id)
            async with (
                asyncio.timeout(_DELETE_SECONDS),  # first: a secrets backend may hang, too
                await hook.get_async_conn(retry_budget=_RETRY_SECONDS) as client,
            ):
                removed = await remove_async(client, self.removal())
        except Exception as error:  # noqa: BLE001 - whatever it is, what was made is to be named
            why = str(error) or type(error).__name__
            self.log.warning("The task was ended; %s could not be deleted: %s", self._what(), why)
        else:
            self.log.warning("The task was ended. %s", removed)


def _all_is_ending() -> bool:
    """Whether all of the event loop's tasks are being cancelled, as asyncio does when the triggerer ends."""
    loop = asyncio.get_running_loop()
    if loop not in _ending_loops and all(task.cancelling() for task in asyncio.all_tasks()):
        _ending_loops.add(loop)
    return loop in _ending_loops
