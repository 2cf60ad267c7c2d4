"""The operator that transfers the files of a data asset."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_codeocean.airflow_errors import (
    add_context_to_task_timeout,
    fail_without_retry_on_permanent_errors,
)
from airflow_provider_codeocean.api.errors import TransferFailed, WaitTimeout
from airflow_provider_codeocean.compat.state import durable_state
from airflow_provider_codeocean.hooks.codeocean import CodeOceanHook
from airflow_provider_codeocean.lineage.mixins import AssetEventMixin
from airflow_provider_codeocean.links import DataAssetLinkMixin
from airflow_provider_codeocean.operators._base import CodeOceanWaitOperatorBase
from airflow_provider_codeocean.outcomes import Outcome, to_xcom
from airflow_provider_codeocean.polling.waits import TransferWait, compute_deadline
from airflow_provider_codeocean.validation import (
    FieldReader,
    build_params_model,
    check_flags,
    check_identifier,
    check_unrendered_identifier,
    rendered_value,
    static_value,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_codeocean.api.client import CodeOceanClient
    from airflow_provider_codeocean.api.models.data_asset import DataAsset
    from airflow_provider_codeocean.api.models.data_asset_params import AWSTarget, TransferParams
    from airflow_provider_codeocean.outcomes import TransferEvent

log = logging.getLogger(__name__)

#: Key of the record of a submitted transfer in the task's durable state.
_STATE_KEY = "codeocean_transfer"
#: Format number of that record.
_FORMAT = 1


class CodeOceanTransferDataAssetOperator(AssetEventMixin, DataAssetLinkMixin, CodeOceanWaitOperatorBase):
    """Transfer the files of a data asset to S3, and wait until they are there. For administrators.

    Source: ``POST data_assets/{id}/transfer``, user guide "Transfer data asset". The transfer has succeeded
    when ``last_transferred`` of the data asset changes, and has failed when ``transfer_error`` does. Id and
    provenance of the data asset stay.

    Files that are already at the target are not transferred again. From Airflow 3.3 on, a retry waits for the
    transfer that an earlier attempt submitted; before, it submits another one to the same target if the first
    is still pending. If the task is killed or times out, the transfer continues.

    The result, in XCom, is the data asset with the fields of Code Ocean's API and the address of its page as
    ``url``.

    :param data_asset_id: id of the data asset. (templated)
    :param target: place to transfer to: ``bucket``, and optionally ``prefix`` and ``endpoint_name``.
        (templated)
    :param force: transfer even if released pipelines use the data asset.
    :param **kwargs: arguments of
        :class:`~airflow_provider_codeocean.operators._base.CodeOceanWaitOperatorBase`.
    """

    template_fields: Sequence[str] = ("target", "data_asset_id", *CodeOceanWaitOperatorBase.template_fields)
    template_fields_renderers: ClassVar[dict[str, str]] = {"target": "json"}
    result_id_key: ClassVar[str] = "data_asset_id"
    _wait: TransferWait | None = None
    _previous_bucket: Mapping[str, Any] | None = None

    def __init__(
        self, *, data_asset_id: str, target: Mapping[str, Any], force: bool = False, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.data_asset_id = data_asset_id
        check_unrendered_identifier("data_asset_id", data_asset_id)
        self.target = target
        check_flags(force=force)
        self.force = force
        self.transfer_params(static_value)

    def transfer_params(self, read: FieldReader = rendered_value) -> TransferParams:
        """Return the target of the transfer."""
        from airflow_provider_codeocean.api.models.data_asset_params import TransferParams

        values = {"target": {"aws": read(self.target)}, "force": self.force or None}
        return build_params_model(TransferParams, {"target.aws": "target"}, values)

    def execute(self, context: Context) -> dict[str, Any]:
        """Submit the transfer, unless an earlier attempt has submitted it, and wait for it."""
        self.codeocean_url = ""
        with fail_without_retry_on_permanent_errors(self), add_context_to_task_timeout(self._describe):
            self.data_asset_id = check_identifier("data_asset_id", self.data_asset_id)
            params = self.transfer_params()
            hook = CodeOceanHook(self.codeocean_conn_id)
            with hook.get_conn() as client:
                deployment = client.url
                self.set_data_asset_link(context, deployment, self.data_asset_id)
                asset = self._submit(context, client, params)
            wait = self._wait
            if wait is None or not self.wait_for_completion:
                return self._report_result(context, deployment, asset, has_succeeded=wait is None)
            wait.deadline = compute_deadline(
                self.timeout, execution_timeout=self.execution_timeout, started_at=context["ti"].start_date
            )
            if self.deferrable:
                from airflow_provider_codeocean.triggers.transfer import CodeOceanTransferTrigger

                trigger = CodeOceanTransferTrigger(
                    self.data_asset_id,
                    last_transferred=wait.last_transferred,
                    transfer_error=wait.transfer_error,
                    codeocean_conn_id=self.codeocean_conn_id,
                    poll_interval=self.poll_interval,
                    deadline=wait.deadline,
                )
                self.defer(
                    trigger=trigger,
                    method_name="execute_complete",
                    kwargs={"previous_bucket": self._previous_bucket},
                    timeout=trigger.defer_timeout,
                )
            asset = self._resolve(context, wait, hook.wait_for)
            return self._report_result(context, deployment, asset)

    def execute_complete(
        self, context: Context, event: TransferEvent, previous_bucket: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """Return the data asset after the wait in the triggerer has ended."""
        self._previous_bucket = previous_bucket
        self.data_asset_id = check_identifier("data_asset_id", self.data_asset_id)
        hook = CodeOceanHook(self.codeocean_conn_id)
        wait = self._build_wait(
            {"last_transferred": event["last_transferred"], "transfer_error": event["transfer_error"]}
        )
        with fail_without_retry_on_permanent_errors(self):
            deployment = hook.url
            self.set_data_asset_link(context, deployment, self.data_asset_id)
            asset = self._resolve(context, wait, partial(hook.resolve_wait, event))
            return self._report_result(context, deployment, asset)

    def on_kill(self) -> None:
        """Log that the transfer continues."""
        if self._wait is not None:
            log.warning(
                "Killed: the transfer of data asset %s continues if it was submitted", self.data_asset_id
            )

    def _submit(self, context: Context, client: CodeOceanClient, params: TransferParams) -> DataAsset:
        """Submit the transfer, or adopt that of an earlier attempt. ``_wait`` is set if it is pending."""
        asset = client.data_assets.get(self.data_asset_id)
        state = durable_state(context)
        request = {"format": _FORMAT, "data_asset_id": asset.id, **params.to_json()}
        record = (None if state is None else state.get(_STATE_KEY)) or {}
        if request.items() <= record.items():
            self._previous_bucket = record["previous_bucket"]
            wait = self._build_wait(record["initial_state"])
            outcome = wait.outcome(asset)
            if outcome is Outcome.SUCCEEDED:
                log.info("An earlier attempt has transferred data asset %s", asset.id)
                return asset
            if outcome is Outcome.PENDING and record.get("submitted"):
                log.info("Adopting the transfer of data asset %s that an earlier attempt submitted", asset.id)
                self._wait = wait
                return asset
        if params.target.aws is not None and _is_at_target(asset, params.target.aws):
            log.info("The files of data asset %s are already at the target", asset.id)
            return asset
        bucket = asset.source_bucket
        self._previous_bucket = {} if bucket is None else bucket.model_dump(mode="json")
        initial_state = {"last_transferred": asset.last_transferred, "transfer_error": asset.transfer_error}
        self._wait = self._build_wait(initial_state)
        record = {**request, "initial_state": initial_state, "previous_bucket": self._previous_bucket}
        _save_record(context, record)
        client.data_assets.transfer(asset.id, params)
        _save_record(context, record | {"submitted": True})
        log.info("Submitted the transfer of data asset %s (%r)", asset.id, asset.name)
        return asset

    def _resolve(
        self, context: Context, wait: TransferWait, resolve: Callable[[TransferWait], DataAsset]
    ) -> DataAsset:
        """Wait. If the transfer is terminal, delete the record, so that a cleared task submits another."""
        try:
            asset = resolve(wait)
        except TransferFailed:
            _save_record(context, {})
            raise
        except WaitTimeout:
            if wait.transfer_error:  # the same as before the transfer, so it may have failed again
                _save_record(context, {})
            raise
        _save_record(context, {})
        return asset

    def _report_result(
        self, context: Context, deployment: str, asset: DataAsset, *, has_succeeded: bool = True
    ) -> dict[str, Any]:
        self.add_asset_event(context, deployment, asset, has_succeeded=has_succeeded)
        if has_succeeded and self._previous_bucket is not None:
            from airflow_provider_codeocean.api.models.data_asset import SourceBucket
            from airflow_provider_codeocean.lineage.model import transfer_lineage

            previous_bucket = SourceBucket.model_validate(self._previous_bucket)
            self.set_lineage(partial(transfer_lineage, deployment, asset, previous_bucket))
        return to_xcom(asset, self.codeocean_url)

    def _build_wait(self, initial_state: Mapping[str, Any]) -> TransferWait:
        return TransferWait(
            self.data_asset_id, poll_interval=self.poll_interval, deadline=None, **initial_state
        )

    def _describe(self) -> str:
        if self._wait is None:
            return f"The transfer of data asset {self.data_asset_id} was not submitted."
        return self._wait.describe_timeout()


def _save_record(context: Context, record: dict[str, Any]) -> None:
    state = durable_state(context)
    if state is not None:
        state.set(_STATE_KEY, record)


def _is_at_target(asset: DataAsset, target: AWSTarget) -> bool:
    """Return whether the files are at the target. Without a prefix, the data asset's id is their folder."""
    source = asset.source_bucket
    # Code Ocean does not return the endpoint: a bucket at another endpoint may have the same name.
    if source is None or source.bucket != target.bucket or not source.external or target.endpoint_name:
        return False
    prefix = (source.prefix or "").strip("/")
    return prefix == target.prefix.strip("/") if target.prefix else prefix in ("", asset.id)
