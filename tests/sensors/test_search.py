"""What the sensor of searches refuses when a DAG is parsed."""

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
def test_what_is_wrong_is_told_when_the_dag_is_parsed(arguments, message):
    with pytest.raises(ValueError, match=message):
        CodeOceanDataAssetSearchSensor(task_id="sense", **arguments)


@pytest.mark.parametrize(
    ("soft_fail", "error"), [(False, AirflowFailException), (True, AirflowSkipException)]
)
def test_what_renders_to_something_wrong_ends_it_at_once(code_ocean, soft_fail, error):
    sensor = CodeOceanDataAssetSearchSensor(
        task_id="sense", type="{{ params.type }}", deferrable=True, soft_fail=soft_fail
    )
    sensor.type = "notebook"
    with pytest.raises(error, match="type: "):
        sensor.execute({"ti": SimpleNamespace(start_date=None)})


def test_templates_are_left_until_they_are_rendered():
    CodeOceanDataAssetSearchSensor(
        task_id="sense", query="name:{{ ds }}", type="{{ params.type }}", filters="{{ params.filters }}"
    )
