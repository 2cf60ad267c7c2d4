"""Base class of triggers that wait for an outcome."""

from __future__ import annotations

import asyncio
import logging
import time
from abc import abstractmethod
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypedDict

from airflow.providers.common.compat.sdk import AirflowNotFoundException
from airflow.triggers.base import BaseTrigger, TaskSuccessEvent, TriggerEvent
from typing_extensions import override

from airflow_provider_codeocean.api.errors import (
    CertificatesNotFound,
    CodeOceanError,
    CodeOceanTransportError,
    ComputationFailed,
    DataAssetFailed,
    TransferFailed,
    WaitTimeout,
)
from airflow_provider_codeocean.compat.connections import is_inline_triggerer
from airflow_provider_codeocean.compat.metrics import triggerer_stats
from airflow_provider_codeocean.compat.tasks import can_end_from_trigger, push_xcom
from airflow_provider_codeocean.hooks.codeocean import CodeOceanHook, has_connection_changed
from airflow_provider_codeocean.outcomes import to_xcom

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_codeocean.api.client import CodeOceanAsyncClient
    from airflow_provider_codeocean.outcomes import WaitEvent
    from airflow_provider_codeocean.polling.waits import Wait

log = logging.getLogger(__name__)

#: How long to tolerate a missing connection or CA file. Airflow reports a missing connection also when a
#: secrets backend or the API server is unavailable, and a CA file may be about to be written.
_MISSING_CONNECTION_GRACE_SECONDS = 120.0
#: How much longer than the trigger Airflow waits: the trigger's own timeout has the better message.
TIMEOUT_MARGIN_SECONDS = 60.0
#: Minimum time between the start of a trigger and an event that a worker handles. If the task is queued
#: again before the scheduler has noticed the exit of its first worker process, the scheduler attributes that
#: exit to the second process and fails the task (apache/airflow issues 67287, 71580, and 72716).
MIN_DEFERRAL_SECONDS = 10.0
#: Key of the XCom that is a task's result.
XCOM_RETURN_KEY = "return_value"


class EndFromTriggerOptions(TypedDict):
    """How a trigger ends its task: whether it pushes the result, and the address of the result's page."""

    do_xcom_push: bool
    url: str | None


class CodeOceanWaitTriggerBase(BaseTrigger):
    """Wait until a target has succeeded or failed.

    All triggers of a connection in a triggerer share a
    :class:`~airflow_provider_codeocean.polling.poller.Poller`. They only send reads, so Airflow may run a
    trigger twice at once. They tolerate outages until the deadline.

    :param codeocean_conn_id: id of the connection.
    :param poll_interval: maximum number of seconds between two polls, above 0; the first polls are closer.
    :param deadline: when to give up, in Unix seconds; None never gives up. It is absolute, because Airflow
        starts a trigger again when it moves to another triggerer.
    :param end_from_trigger: how to end the task in the triggerer if the wait succeeds (Airflow 3.3 and
        later); None leaves the end to a worker.
    """

    _wait: Wait | None = None

    def __init__(
        self,
        *,
        codeocean_conn_id: str = CodeOceanHook.default_conn_name,
        poll_interval: float = 60.0,
        deadline: float | None = None,
        end_from_trigger: EndFromTriggerOptions | None = None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.codeocean_conn_id = codeocean_conn_id
        self.poll_interval = poll_interval
        self.deadline = deadline
        self.end_from_trigger = end_from_trigger

    @property
    def wait_options(self) -> dict[str, Any]:
        """Arguments that all waits have."""
        return {"poll_interval": self.poll_interval, "deadline": self.deadline}

    @property
    def defer_timeout(self) -> timedelta | None:
        """The timeout to defer the task with: a little longer than the trigger waits."""
        if self.deadline is None:
            return None
        return timedelta(seconds=max(0.0, self.deadline - time.time()) + TIMEOUT_MARGIN_SECONDS)

    def enable_end_from_trigger(self, task: Any, context: Context) -> None:
        """Let the trigger end the running task after a successful wait, if Airflow needs no worker for it."""
        if can_end_from_trigger(task, context):
            self.end_from_trigger = {"do_xcom_push": task.do_xcom_push, "url": task.codeocean_url or None}

    @abstractmethod
    def build_wait(self) -> Wait:
        """Return the wait."""

    @abstractmethod
    def event_fields(self) -> dict[str, Any]:
        """Return the fields of the event that name the target, as JSON values."""

    def trigger_kwargs(self) -> dict[str, Any]:
        """Return the arguments of the subclass, as JSON values."""
        return self.event_fields()

    @override
    def serialize(self) -> tuple[str, dict[str, Any]]:
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {
                **self.trigger_kwargs(),
                "codeocean_conn_id": self.codeocean_conn_id,
                **self.wait_options,
                "end_from_trigger": self.end_from_trigger,
            },
        )

    @override
    async def run(self) -> AsyncIterator[TriggerEvent]:
        wait = self._wait = self.build_wait()
        # Airflow sets it, except in dag.test(), which runs the rest of the task in its own process.
        is_in_triggerer = getattr(self, "task_instance", None) is not None
        end_options = self.end_from_trigger if is_in_triggerer else None
        wait.needs_full_read = end_options is not None
        started_at = time.monotonic()
        try:
            event = await wait_and_report(self.codeocean_conn_id, wait)
            if event["status"] == "success" and end_options and await self._push_result(wait, end_options):
                log.info("%s. Ending the task without a worker", event["message"])
                yield TaskSuccessEvent()
                return
            if is_in_triggerer:
                await asyncio.sleep(MIN_DEFERRAL_SECONDS - (time.monotonic() - started_at))
        except asyncio.CancelledError:
            await self.on_cancel()
            raise
        yield TriggerEvent(event | self.event_fields())

    async def _push_result(self, wait: Wait, options: EndFromTriggerOptions) -> bool:
        """Push the result to XCom, and return whether the task can end without a worker."""
        try:
            if options["do_xcom_push"]:
                result = self.build_result(wait.result, options["url"])
                await push_xcom(self.task_instance, XCOM_RETURN_KEY, result)
        except Exception as error:  # noqa: BLE001 - a worker can still end the task
            log.warning("Could not push the result to XCom, leaving it to a worker: %r", error)
            return False
        return True

    def build_result(self, response: Any, url: str | None) -> Any:
        """Return the task's result from the object that ended the wait, as JSON values."""
        return to_xcom(response, url)

    async def on_cancel(self) -> None:
        """Clean up after Airflow has cancelled the trigger."""


async def wait_and_report(codeocean_conn_id: str, wait: Wait) -> WaitEvent:
    """Wait in the triggerer, and return the event."""
    log.info(wait.describe_start(codeocean_conn_id))
    progress = _ProgressLog(wait)
    try:
        await wait_in_triggerer(codeocean_conn_id, wait)
    except (DataAssetFailed, TransferFailed, ComputationFailed) as error:
        return {"status": "failed", "state": wait.last_state, "message": str(error)}
    except WaitTimeout as error:
        return {"status": "timeout", "state": wait.last_state, "message": str(error)}
    except (CodeOceanError, ValueError) as error:
        return {"status": "error", "state": wait.last_state, "message": str(error)}
    finally:
        progress.stop()
    return {"status": "success", "state": wait.last_state, "message": wait.describe_success()}


class _ProgressLog:
    """Logs the progress of a wait at growing intervals. Timers cost less than a task."""

    def __init__(self, wait: Wait) -> None:
        self._wait, self._delays = wait, wait.progress_delays()
        self._start_timer()

    def _start_timer(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(next(self._delays), self._report)

    def _report(self) -> None:
        log.info(self._wait.describe_progress())
        self._start_timer()

    def stop(self) -> None:
        """Log nothing more."""
        self._timer.cancel()


async def wait_in_triggerer(codeocean_conn_id: str, wait: Wait) -> None:
    """Wait in the triggerer until the target has succeeded, and tolerate outages.

    :param codeocean_conn_id: id of the connection.
    :param wait: the wait.
    :raises WaitTimeout: if the deadline has passed.
    :raises CodeOceanError: if the target or the wait failed.
    :raises ValueError: if an id is invalid, or the connection is missing or invalid.
    """
    from airflow_provider_codeocean.polling.poller import wait_on_shared_poller

    options: dict[str, Any] = {}
    missing_since: float | None = None

    async def connect(current: CodeOceanAsyncClient | None) -> CodeOceanAsyncClient:
        nonlocal options, missing_since
        hook = CodeOceanHook(codeocean_conn_id)
        try:
            new_options = await hook.read_options_async()
            if current is None or has_connection_changed(codeocean_conn_id, options, new_options, current):
                # The poller retries and reloads the token itself.
                current = hook.create_async_client(new_options, retry_budget=0, token_provider=None)
        except (AirflowNotFoundException, CertificatesNotFound) as error:
            missing_since = missing_since or time.monotonic()
            grace_ends_at = missing_since + _MISSING_CONNECTION_GRACE_SECONDS
            if time.monotonic() < grace_ends_at and not is_inline_triggerer():
                raise CodeOceanTransportError(str(error)) from error
            raise ValueError(str(error)) from error
        options, missing_since = new_options, None
        return current

    await wait_on_shared_poller(wait, connect=connect, name=codeocean_conn_id, stats_logger=triggerer_stats())
