"""The search sensor: argument checks when Airflow parses the DAG."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, AirflowSkipException

from airflow_provider_codeocean.sensors.search import CodeOceanDataAssetSearchSensor


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "at least one of query, filters, type, ownership and origin"),
        ({"archived": True}, "at least one of query"),
        ({"type": "notebook"}, "type: "),
        ({"query": ["x"]}, "query: "),
        ({"filters": [{"key": "name", "value": "x", "values": ["y"]}]}, "exactly one of value, values"),
    ],
)
def test_search_sensor_with_invalid_arguments_raises_at_parse_time(arguments, message):
    with pytest.raises(ValueError, match=message):
        CodeOceanDataAssetSearchSensor(task_id="sense", **arguments)


@pytest.mark.parametrize(
    ("soft_fail", "error"), [(False, AirflowFailException), (True, AirflowSkipException)]
)
def test_execute_with_invalid_rendered_argument_fails_or_skips(code_ocean, soft_fail, error):
    sensor = CodeOceanDataAssetSearchSensor(
        task_id="sense", type="{{ params.type }}", deferrable=True, soft_fail=soft_fail
    )
    sensor.type = "notebook"
    with pytest.raises(error, match="type: "):
        sensor.execute({"ti": SimpleNamespace(start_date=None)})


def test_search_sensor_with_templates_validates_after_rendering():
    CodeOceanDataAssetSearchSensor(
        task_id="sense", query="name:{{ ds }}", type="{{ params.type }}", filters="{{ params.filters }}"
    )
