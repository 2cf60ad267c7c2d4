"""The data asset sensor: argument checks, and the end after the trigger."""

from __future__ import annotations

import itertools
import time

import pytest
from airflow.providers.common.compat.sdk import (
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
    AirflowTaskTimeout,
)

from airflow_provider_codeocean.api.errors import WaitTimeout
from airflow_provider_codeocean.api.models.data_asset_params import DataAssetParams
from airflow_provider_codeocean.emulator import FaultRule, Policy, Transitions
from airflow_provider_codeocean.hooks.codeocean import CodeOceanHook
from airflow_provider_codeocean.sensors.data_asset import CodeOceanDataAssetSensor


class TaskInstance:
    """The part of the running task's instance that sensors use."""

    map_index, start_date = -1, None

    def __init__(self):
        self.xcoms = {}

    def xcom_push(self, key, value):
        self.xcoms[key] = value


@pytest.fixture
def context():
    return {"ti": TaskInstance()}


@pytest.fixture
def draft(code_ocean):
    source = {"computation": {"id": code_ocean.env["CODEOCEAN_COMPUTATION_ID"]}}
    with CodeOceanHook().get_conn() as client:
        return client.data_assets.create(
            DataAssetParams.model_validate({"name": "n", "mount": "m", "tags": [], "source": source})
        )


def sensor(data_asset_id, **arguments):
    return CodeOceanDataAssetSensor(
        **{"task_id": "sense", "data_asset_id": data_asset_id, "poke_interval": 1} | arguments
    )


def event(data_asset_id, status):
    return {"status": status, "data_asset_id": data_asset_id, "state": None, "message": f"it was a {status}"}


@pytest.mark.parametrize("wrong", ["", " ", 7.5, None, "a/b", "https://co.test/x", []])
def test_data_asset_sensor_with_invalid_id_raises_at_parse_time(wrong):
    with pytest.raises(ValueError, match=r"data_asset_id: must (not )?be"):
        sensor(wrong)


def test_poke_with_invalid_rendered_id_fails_permanently(code_ocean, context):
    sensing = sensor("{{ params.data_asset_id }}")
    sensing.data_asset_id = {"name": "a1"}
    with pytest.raises(AirflowFailException, match=r"data_asset_id: must (not )?be"):
        sensing.poke(context)


def test_execute_complete_with_outdated_read_polls_again(draft, context):
    result = sensor(draft.id).execute_complete(context, event(draft.id, "success"))
    assert result["state"] == "ready"


def test_execute_complete_with_transient_errors_succeeds(code_ocean, draft, context):
    faults = [
        code_ocean.faults.add(FaultRule(method="GET", kind="status", status=status)) for status in (503, 429)
    ]
    result = sensor(draft.id).execute_complete(context, event(draft.id, "success"))
    assert result["state"] == "ready"
    assert [fault.hits for fault in faults] == [1, 1]


@pytest.mark.parametrize("how", ["soft_fail", "never_fail"])
def test_execute_complete_with_error_skips_if_requested(code_ocean, draft, context, how):
    code_ocean.emulator.transitions = Transitions(assets=Policy(seconds=3600))
    with pytest.raises(AirflowSkipException, match="it was a error"):
        sensor(draft.id, **{how: True}).execute_complete(context, event(draft.id, "error"))


def test_execute_complete_after_timeout_raises_sensor_timeout(draft, context):
    with pytest.raises(AirflowSensorTimeout, match="it was a timeout") as caught:
        sensor(draft.id).execute_complete(context, event(draft.id, "timeout"))
    assert isinstance(caught.value.__cause__, WaitTimeout)


def test_execute_with_failing_first_poll_defers(code_ocean, context):
    from airflow.providers.common.compat.sdk import TaskDeferred

    with pytest.raises(TaskDeferred) as caught:
        sensor("no-such-asset", deferrable=True, timeout=60).execute(context)
    assert caught.value.trigger.deadline == pytest.approx(time.time() + 60, abs=5)


def test_execute_with_timeout_before_first_poll_names_data_asset(context, monkeypatch):
    def out_of_time(*args, **kwargs):
        raise AirflowTaskTimeout("Timeout")

    monkeypatch.setattr(CodeOceanDataAssetSensor, "poke", out_of_time)
    with pytest.raises(AirflowTaskTimeout, match=r"Data asset slow was not ready in time; .*not polled yet"):
        sensor("slow").execute(context)


def test_execute_with_timeout_during_later_poll_names_last_state(slow_creation, draft, context, monkeypatch):
    send, polls = CodeOceanHook.send_with_auth_grace, itertools.count(1)

    def run_out_of_time_in_third_poll(*args, **kwargs):
        if next(polls) == 3:
            raise AirflowTaskTimeout("Timeout")
        return send(*args, **kwargs)

    monkeypatch.setattr(CodeOceanHook, "send_with_auth_grace", run_out_of_time_in_third_poll)
    with pytest.raises(AirflowTaskTimeout, match=r"its last state was draft\."):
        sensor(draft.id, poke_interval=0.01).execute(context)
