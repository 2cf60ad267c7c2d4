"""What Airflow tells of a task: in each way that one has."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from airflow_provider_codeocean.compat import tasks
from airflow_provider_codeocean.compat.features import Feature
from airflow_provider_codeocean.compat.tasks import task_state


def trigger(map_index=-1, run_id="r"):
    ti = SimpleNamespace(dag_id="d", task_id="t", run_id=run_id, map_index=map_index)
    return SimpleNamespace(task_instance=ti)


@pytest.fixture
def states(monkeypatch):
    """States by map index, where Airflow is asked for them."""
    states = {}
    (in_database if not Feature.TASK_API.is_there else at_supervisor)(monkeypatch, states)
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
    assert await task_state(trigger()) == state


async def test_the_state_of_one_of_many_mapped_tasks(states):
    states.update({0: "deferred", 1: "failed"})
    assert await task_state(trigger(map_index=0)) == "deferred"
    assert await task_state(trigger(map_index=1)) == "failed"


async def test_a_task_that_is_not_there_any_more_has_no_state(states):
    with pytest.raises(LookupError, match="does not tell"):
        await task_state(trigger())


async def test_a_trigger_without_a_task_has_no_state():
    with pytest.raises(LookupError, match="does not tell"):
        await task_state(SimpleNamespace(task_instance=None))


async def test_an_airflow_that_does_not_answer_is_not_waited_for_for_ever(monkeypatch):
    asked = []

    async def never(ti):
        asked.append(asyncio.current_task())
        await asyncio.Event().wait()

    monkeypatch.setattr(tasks, "_STATE_SECONDS", 0.05)
    monkeypatch.setattr(tasks, "_ask_supervisor", never)
    monkeypatch.setattr(tasks, "_ask_database", never)
    with pytest.raises(LookupError, match=r"has not told .* within 0\.05 s"):
        await task_state(trigger())
    assert not asked[0].done()  # the question is not withdrawn


async def test_a_triggerer_that_ends_meanwhile_does_not_answer(monkeypatch):
    async def withdrawn(ti):
        raise asyncio.CancelledError

    monkeypatch.setattr(tasks, "_ask_supervisor", withdrawn)
    monkeypatch.setattr(tasks, "_ask_database", withdrawn)
    with pytest.raises(LookupError, match="CancelledError"):
        await task_state(trigger())
