"""What the trigger does when a user ends the task that waits, against the emulator."""

from __future__ import annotations

import asyncio
import logging
import time

import pytest

from airflow_provider_codeocean.api.errors import NotFound
from airflow_provider_codeocean.api.models.computation import RunParams
from airflow_provider_codeocean.api.models.data_asset_params import DataAssetParams
from airflow_provider_codeocean.deletion import Fate, remove_computation
from airflow_provider_codeocean.emulator import FaultRule, Policy, Transitions
from airflow_provider_codeocean.hooks import codeocean
from airflow_provider_codeocean.hooks.codeocean import CodeOceanHook
from airflow_provider_codeocean.triggers import _on_kill
from airflow_provider_codeocean.triggers.computation import CodeOceanComputationTrigger
from airflow_provider_codeocean.triggers.data_asset import CodeOceanDataAssetTrigger


def new_asset(code_ocean):
    source = {"computation": {"id": code_ocean.env["CODEOCEAN_COMPUTATION_ID"]}}
    params = {"name": "n", "mount": "m", "tags": [], "source": source}
    with CodeOceanHook().get_conn() as client:
        return client.data_assets.create(DataAssetParams.model_validate(params)).id


@pytest.fixture
def draft(code_ocean):
    code_ocean.emulator.transitions = Transitions(assets=Policy(seconds=3600))
    return new_asset(code_ocean)


@pytest.fixture
def airflow_says(monkeypatch):
    """Let Airflow tell a state of the task, or fail with an error; returns who has asked."""
    asked = []

    def say(answer):
        async def task_state(trigger):
            asked.append(trigger)
            if isinstance(answer, Exception):
                raise answer
            return answer

        monkeypatch.setattr(_on_kill, "task_state", task_state)
        return asked

    return say


@pytest.fixture
def said(caplog, monkeypatch):
    """Return what was said of the data asset, but for what state was seen."""
    monkeypatch.setattr(
        CodeOceanDataAssetTrigger, "log", logging.getLogger("trigger")
    )  # 3.3 has another kind
    caplog.set_level(logging.WARNING)
    return lambda: [record.getMessage() for record in caplog.records if "ata asset" in record.getMessage()]


def exists(data_asset_id):
    with CodeOceanHook().get_conn() as client:
        try:
            client.data_assets.get(data_asset_id)
        except NotFound:
            return False
        return True


async def begin(trigger):
    """Run a trigger as the triggerer does, until it has seen the state."""

    async def run():
        return [event async for event in trigger.run()]

    running = asyncio.create_task(run())
    async with asyncio.timeout(10):
        while not (trigger._wait and trigger._wait.last_state):
            await asyncio.wait({running}, timeout=0.01)
    return running


async def kill(running, *, again_every=None):
    """Cancel a trigger, and as Airflow does, anew until it has ended."""
    running.cancel("a user")
    while not running.done():
        await asyncio.wait({running}, timeout=again_every)
        running.cancel("again")
    with pytest.raises(asyncio.CancelledError, match="a user"):
        await running


async def end(data_asset_id, **arguments):
    trigger = CodeOceanDataAssetTrigger(data_asset_id, poll_interval=0.05, **arguments)
    await kill(await begin(trigger))
    await trigger.on_kill()  # as Airflow 3.3 does after that


@pytest.mark.parametrize("state", ["failed", "skipped", "upstream_failed", "removed", "scheduled", None])
async def test_it_deletes_where_that_was_asked_for(draft, airflow_says, said, state):
    asked = airflow_says(state)
    await end(draft, on_kill="delete")
    assert len(asked) == 1
    assert said() == [f"The task was ended. Data asset {draft} was deleted"]
    assert not exists(draft)


@pytest.mark.parametrize("on_kill", ["leave", "delete"])
@pytest.mark.parametrize(
    ("state", "why"),
    [
        ("success", "the task has ended with success"),
        ("queued", "the next try goes on with it"),
        ("running", "the next try goes on with it"),
        ("up_for_retry", "the next try goes on with it"),
    ],
)
async def test_it_never_deletes_what_is_still_wanted(draft, airflow_says, said, state, why, on_kill):
    airflow_says(state)
    await end(draft, on_kill=on_kill)
    assert said() == [f"Data asset {draft} (last state: draft) is left as it is: {why}"]
    assert exists(draft)


@pytest.mark.parametrize(
    ("state", "why"),
    [
        ("failed", "the task was ended (failed) while it waited; once cleared, it goes on with it"),
        (None, "the task was cleared, and goes on with it"),
        ("scheduled", "the task was cleared, and goes on with it"),
    ],
)
async def test_it_names_what_it_leaves(draft, airflow_says, said, state, why):
    airflow_says(state)
    await end(draft, on_kill="leave")
    assert said() == [f"Data asset {draft} (last state: draft) is left as it is: {why}"]
    assert exists(draft)


async def test_a_false_alarm_changes_nothing(draft, airflow_says, said):
    asked = airflow_says("deferred")
    await end(draft, on_kill="delete")
    assert len(asked) == 1
    assert said() == []
    assert exists(draft)


async def test_it_asks_nothing_about_what_the_task_has_not_made(draft, airflow_says, said):
    asked = airflow_says("failed")
    await end(draft)
    assert (asked, said()) == ([], [])
    assert exists(draft)


async def test_it_leaves_where_airflow_cannot_tell(draft, airflow_says, said):
    airflow_says(LookupError("Airflow does not tell"))
    await end(draft, on_kill="delete")
    assert said() == [f"Data asset {draft} (last state: draft) is left as it is: Airflow does not tell"]
    assert exists(draft)


async def test_it_leaves_where_the_time_was_over(draft, airflow_says, said):
    airflow_says("scheduled")  # by Airflow, to let the task fail
    trigger = CodeOceanDataAssetTrigger(draft, on_kill="delete", deadline=time.time() - 1)
    await trigger.on_kill()
    [line] = said()
    assert line.endswith("(last state: unknown) is left as it is: the time to wait for it was over")
    assert exists(draft)


async def test_what_has_become_ready_is_left(code_ocean, airflow_says, said):
    airflow_says("failed")
    ready = new_asset(code_ocean)
    await end(ready, on_kill="delete")
    assert said() == [f"The task was ended. Data asset {ready} is ready by now, and is left as it is"]


async def test_it_is_not_hurried_by_an_airflow_that_cancels_anew(code_ocean, draft, airflow_says, said):
    airflow_says("failed")
    code_ocean.faults.add(FaultRule(method="DELETE", kind="slow", delay=0.5))
    trigger = CodeOceanDataAssetTrigger(draft, poll_interval=0.05, on_kill="delete")
    await kill(await begin(trigger), again_every=0.1)
    assert said() == [f"The task was ended. Data asset {draft} was deleted"]
    assert not exists(draft)


async def test_a_refusal_is_told_of_and_not_raised(code_ocean, draft, airflow_says, said):
    airflow_says("failed")
    code_ocean.faults.add(FaultRule(method="DELETE", kind="status", status=403))
    await end(draft, on_kill="delete")
    [line] = said()
    assert line.startswith(f"The task was ended; data asset {draft} could not be deleted: Code Ocean")
    assert exists(draft)


async def test_a_server_that_never_answers_is_told_of(code_ocean, draft, airflow_says, said, monkeypatch):
    airflow_says("failed")
    monkeypatch.setattr(_on_kill, "_DELETE_SECONDS", 0.2)
    code_ocean.faults.add(FaultRule(method="DELETE", kind="hold_before", timeout=5))
    await end(draft, on_kill="delete")
    assert said() == [f"The task was ended; data asset {draft} could not be deleted: TimeoutError"]
    assert exists(draft)


@pytest.mark.timeout(30)  # else it would never end
async def test_a_backend_that_never_answers_is_told_of(draft, airflow_says, said, monkeypatch):
    airflow_says("failed")
    running = await begin(trigger := CodeOceanDataAssetTrigger(draft, poll_interval=0.05, on_kill="delete"))

    async def hang(conn_id):
        await asyncio.Event().wait()

    monkeypatch.setattr(_on_kill, "_DELETE_SECONDS", 0.2)
    monkeypatch.setattr(codeocean, "read_connection", hang)
    await kill(running)
    await trigger.on_kill()
    monkeypatch.undo()
    assert said() == [f"The task was ended; data asset {draft} could not be deleted: TimeoutError"]


def test_a_triggerer_that_ends_asks_nothing(draft, airflow_says, said):
    asked = airflow_says("failed")

    async def triggerer():
        await begin(CodeOceanDataAssetTrigger(draft, poll_interval=0.05, on_kill="delete"))

    asyncio.run(triggerer())
    assert (asked, said()) == ([], [])
    assert exists(draft)


def test_a_triggerer_that_ends_while_it_deletes_says_so(code_ocean, draft, airflow_says, said):
    airflow_says("failed")
    held = code_ocean.faults.add(FaultRule(method="DELETE", kind="hold_before", timeout=5))

    async def triggerer():
        running = await begin(CodeOceanDataAssetTrigger(draft, poll_interval=0.05, on_kill="delete"))
        running.cancel()
        assert await asyncio.to_thread(held.wait, held=1)

    asyncio.run(triggerer())
    assert said() == [f"The task was ended, and then the triggerer: see what became of data asset {draft}"]


@pytest.mark.parametrize(("on_kill", "left"), [("leave", True), ("delete", False)])
async def test_a_computation_is_stopped_only_where_that_was_asked_for(
    code_ocean, airflow_says, caplog, monkeypatch, on_kill, left
):
    monkeypatch.setattr(CodeOceanComputationTrigger, "log", logging.getLogger("trigger"))
    code_ocean.emulator.transitions = Transitions(computations=Policy(seconds=3600))
    with CodeOceanHook().get_conn() as client:
        run = client.computations.run(RunParams(capsule_id=code_ocean.env["CODEOCEAN_CAPSULE_ID"]))
    airflow_says("failed")
    await kill(await begin(CodeOceanComputationTrigger(run.id, poll_interval=0.05, on_kill=on_kill)))
    assert (code_ocean.store.computations.get(run.id) is not None) == left
    told = f"Computation {run.id} (last state: " if left else f"The task was ended. Computation {run.id} was"
    assert told in caplog.text


async def test_a_computation_that_is_over_is_never_deleted(code_ocean, caplog):
    with CodeOceanHook().get_conn() as client:
        run = client.computations.run(RunParams(capsule_id=code_ocean.env["CODEOCEAN_CAPSULE_ID"]))
        removed = remove_computation(client, run.id, even_if_over=False)
        assert str(removed) == f"Computation {run.id} is over by now, and is left as it is"
        assert remove_computation(client, run.id, even_if_over=True).fate is Fate.DELETED
        assert remove_computation(client, run.id, even_if_over=False).fate is Fate.GONE
