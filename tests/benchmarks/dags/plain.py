"""A capture as it is written without this provider's operator: POST, then poll or defer."""

from __future__ import annotations

import time
from datetime import timedelta

from airflow.providers.common.compat.sdk import DAG, AirflowException, BaseOperator
from crash_observed import Observed

from airflow_provider_codeocean.api.models.data_asset_params import DataAssetParams
from airflow_provider_codeocean.hooks.codeocean import CodeOceanHook
from airflow_provider_codeocean.outcomes import to_xcom
from airflow_provider_codeocean.triggers.data_asset import CodeOceanDataAssetTrigger


class PlainCapture(BaseOperator):
    """What deferrable operators do as a rule: submit in every try, and remember nothing."""

    template_fields = ("codeocean_conn_id", "computation_id")

    def __init__(self, *, codeocean_conn_id, computation_id, deferrable, **kwargs):
        super().__init__(**kwargs)
        self.codeocean_conn_id = codeocean_conn_id
        self.computation_id = computation_id
        self.deferrable = deferrable

    def execute(self, context):
        """Submit, and wait."""
        source = {"computation": {"id": self.computation_id}}
        params = {"name": "captured", "mount": "captured", "tags": [], "source": source}
        with CodeOceanHook(self.codeocean_conn_id).get_conn() as client:
            asset = client.data_assets.create(DataAssetParams.model_validate(params))
            if self.deferrable:
                self.defer(
                    trigger=CodeOceanDataAssetTrigger(
                        asset.id, codeocean_conn_id=self.codeocean_conn_id, poll_interval=0.5
                    ),
                    method_name="execute_complete",
                )
            while asset.state == "draft":
                time.sleep(0.5)
                asset = client.data_assets.get(asset.id)
        if asset.state != "ready":
            raise AirflowException(asset.failure_reason)
        return to_xcom(asset, "")

    def execute_complete(self, context, event):
        """Conclude from the event."""
        if event["status"] != "success":
            raise AirflowException(event["message"])
        with CodeOceanHook(self.codeocean_conn_id).get_conn() as client:
            return to_xcom(client.data_assets.get(event["data_asset_id"]), "")


class ObservedCapture(Observed, PlainCapture):
    """The operator, observed."""


for mode in ("sync", "deferred"):
    with DAG(f"plain_{mode}", schedule=None, params={"connection": "", "computation_id": ""}):
        ObservedCapture(
            task_id="capture",
            codeocean_conn_id="{{ params.connection }}",
            computation_id="{{ params.computation_id }}",
            deferrable=mode == "deferred",
            retries=3,
            retry_delay=timedelta(seconds=1),
        )
