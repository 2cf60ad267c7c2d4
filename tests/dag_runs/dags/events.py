"""DAGs that asset watchers start. Tests can start them too, because the DAGs do not read the events."""

from __future__ import annotations

import os

from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_0_PLUS

CAPSULE = os.environ.get("CODEOCEAN_CAPSULE_ID", "c1")
TASK_ARGUMENTS = {"retries": 0, "poll_interval": 0.01}

DAGS = []
if AIRFLOW_V_3_0_PLUS:
    from airflow_provider_codeocean.dags.capture_on_completion import capture_on_completion

    DAGS += [
        capture_on_completion(
            "capture_finished",
            capsule_id=CAPSULE,
            name=os.environ.get("NAME", "{{ computation.name }} of {{ computation.id }}"),
            description="{{ computation.parameters | length }} parameters",
            since=float(os.environ.get("SINCE", "0")),
            capture={"tags": ["finished"], "on_no_results": "fail"},
            share_with={"everyone": "viewer"},
            limit=3,
            operator_kwargs=TASK_ARGUMENTS,
            deferrable=False,
        ),
    ]
