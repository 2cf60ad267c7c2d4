"""Triggers whose task a user ends, against the emulator."""

from __future__ import annotations

import asyncio
import logging
import time

import pytest

from airflow_provider_codeocean.api.errors import NotFound
from airflow_provider_codeocean.api.models.computation import RunParams
from airflow_provider_codeocean.api.models.data_asset_params import DataAssetParams
from airflow_provider_codeocean.deletion import DeletionStatus, delete_computation
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
def set_task_state(monkeypatch):
    """Set the task's state in Airflow, or an error; the result is a list of the triggers that request it."""
    requests = []

    def set_state(state):
        async def task_state(trigger):
            requests.append(trigger)
            if isinstance(state, Exception):
                raise state
            return state

        monkeypatch.setattr(_on_kill, "fetch_task_state", task_state)
        return requests

    return set_state


@pytest.fixture
def warnings(caplog, monkeypatch):
    """Return the warnings about the data asset."""
    monkeypatch.setattr(
        CodeOceanDataAssetTrigger, "log", logging.getLogger("trigger")
    )  # that of Airflow 3.3 does not reach caplog
    caplog.set_level(logging.WARNING)
    return lambda: [record.getMessage() for record in caplog.records if "ata asset" in record.getMessage()]


def exists(data_asset_id):
    with CodeOceanHook().get_conn() as client:
        try:
            client.data_assets.get(data_asset_id)
        except NotFound:
            return False
        return True


async def start_trigger(trigger):
    """Run a trigger as the triggerer does, until it has polled the state."""

    async def run():
        return [event async for event in trigger.run()]

    running = asyncio.create_task(run())
    async with asyncio.timeout(10):
        while not (trigger._wait and trigger._wait.last_state):
            await asyncio.wait({running}, timeout=0.01)
    return running


async def kill(running, *, repeat_every=None):
    """Cancel a trigger, and repeat that until it has ended, as Airflow does."""
    running.cancel("a user")
    while not running.done():
        await asyncio.wait({running}, timeout=repeat_every)
        running.cancel("again")
    with pytest.raises(asyncio.CancelledError, match="a user"):
        await running


async def cancel_trigger(data_asset_id, **arguments):
    trigger = CodeOceanDataAssetTrigger(data_asset_id, poll_interval=0.05, **arguments)
    await kill(await start_trigger(trigger))
    await trigger.on_kill()  # as Airflow 3.3 does after that


@pytest.mark.parametrize("state", ["failed", "skipped", "upstream_failed", "removed", "scheduled", None])
async def test_on_kill_with_delete_deletes_data_asset(draft, set_task_state, warnings, state):
    requests = set_task_state(state)
    await cancel_trigger(draft, on_kill="delete")
    assert len(requests) == 1
    assert warnings() == [f"The task was ended. Data asset {draft} was deleted"]
    assert not exists(draft)


@pytest.mark.parametrize("on_kill", ["leave", "delete"])
@pytest.mark.parametrize(
    ("state", "why"),
    [
        ("success", "the task has succeeded"),
        ("queued", "the next attempt adopts it"),
        ("running", "the next attempt adopts it"),
        ("up_for_retry", "the next attempt adopts it"),
    ],
)
async def test_on_kill_with_task_that_continues_leaves_data_asset(
    draft, set_task_state, warnings, state, why, on_kill
):
    set_task_state(state)
    await cancel_trigger(draft, on_kill=on_kill)
    assert warnings() == [f"Data asset {draft} (last state: draft) is kept: {why}"]
    assert exists(draft)


@pytest.mark.parametrize(
    ("state", "why"),
    [
        ("failed", "the task was ended (failed) while it waited; it adopts it when you clear it"),
        (None, "the task was cleared and adopts it"),
        ("scheduled", "the task was cleared and adopts it"),
    ],
)
async def test_on_kill_with_leave_logs_data_asset(draft, set_task_state, warnings, state, why):
    set_task_state(state)
    await cancel_trigger(draft, on_kill="leave")
    assert warnings() == [f"Data asset {draft} (last state: draft) is kept: {why}"]
    assert exists(draft)


async def test_on_kill_with_task_still_deferred_does_nothing(draft, set_task_state, warnings):
    requests = set_task_state("deferred")
    await cancel_trigger(draft, on_kill="delete")
    assert len(requests) == 1
    assert warnings() == []
    assert exists(draft)


async def test_on_kill_of_wait_only_trigger_does_not_request_task_state(draft, set_task_state, warnings):
    requests = set_task_state("failed")
    await cancel_trigger(draft)
    assert (requests, warnings()) == ([], [])
    assert exists(draft)


async def test_on_kill_with_unknown_task_state_leaves_data_asset(draft, set_task_state, warnings):
    set_task_state(LookupError("no state from Airflow"))
    await cancel_trigger(draft, on_kill="delete")
    assert warnings() == [f"Data asset {draft} (last state: draft) is kept: no state from Airflow"]
    assert exists(draft)


async def test_on_kill_after_deadline_leaves_data_asset(draft, set_task_state, warnings):
    set_task_state("scheduled")  # by Airflow, to let the task fail
    trigger = CodeOceanDataAssetTrigger(draft, on_kill="delete", deadline=time.time() - 1)
    await trigger.on_kill()
    [line] = warnings()
    assert line.endswith("(last state: unknown) is kept: the deadline has passed")
    assert exists(draft)


async def test_on_kill_with_ready_data_asset_leaves_it(code_ocean, set_task_state, warnings):
    set_task_state("failed")
    ready = new_asset(code_ocean)
    await cancel_trigger(ready, on_kill="delete")
    assert warnings() == [f"The task was ended. Data asset {ready} is ready and was kept"]


async def test_on_kill_with_repeated_cancellation_deletes_data_asset(
    code_ocean, draft, set_task_state, warnings
):
    set_task_state("failed")
    code_ocean.faults.add(FaultRule(method="DELETE", kind="slow", delay=0.5))
    trigger = CodeOceanDataAssetTrigger(draft, poll_interval=0.05, on_kill="delete")
    await kill(await start_trigger(trigger), repeat_every=0.1)
    assert warnings() == [f"The task was ended. Data asset {draft} was deleted"]
    assert not exists(draft)


async def test_on_kill_with_refused_deletion_logs_error(code_ocean, draft, set_task_state, warnings):
    set_task_state("failed")
    code_ocean.faults.add(FaultRule(method="DELETE", kind="status", status=403))
    await cancel_trigger(draft, on_kill="delete")
    [line] = warnings()
    assert line.startswith(f"The task was ended. Could not delete data asset {draft}: Code Ocean")
    assert exists(draft)


async def test_on_kill_with_unresponsive_server_logs_timeout(
    code_ocean, draft, set_task_state, warnings, monkeypatch
):
    set_task_state("failed")
    monkeypatch.setattr(_on_kill, "_DELETE_TIMEOUT_SECONDS", 0.2)
    code_ocean.faults.add(FaultRule(method="DELETE", kind="hold_before", timeout=5))
    await cancel_trigger(draft, on_kill="delete")
    assert warnings() == [f"The task was ended. Could not delete data asset {draft}: TimeoutError"]
    assert exists(draft)


@pytest.mark.timeout(30)  # otherwise it never ends
async def test_on_kill_with_unresponsive_secrets_backend_logs_timeout(
    draft, set_task_state, warnings, monkeypatch
):
    set_task_state("failed")
    running = await start_trigger(
        trigger := CodeOceanDataAssetTrigger(draft, poll_interval=0.05, on_kill="delete")
    )

    async def hang(conn_id):
        await asyncio.Event().wait()

    monkeypatch.setattr(_on_kill, "_DELETE_TIMEOUT_SECONDS", 0.2)
    monkeypatch.setattr(codeocean, "read_connection", hang)
    await kill(running)
    await trigger.on_kill()
    monkeypatch.undo()
    assert warnings() == [f"The task was ended. Could not delete data asset {draft}: TimeoutError"]


def test_triggerer_shutdown_does_not_request_task_state(draft, set_task_state, warnings):
    requests = set_task_state("failed")

    async def triggerer():
        await start_trigger(CodeOceanDataAssetTrigger(draft, poll_interval=0.05, on_kill="delete"))

    asyncio.run(triggerer())
    assert (requests, warnings()) == ([], [])
    assert exists(draft)


def test_triggerer_shutdown_during_deletion_logs_data_asset(code_ocean, draft, set_task_state, warnings):
    set_task_state("failed")
    held = code_ocean.faults.add(FaultRule(method="DELETE", kind="hold_before", timeout=5))

    async def triggerer():
        running = await start_trigger(CodeOceanDataAssetTrigger(draft, poll_interval=0.05, on_kill="delete"))
        running.cancel()
        assert await asyncio.to_thread(held.wait, held=1)

    asyncio.run(triggerer())
    assert warnings() == [
        f"The triggerer shut down while it deleted data asset {draft}: check whether it still exists"
    ]


@pytest.mark.parametrize(("on_kill", "is_kept"), [("leave", True), ("delete", False)])
async def test_on_kill_of_computation_deletes_it_if_requested(
    code_ocean, set_task_state, caplog, monkeypatch, on_kill, is_kept
):
    monkeypatch.setattr(CodeOceanComputationTrigger, "log", logging.getLogger("trigger"))
    code_ocean.emulator.transitions = Transitions(computations=Policy(seconds=3600))
    with CodeOceanHook().get_conn() as client:
        run = client.computations.run(RunParams(capsule_id=code_ocean.env["CODEOCEAN_CAPSULE_ID"]))
    set_task_state("failed")
    await kill(await start_trigger(CodeOceanComputationTrigger(run.id, poll_interval=0.05, on_kill=on_kill)))
    assert (code_ocean.store.computations.get(run.id) is not None) == is_kept
    message = (
        f"Computation {run.id} (last state: " if is_kept else f"The task was ended. Computation {run.id} was"
    )
    assert message in caplog.text


async def test_delete_computation_in_terminal_state_keeps_it_unless_requested(code_ocean, caplog):
    with CodeOceanHook().get_conn() as client:
        run = client.computations.run(RunParams(capsule_id=code_ocean.env["CODEOCEAN_CAPSULE_ID"]))
        deletion = delete_computation(client, run.id, only_if_pending=True)
        assert str(deletion) == f"Computation {run.id} has ended and was kept"
        assert delete_computation(client, run.id, only_if_pending=False).status is DeletionStatus.DELETED
        assert delete_computation(client, run.id, only_if_pending=True).status is DeletionStatus.NOT_FOUND
