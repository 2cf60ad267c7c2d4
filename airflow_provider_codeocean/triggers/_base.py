"""What triggers that wait have in common: wait together, and end with one event."""

from __future__ import annotations

import asyncio
import logging
import time
from abc import abstractmethod
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypedDict

from airflow.providers.common.compat.sdk import AirflowNotFoundException
from airflow.triggers.base import BaseTrigger, TaskSuccessEvent, TriggerEvent

from airflow_provider_codeocean.api.errors import (
    CodeOceanError,
    CodeOceanTransportError,
    ComputationFailed,
    DataAssetFailed,
    NoCertificates,
    TransferFailed,
    WaitTimeout,
)
from airflow_provider_codeocean.compat.connections import is_inline_triggerer
from airflow_provider_codeocean.compat.metrics import metrics_in_triggerer
from airflow_provider_codeocean.compat.tasks import can_end_in_triggerer, push_xcom
from airflow_provider_codeocean.hooks.codeocean import CodeOceanHook, has_changed
from airflow_provider_codeocean.outcomes import as_xcom

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_codeocean.api.client import CodeOceanAsyncClient
    from airflow_provider_codeocean.outcomes import WaitEvent
    from airflow_provider_codeocean.polling.waits import Wait

log = logging.getLogger(__name__)

#: Seconds for which it is tolerated that Airflow knows no such connection, which it also says if a secrets
#: backend or its API server is in trouble, or that there are no certificates: they may be written just now.
_MISSING_SECONDS = 120.0


async def wait_in_triggerer(codeocean_conn_id: str, wait: Wait) -> None:
    """Wait until a target has succeeded. A server out of reach is waited for.

    :param codeocean_conn_id: id of the connection.
    :param wait: the wait.
    :raises WaitTimeout: if the deadline passed before.
    :raises CodeOceanError: if the wait failed otherwise.
    :raises ValueError: if the identifier is none, or the connection is missing or cannot be used.
    """
    from airflow_provider_codeocean.polling.poller import wait_together

    options: dict[str, Any] = {}
    missing_since: float | None = None

    async def connect(current: CodeOceanAsyncClient | None) -> CodeOceanAsyncClient:
        nonlocal options, missing_since
        hook = CodeOceanHook(codeocean_conn_id)
        try:
            read = await hook.read_options_async()
            if current is None or has_changed(codeocean_conn_id, options, read, current):
                # The poller itself retries, and reads the connection again.
                current = hook.make_async_client(read, retry_budget=0, new_token=None)
        except (AirflowNotFoundException, NoCertificates) as error:
            now = time.monotonic()
            missing_since = now if missing_since is None else missing_since
            if now - missing_since < _MISSING_SECONDS and not is_inline_triggerer():
                raise CodeOceanTransportError(str(error)) from error
            raise ValueError(str(error)) from error
        options, missing_since = read, None
        return current

    await wait_together(wait, connect=connect, name=codeocean_conn_id, metrics=metrics_in_triggerer())


#: Seconds to let Airflow wait for a trigger beyond the trigger's own deadline, before it ends the task
#: itself and without a word about what it waited for.
GRACE = 60.0
#: Minimum number of seconds from the start of a trigger to an event that a worker handles. If the task is
#: queued again before the scheduler has noticed the exit of its first worker process, the scheduler takes
#: that exit for the second process's and fails the task (apache/airflow issues 67287, 71580, and 72716).
MIN_DEFERRAL = 10.0
#: The key of the XCom that is a task's result.
RESULT_KEY = "return_value"


class Completion(TypedDict):
    """How a trigger ends its task after a successful wait, without a worker.

    :param push_result: whether the result goes to XCom.
    :param url: address of the page in Code Ocean, for the result.
    """

    push_result: bool
    url: str | None


class CodeOceanWaitTriggerBase(BaseTrigger):
    """Wait until something is over.

    All triggers of a connection in a triggerer wait together: see
    :class:`~airflow_provider_codeocean.polling.poller.Poller`. While it waits it only reads, so that it may
    run twice at once. A server out of reach is waited for.

    A subclass says for what it waits, in :meth:`new_wait`, and what it was given, in :meth:`about`.

    :param codeocean_conn_id: id of the connection.
    :param poll_interval: the most seconds between two looks, above 0: a young wait is looked at more often.
    :param deadline: when to give up, in Unix seconds; None never gives up. An absolute time, because a wait
        that moves to another triggerer starts anew.
    :param completion: how to end the task in the triggerer if the wait succeeds (Airflow 3.3 and later);
        None leaves that to a worker, as does a wait that does not succeed.
    """

    _wait: Wait | None = None

    def __init__(
        self,
        *,
        codeocean_conn_id: str,
        poll_interval: float,
        deadline: float | None,
        completion: Completion | None = None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.completion = completion
        self.codeocean_conn_id = codeocean_conn_id
        self.poll_interval = poll_interval
        self.deadline = deadline

    @property
    def patience(self) -> timedelta | None:
        """How long Airflow is to let a task be deferred for it: a little longer than it waits itself."""
        if self.deadline is None:
            return None
        return timedelta(seconds=max(0.0, self.deadline - time.time()) + GRACE)

    def end_without_worker(self, task: Any, context: Context) -> None:
        """Let the trigger end the running task after a successful wait, if Airflow can do without a worker.

        :param task: the operator or sensor that is about to defer.
        :param context: context of the running task.
        """
        if can_end_in_triggerer(task, context):
            self.completion = {"push_result": task.do_xcom_push, "url": task.codeocean_url or None}

    @abstractmethod
    def new_wait(self) -> Wait:
        """Make the wait."""

    @abstractmethod
    def about(self) -> dict[str, Any]:
        """Return what the event says of what was waited for, as JSON values."""

    def arguments(self) -> dict[str, Any]:
        """Return the arguments of its own, as JSON values: what the event says, and what more there is."""
        return self.about()

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class and the arguments, as JSON values, to start the same wait anywhere."""
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {
                **self.arguments(),
                "codeocean_conn_id": self.codeocean_conn_id,
                "poll_interval": self.poll_interval,
                "deadline": self.deadline,
                "completion": self.completion,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait, and yield the one event."""
        wait = self._wait = self.new_wait()
        # Airflow sets it; dag.test() does not, and runs the rest of the task in its own process.
        is_in_triggerer = getattr(self, "task_instance", None) is not None
        wait.wants_to_read = is_in_triggerer and self.completion is not None
        started_at = time.monotonic()
        try:
            event = await outcome(self.codeocean_conn_id, wait)
            if event["status"] == "success" and wait.wants_to_read and await self._complete(wait.seen):
                log.info("%s. No worker is needed to end the task", event["message"])
                yield TaskSuccessEvent()
                return
            if is_in_triggerer:
                await asyncio.sleep(MIN_DEFERRAL - (time.monotonic() - started_at))
        except asyncio.CancelledError:
            await self.cancelled()
            raise
        yield TriggerEvent(event | self.about())

    async def _complete(self, seen: Any) -> bool:
        """Push the result to XCom, and return whether the task can end here."""
        if self.completion is None:
            return False
        try:
            if self.completion["push_result"]:
                result = self.result(seen, self.completion["url"])
                await push_xcom(self.task_instance, RESULT_KEY, result)
        except Exception as error:  # noqa: BLE001 - a worker can still end the task
            log.warning("Could not push the result to XCom, leaving it to a worker: %r", error)
            return False
        return True

    def result(self, seen: Any, url: str | None) -> Any:
        """Return the task's result, as JSON values.

        :param seen: the object that the wait ended with.
        :param url: address of its page, if it has one.
        :returns: the result.
        """
        return as_xcom(seen, url)

    async def cancelled(self) -> None:
        """Do what is to be done where the wait was cancelled."""


async def outcome(codeocean_conn_id: str, wait: Wait) -> WaitEvent:
    """Wait in the triggerer until something is over, however it ends.

    :param codeocean_conn_id: id of the connection.
    :param wait: for what, and for how long.
    :returns: how it ended.
    """
    log.info(wait.describe_begin(codeocean_conn_id))
    try:
        await wait_in_triggerer(codeocean_conn_id, wait)
    except (DataAssetFailed, TransferFailed, ComputationFailed) as error:
        return {"status": "failed", "state": wait.last_state, "message": str(error)}
    except WaitTimeout as error:
        return {"status": "timeout", "state": wait.last_state, "message": str(error)}
    except (CodeOceanError, ValueError) as error:
        return {"status": "error", "state": wait.last_state, "message": str(error)}
    return {"status": "success", "state": wait.last_state, "message": wait.describe_success()}
