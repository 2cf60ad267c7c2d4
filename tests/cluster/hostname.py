"""What Airflow takes for its host's name: a name for each component."""

from __future__ import annotations

import os


def get_hostname() -> str:
    """Return the name of the component that this process belongs to."""
    return os.environ["CLUSTER_HOST"]
