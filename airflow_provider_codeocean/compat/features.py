"""Differences between Airflow releases. The only module that asks which release is running.

``docs/compatibility.md`` shows these declarations; ``tests/compat/test_features.py`` verifies them against
Airflow's own code.
"""

from __future__ import annotations

from enum import Enum

from airflow.providers.common.compat.version_compat import get_base_airflow_version_tuple

#: The running Airflow release: major, minor.
AIRFLOW_VERSION: tuple[int, int] = get_base_airflow_version_tuple()[:2]


class Feature(Enum):
    """A feature that Airflow has since some release.

    :param since: the first release that has it: major, minor.
    :param title: a short name.
    :param behavior: the provider's behavior with the feature.
    :param fallback: the provider's behavior in earlier releases.
    """

    ASSET_WATCHERS = (
        (3, 0),
        "Asset watchers",
        "DAGs start when computations finish or data assets are ready (`capture_on_completion`)",
        "not available: importing them raises an error. Schedule a DAG with a sensor instead",
    )
    ASSET_REFERENCES = (
        (3, 0),
        "Asset references as outlets",
        "`Asset.ref(…)` as an outlet gets the data asset in its event, like an asset",
        "not available",
    )
    TASK_EXECUTION_API = (
        (3, 0),
        "Task Execution API",
        "triggers ask the API for the state of their task",
        "triggers read it from Airflow's database",
    )
    SUPERSEDED_ATTEMPTS_REJECTED = (
        (3, 0),
        "Zombie attempts are rejected",
        "Airflow ignores state updates from a superseded attempt",
        "Airflow accepts them. So an attempt checks whether a later one has started, and adopts its job",
    )
    ALIAS_EVENTS_HOLD_JSON = (
        (3, 1),
        "Lists and mappings in events of an alias",
        "`provenance` and similar fields are lists and mappings",
        "on 3.0 they are JSON texts; on 2.11 they are lists and mappings",
    )
    LINEAGE_READERS_IN_SDK = (
        (3, 2),
        "Lineage plugins in the Task SDK",
        "the hook asks the Task SDK whether a plugin reads hook lineage",
        "it asks Airflow's plugin manager",
    )
    SEPARATE_TASK_STATS = (
        (3, 2),
        "Separate metrics for tasks and triggerer",
        "metrics of waits go to the triggerer's backend",
        "both use the same backend",
    )
    TASK_STATE_STORE = (
        (3, 3),
        "Task state",
        "a retry reads the id of the job that an earlier attempt submitted",
        "a retry searches for the job by its idempotency key until the search index has settled",
    )
    ASSET_STATE_STORE = (
        (3, 3),
        "Asset state",
        "watchers remember across restarts what they have reported; claims are in the asset's state",
        "watchers remember while they run, and need `since` to miss nothing; claims are in a Variable",
    )
    SHARED_STREAMS = (
        (3, 3),
        "Shared streams of watchers",
        "watchers of the same capsule, pipeline, or search share one stream of polls",
        "each has its own stream, on the poller that all waits of a connection share",
    )
    TRIGGER_ON_KILL = (
        (3, 3),
        "`on_kill` in the triggerer",
        "Airflow calls it when a user ends the task",
        "a cancelled trigger asks for the state of its task",
    )
    START_FROM_TRIGGER = (
        (3, 3),
        "Start from the triggerer, with templates",
        "sensors with `start_from_trigger=True` need no worker, also when mapped",
        "they start and end in a worker, defer in between, and log a warning",
    )
    RETRY_POLICY = (
        (3, 3),
        "Retry policies",
        "`codeocean_retry_policy` decides by the error whether a task is retried, and when",
        "not available: the function raises an error. Use `retries` and `retry_delay`",
    )

    def __init__(self, since: tuple[int, int], title: str, behavior: str, fallback: str) -> None:
        self.since = since
        self.title = title
        self.behavior = behavior
        self.fallback = fallback

    @property
    def is_available(self) -> bool:
        """Whether the running Airflow release has it."""
        return self.since <= AIRFLOW_VERSION
