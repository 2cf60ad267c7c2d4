"""What Airflow has from one release on. The only module that asks which one is running.

``docs/compatibility.md`` shows these declarations; ``tests/compat/test_features.py`` looks in Airflow's own
code whether they are true.
"""

from __future__ import annotations

from enum import Enum

from airflow.providers.common.compat.version_compat import get_base_airflow_version_tuple

#: The Airflow that is running: major, minor.
RUNNING: tuple[int, int] = get_base_airflow_version_tuple()[:2]


class Feature(Enum):
    """Something that Airflow has from one release on.

    :param since: the first release that has it: major, minor.
    :param title: what it is, in a few words.
    :param there: what the provider makes of it.
    :param before: what there is in the releases before.
    """

    ASSET_WATCHERS = (
        (3, 0),
        "Asset watchers",
        "DAGs start when computations finish or data assets are ready (`capture_on_completion`)",
        "none: importing these fails and says so; schedule a DAG with a sensor",
    )
    ASSET_REFERENCES = (
        (3, 0),
        "References to assets as outlets",
        "`Asset.ref(…)` as an outlet gets the data asset in its event, as an asset does",
        "there are no references",
    )
    TASK_API = (
        (3, 0),
        "Tasks and triggers behind an API",
        "the triggerer's supervisor tells the state of a task",
        "it is read from Airflow's database",
    )
    LATE_TRIES_REFUSED = (
        (3, 0),
        "A try that was given up is not heard",
        "a process that was taken for dead cannot end its task any more",
        "it still does: it asks whether a later try has begun, and looks for what that has made",
    )
    ALIAS_EVENTS_HOLD_JSON = (
        (3, 1),
        "Lists and mappings in events under an alias",
        "`provenance` and the like arrive as they are",
        "on 3.0 they arrive as JSON texts; on 2.11 as they are",
    )
    LINEAGE_READERS_IN_SDK = (
        (3, 2),
        "Plugins that read lineage, known to the Task SDK",
        "the hook asks there whether anybody wants its lineage",
        "it asks Airflow's plugin manager",
    )
    STATS_OF_TASKS_APART = (
        (3, 2),
        "Metrics of tasks and of the triggerer apart",
        "what is measured in the triggerer goes to the triggerer's own",
        "both go to the same",
    )
    TASK_STATE = (
        (3, 3),
        "Durable state of tasks",
        "a retry goes on with the very id that an earlier try wrote down",
        "a retry looks for what an earlier try made, by its key, until the index has settled",
    )
    ASSET_STATE = (
        (3, 3),
        "State of assets",
        "watchers remember what they have told across restarts; what was taken is kept with the asset",
        "watchers remember in memory, and need `since` to miss nothing; what was taken is kept in a Variable",
    )
    SHARED_STREAMS = (
        (3, 3),
        "Shared streams of watchers",
        "watchers of the same thing share one stream of looks",
        "each has its own, over the poller that all waits of a connection share",
    )
    TRIGGER_ON_KILL = (
        (3, 3),
        "`on_kill` in the triggerer",
        "the triggerer says that a user has ended the task",
        "the trigger notices that it was cancelled, and asks what became of its task",
    )
    STARTS_IN_TRIGGERER = (
        (3, 3),
        "Start from the triggerer, with templates",
        "sensors with `start_from_trigger=True` begin and end without a worker, plain and mapped",
        "they begin and end in a worker, deferred meanwhile, and say so",
    )

    def __init__(self, since: tuple[int, int], title: str, there: str, before: str) -> None:
        self.since = since
        self.title = title
        self.there = there
        self.before = before

    @property
    def is_there(self) -> bool:
        """Whether the Airflow that is running has it."""
        return self.since <= RUNNING
