"""Capture every successful computation of a capsule, and share the results with a group.

Set ``CODEOCEAN_WATCHED_CAPSULE_ID`` and ``CODEOCEAN_GROUP``, and unpause the DAG. It starts by itself
whenever computations finish. Requires Airflow 3.0; before 3.3, ``since`` is required.
"""

from __future__ import annotations

import os

from airflow_provider_codeocean.dags.capture_on_completion import capture_on_completion

dag = capture_on_completion(
    "capture_on_completion",
    capsule_id=os.environ.get("CODEOCEAN_WATCHED_CAPSULE_ID", "no-capsule-yet"),
    name="{{ computation.name }} ({{ computation.id[:8] }})",
    since="2026-01-01T00:00:00+00:00",
    capture={"tags": ["on completion"]},
    share_with={"groups": [{"group": os.environ.get("CODEOCEAN_GROUP", "lab"), "role": "viewer"}]},
    poll_interval=10,
    is_paused_upon_creation=True,  # while it is unpaused, it polls Code Ocean
    tags=["codeocean"],
)
