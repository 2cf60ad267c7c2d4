"""Operators of computations: invalid arguments when a DAG is parsed, and the requests."""

from __future__ import annotations

import pytest

from airflow_provider_codeocean.operators.computation import (
    CodeOceanDeleteComputationOperator,
    CodeOceanRenameComputationOperator,
    CodeOceanRunCapsuleOperator,
    CodeOceanRunPipelineOperator,
)


def capsule(**arguments):
    return CodeOceanRunCapsuleOperator(**{"task_id": "run", "capsule_id": "c1"} | arguments)


def pipeline(**arguments):
    return CodeOceanRunPipelineOperator(**{"task_id": "run", "pipeline_id": "p1"} | arguments)


@pytest.mark.parametrize(
    ("make", "arguments", "message"),
    [
        (capsule, {"capsule_id": ""}, "capsule_id: must not be empty"),
        (capsule, {"capsule_id": None}, "capsule_id: must not be None"),
        (capsule, {"version": 0}, "version: must be at least 1"),
        (capsule, {"version": "latest"}, "version: must be a whole number"),
        (capsule, {"data_assets": "a1"}, "data_assets: .*list"),
        (capsule, {"data_assets": [{"mount": "m"}]}, r"data_assets\.0\.id: is required"),
        (capsule, {"parameters": "--a 5"}, "^parameters: must be a list, or a mapping by name, got '--a 5'$"),
        (capsule, {"parameters": [True]}, r"parameters\.0: must be text"),
        (capsule, {"parameters": {"": "x"}}, "parameters: must not be empty"),
        (capsule, {"on_kill": "stop"}, "on_kill must be one of 'leave', 'delete'"),
        (capsule, {"name": 1.5}, "name: must be text"),
        (pipeline, {"pipeline_id": " "}, "pipeline_id: must not be empty"),
        (pipeline, {"processes": ["sort"]}, r"processes\.0: "),
        (
            pipeline,
            {"processes": {"sort": "fast"}},
            r"processes\.sort: must be a list, or a mapping by name, got",
        ),
        (pipeline, {"nextflow_profile": 1.5}, "nextflow_profile: must be text"),
        (pipeline, {"resume_run_id": "r 1"}, "resume_run_id: must be an id"),
    ],
)
def test_run_with_invalid_arguments_raises_at_parse_time(make, arguments, message):
    with pytest.raises(ValueError, match=message):
        make(**arguments)


@pytest.mark.parametrize(
    "arguments",
    [
        {"capsule_id": "{{ params.capsule_id }}", "version": "{{ params.version }}"},
        {"data_assets": "{{ params.data_assets }}", "parameters": "{{ params.parameters }}"},
        {"data_assets": ["{{ params.data_asset }}"], "parameters": {"{{ params.name }}": "{{ ds }}"}},
        {"name": "nightly {{ ds }}"},
    ],
)
def test_run_with_templates_validates_after_rendering(arguments):
    capsule(**arguments)


def test_run_capsule_request_contains_all_arguments():
    operator = capsule(version=3, data_assets=["a1", {"id": "a2", "mount": "m"}], parameters=["fast", 5])
    assert operator.build_run_params().to_json() == {
        "capsule_id": "c1",
        "version": 3,
        "data_assets": [{"id": "a1"}, {"id": "a2", "mount": "m"}],
        "parameters": ["fast", "5"],
    }


def test_run_pipeline_request_contains_all_arguments():
    operator = pipeline(
        parameters={"mode": "fast"},
        processes={"sort": [1], "plot": {"format": "svg"}},
        nextflow_profile="big",
        resume_run_id="r1",
    )
    assert operator.build_run_params().to_json() == {
        "pipeline_id": "p1",
        "named_parameters": [{"param_name": "mode", "value": "fast"}],
        "processes": [
            {"name": "sort", "parameters": ["1"]},
            {"name": "plot", "named_parameters": [{"param_name": "format", "value": "svg"}]},
        ],
        "nextflow_profile": "big",
        "resume_run_id": "r1",
    }


def test_run_capsule_request_omits_defaults():
    assert capsule().build_run_params().to_json() == {"capsule_id": "c1"}


@pytest.mark.parametrize(
    ("operator", "arguments", "message"),
    [
        (
            CodeOceanRenameComputationOperator,
            {"computation_id": "", "name": "n"},
            "computation_id: must not be empty",
        ),
        (CodeOceanRenameComputationOperator, {"computation_id": "c", "name": " "}, "name: must not be empty"),
        (CodeOceanDeleteComputationOperator, {"computation_id": None}, "computation_id: must not be None"),
    ],
)
def test_computation_operators_with_invalid_ids_raise_at_parse_time(operator, arguments, message):
    with pytest.raises(ValueError, match=message):
        operator(task_id="t", **arguments)
