"""Base class of triggers that wait for a job that their task submitted."""

from __future__ import annotations

import asyncio
import time
from abc import abstractmethod
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from typing_extensions import override

from airflow_provider_codeocean.api import procedure
from airflow_provider_codeocean.compat.tasks import fetch_task_state
from airflow_provider_codeocean.hooks.codeocean import CodeOceanHook
from airflow_provider_codeocean.triggers._base import CodeOceanWaitTriggerBase

if TYPE_CHECKING:
    from airflow_provider_codeocean.deletion import DeletionProcedure, OnKill

#: Limit of a deletion, including the read of the connection.
_DELETE_TIMEOUT_SECONDS = 25.0
#: How long the client resends requests of a deletion.
_RETRY_BUDGET_SECONDS = 10.0

#: Event loops that are shutting down. The cache spares each of their many triggers a pass over all tasks.
_loops_shutting_down: WeakSet[asyncio.AbstractEventLoop] = WeakSet()

_CLEARED_STATES = frozenset({None, "scheduled"})
_NEXT_ATTEMPT_STATES = frozenset({"queued", "running", "restarting", "up_for_retry", "up_for_reschedule"})


class CodeOceanJobTriggerBase(CodeOceanWaitTriggerBase):
    """Wait for a job, which the task may have submitted.

    :param on_kill: what happens to the pending job if a user ends the task: ``leave`` names it in the task's
        log, ``delete`` deletes it, and stops a computation first. None if the task did not submit it.
    :param submitted_at: when the task submitted the job, in Unix seconds; None if it did not. For some
        minutes after that, Code Ocean's 404 means that the job is not visible yet.
    :param **kwargs: arguments of
        :class:`~airflow_provider_codeocean.triggers._base.CodeOceanWaitTriggerBase`.
    """

    _cleanup_task: asyncio.Task[None] | None = None

    def __init__(
        self, *, on_kill: OnKill | None = None, submitted_at: float | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.submitted_at = submitted_at
        self.on_kill_action = on_kill  # ``on_kill`` is a method of Airflow's triggers

    @abstractmethod
    def build_deletion(self) -> DeletionProcedure:
        """Return the procedure that deletes the job if it is pending."""

    @override
    def trigger_kwargs(self) -> dict[str, Any]:
        return {**self.event_fields(), "on_kill": self.on_kill_action, "submitted_at": self.submitted_at}

    def _job_description(self, *, capitalize: bool = False) -> str:
        wait = self._wait or self.build_wait()
        return f"{wait.kind.value.capitalize() if capitalize else wait.kind.value} {wait.id}"

    @override
    async def on_cancel(self) -> None:
        if not _is_shutting_down():
            await self.on_kill()

    async def on_kill(self) -> None:
        """Clean up the job if a user has ended the task.

        Airflow cancels a trigger for other reasons as well, so the task's state decides. Airflow 3.3 also
        calls this method, but only after the cancellation, which it repeats each second. The cleanup starts
        with the first cancellation, as later log lines may be missing from the task's log.
        """
        if self.on_kill_action is None:
            return
        if self._cleanup_task is None:
            self._cleanup_task = asyncio.create_task(self._clean_up_job(self.on_kill_action))
        while not self._cleanup_task.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait({self._cleanup_task})

    async def _clean_up_job(self, on_kill_action: OnKill) -> None:
        try:
            state = await fetch_task_state(self)
        except LookupError as error:
            self._log_kept(str(error))
            return
        if state == "deferred":
            self.log.info(
                "%s is now handled by another trigger instance; ignoring the cancellation",
                self._job_description(capitalize=True),
            )
        elif reason := self._reason_to_keep(state, on_kill_action):
            self._log_kept(reason)
        else:
            await self._delete_job()

    def _reason_to_keep(self, state: str | None, on_kill_action: OnKill) -> str | None:
        """Return why the job is kept if its task is in this state, or None to delete the job."""
        if state in _NEXT_ATTEMPT_STATES:
            return "the next attempt adopts it"
        if state == "success":
            return "the task has succeeded"
        if self.deadline is not None and time.time() >= self.deadline:
            return "the deadline has passed"  # Airflow may have ended the task, and no user
        if on_kill_action == "delete":
            return None
        if state in _CLEARED_STATES:
            return "the task was cleared and adopts it"
        return f"the task was ended ({state}) while it waited; it adopts it when you clear it"

    def _log_kept(self, reason: str) -> None:
        self.log.warning(
            "%s (last state: %s) is kept: %s",
            self._job_description(capitalize=True),
            (self._wait and self._wait.last_state) or "unknown",
            reason,
        )

    async def _delete_job(self) -> None:
        try:
            hook = CodeOceanHook(self.codeocean_conn_id)
            async with (
                asyncio.timeout(_DELETE_TIMEOUT_SECONDS),
                await hook.get_async_conn(retry_budget=_RETRY_BUDGET_SECONDS) as client,
            ):
                deletion = await procedure.arun(self.build_deletion(), client.send)
        except asyncio.CancelledError:
            self.log.warning(
                "The triggerer shut down while it deleted %s: check whether it still exists",
                self._job_description(),
            )
            raise
        except Exception as error:  # noqa: BLE001 - the log must name the job after any error
            self.log.warning(
                "The task was ended. Could not delete %s: %s",
                self._job_description(),
                str(error) or type(error).__name__,
            )
        else:
            self.log.warning("The task was ended. %s", deletion)


def _is_shutting_down() -> bool:
    """Return whether asyncio is cancelling all tasks of the event loop: the triggerer shuts down."""
    loop = asyncio.get_running_loop()
    if loop not in _loops_shutting_down and all(task.cancelling() for task in asyncio.all_tasks()):
        _loops_shutting_down.add(loop)
    return loop in _loops_shutting_down
