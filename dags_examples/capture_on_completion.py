"""Capture each computation of a capsule that succeeds, whoever has started it, and share it with a group.

Set ``CODEOCEAN_WATCHED_CAPSULE_ID`` to the id of the capsule and ``CODEOCEAN_GROUP`` to the group, and switch
the DAG on: nobody triggers it. Airflow 3.0 or later; before 3.3 it needs ``since``.
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
    is_paused_upon_creation=True,  # it looks as long as it is on
    tags=["codeocean"],
)
