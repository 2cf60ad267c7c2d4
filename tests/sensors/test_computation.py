"""What the sensor of computations refuses, and what it says of one that failed."""

from __future__ import annotations

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_codeocean.api.models.computation import RunParams
from airflow_provider_codeocean.hooks.codeocean import CodeOceanHook
from airflow_provider_codeocean.sensors.computation import CodeOceanComputationSensor


@pytest.mark.parametrize("wrong", ["", " ", 7.5, None, "a/b", "https://co.test/x", []])
def test_what_is_no_identifier_is_refused_when_the_dag_is_parsed(wrong):
    with pytest.raises(ValueError, match=r"computation_id: must (not )?be"):
        CodeOceanComputationSensor(task_id="sense", computation_id=wrong)


def test_it_says_how_a_computation_failed(code_ocean):
    with CodeOceanHook().get_conn() as client:
        failing = client.computations.run(
            RunParams(capsule_id=code_ocean.env["CODEOCEAN_FAILING_CAPSULE_ID"])
        )
    sensor = CodeOceanComputationSensor(task_id="sense", computation_id=failing.id)
    with pytest.raises(AirflowFailException, match=rf"Computation {failing.id} .*failed, exit code 1"):
        sensor.poke({})
