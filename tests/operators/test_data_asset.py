"""What the capture operator refuses when a DAG is parsed, and what it leaves to the templates."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from airflow_provider_codeocean.operators.data_asset import CodeOceanCaptureResultOperator


def capture(**arguments):
    return CodeOceanCaptureResultOperator(
        **{"task_id": "capture", "computation_id": "c1", "name": "sorted"} | arguments
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"computation_id": ""}, "computation_id: "),
        ({"computation_id": None}, "computation_id: "),
        ({"name": " "}, "name: "),
        ({"mount": "a/b"}, "mount: must be the name of one folder"),
        ({"tags": "sorted"}, "tags: .*list"),
        ({"tags": ["sorted", ""]}, r"tags\.1: "),
        ({"path": ["x"]}, "path: must be text, got a list"),
        ({"description": ["x"]}, "description: must be text, got a list"),
        ({"custom_metadata": ["x"]}, "custom_metadata: must be a mapping"),
        (
            {"custom_metadata": {"acquired": datetime(2026, 1, 2, tzinfo=UTC).replace(tzinfo=None)}},
            "custom_metadata.acquired: must have a time zone",
        ),
        ({"target": {"prefix": "x"}}, "target.bucket: is required"),
        ({"target": {"bucket": "s3://lab-results"}}, "target.bucket: "),
        ({"target": {"bucket": "lab-results", "key": "x"}}, "target: does not take 'key'; it takes bucket"),
        ({"poll_interval": 0}, "poll_interval must be a number of seconds"),
        ({"timeout": timedelta.max}, "timeout must be .* 10 years at most"),
        ({"timeout": timedelta(0)}, "timeout must be a number of seconds or a timedelta, greater than 0"),
    ],
)
def test_capture_with_invalid_arguments_raises_at_parse_time(arguments, message):
    with pytest.raises(ValueError, match=message):
        capture(**arguments)


@pytest.mark.parametrize(
    "arguments",
    [
        {"computation_id": "{{ params.computation_id }}"},
        {"name": "{{ ds }}", "mount": "{{ ds }}"},
        {"tags": "{{ params.tags }}"},
        {"tags": ["{{ ds }}", "fixed"]},
        {"custom_metadata": "{{ params.metadata }}"},
        {"custom_metadata": {"acquired": datetime(2026, 1, 2, tzinfo=UTC), "score": 1.5}},
        {"target": "{{ params.target }}"},
        {"target": {"bucket": "{{ params.bucket }}", "prefix": "{{ ds }}"}},
        {"timeout": timedelta(hours=1)},
        {"tags": None},
    ],
)
def test_capture_with_templates_validates_after_rendering(arguments):
    capture(**arguments)


def test_capture_request_contains_all_arguments():
    operator = capture(
        path="figures",
        mount="m",
        tags=["a"],
        description="d",
        custom_metadata={"acquired": datetime(2026, 1, 2, tzinfo=UTC)},
        target={"bucket": "lab-results", "prefix": "p", "endpoint_name": "onsite"},
    )
    assert operator.build_data_asset_params().to_json() == {
        "name": "sorted",
        "mount": "m",
        "tags": ["a"],
        "description": "d",
        "custom_metadata": {"acquired": 1767312000},
        "source": {"computation": {"id": "c1", "path": "figures"}},
        "target": {"aws": {"bucket": "lab-results", "prefix": "p", "endpoint_name": "onsite"}},
    }


def test_capture_request_omits_defaults():
    assert capture().build_data_asset_params().to_json() == {
        "name": "sorted",
        "mount": "sorted",
        "tags": [],
        "source": {"computation": {"id": "c1"}},
    }


def test_capture_with_name_rendered_to_number_sends_text():
    operator = capture(name="{{ ds_nodash }}", custom_metadata={"score": 7})
    operator.name = 20260102  # what render_template_as_native_obj makes of it
    params = operator.build_data_asset_params()
    assert (params.name, params.mount) == ("20260102", "20260102")
    assert params.custom_metadata == {"score": 7}
