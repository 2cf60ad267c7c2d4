"""What a run does with its computation when ``timeout`` or ``execution_timeout`` has passed."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from types import SimpleNamespace

import pytest
from airflow.providers.common.compat.sdk import (
    DAG,
    AirflowNotFoundException,
    AirflowTaskTimeout,
    TaskDeferred,
)

from airflow_provider_codeocean.api.errors import CodeOceanError, WaitTimeout
from airflow_provider_codeocean.emulator import FaultRule, Policy, Transitions
from airflow_provider_codeocean.hooks.codeocean import CodeOceanHook
from airflow_provider_codeocean.operators import _run_base
from airflow_provider_codeocean.operators._submit_once import runner
from airflow_provider_codeocean.operators.computation import CodeOceanRunCapsuleOperator
from airflow_provider_codeocean.polling.waits import Wait
from airflow_provider_codeocean.submission import protocol
from airflow_provider_codeocean.task_groups.run_and_capture import CodeOceanRunAndCaptureTaskGroup

pytestmark = pytest.mark.fault("C2")

FOREVER = Transitions(computations=Policy(seconds=3600))


class TaskInstance:
    """A task instance that keeps its XComs."""

    dag_id, run_id, task_id, map_index, try_number, max_tries, start_date = "d", "r", "t", -1, 1, 0, None

    def __init__(self):
        self.xcoms = {}

    def xcom_push(self, key, value):
        """Keep an XCom."""
        self.xcoms[key] = value

    @property
    def computation_id(self):
        """The id of the computation."""
        return self.xcoms["computation_id"]


@pytest.fixture
def ti():
    return TaskInstance()


@pytest.fixture
def context(ti, monkeypatch):
    monkeypatch.setattr(protocol, "NOT_FOUND_GRACE_SECONDS", 0.2)
    monkeypatch.setattr(protocol, "MAX_SEARCH_LAG_SECONDS", 0.1)
    monkeypatch.setattr(runner, "is_superseded", lambda context: False)  # there is no task to ask Airflow for
    return {"ti": ti, "dag_run": SimpleNamespace(start_date=datetime.now(UTC))}


@pytest.fixture
def operator(code_ocean):
    """``operator(…)`` runs a capsule whose computation does not end."""
    code_ocean.emulator.transitions = FOREVER
    capsule = {"capsule_id": code_ocean.env["CODEOCEAN_CAPSULE_ID"]}
    return partial(CodeOceanRunCapsuleOperator, task_id="t", poll_interval=0.01, timeout=0.1, **capsule)


@pytest.fixture
def computations(code_ocean):
    """``computations()`` are the ids of all that exist."""
    before = {each.id for each in code_ocean.store.computations.all()}
    return lambda: [each.id for each in code_ocean.store.computations.all() if each.id not in before]


@pytest.fixture
def run_out_of_time(monkeypatch):
    """Let ``execution_timeout`` end the wait."""

    def interrupt(wait):
        raise AirflowTaskTimeout("Timeout, PID: 1")

    monkeypatch.setattr(Wait, "next_delay", interrupt)


def deferred(operator, context):
    """Execute a task until it defers, and return what concludes from the trigger's timeout."""
    with pytest.raises(TaskDeferred) as raised:
        operator(deferrable=True).execute(context)
    event = {
        "status": "timeout",
        "state": "running",
        "message": "Computation X did not end in time; its last state was running. It is left as it is.",
        "computation_id": context["ti"].computation_id,
    }
    return partial(operator(deferrable=True).execute_complete, context, event, **raised.value.kwargs)


def end(code_ocean, computation_id):
    """Let a computation end with success."""
    record = code_ocean.store.computations.get(computation_id)
    code_ocean.store.computations.put(replace(record, work=replace(record.work, duration_seconds=0.0)))


def test_on_timeout_with_unknown_value_raises():
    with pytest.raises(ValueError, match="on_timeout must be one of 'leave', 'stop', got 'delete'"):
        CodeOceanRunCapsuleOperator(task_id="t", capsule_id="c", on_timeout="delete")


def test_leave_on_timeout_lets_retry_wait_for_same_computation(operator, context, ti, computations):
    with pytest.raises(WaitTimeout, match=r"in time; its last state was \w+\. It is left as it is\.$"):
        operator().execute(context)
    first = ti.computation_id
    ti.try_number = 2
    with pytest.raises(WaitTimeout, match=first):
        operator().execute(context)
    assert computations() == [first]


def test_leave_on_execution_timeout_keeps_computation(operator, context, ti, computations, run_out_of_time):
    with pytest.raises(AirflowTaskTimeout, match=r"It is left as it is\.$"):
        operator().execute(context)
    assert computations() == [ti.computation_id]


def test_stop_on_timeout_deletes_computation_and_keeps_retries(operator, context, ti, computations, caplog):
    with pytest.raises(WaitTimeout) as raised:
        operator(on_timeout="stop").execute(context)
    stopped = f"Computation {ti.computation_id} was stopped and deleted"
    assert str(raised.value).endswith(f" in time; its last state was initializing. {stopped}.")
    assert f"Timeout: {stopped}" in caplog.text
    assert computations() == []
    first, ti.try_number = ti.computation_id, 2
    again = operator(on_timeout="stop", wait_for_completion=False).execute(context)
    assert again["id"] != first


def test_stop_on_execution_timeout_deletes_computation(operator, context, ti, computations, run_out_of_time):
    running_out = operator(on_timeout="stop", on_kill="delete")
    with pytest.raises(AirflowTaskTimeout) as raised:
        running_out.execute(context)
    running_out.on_kill()  # as Airflow does then
    assert str(raised.value).startswith("The task ran out of time (execution_timeout). Computation ")
    assert str(raised.value).endswith(f" {ti.computation_id} was stopped and deleted.")
    assert "left as it is" not in str(raised.value)
    assert computations() == []


def test_stop_interrupted_by_execution_timeout_is_repeated(operator, context, ti, computations, monkeypatch):
    remove = CodeOceanRunCapsuleOperator._delete_if_pending

    def remove_interrupted(operator, runner, **options):
        monkeypatch.setattr(CodeOceanRunCapsuleOperator, "_delete_if_pending", remove)
        raise AirflowTaskTimeout("Timeout, PID: 1")

    monkeypatch.setattr(CodeOceanRunCapsuleOperator, "_delete_if_pending", remove_interrupted)
    with pytest.raises(AirflowTaskTimeout) as raised:
        operator(on_timeout="stop").execute(context)
    assert str(raised.value).endswith(
        f" in time; its last state was initializing. Computation {ti.computation_id} was stopped and deleted."
    )
    assert computations() == []


@pytest.mark.parametrize("is_submitted", [False, True])
def test_stop_on_execution_timeout_during_submission_deletes_computation(
    operator, context, code_ocean, computations, monkeypatch, is_submitted
):
    from airflow_provider_codeocean.api.endpoints.computations import Computations

    def interrupt(*_):
        raise AirflowTaskTimeout("Timeout, PID: 1")

    monkeypatch.setattr(Computations, "rename" if is_submitted else "run", interrupt)
    with pytest.raises(AirflowTaskTimeout) as raised:
        operator(on_timeout="stop").execute(context)
    assert computations() == []
    if is_submitted:
        assert str(raised.value).endswith(" was stopped and deleted.")
    else:
        assert "If it has submitted a computation, its name has, or gets, airflow" in str(raised.value)
        assert str(raised.value).endswith("It could not be stopped (on_timeout='stop'): its id is not known.")


def test_stop_after_trigger_timeout_deletes_computation(operator, context, ti, computations):
    conclude = deferred(partial(operator, on_timeout="stop"), context)
    with pytest.raises(WaitTimeout) as raised:
        conclude()
    assert str(raised.value) == (
        "Computation X did not end in time; its last state was running. It is in state initializing now. "
        f"Computation {ti.computation_id} was stopped and deleted."
    )
    assert computations() == []


def test_leave_after_trigger_timeout_keeps_computation(operator, context, ti, computations):
    conclude = deferred(operator, context)
    with pytest.raises(WaitTimeout, match=r"It is left as it is\."):
        conclude()
    assert computations() == [ti.computation_id]


def test_timeout_with_computation_succeeded_before_conclusion_returns_it(
    operator, context, ti, code_ocean, computations
):
    conclude = deferred(partial(operator, on_timeout="stop"), context)
    end(code_ocean, ti.computation_id)
    assert conclude()["id"] == ti.computation_id
    assert computations() == [ti.computation_id]


@pytest.mark.parametrize("deferrable", [False, True])
def test_stop_with_computation_just_succeeded_keeps_it(
    operator, context, ti, code_ocean, computations, monkeypatch, deferrable
):
    stop = CodeOceanRunCapsuleOperator.stop_on_timeout

    def stop_late(operator):
        end(code_ocean, ti.computation_id)
        return stop(operator)

    monkeypatch.setattr(CodeOceanRunCapsuleOperator, "stop_on_timeout", stop_late)
    stopping = partial(operator, on_timeout="stop")
    conclude = deferred(stopping, context) if deferrable else partial(stopping().execute, context)
    with pytest.raises(WaitTimeout) as raised:
        conclude()
    assert str(raised.value).endswith(f"Computation {ti.computation_id} has ended and was kept.")
    assert computations() == [ti.computation_id]


@pytest.mark.parametrize(
    ("rule", "why"),
    [
        ({"kind": "status", "status": 403}, "answered 403"),
        ({"kind": "status", "status": 503}, "answered 503"),
        ({"kind": "hold", "timeout": 60.0}, "ReadTimeout"),
    ],
)
def test_stop_that_fails_is_reported_in_bounded_time(
    operator, context, ti, code_ocean, monkeypatch, caplog, rule, why
):
    monkeypatch.setattr(_run_base, "_STOP_RETRY_SECONDS", 0.5)
    monkeypatch.setattr(_run_base, "_STOP_TIMEOUT_SECONDS", 0.3)
    code_ocean.faults.add(FaultRule(method="DELETE", times=None, **rule))
    began = time.monotonic()
    with pytest.raises(WaitTimeout) as raised:
        operator(on_timeout="stop").execute(context)
    assert time.monotonic() - began < 10
    failed = f"Computation {ti.computation_id} could not be stopped and deleted, and may still be running: "
    assert f"its last state was initializing. {failed}" in str(raised.value)
    assert why in str(raised.value)
    assert f"Timeout: {failed}" in caplog.text


def test_stop_with_deleted_connection_still_reports_timeout(operator, context, monkeypatch):
    get_conn = CodeOceanHook.get_conn

    def fail(hook, **options):
        if (
            options.get("timeout") == _run_base._STOP_TIMEOUT_SECONDS
            and options["retry_budget"] == _run_base._STOP_RETRY_SECONDS
        ):
            raise AirflowNotFoundException("The conn_id `codeocean_default` isn't defined")
        return get_conn(hook, **options)

    stopping = operator(on_timeout="stop")
    monkeypatch.setattr(CodeOceanHook, "get_conn", fail)
    with pytest.raises(WaitTimeout, match=r"may still be running: The conn_id `codeocean_default` isn't"):
        stopping.execute(context)


def test_stop_of_superseded_attempt_leaves_computation(operator, context, ti, computations, monkeypatch):
    monkeypatch.setattr(runner, "is_superseded", lambda context: bool(ti.xcoms))  # once it waits
    with pytest.raises(WaitTimeout, match="continues: a later attempt of this task waits for it"):
        operator(on_timeout="stop").execute(context)
    assert computations() == [ti.computation_id]


def test_stop_after_other_error_leaves_computation(
    operator, context, ti, code_ocean, computations, monkeypatch
):
    """The trigger's wait ended for another reason, and then the worker does not reach the server either."""
    from airflow_provider_codeocean.hooks import codeocean

    monkeypatch.setattr(codeocean, "RESULT_RETRY_SECONDS", 0.1)
    conclude = deferred(partial(operator, on_timeout="stop"), context)
    event = conclude.args[1]
    event["status"] = "error"
    with pytest.raises(CodeOceanError) as raised:
        conclude()
    assert not isinstance(raised.value, WaitTimeout)
    code_ocean.faults.add(FaultRule(method="GET", path="computations/*", kind="html", status=502, times=None))
    with pytest.raises(WaitTimeout):
        conclude()
    assert computations() == [ti.computation_id]


def test_stop_without_waiting_leaves_invisible_computation(
    operator, context, ti, code_ocean, computations, monkeypatch
):
    from airflow_provider_codeocean.hooks import codeocean

    monkeypatch.setattr(codeocean, "NOT_FOUND_GRACE_SECONDS", 0.1)
    code_ocean.faults.add(FaultRule(method="GET", path="computations/*", kind="html", status=502, times=None))
    with pytest.raises(WaitTimeout):
        operator(on_timeout="stop", wait_for_completion=False).execute(context)
    assert computations() == [ti.computation_id]


@pytest.mark.parametrize("place", ["run", "operator_kwargs"])
def test_run_and_capture_passes_on_timeout_to_run(place):
    with DAG("d", schedule=None):
        group = CodeOceanRunAndCaptureTaskGroup(name="n", capsule_id="c", **{place: {"on_timeout": "stop"}})
    assert group.run.on_timeout == "stop"


def test_run_and_capture_with_misplaced_on_timeout_names_its_place():
    with DAG("d", schedule=None), pytest.raises(TypeError, match=r"use run=\{'on_timeout': …\}"):
        CodeOceanRunAndCaptureTaskGroup(name="n", capsule_id="c", on_timeout="stop")


@pytest.mark.parametrize("on_timeout", ["leave", "stop"])
def test_max_run_time_in_worker_ends_the_wait(operator, context, ti, computations, on_timeout):
    with pytest.raises(WaitTimeout, match=r"it has run for \d+ s, and max_run_time is 1 s\. ") as raised:
        operator(timeout=60, max_run_time=1, on_timeout=on_timeout).execute(context)
    assert str(raised.value).startswith(f"Computation {ti.computation_id} did not end in time: ")
    assert computations() == ([ti.computation_id] if on_timeout == "leave" else [])


def test_max_run_time_in_triggerer_stops_the_computation(operator, context, ti, computations):
    running = partial(
        operator, timeout=60, max_run_time=timedelta(seconds=1), on_timeout="stop", deferrable=True
    )
    with pytest.raises(TaskDeferred) as raised:
        running().execute(context)
    _, arguments = raised.value.trigger.serialize()
    trigger = type(raised.value.trigger)(**arguments | {"poll_interval": 0.05})

    async def first_event():
        return (await anext(trigger.run())).payload

    event = asyncio.run(first_event())
    assert event["status"] == "timeout"
    with pytest.raises(WaitTimeout, match=r"max_run_time is 1 s\. .* was stopped and deleted\.$"):
        running().execute_complete(context, event, **raised.value.kwargs)
    assert computations() == []


def test_max_run_time_that_is_not_reached_has_no_effect(operator, context, code_ocean):
    code_ocean.emulator.transitions = Transitions(computations=Policy(reads=2))
    assert operator(timeout=60, max_run_time=3600).execute(context)["end_status"] == "succeeded"


@pytest.mark.parametrize("wrong", [0, -1, "1h", True])
def test_max_run_time_with_invalid_value_raises(wrong):
    with pytest.raises(ValueError, match="max_run_time must be a number of seconds or a timedelta"):
        CodeOceanRunCapsuleOperator(task_id="t", capsule_id="c", max_run_time=wrong)
