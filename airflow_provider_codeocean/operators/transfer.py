"""Operators that move the files of data assets."""

from __future__ import annotations

import logging
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.common.compat.sdk import conf

from airflow_provider_codeocean.airflow_errors import (
    naming_what_ran_out_of_time,
    no_retry_for_what_it_cannot_mend,
)
from airflow_provider_codeocean.api.errors import TransferFailed, WaitTimeout
from airflow_provider_codeocean.compat.state import durable_state
from airflow_provider_codeocean.hooks.codeocean import CodeOceanHook
from airflow_provider_codeocean.lineage.mixins import AnnouncesDataAsset
from airflow_provider_codeocean.lineage.model import of_transfer
from airflow_provider_codeocean.operators._data_asset_base import CodeOceanOneDataAssetBase
from airflow_provider_codeocean.outcomes import Verdict, as_xcom
from airflow_provider_codeocean.polling.waits import TransferWait, deadline_after
from airflow_provider_codeocean.triggers.transfer import CodeOceanTransferTrigger
from airflow_provider_codeocean.validation import (
    ReadField,
    as_rendered,
    check_flags,
    check_identifier,
    check_seconds,
    checked,
    known_now,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_codeocean.api.client import CodeOceanClient
    from airflow_provider_codeocean.api.models.data_asset import DataAsset
    from airflow_provider_codeocean.api.models.data_asset_params import AWSTarget, TransferParams
    from airflow_provider_codeocean.compat.state import DurableState
    from airflow_provider_codeocean.outcomes import TransferEvent

log = logging.getLogger(__name__)

#: Where what was begun is in a task's durable state.
_STATE_KEY = "codeocean_transfer"


class CodeOceanTransferDataAssetOperator(AnnouncesDataAsset, CodeOceanOneDataAssetBase):
    """Move the files of a data asset to a place in S3, and wait until that is done. For administrators.

    Source: ``POST data_assets/{id}/transfer``, user guide "Transfer data asset". It is done when
    ``last_transferred`` of the data asset moves, and has failed when ``transfer_error`` says why; an error of
    an earlier transfer is told from one of this. Provenance and id of the data asset stay.

    Files that are where they are to be are not moved again. From Airflow 3.3 on, a retry goes on waiting for
    the transfer that an earlier try has begun; before, it begins another one to the same place where the
    first is not done.

    The result, in XCom, is the data asset with the fields of Code Ocean's API and the address of its page as
    ``url``.

    :param data_asset_id: id of the data asset. (templated)
    :param target: where to: ``bucket``, and if need be ``prefix`` and ``endpoint_name``. (templated)
    :param force: move them even if released pipelines use the data asset.
    :param wait_for_completion: wait until the files are moved.
    :param deferrable: wait in the triggerer instead of in a worker; by default as Airflow is configured.
    :param poll_interval: the most seconds between two looks at the data asset, above 0: a young wait is
        looked at more often.
    :param timeout: how long to wait, in seconds or as a timedelta, above 0. The task's
        ``execution_timeout``, where it is shorter, ends the wait as well. The transfer goes on.
    :param **kwargs: what every operator that is about a data asset takes: see
        :class:`~airflow_provider_codeocean.operators._data_asset_base.CodeOceanOneDataAssetBase`.
    """

    template_fields: Sequence[str] = ("target", *CodeOceanOneDataAssetBase.template_fields)
    template_fields_renderers: ClassVar[dict[str, str]] = {"target": "json"}
    returns_id_of: ClassVar[str] = "data_asset_id"
    _wait: TransferWait | None = None
    _came_from: Mapping[str, Any] | None = None

    def __init__(
        self,
        *,
        data_asset_id: str,
        target: Mapping[str, Any],
        force: bool = False,
        wait_for_completion: bool = True,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        poll_interval: float = 60.0,
        timeout: float | timedelta = timedelta(days=1),
        **kwargs: Any,
    ) -> None:
        super().__init__(data_asset_id=data_asset_id, **kwargs)
        self.target = target
        check_flags(force=force, wait_for_completion=wait_for_completion, deferrable=deferrable)
        self.force = force
        self.wait_for_completion = wait_for_completion
        self.deferrable = deferrable
        self.poll_interval = check_seconds("poll_interval", poll_interval)
        self.timeout = check_seconds("timeout", timeout)
        self.transfer_params(known_now)

    def transfer_params(self, read: ReadField = as_rendered) -> TransferParams:
        """Build where to move the files.

        :param read: reads the value of a template field.
        :returns: the parameters.
        :raises ValueError: where an argument is wrong, naming it.
        """
        from airflow_provider_codeocean.api.models.data_asset_params import TransferParams

        return checked(
            TransferParams,
            {"target.aws": "target"},
            {"target": {"aws": read(self.target)}, "force": self.force or None},
        )

    def execute(self, context: Context) -> dict[str, Any]:
        """Begin the transfer, unless an earlier try did, and wait for it if asked to."""
        self.codeocean_url = ""
        with no_retry_for_what_it_cannot_mend(self), naming_what_ran_out_of_time(self._describe):
            self.data_asset_id = check_identifier("data_asset_id", self.data_asset_id)
            params = self.transfer_params()
            hook = CodeOceanHook(self.codeocean_conn_id)
            with hook.get_conn() as client:
                self.show_data_asset(context, client.url, self.data_asset_id)
                asset = self._begin(client, params, durable_state(context))
            wait = self._wait
            if wait is None or not self.wait_for_completion:
                return self._result(context, client.url, asset, done=wait is None)
            wait.deadline = deadline_after(
                self.timeout, execution_timeout=self.execution_timeout, started=context["ti"].start_date
            )
            if self.deferrable:
                self._defer(wait, wait.deadline)
            return self._result(context, client.url, self._conclude(context, wait, hook.wait_for))

    def execute_complete(
        self, context: Context, event: TransferEvent, came_from: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """Conclude from what the trigger saw, and from what the data asset is by now."""
        self._came_from = came_from
        self.data_asset_id = check_identifier("data_asset_id", self.data_asset_id)
        hook = CodeOceanHook(self.codeocean_conn_id)
        wait = self._new_wait(
            {"last_transferred": event["last_transferred"], "transfer_error": event["transfer_error"]}
        )
        with no_retry_for_what_it_cannot_mend(self):
            deployment = hook.url
            self.show_data_asset(context, deployment, self.data_asset_id)
            return self._result(
                context, deployment, self._conclude(context, wait, partial(hook.conclude, event))
            )

    def _conclude(
        self, context: Context, wait: TransferWait, conclude: Callable[[TransferWait], Any]
    ) -> DataAsset:
        """Wait or conclude; what is over, or seems to be, is not gone on with by a task that is cleared."""
        state = durable_state(context)
        try:
            asset: DataAsset = conclude(wait)
        except (TransferFailed, WaitTimeout) as error:
            if state is not None and (isinstance(error, TransferFailed) or wait.transfer_error):
                state.set(_STATE_KEY, {})
            raise
        if state is not None:
            state.set(_STATE_KEY, {})
        return asset

    def _result(
        self, context: Context, deployment: str, asset: DataAsset, *, done: bool = True
    ) -> dict[str, Any]:
        """Tell what has been moved, and return the data asset."""
        self.announce(context, deployment, asset, done=done)
        if done and self._came_from is not None:
            from airflow_provider_codeocean.api.models.data_asset import SourceBucket

            came_from = SourceBucket.model_validate(self._came_from)
            self.tell_lineage(partial(of_transfer, deployment, asset, came_from))
        return as_xcom(asset, self.codeocean_url)

    def on_kill(self) -> None:
        """Say what goes on; Airflow kills the task."""
        if self._wait is not None:
            log.warning("Killed: the transfer of data asset %s goes on, if it was begun", self.data_asset_id)

    def _begin(
        self, client: CodeOceanClient, params: TransferParams, state: DurableState | None
    ) -> DataAsset:
        """Begin what an earlier try has not; then there is something to wait for."""
        asset = client.data_assets.get(self.data_asset_id)
        memory = {"data_asset_id": asset.id, **params.to_json()}
        begun = None if state is None else state.get(_STATE_KEY)
        if isinstance(begun, dict) and memory.items() <= begun.items():
            self._came_from = begun.get("came_from")
            wait = self._new_wait(begun["before"])
            verdict = wait.verdict(asset)
            if verdict is Verdict.SUCCEEDED:
                log.info("An earlier try has transferred data asset %s", asset.id)
                return asset
            if verdict is Verdict.WAITING and begun.get("begun"):
                log.info("Going on with the transfer of data asset %s that an earlier try began", asset.id)
                self._wait = wait
                return asset
        if params.target.aws is not None and _is_there(asset, params.target.aws):
            log.info("The files of data asset %s are there", asset.id)
            return asset
        bucket = asset.source_bucket
        self._came_from = {} if bucket is None else bucket.model_dump(mode="json")
        before = {"last_transferred": asset.last_transferred, "transfer_error": asset.transfer_error}
        self._wait = self._new_wait(before)
        memory |= {"before": before, "came_from": self._came_from}
        if state is not None:
            state.set(_STATE_KEY, memory)
        client.data_assets.transfer(asset.id, params)
        if state is not None:
            state.set(_STATE_KEY, memory | {"begun": True})
        log.info("Began to transfer data asset %s (%r)", asset.id, asset.name)
        return asset

    def _new_wait(self, before: Mapping[str, Any]) -> TransferWait:
        return TransferWait(self.data_asset_id, poll_interval=self.poll_interval, deadline=None, **before)

    def _defer(self, wait: TransferWait, deadline: float) -> None:
        trigger = CodeOceanTransferTrigger(
            self.data_asset_id,
            last_transferred=wait.last_transferred,
            transfer_error=wait.transfer_error,
            codeocean_conn_id=self.codeocean_conn_id,
            poll_interval=self.poll_interval,
            deadline=deadline,
        )
        self.defer(
            trigger=trigger,
            method_name="execute_complete",
            kwargs={"came_from": self._came_from},
            timeout=trigger.patience,
        )

    def _describe(self) -> str:
        if self._wait is None:
            return f"The transfer of data asset {self.data_asset_id} was not begun."
        return self._wait.describe()


def _is_there(asset: DataAsset, target: AWSTarget) -> bool:
    """Tell whether a data asset's files are at the target; without a prefix, its id is the folder.

    Which endpoint a bucket is at is not told: where one is asked for, it may be another bucket of that name.
    """
    source = asset.source_bucket
    if source is None or source.bucket != target.bucket or not source.external or target.endpoint_name:
        return False
    prefix = (source.prefix or "").strip("/")
    return prefix == target.prefix.strip("/") if target.prefix else prefix in ("", asset.id)
