"""The computation sensor: argument checks, and the error of a failed computation."""

from __future__ import annotations

import logging

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_codeocean.api.errors import ComputationFailed
from airflow_provider_codeocean.api.models.computation import RunParams
from airflow_provider_codeocean.hooks.codeocean import CodeOceanHook
from airflow_provider_codeocean.sensors.computation import CodeOceanComputationSensor


@pytest.fixture
def context():
    return {"ti": None}


@pytest.mark.parametrize("wrong", ["", " ", 7.5, None, "a/b", "https://co.test/x", []])
def test_computation_sensor_with_invalid_id_raises_at_parse_time(wrong):
    with pytest.raises(ValueError, match=r"computation_id: must (not )?be"):
        CodeOceanComputationSensor(task_id="sense", computation_id=wrong)


def test_poke_with_failed_computation_raises_with_exit_code(code_ocean):
    with CodeOceanHook().get_conn() as client:
        failing = client.computations.run(
            RunParams(capsule_id=code_ocean.env["CODEOCEAN_FAILING_CAPSULE_ID"])
        )
    sensor = CodeOceanComputationSensor(task_id="sense", computation_id=failing.id)
    with pytest.raises(AirflowFailException, match=rf"Computation {failing.id} .*failed, exit code 1"):
        sensor.poke({})


def test_execute_complete_with_failed_computation_shows_end_of_output(code_ocean, context, caplog):
    caplog.set_level(logging.INFO)
    with CodeOceanHook().get_conn() as client:
        failing = client.computations.run(
            RunParams(capsule_id=code_ocean.env["CODEOCEAN_FAILING_CAPSULE_ID"])
        )
    sensor = CodeOceanComputationSensor(task_id="sense", computation_id=failing.id)
    event = {"status": "failed", "state": "completed", "message": "", "computation_id": failing.id}
    with pytest.raises(AirflowFailException, match=r"Its output ends with: .*exit code 1") as raised:
        sensor.execute_complete(context, event)
    assert isinstance(raised.value, ComputationFailed)
    assert f"The output of computation {failing.id} ends with:" in caplog.text


@pytest.mark.parametrize("wrong", ["always", "", None])
def test_computation_sensor_with_invalid_log_output_raises(wrong):
    with pytest.raises(ValueError, match="log_output"):
        CodeOceanComputationSensor(task_id="sense", computation_id="c1", log_output=wrong)
