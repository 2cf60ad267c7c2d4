"""Sensors of data assets."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import (
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
    BaseSensorOperator,
    PokeReturnValue,
    conf,
)

from airflow_provider_codeocean.api.errors import CodeOceanError, WaitTimeout
from airflow_provider_codeocean.arguments import check_identifier, known_now
from airflow_provider_codeocean.failures import no_retry_for_what_it_cannot_mend
from airflow_provider_codeocean.hooks.codeocean import CodeOceanHook
from airflow_provider_codeocean.links import ShowsDataAsset
from airflow_provider_codeocean.polling import DataAssetWait, deadline_after
from airflow_provider_codeocean.states import as_xcom
from airflow_provider_codeocean.triggers.data_asset import GRACE, CodeOceanDataAssetTrigger

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_codeocean.states import DataAssetEvent


class CodeOceanDataAssetSensor(ShowsDataAsset, BaseSensorOperator):
    """Wait until a data asset is ready, and return it.

    Source: ``GET data_assets/{id}``. It fails for good where the creation of the data asset failed, or where
    Code Ocean refuses to tell (no such data asset, no permission); ``soft_fail`` skips the task instead. A
    server in trouble or out of reach is waited for.

    The result, in XCom, is the data asset with the fields of Code Ocean's API and the address of its page as
    ``url``.

    :param data_asset_id: id of the data asset. (templated)
    :param codeocean_conn_id: id of the connection. (templated)
    :param deferrable: wait in the triggerer instead of in a worker; by default as Airflow is configured.
    :param **kwargs: what every sensor takes, such as ``poke_interval``, ``timeout``, ``mode`` and
        ``soft_fail``.
    """

    template_fields: Sequence[str] = ("data_asset_id", "codeocean_conn_id")

    def __init__(
        self,
        *,
        data_asset_id: str,
        codeocean_conn_id: str = CodeOceanHook.default_conn_name,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.data_asset_id = data_asset_id
        check_identifier("data_asset_id", known_now(data_asset_id))
        self.codeocean_conn_id = codeocean_conn_id
        self.deferrable = deferrable

    def poke(self, context: Context) -> bool | PokeReturnValue:
        """Look at the data asset once."""
        wait = DataAssetWait(self.data_asset_id, poll_interval=self.poke_interval, deadline=None)
        with (
            no_retry_for_what_it_cannot_mend(),
            CodeOceanHook(self.codeocean_conn_id).get_conn(retry_budget=0) as client,
        ):
            url = self.show_data_asset(
                context, client.url, check_identifier("data_asset_id", self.data_asset_id)
            )
            try:
                asset = client.data_assets.get(self.data_asset_id)
            except CodeOceanError as error:
                wait.bear(error)
                return False
            return PokeReturnValue(is_done=wait.is_over(asset), xcom_value=as_xcom(asset, url))

    def execute(self, context: Context) -> Any:
        """Wait in this process, or, if deferrable, take one look and leave the rest to the triggerer."""
        self.codeocean_url = ""
        if not self.deferrable:
            return super().execute(context)
        deadline = deadline_after(
            self.timeout, execution_timeout=self.execution_timeout, started=context["ti"].start_date
        )
        try:
            first_look = self.poke(context)
        except (CodeOceanError, AirflowFailException) as error:  # the trigger meets it again: as is due then
            self.log.warning("The first look at data asset %s failed: %s", self.data_asset_id, error)
        else:
            if isinstance(first_look, PokeReturnValue) and first_look.is_done:
                return first_look.xcom_value
        return self.defer(
            trigger=CodeOceanDataAssetTrigger(
                data_asset_id=self.data_asset_id,
                codeocean_conn_id=self.codeocean_conn_id,
                poll_interval=max(self.poke_interval, 1.0),
                deadline=deadline,
            ),
            method_name="execute_complete",
            timeout=timedelta(seconds=max(0.0, deadline - time.time()) + GRACE),
        )

    def execute_complete(self, context: Context, event: DataAssetEvent) -> dict[str, Any]:
        """Conclude from what the trigger saw, and from what the data asset is by now."""
        hook = CodeOceanHook(self.codeocean_conn_id)
        try:
            with no_retry_for_what_it_cannot_mend():
                url = self.show_data_asset(context, hook.url, self.data_asset_id)
                asset = hook.conclude_wait(event, poll_interval=max(self.poke_interval, 1.0))
        except Exception as error:
            if self.never_fail or (self.soft_fail and isinstance(error, CodeOceanError)):
                # Airflow sees to its own errors, and to never_fail not in all versions.
                raise AirflowSkipException(
                    f"Skipping, as soft_fail or never_fail asks for: {error}"
                ) from error
            if isinstance(error, WaitTimeout):
                raise AirflowSensorTimeout(str(error)) from error
            raise
        return as_xcom(asset, url)
