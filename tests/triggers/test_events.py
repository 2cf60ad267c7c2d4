"""Triggers of asset watchers: one event a look, each told once, and remembered once it is stored."""

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
from airflow_provider_codeocean.compat.state import states_of_watched_assets
from airflow_provider_codeocean.emulator import Policy
from airflow_provider_codeocean.emulator.seeding.bulk import (
    ComputationSeed,
    DataAssetSeed,
    seed_computations,
    seed_data_assets,
)
from airflow_provider_codeocean.events.seen_set import BASELINE, TOLD, Seen

AIRFLOW = tuple(map(int, version("apache-airflow").split(".")[:2]))
if AIRFLOW < (3, 0):
    pytest.skip("Airflow 2 has no asset watchers", allow_module_level=True)
else:
    from airflow.triggers.base import BaseEventTrigger

    from airflow_provider_codeocean.triggers import _event_state as remembering
    from airflow_provider_codeocean.triggers._event_base import Looks, Snapshot
    from airflow_provider_codeocean.triggers.events import (
        CodeOceanComputationsFinishedTrigger,
        CodeOceanDataAssetsReadyTrigger,
    )

remembers = pytest.mark.skipif(AIRFLOW < (3, 3), reason="assets have a state from Airflow 3.3 on")
SOON = 0.02


async def until(condition):
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - it is not this loop alone that makes it true
            await asyncio.sleep(0.005)


@pytest.fixture
def finish(code_ocean):
    """Lets computations of the emulator's capsule be over, and returns their ids."""

    def finish(many=1, **fields):
        seed = ComputationSeed(count=many, **fields)
        return [each.id for each in seed_computations(code_ocean.emulator, seed)]

    return finish


@pytest.fixture
def looks(code_ocean):
    """How often the computations of a capsule were asked for."""

    def looks():
        asked = code_ocean.emulator.traffic.requests
        return sum(asked[each] for each in asked if each.endswith("/computations") and "GET" in each)

    return looks


@pytest.fixture
def watch(code_ocean):
    """Makes the trigger that watches the emulator's capsule."""
    capsule_id = code_ocean.env["CODEOCEAN_CAPSULE_ID"]

    def make(**arguments):
        return CodeOceanComputationsFinishedTrigger(
            capsule_id=capsule_id, **{"poll_interval": SOON, **arguments}
        )

    return make


def told(event):
    return [each["id"] for each in event.payload["computations"]]


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
def test_each_parsing_makes_the_same_trigger(make):
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
def test_what_is_wrong_is_told_at_once(arguments, message):
    with pytest.raises(ValueError, match=message):
        CodeOceanComputationsFinishedTrigger(**arguments)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"querry": "x"}, "does not take 'querry'; it takes query, "),
        ({"limit": 10}, "params: 'limit' is given by the trigger itself"),
        ({"query": "tag:{{ ds }}"}, "params must not be a template"),
        ("tag:x", "must be a mapping"),
    ],
)
def test_a_wrong_search_is_told_at_once(params, message):
    with pytest.raises(ValueError, match=message):
        CodeOceanDataAssetsReadyTrigger(params)


async def test_a_burst_is_one_event_and_what_was_there_is_old(watch, finish, looks):
    finish(5)
    async with aclosing(watch().run()) as events:
        event = asyncio.create_task(anext(events))
        await until(lambda: looks() >= 2)
        new = finish(300)
        event = await event
        assert sorted(told(event)) == sorted(new)
        another = asyncio.create_task(anext(events))
        before = looks()
        await until(lambda: looks() >= before + 3)
        assert not another.done()  # and none is told twice
        [last] = finish()
        assert told(await another) == [last]


async def test_an_event_tells_what_there_is_to_know(watch, finish):
    async with aclosing(watch(since=0).run()) as events:
        [new] = finish(name="sorted")
        payload = (await anext(events)).payload
    assert json.loads(json.dumps(payload)) == payload
    [one] = [each for each in payload["computations"] if each["id"] == new]
    assert (one["name"], one["state"], one["end_status"], one["exit_code"]) == (
        "sorted 0",
        "completed",
        "succeeded",
        0,
    )
    assert {"created", "run_time", "parameters", "data_assets", "has_results", "owner"} <= one.keys()


async def test_what_was_created_since_is_told_at_the_first_look(watch, finish, code_ocean):
    finish(5, age=1000.0)
    since = code_ocean.emulator.now() - 500
    async with aclosing(watch(since=since).run()) as events:
        event = await anext(events)
    assert told(event)
    assert all(each["created"] >= since - 1 for each in event.payload["computations"])


@pytest.mark.parametrize(
    ("status", "wanted"),
    [("succeeded", {"well"}), ("failed", {"badly", "stopped", "crashed"}), ("any", None)],
)
async def test_how_it_ended_makes_the_difference(watch, finish, status, wanted):
    finish(name="going", policy=Policy(seconds=3600))
    finish(name="well")
    finish(name="badly", end_status="failed", exit_code=1)
    finish(name="stopped", end_status="stopped")
    finish(name="crashed", crashed=True, end_status=None)
    async with aclosing(watch(since=0, status=status).run()) as events:
        event = await anext(events)
    names = {each["name"].removesuffix(" 0") for each in event.payload["computations"]}
    assert names >= (wanted or {"well", "badly", "stopped", "crashed"})
    assert "going" not in names
    if wanted:
        assert not names & ({"well", "badly", "stopped", "crashed"} - wanted)


def test_workstations_and_what_has_no_id_are_no_computations():
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
    assert [each.id for each in trigger.choose(found)] == ["unknown when", "early", "late"]


async def test_data_assets_are_told_of_once_they_are_ready(code_ocean):
    seed = DataAssetSeed(count=3, tags=("watched",), policy=Policy(seconds=0.3))
    trigger = CodeOceanDataAssetsReadyTrigger({"query": "tag:watched"}, poll_interval=SOON)
    seed_data_assets(code_ocean.emulator, DataAssetSeed(count=2, tags=("watched",)))
    async with aclosing(trigger.run()) as events:
        event = asyncio.create_task(anext(events))
        asked = code_ocean.emulator.traffic.requests
        await until(lambda: asked["POST /api/v1/data_assets/search"] >= 2)
        new = seed_data_assets(code_ocean.emulator, seed)
        seed_data_assets(code_ocean.emulator, DataAssetSeed(tags=("watched",), failure_reason="no"))
        payload = (await event).payload
        told = payload["data_assets"]
        while len(told) < len(new):  # a look may come when only some are ready
            told = [*told, *(await anext(events)).payload["data_assets"]]
    assert sorted(each["id"] for each in told) == sorted(each.id for each in new)
    assert payload["params"] == {"query": "tag:watched"}
    assert told[0]["tags"] == ["watched"]


def test_it_works_in_one_event_loop_after_the_other(watch, finish):
    async def first_event():
        async with aclosing(watch(since=0).run()) as events:
            return told(await anext(events))

    finish()
    assert asyncio.run(first_event()) == asyncio.run(first_event()) != []


def computation(identifier, **fields):
    return Computation(id=identifier, **{"state": "completed", "end_status": "succeeded", **fields})


async def reported(trigger, *polls):
    """Return the ids that a trigger reports after polls with these results."""

    async def snapshots():
        for found in polls:
            yield Snapshot(found)

    return [told(event) async for event in trigger.filter_shared_stream(snapshots())]


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
async def test_watch_first_poll_shows_only_pending_computation_reports_its_end(watch):
    pending = Computation(id="a", created=time.time() - 60, state="running")
    ended = computation("a", created=pending.created, run_time=1)
    assert await reported(watch(), [pending], [ended]) == [["a"]]


@pytest.mark.fault("A14")
async def test_watch_with_since_first_poll_empty_reports_all_since(watch):
    assert await reported(watch(since=0), [], [computation("a", created=1)]) == [["a"]]


class Airflow:
    """A triggerer with Airflow's own streams, whose database stores events when it is told to.

    :ivar states: what is written down, by asset and key: it survives a triggerer.
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

        return AssetStateStoreAccessors(inlets=[Asset(each) for each in assets])

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
                self.events.append((trigger.watcher, told(event)))
        finally:
            await self.streams.unsubscribe(trigger_id, key)

    def store(self, watcher=None):
        """Store the events of one watcher in the database, and confirm it."""
        stored = [seq for whose, seq in self.unstored if watcher in (None, whose)]
        self.unstored = [each for each in self.unstored if each[1] not in stored]
        self.streams.confirm_persisted(stored)

    async def kill(self):
        for task in self.tasks:
            task.cancel()
        await asyncio.wait(self.tasks)
        await self.streams.stop_all()
        self.start()

    def remembers(self, identifier, asset="a"):
        return TOLD in self.states[asset] and identifier in Seen.read(self.states[asset][TOLD])


@pytest.fixture
async def airflow(monkeypatch, code_ocean):
    monkeypatch.setattr(remembering, "_PAUSE", 0.01)
    airflow = Airflow(monkeypatch)
    yield airflow
    with suppress(ValueError):
        await airflow.kill()


@remembers
async def test_it_is_remembered_once_it_is_stored_and_not_before(airflow, watch, finish, looks):
    airflow.watch(watch())
    await until(lambda: TOLD in airflow.states["a"])
    [new] = finish()
    await until(lambda: airflow.events)
    before = looks()
    await until(lambda: looks() >= before + 3)
    assert not airflow.remembers(new)
    airflow.store()
    await until(lambda: airflow.remembers(new))
    assert airflow.events == [(None, [new])]


@remembers
@pytest.mark.parametrize("stored", [False, True])
async def test_killed_before_that_it_is_told_again(airflow, watch, finish, looks, stored):
    airflow.watch(watch())
    await until(lambda: TOLD in airflow.states["a"])
    [first] = finish()
    await until(lambda: airflow.events)
    if stored:
        airflow.store()
        await until(lambda: airflow.remembers(first))
    await airflow.kill()
    [meanwhile] = finish()
    airflow.watch(watch())
    await until(lambda: airflow.events)
    [(_, again)] = airflow.events
    assert set(again) == ({meanwhile} if stored else {first, meanwhile})


@remembers
async def test_what_was_there_at_first_is_written_down_at_once(airflow, watch, finish):
    [old] = finish()
    airflow.is_out_of_reach = True
    airflow.watch(watch())
    await asyncio.sleep(0)
    airflow.is_out_of_reach = False
    await until(lambda: TOLD in airflow.states["a"])
    assert old in Seen.read(airflow.states["a"][BASELINE])
    assert airflow.events == []


@remembers
async def test_with_since_there_is_no_baseline(airflow, watch, finish):
    [old] = finish()
    airflow.watch(watch(since=0))
    await until(lambda: airflow.events)
    airflow.store()
    await until(lambda: airflow.remembers(old))
    assert BASELINE not in airflow.states["a"]


@remembers
@pytest.mark.fault("A14")
async def test_watch_first_polls_empty_writes_history_into_baseline(airflow, watch):
    """The operator that takes finished computations must not take the history either."""
    trigger, history = watch(), [computation("old", created=time.time() - 60)]
    trigger.asset_state_store = airflow.store_of("a")
    assert await reported(trigger, [], [], history) == []
    assert "old" in Seen.read(airflow.states["a"][BASELINE])
    trigger = watch()
    trigger.asset_state_store = airflow.store_of("b")
    assert await reported(trigger, [], []) == []
    assert "b" not in {asset for asset, state in airflow.states.items() if TOLD in state}
    assert await reported(trigger, [], [], [], history) == []
    assert "old" in Seen.read(airflow.states["b"][BASELINE])


@remembers
@pytest.mark.fault("A14")
async def test_watch_empty_list_confirmed_survives_restart(airflow, watch):
    trigger = watch()
    trigger.asset_state_store = airflow.store_of("a")
    assert await reported(trigger, [], [], []) == []
    trigger = watch()
    trigger.asset_state_store = airflow.store_of("a")
    assert await reported(trigger, [computation("meanwhile", created=time.time() - 1)]) == [["meanwhile"]]


@remembers
@pytest.mark.fault("D8")
@pytest.mark.timeout(240)
async def test_watch_100_000_computations_each_value_below_limit(airflow, watch, caplog):
    old = [computation(f"{number:08}-0000", created=1.0) for number in range(100_000)]
    trigger = watch()
    trigger.asset_state_store = airflow.store_of("a")
    assert await reported(trigger, old[:60_000]) == []
    trigger = watch()
    trigger.asset_state_store = airflow.store_of("a")
    await reported(trigger, old[:60_000])
    [told_of] = states_of_watched_assets(trigger)
    for many in (80_000, 100_000):
        await told_of.aset(TOLD, Seen().with_all(each.id for each in old[:many]).written())
    assert max(len(json.dumps(value)) for value in airflow.states["a"].values()) <= 65_536
    assert "exceeds configured max_value_storage_bytes" not in caplog.text
    pages = [key for key in airflow.states["a"] if key.startswith(f"{TOLD}_")]
    assert sorted(pages) == sorted(airflow.states["a"][TOLD]["pages"])  # and no pages that were replaced
    trigger = watch()
    trigger.asset_state_store = airflow.store_of("a")
    new = computation("new", created=time.time())
    assert await reported(trigger, [*old, new]) == [["new"]]
    assert len(Seen.read(await told_of.aget(BASELINE)).digests) == 60_000


@remembers
async def test_airflow_out_of_reach_is_waited_for(airflow, watch, finish, looks, caplog):
    airflow.watch(watch())
    await until(lambda: TOLD in airflow.states["a"])
    [new] = finish()
    await until(lambda: airflow.events)
    airflow.is_out_of_reach = True
    airflow.store()
    await until(lambda: "What was told could not be written down" in caplog.text)
    airflow.is_out_of_reach = False
    await until(lambda: airflow.remembers(new))
    await airflow.kill()
    airflow.is_out_of_reach = True
    airflow.watch(watch())
    await until(lambda: "is not to be had" in caplog.text)
    airflow.is_out_of_reach = False
    [later] = finish()
    await until(lambda: airflow.events)
    assert airflow.events == [(None, [later])]


@remembers
async def test_many_watchers_cost_what_one_does(airflow, watch, finish, looks):
    for number in range(20):
        airflow.watch(watch(watcher=f"w{number}", status="any"), f"a{number}")
    await until(lambda: all(TOLD in airflow.states[f"a{number}"] for number in range(20)))
    assert len(airflow.streams._groups) == 1
    new = finish(3)
    before = looks()
    await until(lambda: len(airflow.events) == 20)
    assert looks() - before <= 3
    assert all(sorted(each) == sorted(new) for _, each in airflow.events)


@remembers
async def test_one_whose_events_cannot_be_stored_holds_back_no_other(airflow, watch, finish, looks):
    airflow.watch(watch(watcher="well"), "well")
    airflow.watch(watch(watcher="not well"), "not well")
    await until(lambda: len([each for each in airflow.states.values() if TOLD in each]) == 2)
    [new] = finish()
    await until(lambda: len(airflow.events) == 2)
    [later] = finish()
    await until(lambda: len(airflow.events) == 4)
    unstored = next(seq for whose, seq in airflow.unstored if whose == "not well")
    airflow.unstored = [each for each in airflow.unstored if each[1] != unstored]
    airflow.store()  # all, but for the first event of the one
    await until(lambda: airflow.remembers(new, "well") and airflow.remembers(later, "well"))
    before = looks()
    await until(lambda: looks() > before + 3)
    assert not airflow.remembers(new, "not well")
    assert not airflow.remembers(later, "not well")
    assert not airflow.tasks[0].done()
    assert airflow.tasks[1].done()  # Airflow ends it, and begins it anew


@remembers
async def test_of_several_assets_each_has_its_own_memory(airflow, watch, finish):
    [old] = finish()
    airflow.watch(watch(), "one")
    await until(lambda: TOLD in airflow.states["one"])
    await airflow.kill()
    airflow.states["one"].pop(BASELINE)
    airflow.watch(watch(), "one", "two")
    await until(lambda: TOLD in airflow.states["two"])
    assert old in Seen.read(airflow.states["two"][BASELINE])
    assert BASELINE not in airflow.states["one"]
    [new] = finish()
    await until(lambda: airflow.events)
    airflow.store()
    await until(lambda: airflow.remembers(new, "one") and airflow.remembers(new, "two"))


@remembers
async def test_an_asset_that_has_been_told_nothing_is_told_all_since(airflow, watch, finish):
    [old] = finish()
    airflow.states["one"] = {TOLD: Seen().with_all([old]).written()}
    airflow.watch(watch(since=0), "one", "two")
    await until(lambda: airflow.events)
    assert old in airflow.events[0][1]


@remembers
def test_it_has_all_that_airflow_asks_of_a_producer():
    from airflow.triggers.shared_stream import SharedStreamProducer

    def methods(of):
        return {
            name: list(inspect.signature(member).parameters)
            for name, member in inspect.getmembers(of, inspect.isfunction)
            if not name.startswith("_")
        }

    assert methods(Looks) == methods(SharedStreamProducer)
