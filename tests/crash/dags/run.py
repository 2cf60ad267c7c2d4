"""A run of a capsule as users write it, waiting in the worker and deferred."""

from __future__ import annotations

from datetime import timedelta

from airflow.providers.common.compat.sdk import DAG
from crash_observed import CrashHooksMixin

from airflow_provider_codeocean.operators.computation import CodeOceanRunCapsuleOperator


class ObservedRun(CrashHooksMixin, CodeOceanRunCapsuleOperator):
    """The operator, observed."""

    def send_probe(self, client):
        """Ask something before anything else."""
        client.capsules.get(self.capsule_id)


for mode in ("sync", "deferred"):
    with DAG(f"run_{mode}", schedule=None, params={"connection": "", "capsule_id": ""}):
        ObservedRun(
            task_id="run",
            codeocean_conn_id="{{ params.connection }}",
            capsule_id="{{ params.capsule_id }}",
            name="ran",
            parameters={"threshold": 5},
            deferrable=mode == "deferred",
            poll_interval=0.5,
            retries=5,
            retry_delay=timedelta(seconds=1),
        )
