"""Triggers of asset watchers: one event per poll, each result once, and the stored state."""

from __future__ import annotations

import asyncio
import inspect
import json
import time
from collections import defaultdict
from contextlib import aclosing, suppress
from datetime import UTC, datetime
from importlib.metadata import version
from itertools import count

import pytest
from airflow.providers.common.compat.sdk import Asset

from airflow_provider_codeocean.api.models.computation import Computation
from airflow_provider_codeocean.compat.state import watched_asset_states
from airflow_provider_codeocean.emulator import Policy
from airflow_provider_codeocean.emulator.seeding.bulk import (
    ComputationSeed,
    DataAssetSeed,
    seed_computations,
    seed_data_assets,
)
from airflow_provider_codeocean.events.seen_set import BASELINE_KEY, SEEN_KEY, SeenSet

AIRFLOW = tuple(map(int, version("apache-airflow").split(".")[:2]))
if AIRFLOW < (3, 0):
    pytest.skip("Airflow 2 has no asset watchers", allow_module_level=True)
else:
    from airflow.triggers.base import BaseEventTrigger

    from airflow_provider_codeocean.triggers import _event_base
    from airflow_provider_codeocean.triggers._event_base import Snapshot, SnapshotProducer
    from airflow_provider_codeocean.triggers.events import (
        CodeOceanComputationsFinishedTrigger,
        CodeOceanDataAssetsReadyTrigger,
    )

needs_asset_state = pytest.mark.skipif(AIRFLOW < (3, 3), reason="assets have a state from Airflow 3.3 on")
POLL_INTERVAL_SECONDS = 0.02


async def wait_until(condition):
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0.005)


@pytest.fixture
def finish(code_ocean):
    """Finish computations of the emulator's capsule, and return their ids."""

    def finish(many=1, **fields):
        seed = ComputationSeed(count=many, **fields)
        return [computation.id for computation in seed_computations(code_ocean.emulator, seed)]

    return finish


@pytest.fixture
def poll_count(code_ocean):
    """Return the number of requests for the computations of the capsule."""

    def poll_count():
        requests = code_ocean.emulator.traffic.requests
        return sum(requests[path] for path in requests if path.endswith("/computations") and "GET" in path)

    return poll_count


@pytest.fixture
def watch(code_ocean):
    """Return a trigger that watches the emulator's capsule."""
    capsule_id = code_ocean.env["CODEOCEAN_CAPSULE_ID"]

    def make(**arguments):
        return CodeOceanComputationsFinishedTrigger(
            capsule_id=capsule_id, **{"poll_interval": POLL_INTERVAL_SECONDS, **arguments}
        )

    return make


def reported_ids(event):
    return [computation["id"] for computation in event.payload["computations"]]


@pytest.mark.parametrize(
    "make",
    [
        lambda: CodeOceanComputationsFinishedTrigger(capsule_id="c1"),
        lambda: CodeOceanComputationsFinishedTrigger(
            pipeline_id="p1",
            status="any",
            since=datetime(2026, 1, 31, tzinfo=UTC),
            watcher="w",
            codeocean_conn_id="lab",
            poll_interval=5,
        ),
        lambda: CodeOceanDataAssetsReadyTrigger(
            {"query": "tag:x", "filters": [{"key": "name", "value": "n"}]}, since="2026-01-31T00:00:00Z"
        ),
    ],
)
def test_serialize_returns_json_that_recreates_trigger(make):
    path, arguments = make().serialize()
    assert json.loads(json.dumps(arguments)) == arguments
    assert BaseEventTrigger.hash(path, arguments) == BaseEventTrigger.hash(*make().serialize())
    again = type(make())(**arguments)
    assert again.serialize() == (path, arguments)
    assert again.since in {None, datetime(2026, 1, 31, tzinfo=UTC).timestamp()}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "give exactly one of capsule_id, pipeline_id, got none"),
        ({"capsule_id": "c", "pipeline_id": "p"}, "give exactly one of capsule_id, pipeline_id"),
        ({"capsule_id": " "}, "exactly one of capsule_id, pipeline_id, got none"),
        ({"capsule_id": "c", "status": "stopped"}, "status must be one of 'succeeded', 'failed', 'any'"),
        ({"capsule_id": "c", "poll_interval": 0}, "poll_interval must be a number of seconds"),
        ({"capsule_id": "c", "since": "2026-01-31"}, "since must be a time with a zone"),
        ({"capsule_id": "c", "since": datetime(2026, 1, 31)}, "since must be a time with a zone"),  # noqa: DTZ001
        ({"capsule_id": "c", "codeocean_conn_id": ""}, "codeocean_conn_id: must not be empty"),
        ({"capsule_id": "{{ var.value.c }}"}, "capsule_id must not be a template"),
        ({"capsule_id": "c", "codeocean_conn_id": "{{ x }}"}, "codeocean_conn_id must not be a template"),
    ],
)
def test_computations_trigger_with_invalid_arguments_raises(arguments, message):
    with pytest.raises(ValueError, match=message):
        CodeOceanComputationsFinishedTrigger(**arguments)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"querry": "x"}, "does not take 'querry'; it takes query, "),
        ({"limit": 10}, "params: remove 'limit', which the trigger sets itself"),
        ({"query": "tag:{{ ds }}"}, "params must not be a template"),
        ("tag:x", "must be a mapping"),
    ],
)
def test_data_assets_trigger_with_invalid_search_raises(params, message):
    with pytest.raises(ValueError, match=message):
        CodeOceanDataAssetsReadyTrigger(params)


async def test_watch_with_many_new_computations_emits_one_event_without_old_ones(watch, finish, poll_count):
    finish(5)
    async with aclosing(watch().run()) as events:
        event = asyncio.create_task(anext(events))
        await wait_until(lambda: poll_count() >= 2)
        new = finish(300)
        event = await event
        assert sorted(reported_ids(event)) == sorted(new)
        another = asyncio.create_task(anext(events))
        before = poll_count()
        await wait_until(lambda: poll_count() >= before + 3)
        assert not another.done()  # no result is reported twice
        [last] = finish()
        assert reported_ids(await another) == [last]


async def test_event_payload_contains_all_computation_fields(watch, finish):
    async with aclosing(watch(since=0).run()) as events:
        [new] = finish(name="sorted")
        payload = (await anext(events)).payload
    assert json.loads(json.dumps(payload)) == payload
    [one] = [computation for computation in payload["computations"] if computation["id"] == new]
    assert (one["name"], one["state"], one["end_status"], one["exit_code"]) == (
        "sorted 0",
        "completed",
        "succeeded",
        0,
    )
    assert {"created", "run_time", "parameters", "data_assets", "has_results", "owner"} <= one.keys()


async def test_watch_with_since_reports_computations_created_since(watch, finish, code_ocean):
    finish(5, age=1000.0)
    since = code_ocean.emulator.now() - 500
    async with aclosing(watch(since=since).run()) as events:
        event = await anext(events)
    assert reported_ids(event)
    assert all(computation["created"] >= since - 1 for computation in event.payload["computations"])


@pytest.mark.parametrize(
    ("status", "wanted"),
    [("succeeded", {"well"}), ("failed", {"badly", "stopped", "crashed"}), ("any", None)],
)
async def test_watch_with_status_filters_by_outcome(watch, finish, status, wanted):
    finish(name="going", policy=Policy(seconds=3600))
    finish(name="well")
    finish(name="badly", end_status="failed", exit_code=1)
    finish(name="stopped", end_status="stopped")
    finish(name="crashed", crashed=True, end_status=None)
    async with aclosing(watch(since=0, status=status).run()) as events:
        event = await anext(events)
    names = {computation["name"].removesuffix(" 0") for computation in event.payload["computations"]}
    assert names >= (wanted or {"well", "badly", "stopped", "crashed"})
    assert "going" not in names
    if wanted:
        assert not names & ({"well", "badly", "stopped", "crashed"} - wanted)


def test_select_drops_workstations_and_computations_without_id():
    trigger = CodeOceanComputationsFinishedTrigger(capsule_id="c1", since=100)
    over = {"state": "completed", "end_status": "succeeded"}
    found = [
        Computation(id="late", created=200, **over),
        Computation(id="early", created=100, **over),
        Computation(id="unknown when", **over),
        Computation(id="old", created=99, **over),
        Computation(id="workstation", created=200, cloud_workstation=True, **over),
        Computation(id="", created=200, **over),
        Computation(id="late", created=200, **over),
    ]
    assert [computation.id for computation in trigger.select(found)] == ["unknown when", "early", "late"]


async def test_watch_data_assets_reports_them_when_ready(code_ocean):
    seed = DataAssetSeed(count=3, tags=("watched",), policy=Policy(seconds=0.3))
    trigger = CodeOceanDataAssetsReadyTrigger({"query": "tag:watched"}, poll_interval=POLL_INTERVAL_SECONDS)
    seed_data_assets(code_ocean.emulator, DataAssetSeed(count=2, tags=("watched",)))
    async with aclosing(trigger.run()) as events:
        event = asyncio.create_task(anext(events))
        requests = code_ocean.emulator.traffic.requests
        await wait_until(lambda: requests["POST /api/v1/data_assets/search"] >= 2)
        new = seed_data_assets(code_ocean.emulator, seed)
        seed_data_assets(code_ocean.emulator, DataAssetSeed(tags=("watched",), failure_reason="no"))
        payload = (await event).payload
        data_assets = payload["data_assets"]
        while len(data_assets) < len(new):  # a poll may return only some of them
            data_assets = [*data_assets, *(await anext(events)).payload["data_assets"]]
    assert sorted(asset["id"] for asset in data_assets) == sorted(asset.id for asset in new)
    assert payload["params"] == {"query": "tag:watched"}
    assert data_assets[0]["tags"] == ["watched"]


def test_watch_in_second_event_loop_works(watch, finish):
    async def first_event():
        async with aclosing(watch(since=0).run()) as events:
            return reported_ids(await anext(events))

    finish()
    assert asyncio.run(first_event()) == asyncio.run(first_event()) != []


def computation(identifier, **fields):
    return Computation(id=identifier, **{"state": "completed", "end_status": "succeeded", **fields})


async def reported(trigger, *polls):
    """Return the ids that a trigger reports after polls with these results."""

    async def snapshots():
        for found in polls:
            yield Snapshot(found)

    return [reported_ids(event) async for event in trigger.filter_shared_stream(snapshots())]


@pytest.mark.fault("A14")
@pytest.mark.parametrize("empty_polls", [1, 2, 3, 10])
async def test_watch_first_polls_empty_reports_only_later_computations(watch, empty_polls):
    now = time.time()
    history = [computation(f"old {number}", created=now - 10 - number, run_time=5) for number in range(50)]
    later = computation("later", created=now + 1)
    long = computation("ended since", created=now - 3600, run_time=3700)
    assert await reported(watch(), *[[]] * empty_polls, history, [*history, later]) == [["later"]]
    assert await reported(watch(), *[[]] * empty_polls, [*history, long, later]) == [["ended since", "later"]]


@pytest.mark.fault("A14")
@pytest.mark.parametrize(("empty_polls", "expected"), [(1, []), (3, [["a"]])])
async def test_watch_computation_without_time_is_new_after_confirmed_empty_list(watch, empty_polls, expected):
    assert await reported(watch(), *[[]] * empty_polls, [computation("a")], [computation("a")]) == expected


@pytest.mark.fault("A14")
async def test_watch_first_poll_with_pending_computation_reports_its_end(watch):
    pending = Computation(id="a", created=time.time() - 60, state="running")
    ended = computation("a", created=pending.created, run_time=1)
    assert await reported(watch(), [pending], [ended]) == [["a"]]


@pytest.mark.fault("A14")
async def test_watch_with_since_and_empty_first_poll_reports_all_since(watch):
    assert await reported(watch(since=0), [], [computation("a", created=1)]) == [["a"]]


class Airflow:
    """A triggerer with Airflow's own streams; the test decides when the database stores events.

    :ivar states: stored values by asset and key, which survive the triggerer.
    """

    def __init__(self, monkeypatch):
        self.states = defaultdict(dict)
        self.is_out_of_reach = False
        self._monkeypatch = monkeypatch
        self.start()

    def start(self):
        from airflow.sdk.execution_time import task_runner
        from airflow.triggers.shared_stream import SharedStreamManager

        self.streams = SharedStreamManager(ack_timeout=1.0)
        self.events = []
        self.tasks = []
        self.unstored = []
        self._ids = count(1)
        self._monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", self, raising=False)

    async def asend(self, message):
        from airflow.sdk.exceptions import AirflowRuntimeError, ErrorType
        from airflow.sdk.execution_time.comms import (
            AssetStateStoreResult,
            DeleteAssetStateStoreByName,
            ErrorResponse,
            GetAssetStateStoreByName,
            OKResponse,
        )

        if self.is_out_of_reach:
            raise AirflowRuntimeError(ErrorResponse(error=ErrorType.API_SERVER_ERROR))
        state = self.states[message.name]
        if isinstance(message, DeleteAssetStateStoreByName):
            state.pop(message.key, None)
            return OKResponse(ok=True)
        if not isinstance(message, GetAssetStateStoreByName):
            state[message.key] = message.value
            return OKResponse(ok=True)
        if message.key not in state:
            return ErrorResponse(error=ErrorType.ASSET_STORE_NOT_FOUND)
        return AssetStateStoreResult(value=state[message.key])

    def store_of(self, *assets):
        from airflow.sdk.execution_time.context import AssetStateStoreAccessors

        return AssetStateStoreAccessors(inlets=[Asset(name) for name in assets])

    def watch(self, trigger, *assets):
        trigger.asset_state_store = self.store_of(*(assets or ["a"]))
        self.tasks.append(asyncio.create_task(self._run(next(self._ids), trigger)))

    async def _run(self, trigger_id, trigger):
        key = trigger.shared_stream_key()
        stream = self.streams.subscribe(trigger_id=trigger_id, trigger=trigger, key=key)
        try:
            async for event in trigger.filter_shared_stream(stream):
                seq = self.streams.bind_pending_event(trigger_id=trigger_id, key=key)
                assert seq is not None
                self.unstored.append((trigger.watcher, seq))
                self.events.append((trigger.watcher, reported_ids(event)))
        finally:
            await self.streams.unsubscribe(trigger_id, key)

    def store(self, watcher=None):
        """Store the events of one watcher in the database, and confirm it."""
        stored = [seq for whose, seq in self.unstored if watcher in (None, whose)]
        self.unstored = [event for event in self.unstored if event[1] not in stored]
        self.streams.confirm_persisted(stored)

    async def kill(self):
        for task in self.tasks:
            task.cancel()
        await asyncio.wait(self.tasks)
        await self.streams.stop_all()
        self.start()

    def has_stored(self, identifier, asset="a"):
        return SEEN_KEY in self.states[asset] and identifier in SeenSet.from_json(
            self.states[asset][SEEN_KEY]
        )


@pytest.fixture
async def airflow(monkeypatch, code_ocean):
    monkeypatch.setattr(_event_base, "_INITIAL_RETRY_SECONDS", 0.01)
    airflow = Airflow(monkeypatch)
    yield airflow
    with suppress(ValueError):
        await airflow.kill()


@needs_asset_state
async def test_seen_set_is_saved_after_event_is_stored_only(airflow, watch, finish, poll_count):
    airflow.watch(watch())
    await wait_until(lambda: SEEN_KEY in airflow.states["a"])
    [new] = finish()
    await wait_until(lambda: airflow.events)
    before = poll_count()
    await wait_until(lambda: poll_count() >= before + 3)
    assert not airflow.has_stored(new)
    airflow.store()
    await wait_until(lambda: airflow.has_stored(new))
    assert airflow.events == [(None, [new])]


@needs_asset_state
@pytest.mark.parametrize("stored", [False, True])
async def test_watch_after_kill_repeats_unstored_events_only(airflow, watch, finish, poll_count, stored):
    airflow.watch(watch())
    await wait_until(lambda: SEEN_KEY in airflow.states["a"])
    [first] = finish()
    await wait_until(lambda: airflow.events)
    if stored:
        airflow.store()
        await wait_until(lambda: airflow.has_stored(first))
    await airflow.kill()
    [meanwhile] = finish()
    airflow.watch(watch())
    await wait_until(lambda: airflow.events)
    [(_, again)] = airflow.events
    assert set(again) == ({meanwhile} if stored else {first, meanwhile})


@needs_asset_state
async def test_baseline_is_saved_at_first_poll(airflow, watch, finish):
    [old] = finish()
    airflow.is_out_of_reach = True
    airflow.watch(watch())
    await asyncio.sleep(0)
    airflow.is_out_of_reach = False
    await wait_until(lambda: SEEN_KEY in airflow.states["a"])
    assert old in SeenSet.from_json(airflow.states["a"][BASELINE_KEY])
    assert airflow.events == []


@needs_asset_state
async def test_baseline_with_since_is_not_saved(airflow, watch, finish):
    [old] = finish()
    airflow.watch(watch(since=0))
    await wait_until(lambda: airflow.events)
    airflow.store()
    await wait_until(lambda: airflow.has_stored(old))
    assert BASELINE_KEY not in airflow.states["a"]


@needs_asset_state
@pytest.mark.fault("A14")
async def test_watch_first_polls_empty_saves_history_in_baseline(airflow, watch):
    """The operator that claims finished computations must not claim the history either."""
    trigger, history = watch(), [computation("old", created=time.time() - 60)]
    trigger.asset_state_store = airflow.store_of("a")
    assert await reported(trigger, [], [], history) == []
    assert "old" in SeenSet.from_json(airflow.states["a"][BASELINE_KEY])
    trigger = watch()
    trigger.asset_state_store = airflow.store_of("b")
    assert await reported(trigger, [], []) == []
    assert "b" not in {asset for asset, state in airflow.states.items() if SEEN_KEY in state}
    assert await reported(trigger, [], [], [], history) == []
    assert "old" in SeenSet.from_json(airflow.states["b"][BASELINE_KEY])


@needs_asset_state
@pytest.mark.fault("A14")
async def test_watch_confirmed_empty_list_survives_restart(airflow, watch):
    trigger = watch()
    trigger.asset_state_store = airflow.store_of("a")
    assert await reported(trigger, [], [], []) == []
    trigger = watch()
    trigger.asset_state_store = airflow.store_of("a")
    assert await reported(trigger, [computation("meanwhile", created=time.time() - 1)]) == [["meanwhile"]]


@pytest.mark.long
@needs_asset_state
@pytest.mark.fault("D8")
@pytest.mark.timeout(240)
async def test_watch_100_000_computations_keeps_values_below_limit(airflow, watch, caplog):
    old = [computation(f"{number:08}-0000", created=1.0) for number in range(100_000)]
    trigger = watch()
    trigger.asset_state_store = airflow.store_of("a")
    assert await reported(trigger, old[:60_000]) == []
    trigger = watch()
    trigger.asset_state_store = airflow.store_of("a")
    await reported(trigger, old[:60_000])
    [asset_state] = watched_asset_states(trigger)
    for many in (80_000, 100_000):
        await asset_state.aset(
            SEEN_KEY, SeenSet().updated_with(computation.id for computation in old[:many]).to_json()
        )
    assert max(len(json.dumps(value)) for value in airflow.states["a"].values()) <= 65_536
    assert "exceeds configured max_value_storage_bytes" not in caplog.text
    pages = [key for key in airflow.states["a"] if key.startswith(f"{SEEN_KEY}_")]
    assert sorted(pages) == sorted(airflow.states["a"][SEEN_KEY]["pages"])  # without pages that were replaced
    trigger = watch()
    trigger.asset_state_store = airflow.store_of("a")
    new = computation("new", created=time.time())
    assert await reported(trigger, [*old, new]) == [["new"]]
    assert len(SeenSet.from_json(await asset_state.aget(BASELINE_KEY)).digests) == 60_000


@needs_asset_state
async def test_watch_with_unreachable_airflow_waits(airflow, watch, finish, poll_count, caplog):
    airflow.watch(watch())
    await wait_until(lambda: SEEN_KEY in airflow.states["a"])
    [new] = finish()
    await wait_until(lambda: airflow.events)
    airflow.is_out_of_reach = True
    airflow.store()
    await wait_until(lambda: "Could not store the reported ids" in caplog.text)
    airflow.is_out_of_reach = False
    await wait_until(lambda: airflow.has_stored(new))
    await airflow.kill()
    airflow.is_out_of_reach = True
    airflow.watch(watch())
    await wait_until(lambda: "Could not access the asset" in caplog.text)
    airflow.is_out_of_reach = False
    [later] = finish()
    await wait_until(lambda: airflow.events)
    assert airflow.events == [(None, [later])]


@needs_asset_state
async def test_watchers_of_one_capsule_share_polls(airflow, watch, finish, poll_count):
    for number in range(20):
        airflow.watch(watch(watcher=f"w{number}", status="any"), f"a{number}")
    await wait_until(lambda: all(SEEN_KEY in airflow.states[f"a{number}"] for number in range(20)))
    assert len(airflow.streams._groups) == 1
    new = finish(3)
    before = poll_count()
    await wait_until(lambda: len(airflow.events) == 20)
    assert poll_count() - before <= 3
    assert all(sorted(ids) == sorted(new) for _, ids in airflow.events)


@needs_asset_state
async def test_watcher_with_unstored_events_does_not_block_others(airflow, watch, finish, poll_count):
    airflow.watch(watch(watcher="well"), "well")
    airflow.watch(watch(watcher="not well"), "not well")
    await wait_until(lambda: len([state for state in airflow.states.values() if SEEN_KEY in state]) == 2)
    [new] = finish()
    await wait_until(lambda: len(airflow.events) == 2)
    [later] = finish()
    await wait_until(lambda: len(airflow.events) == 4)
    unstored = next(seq for whose, seq in airflow.unstored if whose == "not well")
    airflow.unstored = [event for event in airflow.unstored if event[1] != unstored]
    airflow.store()  # all but the first event of the failing watcher
    await wait_until(lambda: airflow.has_stored(new, "well") and airflow.has_stored(later, "well"))
    before = poll_count()
    await wait_until(lambda: poll_count() > before + 3)
    assert not airflow.has_stored(new, "not well")
    assert not airflow.has_stored(later, "not well")
    assert not airflow.tasks[0].done()
    assert airflow.tasks[1].done()  # Airflow ends it and starts it again


@needs_asset_state
async def test_watch_with_several_assets_saves_state_per_asset(airflow, watch, finish):
    [old] = finish()
    airflow.watch(watch(), "one")
    await wait_until(lambda: SEEN_KEY in airflow.states["one"])
    await airflow.kill()
    airflow.states["one"].pop(BASELINE_KEY)
    airflow.watch(watch(), "one", "two")
    await wait_until(lambda: SEEN_KEY in airflow.states["two"])
    assert old in SeenSet.from_json(airflow.states["two"][BASELINE_KEY])
    assert BASELINE_KEY not in airflow.states["one"]
    [new] = finish()
    await wait_until(lambda: airflow.events)
    airflow.store()
    await wait_until(lambda: airflow.has_stored(new, "one") and airflow.has_stored(new, "two"))


@needs_asset_state
async def test_watch_with_new_asset_and_since_reports_all_since(airflow, watch, finish):
    [old] = finish()
    airflow.states["one"] = {SEEN_KEY: SeenSet().updated_with([old]).to_json()}
    airflow.watch(watch(since=0), "one", "two")
    await wait_until(lambda: airflow.events)
    assert old in airflow.events[0][1]


@needs_asset_state
def test_snapshot_producer_has_all_methods_of_airflow_producer():
    from airflow.triggers.shared_stream import SharedStreamProducer

    def methods(of):
        return {
            name: list(inspect.signature(member).parameters)
            for name, member in inspect.getmembers(of, inspect.isfunction)
            if not name.startswith("_")
        }

    assert methods(SnapshotProducer) == methods(SharedStreamProducer)
