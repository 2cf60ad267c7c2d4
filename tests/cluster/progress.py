"""How far the run is, as Airflow's metadata database tells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scripts.airflow_database import MetadataDatabase

DAG_ID, TASK_ID = "cluster_captures", "capture"


@dataclass(frozen=True)
class Progress:
    """One look at the run.

    :param states: how many captures are in each state.
    :param submitted: number of tasks that have submitted their data asset, whatever their state is now.
    :param waits: how many waits each living triggerer has, by its host.
    :param running: how many captures run on each worker, by its host.
    """

    states: dict[str, int]
    submitted: int
    waits: dict[str, int]
    running: dict[str, int]

    @property
    def succeeded(self) -> int:
        """How many captures have ended with success."""
        return self.states.get("success", 0)


def read_progress(database: MetadataDatabase, run_id: str) -> Progress:
    """Look at the run.

    :param database: the metadata database.
    :param run_id: the run.
    :returns: how far it is.
    """
    rows = database.query(
        "SELECT COALESCE(state, 'none'), hostname, count(*),"
        " count(CASE WHEN state = 'success' OR next_method IS NOT NULL THEN 1 END) FROM task_instance"
        " WHERE run_id = ? AND task_id = ? AND map_index >= 0 GROUP BY state, hostname",
        run_id,
        TASK_ID,
    )
    waits = database.query(
        "SELECT job.hostname, count(*) FROM trigger JOIN job ON job.id = trigger.triggerer_id"
        " GROUP BY job.hostname"
    )
    states: dict[str, int] = {}
    for state, _, count, _ in rows:
        states[state] = states.get(state, 0) + count
    return Progress(
        states,
        submitted=sum(row[3] for row in rows),
        waits=dict(waits),
        running={host: count for state, host, count, _ in rows if state == "running"},
    )
