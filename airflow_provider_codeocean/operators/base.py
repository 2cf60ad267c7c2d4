"""What operators that create a data asset have in common: create once, wait, conclude."""

from __future__ import annotations

import logging
import time
from abc import abstractmethod
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, get_args

from airflow.providers.common.compat.sdk import AirflowTaskTimeout, BaseOperator, conf

from airflow_provider_codeocean.api.errors import CodeOceanError, NotFound
from airflow_provider_codeocean.api.models.data_asset import DataAsset
from airflow_provider_codeocean.arguments import ReadField, as_rendered, check_choice, check_seconds
from airflow_provider_codeocean.capture.key import Keys, OnExisting
from airflow_provider_codeocean.capture.once import CaptureOnce
from airflow_provider_codeocean.capture.steps import Capture
from airflow_provider_codeocean.compat import durable_state, overtaken
from airflow_provider_codeocean.failures import naming_what_ran_out_of_time, no_retry_for_what_it_cannot_mend
from airflow_provider_codeocean.hooks.capture import DataAssetCapturing, attempt_of
from airflow_provider_codeocean.hooks.codeocean import CodeOceanHook
from airflow_provider_codeocean.links import ShowsDataAsset
from airflow_provider_codeocean.polling.wait import DataAssetWait, deadline_after
from airflow_provider_codeocean.removal import remove_data_asset
from airflow_provider_codeocean.states import Verdict, as_xcom, data_asset_verdict
from airflow_provider_codeocean.triggers.base import GRACE
from airflow_provider_codeocean.triggers.data_asset import CodeOceanDataAssetTrigger, OnKill

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_codeocean.api.models.data_asset_params import DataAssetParams
    from airflow_provider_codeocean.states import DataAssetEvent

log = logging.getLogger(__name__)

#: Seconds for which a killed task tries to delete what it began: Airflow gives it about five.
_LAST_WORDS = 3.0


class CodeOceanCreateDataAssetBase(ShowsDataAsset, BaseOperator):
    """Create a data asset once, wait until it is ready, and return it.

    A subclass says what to create, in :meth:`data_asset_params`. The result, in XCom, is the data asset with
    the fields of Code Ocean's API (``id``, ``state``, ``size``, ``files``, ``provenance`` …) and the address
    of its page as ``url``. The id is in the XCom ``data_asset_id`` as soon as it is known.

    However often the task is killed and tried again, it makes one data asset: what a try makes carries a tag
    that tells DAG, run, task and map index, and the next try goes on with it. A data asset that failed is
    never gone on with.

    What a retry cannot mend (wrong input, no permission, a data asset that failed) fails the task for good;
    what it may mend keeps the task's retries. A server that is in trouble or out of reach while the task
    waits is waited for.

    :param codeocean_conn_id: id of the connection. (templated)
    :param wait_for_completion: wait until the data asset is ready; else it is returned as a draft.
    :param deferrable: wait in the triggerer instead of in a worker; by default as Airflow is configured.
    :param poll_interval: the most seconds between two looks at the data asset, above 0: a young wait is
        looked at more often.
    :param timeout: how long to wait, in seconds or as a timedelta, above 0. The task's
        ``execution_timeout``, where it is shorter, ends the wait as well. The data asset is left as it is,
        and a retry goes on waiting for it.
    :param on_existing: what a task does that is cleared after it has made a data asset: ``adopt`` returns the
        same again, ``create`` makes another one, ``fail`` fails and names it. A retry is no such case.
    :param on_kill: what becomes of a data asset that is not ready yet when the task is killed, cleared or
        marked as failed: ``leave`` names it in the log and lets the next try go on with it, ``delete``
        deletes it.
    :param **kwargs: what every operator takes.
    """

    template_fields: Sequence[str] = ("codeocean_conn_id",)
    _capturing: DataAssetCapturing | None = None
    _killed = False
    _out_of_time = False

    def __init__(
        self,
        *,
        codeocean_conn_id: str = CodeOceanHook.default_conn_name,
        wait_for_completion: bool = True,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        poll_interval: float = 60.0,
        timeout: float | timedelta = timedelta(days=1),
        on_existing: OnExisting = "adopt",
        on_kill: OnKill = "leave",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.codeocean_conn_id = codeocean_conn_id
        self.wait_for_completion = wait_for_completion
        self.deferrable = deferrable
        self.poll_interval = check_seconds("poll_interval", poll_interval)
        self.timeout = check_seconds("timeout", timeout)
        check_choice("on_existing", on_existing, get_args(OnExisting))
        self.on_existing: OnExisting = on_existing
        check_choice("on_kill", on_kill, get_args(OnKill))
        self.when_killed: OnKill = on_kill  # on_kill itself is what Airflow calls

    @abstractmethod
    def data_asset_params(self, read: ReadField = as_rendered) -> DataAssetParams:
        """Build what to create.

        :param read: reads the value of a template field; a constructor passes ``known_now`` to check, as
            early as it can, what is known before templates are rendered.
        :returns: the parameters.
        :raises ValueError: where an argument is wrong, naming it.
        """

    def execute(self, context: Context) -> dict[str, Any]:
        """Create the data asset, unless an earlier try did, and wait for it if asked to."""
        self.codeocean_url = ""
        with self._failing_clearly():
            params = self.data_asset_params()
            capturing = self._capture_by(self._keys(context, params), context)
            with naming_what_ran_out_of_time(self._describe):
                capture = capturing.begin(self._with_checked_metadata(params))
            return self._conclude(
                context, capturing, capture, partial(self._wait, context, capturing, capture)
            )

    def execute_complete(
        self, context: Context, event: DataAssetEvent, key: str = "", look_again: float = 0.0
    ) -> dict[str, Any]:
        """Conclude from what the trigger saw, and from what the data asset is by now."""
        hook = CodeOceanHook(self.codeocean_conn_id)
        with self._failing_clearly():
            self.show_data_asset(context, hook.url, event["data_asset_id"])
            capture = Capture(DataAsset(id=event["data_asset_id"]), adopted=True, look_again=look_again)
            # dag.test() loses all arguments but the event.
            keys = Keys(key) if key else self._keys(context, self.data_asset_params())
            awaited = DataAssetWait(event["data_asset_id"], poll_interval=self.poll_interval, deadline=None)
            wait = partial(hook.conclude, event, awaited)
            return self._conclude(context, self._capture_by(keys, context), capture, wait)

    def on_kill(self) -> None:
        """Say what was begun, and delete it if that was asked for; Airflow kills the task."""
        self._killed = True
        capturing = self._capturing
        if capturing is None or self._out_of_time:
            return
        if capturing.begun is None:
            log.warning(
                "Killed while a data asset was being created: if it was, it has the tag %s, and the next try "
                "goes on with it",
                capturing.key,
            )
        elif self.when_killed == "leave":
            log.warning(
                "Killed: data asset %s is left as it is, and the next try goes on with it", capturing.begun.id
            )
        else:
            self._delete(capturing.begun.id)

    def _with_checked_metadata(self, params: DataAssetParams) -> DataAssetParams:
        if params.custom_metadata is None:
            return params
        from airflow_provider_codeocean.metadata import checked_with

        with CodeOceanHook(self.codeocean_conn_id).get_conn() as client:
            values = checked_with(client, params.to_json()["custom_metadata"], whole=True)
        return params.model_copy(update={"custom_metadata": values})

    def _keys(self, context: Context, params: DataAssetParams) -> Keys:
        return Keys.of(attempt_of(context, self.retries or 0), _subject(params), self.on_existing)

    def _capture_by(self, keys: Keys, context: Context) -> DataAssetCapturing:
        state = durable_state(context)
        once = CaptureOnce[DataAsset](
            attempt_of(context, self.retries or 0),
            keys,
            durable=state is not None,
            usable=lambda asset: data_asset_verdict(asset) is not Verdict.FAILED,
        )
        hook = CodeOceanHook(self.codeocean_conn_id)
        self._capturing = DataAssetCapturing(
            hook, once, state, self._stop_if_killed, partial(overtaken, context)
        )
        return self._capturing

    def _conclude(
        self,
        context: Context,
        capturing: DataAssetCapturing,
        capture: Capture[DataAsset],
        wait: Callable[[], DataAsset],
    ) -> dict[str, Any]:
        """Wait for what was captured, and, where another try has made it as well, for the one that stays."""
        while True:
            try:
                made = wait()
            except NotFound:
                rescued = capturing.rescue()
                if rescued is None:
                    raise
                capture = rescued
            else:
                stays = capturing.finish(replace(capture, made=made))
                if stays.id == made.id:
                    return self._result(stays)
                capture = Capture(stays, adopted=True)
            wait = partial(self._wait, context, capturing, capture)

    def _wait(
        self, context: Context, capturing: DataAssetCapturing, capture: Capture[DataAsset]
    ) -> DataAsset:
        """Wait in this process, or leave it by deferring."""
        asset = capture.made
        hook = CodeOceanHook(self.codeocean_conn_id)
        context["ti"].xcom_push(key="data_asset_id", value=asset.id)
        url = self.show_data_asset(context, hook.url, asset.id)
        log.info("Data asset %s (%s): %s", asset.id, asset.name, url)
        if not self.wait_for_completion or data_asset_verdict(asset) is Verdict.SUCCEEDED:
            return asset
        deadline = deadline_after(
            self.timeout, execution_timeout=self.execution_timeout, started=context["ti"].start_date
        )
        if self.deferrable:
            self._defer(capturing.key, capture, deadline)
        return hook.wait_for_data_asset(asset.id, poll_interval=self.poll_interval, deadline=deadline)

    def _defer(self, key: str, capture: Capture[DataAsset], deadline: float) -> None:
        self.defer(
            trigger=CodeOceanDataAssetTrigger(
                data_asset_id=capture.made.id,
                codeocean_conn_id=self.codeocean_conn_id,
                poll_interval=self.poll_interval,
                deadline=deadline,
                on_kill=self.when_killed,
            ),
            method_name="execute_complete",
            kwargs={"key": key, "look_again": capture.look_again},
            timeout=timedelta(seconds=max(0.0, deadline - time.time()) + GRACE),
        )

    def _result(self, asset: DataAsset) -> dict[str, Any]:
        log.info("Data asset %s is %s: %s files, %s bytes", asset.id, asset.state, asset.files, asset.size)
        return as_xcom(asset, self.codeocean_url or "")

    @contextmanager
    def _failing_clearly(self) -> Iterator[None]:
        try:
            with no_retry_for_what_it_cannot_mend():
                yield
        except AirflowTaskTimeout:
            self._out_of_time = True  # Airflow calls on_kill now, but a retry goes on waiting
            raise

    def _describe(self) -> str:
        """Say what was begun, for the error of a task that ran out of time before it could wait."""
        capturing = self._capturing
        if capturing is None or capturing.begun is None:
            return f"If it has created a data asset, that has the tag {capturing.key if capturing else '?'}."
        return f"Data asset {capturing.begun.id} is {capturing.begun.state}. It is left as it is."

    def _stop_if_killed(self) -> None:
        if not self._killed:
            return
        if self._capturing and self._capturing.begun and self.when_killed == "delete":
            self._delete(self._capturing.begun.id)
        raise CodeOceanError("The task was killed")

    def _delete(self, data_asset_id: str) -> None:
        try:
            with CodeOceanHook(self.codeocean_conn_id).get_conn(retry_budget=_LAST_WORDS) as client:
                removed = remove_data_asset(client, data_asset_id, even_if_ready=False)
        except CodeOceanError as error:
            log.warning("Killed: data asset %s could not be deleted: %s", data_asset_id, error)
        else:
            log.warning("Killed: %s", removed)


def _subject(params: DataAssetParams) -> dict[str, Any]:
    """Return what tells one capture from another: what is captured and where to, without secrets."""
    return params.model_dump(
        mode="json",
        include={"source", "target", "data_asset_ids"},
        exclude={"source": {"gcp": {"client_id", "client_secret"}}},
        exclude_none=True,
    )
