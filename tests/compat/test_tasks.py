"""State of tasks, from the supervisor and from the database."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from airflow_provider_codeocean.compat import tasks
from airflow_provider_codeocean.compat.features import Feature
from airflow_provider_codeocean.compat.tasks import fetch_task_state


def trigger(map_index=-1, run_id="r"):
    ti = SimpleNamespace(dag_id="d", task_id="t", run_id=run_id, map_index=map_index)
    return SimpleNamespace(task_instance=ti)


@pytest.fixture
def states(monkeypatch):
    """States by map index, from which Airflow answers."""
    states = {}
    (in_database if not Feature.TASK_EXECUTION_API.is_available else at_supervisor)(monkeypatch, states)
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
        with Session(engine) as session_:
            session_.execute(sqlalchemy.schema.CreateTable(table))
            for index, state in states.items():
                key = {"dag_id": "d", "task_id": "t", "run_id": "r", "map_index": index, "pool": "p"}
                session_.execute(table.insert().values(**key, pool_slots=1, state=state))
            yield session_

    monkeypatch.setattr(session, "create_session", create_session)


@pytest.mark.parametrize("state", ["deferred", "failed", "success", "scheduled", None])
async def test_fetch_task_state_returns_the_state(states, state):
    states[-1] = state
    assert await fetch_task_state(trigger()) == state


async def test_fetch_task_state_of_mapped_task_returns_its_state(states):
    states.update({0: "deferred", 1: "failed"})
    assert await fetch_task_state(trigger(map_index=0)) == "deferred"
    assert await fetch_task_state(trigger(map_index=1)) == "failed"


async def test_fetch_task_state_of_missing_task_raises_lookup_error(states):
    with pytest.raises(LookupError, match="could not return"):
        await fetch_task_state(trigger())


async def test_fetch_task_state_without_task_raises_lookup_error():
    with pytest.raises(LookupError, match="could not return"):
        await fetch_task_state(SimpleNamespace(task_instance=None))


async def test_fetch_task_state_without_response_times_out(monkeypatch):
    pending = []

    async def never(ti):
        pending.append(asyncio.current_task())
        await asyncio.Event().wait()

    monkeypatch.setattr(tasks, "_STATE_TIMEOUT_SECONDS", 0.05)
    monkeypatch.setattr(tasks, "_fetch_state_from_supervisor", never)
    monkeypatch.setattr(tasks, "_fetch_state_from_database", never)
    with pytest.raises(LookupError, match=r"did not return .* within 0\.05 s"):
        await fetch_task_state(trigger())
    assert not pending[0].done()  # the request is not cancelled


async def test_fetch_task_state_canceled_raises_lookup_error(monkeypatch):
    async def withdrawn(ti):
        raise asyncio.CancelledError

    monkeypatch.setattr(tasks, "_fetch_state_from_supervisor", withdrawn)
    monkeypatch.setattr(tasks, "_fetch_state_from_database", withdrawn)
    with pytest.raises(LookupError, match="CancelledError"):
        await fetch_task_state(trigger())
