"""What operators that create a data asset have in common: create, remember, wait, conclude."""

from __future__ import annotations

import time
from abc import abstractmethod
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseOperator, conf

from airflow_provider_codeocean.arguments import ReadField, as_rendered, check_seconds
from airflow_provider_codeocean.failures import no_retry_for_what_it_cannot_mend
from airflow_provider_codeocean.hooks.codeocean import CodeOceanHook
from airflow_provider_codeocean.links import ShowsDataAsset
from airflow_provider_codeocean.polling import deadline_after
from airflow_provider_codeocean.states import as_xcom
from airflow_provider_codeocean.triggers.data_asset import GRACE, CodeOceanDataAssetTrigger

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_codeocean.api.models.data_asset_params import DataAssetParams
    from airflow_provider_codeocean.states import DataAssetEvent


class CodeOceanCreateDataAssetBase(ShowsDataAsset, BaseOperator):
    """Create a data asset, wait until it is ready, and return it.

    A subclass says what to create, in :meth:`data_asset_params`. The result, in XCom, is the data asset with
    the fields of Code Ocean's API (``id``, ``state``, ``size``, ``files``, ``provenance`` …) and the address
    of its page as ``url``. The id is in the XCom ``data_asset_id`` as soon as it is known.

    What a retry cannot mend (wrong input, no permission, a data asset that failed) fails the task for good;
    what it may mend keeps the task's retries. A server that is in trouble or out of reach while the task
    waits is waited for.

    :param codeocean_conn_id: id of the connection. (templated)
    :param wait_for_completion: wait until the data asset is ready; else it is returned as a draft.
    :param deferrable: wait in the triggerer instead of in a worker; by default as Airflow is configured.
    :param poll_interval: seconds between two looks at the data asset, above 0.
    :param timeout: how long to wait, in seconds or as a timedelta, above 0. The task's
        ``execution_timeout``, where it is shorter, ends the wait as well.
    :param **kwargs: what every operator takes.
    """

    template_fields: Sequence[str] = ("codeocean_conn_id",)

    def __init__(
        self,
        *,
        codeocean_conn_id: str = CodeOceanHook.default_conn_name,
        wait_for_completion: bool = True,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        poll_interval: float = 10.0,
        timeout: float | timedelta = timedelta(days=1),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.codeocean_conn_id = codeocean_conn_id
        self.wait_for_completion = wait_for_completion
        self.deferrable = deferrable
        self.poll_interval = check_seconds("poll_interval", poll_interval)
        self.timeout = check_seconds("timeout", timeout)

    @abstractmethod
    def data_asset_params(self, read: ReadField = as_rendered) -> DataAssetParams:
        """Build what to create.

        :param read: reads the value of a template field; a constructor passes ``known_now`` to check, as
            early as it can, what is known before templates are rendered.
        :returns: the parameters.
        :raises ValueError: where an argument is wrong, naming it.
        """

    def execute(self, context: Context) -> dict[str, Any]:
        """Create the data asset, and wait for it if asked to."""
        self.codeocean_url = ""
        hook = CodeOceanHook(self.codeocean_conn_id)
        with no_retry_for_what_it_cannot_mend():
            params = self.data_asset_params()
            with hook.get_conn() as client:
                asset = client.data_assets.create(params)
            context["ti"].xcom_push(key="data_asset_id", value=asset.id)
            url = self.show_data_asset(context, client.url, asset.id)
            self.log.info("Created data asset %s (%s): %s", asset.id, asset.name, url)
            if self.wait_for_completion:
                deadline = deadline_after(
                    self.timeout,
                    execution_timeout=self.execution_timeout,
                    started=context["ti"].start_date,
                )
                if self.deferrable:
                    self._defer(asset.id, deadline)
                asset = hook.wait_for_data_asset(
                    asset.id, poll_interval=self.poll_interval, deadline=deadline
                )
        return as_xcom(asset, url)

    def execute_complete(self, context: Context, event: DataAssetEvent) -> dict[str, Any]:
        """Conclude from what the trigger saw, and from what the data asset is by now."""
        hook = CodeOceanHook(self.codeocean_conn_id)
        with no_retry_for_what_it_cannot_mend():
            url = self.show_data_asset(context, hook.url, event["data_asset_id"])
            asset = hook.conclude_wait(event, poll_interval=self.poll_interval)
        self.log.info("Data asset %s is ready: %s files, %s bytes", asset.id, asset.files, asset.size)
        return as_xcom(asset, url)

    def _defer(self, data_asset_id: str, deadline: float) -> None:
        self.defer(
            trigger=CodeOceanDataAssetTrigger(
                data_asset_id=data_asset_id,
                codeocean_conn_id=self.codeocean_conn_id,
                poll_interval=self.poll_interval,
                deadline=deadline,
            ),
            method_name="execute_complete",
            timeout=timedelta(seconds=max(0.0, deadline - time.time()) + GRACE),
        )
