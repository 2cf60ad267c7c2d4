"""The load: waits, captures and events that come and go at a steady rate, with faults mixed in."""

from __future__ import annotations

import json
import time
import uuid
from collections import Counter
from typing import TYPE_CHECKING, Any

from airflow_provider_codeocean.api._http.library import httpx
from scripts.http_json import HttpError

if TYPE_CHECKING:
    from scripts.emulator_process import EmulatorProcess
    from scripts.real_airflow import RealAirflow

#: Waits that begin together, seconds between two such batches, and for how long a wait stands. None begin
#: where so many stand, as they do on a machine that is too slow to end as many as begin: the load is steady.
BATCH_SIZE, BATCH_INTERVAL_SECONDS, MAX_CONCURRENT_WAITS = 20, 10.0, 300
WAIT_POLICY = {"seconds": 60.0, "jitter": 180.0}
#: Seconds between two captures, and for how long one is under way.
CAPTURE_INTERVAL_SECONDS = 10.0
CAPTURE_POLICY = {"seconds": 20.0, "jitter": 40.0}
#: What goes wrong, and for which share of the requests.
FAULTS: tuple[dict[str, Any], ...] = (
    {"kind": "status", "status": 429, "retry_after": 1, "probability": 0.01},
    {"kind": "status", "status": 503, "probability": 0.01},
    {"kind": "close_before", "probability": 0.005},
    {"kind": "close_after", "probability": 0.005},
)
#: Seconds for a DAG run to be created.
_CREATE_RUN_TIMEOUT_SECONDS = 600.0
_ACTIVE_RUNS_QUERY = (
    "SELECT COUNT(*) FROM dag_run WHERE dag_id LIKE 'soak%' AND state IN ('queued', 'running')"
)

_ACTIVE_WAITS_QUERY = (
    "SELECT COUNT(*) FROM dag_run JOIN task_instance USING (dag_id, run_id)"
    " WHERE dag_id = 'soak_waits' AND dag_run.state IN ('queued', 'running')"
    " AND COALESCE(task_instance.state, '') != 'success'"
)
_WATCHERS_QUERY = "SELECT 1 FROM asset_state_store WHERE key = 'codeocean_seen'"


class LoadGenerator:
    """Begins what is due, and knows what it has begun.

    :param airflow: where.
    :param emulator: Code Ocean.
    :ivar waits: how many waits were begun.
    :ivar computations: the computations whose results were to be captured.
    """

    def __init__(self, airflow: RealAirflow, emulator: EmulatorProcess) -> None:
        self.waits = 0
        self.computations: list[str] = []
        self._airflow = airflow
        self._emulator = emulator
        self._next_batch = self._next_capture = 0.0

    def watchers_have_baseline(self) -> bool:
        """Tell whether both watchers have looked once, so that what comes now is new to them."""
        return len(self._airflow.database.query(_WATCHERS_QUERY)) == 2

    def start_due_work(self) -> None:
        """Begin a batch of waits, or a capture, if it is time."""
        now = time.monotonic()
        if now >= self._next_batch:
            self._next_batch = now + BATCH_INTERVAL_SECONDS
            if self.count_active_waits() <= MAX_CONCURRENT_WAITS - BATCH_SIZE:
                self.start_waits(WAIT_POLICY)
        if now >= self._next_capture:
            self._next_capture = now + CAPTURE_INTERVAL_SECONDS
            self.start_capture()

    def start_waits(self, policy: dict[str, float]) -> None:
        """Begin a batch of waits.

        :param policy: how long they stand, as the emulator takes it.
        """
        seed = {"count": BATCH_SIZE, "policy": policy}
        assets = self._emulator.call_api("POST", "/_emulator/data_assets", seed)["data_assets"]
        self._trigger("soak_waits", {"ids": [each["id"] for each in assets]})
        self.waits += BATCH_SIZE

    def start_capture(self) -> None:
        """Let a computation finish, and begin to capture it."""
        (made,) = self._emulator.call_api("POST", "/_emulator/computations", {})["computations"]
        self._trigger("soak_captures", {"id": made["id"]})
        self.computations.append(made["id"])

    def _trigger(self, dag_id: str, conf: dict[str, Any]) -> None:
        """Create a DAG run, once, although a busy Airflow may not answer in time, and create it later."""
        run_id = f"soak__{uuid.uuid4().hex[:12]}"

        def created() -> bool:
            if self._airflow.database.run_state(dag_id, run_id) != "none":
                return True
            try:
                self._airflow.trigger(dag_id, conf=conf, run_id=run_id)
            except (
                OSError,
                httpx.TransportError,
                HttpError,
            ) as error:  # the next question is whether it is there all the same
                print(f"{dag_id} {run_id} is not known to have been created: {error}", flush=True)
            return False

        self._airflow.wait_until(
            created, description=f"the run {run_id} of {dag_id}", timeout=_CREATE_RUN_TIMEOUT_SECONDS
        )

    def count_active_waits(self) -> int:
        """Tell how many waits have begun and not ended."""
        return int(self._airflow.database.query(_ACTIVE_WAITS_QUERY)[0][0])

    def is_drained(self) -> bool:
        """Tell whether all that was begun has ended."""
        return self._airflow.database.query(_ACTIVE_RUNS_QUERY) == [(0,)]

    def all_events_received(self) -> bool:
        """Tell whether the watchers have told of all computations and captures."""
        return all(len(told) >= len(self.computations) for told in self._count_events().values())

    def find_losses(self) -> list[str]:
        """Say what was lost, failed, or came about twice.

        :returns: sentences; none where all is well.
        """
        wrong = []
        states = self._count_states()
        wanted = {
            ("soak_waits", "success"): self.waits,
            ("soak_captures", "success"): len(self.computations),
        }
        if states != wanted:
            wrong.append(f"tasks have ended otherwise than {wanted}: {states}")
        captured = Counter(each["provenance"]["computation"] for each in self._captured_assets())
        if captured != Counter(self.computations):
            odd = {each: captured[each] for each in self.computations if captured[each] != 1}
            wrong.append(f"not captured once: {odd or set(captured) - set(self.computations)}")
        for asset, told in self._count_events().items():
            if len(told) != len(self.computations) or set(told.values()) != {1}:
                wrong.append(f"{asset}: {len(told)} told of {len(self.computations)}: {told.most_common(3)}")
        return wrong

    def _count_states(self) -> dict[tuple[str, str], int]:
        rows = self._airflow.database.query(
            "SELECT dag_id, state, COUNT(*) FROM task_instance"
            " WHERE dag_id IN ('soak_waits', 'soak_captures') GROUP BY dag_id, state"
        )
        return {(dag_id, state): count for dag_id, state, count in rows}

    def _captured_assets(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._emulator.call_api(
            "POST", "/api/v1/data_assets/search", {"limit": 1000, "query": 'tag:"soak"'}
        )["results"]
        return [each for each in found if each["state"] == "ready"]

    def _count_events(self) -> dict[str, Counter[str]]:
        told: dict[str, Counter[str]] = {"soak_finished": Counter(), "soak_captured": Counter()}
        kinds = {"soak_finished": "computations", "soak_captured": "data_assets"}
        rows = self._airflow.database.query(
            "SELECT asset.name, asset_event.extra FROM asset_event"
            " JOIN asset ON asset.id = asset_event.asset_id"
        )
        for name, extra in rows:
            told[name].update(each["id"] for each in json.loads(extra)["payload"][kinds[name]])
        return told
