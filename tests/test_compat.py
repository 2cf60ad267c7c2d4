"""What differs from one Airflow to the next: each case on those that have it."""

from __future__ import annotations

import asyncio
import json
from contextlib import contextmanager
from importlib.metadata import version
from types import SimpleNamespace

import pytest

from airflow_provider_codeocean import compat

RELEASE = tuple(map(int, version("apache-airflow").split(".")[:2]))
AIRFLOW_2 = RELEASE < (3,)


def test_airflow_starts_tasks_in_the_triggerer_from_3_3_on():
    assert (RELEASE >= (3, 3)) is compat.STARTS_IN_TRIGGERER


@pytest.mark.parametrize(("from_3_0", "from_3_1"), [(False, False), (True, False), (True, True)])
def test_what_an_event_of_an_alias_tells_is_kept_by_each_airflow(monkeypatch, from_3_0, from_3_1):
    """Airflow 2 puts it into a set at once, 3.0 after it went through JSON, and those after it never."""
    monkeypatch.setattr(compat, "AIRFLOW_V_3_0_PLUS", from_3_0)
    monkeypatch.setattr(compat, "AIRFLOW_V_3_1_PLUS", from_3_1)
    extra = {"text": "a", "none": None, "list": ["b"], "mapping": {"c": ["d"], "e": {"f": 1}}}
    told = compat.told_under_alias(extra)
    came_there = json.loads(json.dumps(told))
    if not from_3_1:
        assert len(frozenset((came_there if from_3_0 else told).items())) == len(extra)
    texts = {"list", "mapping"} if from_3_0 and not from_3_1 else set()
    assert {key: json.loads(each) if key in texts else each for key, each in came_there.items()} == extra


def trigger(map_index=-1, run_id="r"):
    ti = SimpleNamespace(dag_id="d", task_id="t", run_id=run_id, map_index=map_index)
    return SimpleNamespace(task_instance=ti)


@pytest.fixture
def states(monkeypatch):
    """States by map index, where Airflow is asked for them."""
    states = {}
    (in_database if AIRFLOW_2 else at_supervisor)(monkeypatch, states)
    return states


def at_supervisor(monkeypatch, states):
    from airflow.sdk.execution_time import task_runner
    from airflow.sdk.execution_time.comms import TaskStatesResult

    class Supervisor:
        async def asend(self, question):
            assert (question.dag_id, question.task_ids, question.run_ids) == ("d", ["t"], ["r"])
            index = question.map_index
            name = "t" if index < 0 else f"t_{index}"
            return TaskStatesResult(task_states={"r": {name: states[index]}} if index in states else {})

    monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", Supervisor(), raising=False)


def in_database(monkeypatch, states):
    import sqlalchemy
    from airflow.models import import_all_models
    from airflow.models.taskinstance import TaskInstance
    from airflow.utils import session
    from sqlalchemy.orm import Session

    import_all_models()  # the table refers to others

    @contextmanager
    def create_session():
        engine = sqlalchemy.create_engine("sqlite://")
        table = TaskInstance.__table__
        with Session(engine) as made:
            made.execute(sqlalchemy.schema.CreateTable(table))
            for index, state in states.items():
                key = {"dag_id": "d", "task_id": "t", "run_id": "r", "map_index": index, "pool": "p"}
                made.execute(table.insert().values(**key, pool_slots=1, state=state))
            yield made

    monkeypatch.setattr(session, "create_session", create_session)


@pytest.mark.parametrize("state", ["deferred", "failed", "success", "scheduled", None])
async def test_the_state_of_a_task(states, state):
    states[-1] = state
    assert await compat.task_state(trigger()) == state


async def test_the_state_of_one_of_many_mapped_tasks(states):
    states.update({0: "deferred", 1: "failed"})
    assert await compat.task_state(trigger(map_index=0)) == "deferred"
    assert await compat.task_state(trigger(map_index=1)) == "failed"


async def test_a_task_that_is_not_there_any_more_has_no_state(states):
    with pytest.raises(LookupError, match="does not tell"):
        await compat.task_state(trigger())


async def test_a_trigger_without_a_task_has_no_state():
    with pytest.raises(LookupError, match="does not tell"):
        await compat.task_state(SimpleNamespace(task_instance=None))


async def test_an_airflow_that_does_not_answer_is_not_waited_for_for_ever(monkeypatch):
    asked = []

    async def never(ti):
        asked.append(asyncio.current_task())
        await asyncio.Event().wait()

    monkeypatch.setattr(compat, "_STATE_SECONDS", 0.05)
    monkeypatch.setattr(compat, "_ask_supervisor", never)
    monkeypatch.setattr(compat, "_ask_database", never)
    with pytest.raises(LookupError, match=r"has not told .* within 0\.05 s"):
        await compat.task_state(trigger())
    assert not asked[0].done()  # the question is not withdrawn


async def test_a_triggerer_that_ends_meanwhile_does_not_answer(monkeypatch):
    async def withdrawn(ti):
        raise asyncio.CancelledError

    monkeypatch.setattr(compat, "_ask_supervisor", withdrawn)
    monkeypatch.setattr(compat, "_ask_database", withdrawn)
    with pytest.raises(LookupError, match="CancelledError"):
        await compat.task_state(trigger())


@pytest.mark.skipif(not AIRFLOW_2, reason="Airflow 3 has asset watchers")
def test_airflow_2_says_that_it_has_no_asset_watchers():
    for look in (compat.need_asset_watchers, lambda: compat.BaseEventTrigger):
        with pytest.raises(ImportError, match=r"Watching for events needs Airflow 3\.0 or later"):
            look()


@pytest.mark.skipif(AIRFLOW_2, reason="Airflow 2 has no asset watchers")
def test_asset_watchers_are_there_from_airflow_3_on():
    from airflow.triggers.base import BaseEventTrigger

    compat.need_asset_watchers()
    assert compat.BaseEventTrigger is BaseEventTrigger


def test_what_it_does_not_have_is_not_there():
    assert not hasattr(compat, "NoSuchThing")


@pytest.mark.skipif(not compat.ASSETS_HAVE_STATE, reason="assets have a state from Airflow 3.3 on")
def test_the_states_of_all_watched_assets_are_found():
    from airflow.sdk import Asset
    from airflow.sdk.execution_time.context import AssetStateStoreAccessors

    watched = [Asset("one"), Asset("two"), Asset.ref(uri="s3://three")]
    states = AssetStateStoreAccessors(inlets=watched)
    found = compat.states_of_watched_assets(SimpleNamespace(asset_state_store=states))
    assert found == [states[each] for each in watched]


def test_before_airflow_3_3_a_watched_asset_has_no_state():
    assert compat.states_of_watched_assets(SimpleNamespace()) == []


def test_durable_state_is_there_where_airflow_has_it():
    state = object()
    assert compat.durable_state({"task_state_store": state}) is state
    assert compat.durable_state({}) is None
