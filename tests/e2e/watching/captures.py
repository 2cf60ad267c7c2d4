"""Captures what finishes in the capsule of the test."""

import os

from airflow_provider_codeocean.dags.capture_on_completion import capture_on_completion

since = os.environ.get("WATCHED_SINCE")

captures = capture_on_completion(
    "captures",
    capsule_id=os.environ["WATCHED_CAPSULE"],
    name="{{ computation.name }}",
    since=float(since) if since else None,
    capture={"tags": ["finished"]},
    limit=int(os.environ["WATCHED_LIMIT"]),
    poll_interval=1.0,
    deferrable=False,
)
