"""What the operators of computations refuse when a DAG is parsed, and what they ask for."""

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
        (capsule, {"capsule_id": ""}, "capsule_id must be an identifier"),
        (capsule, {"capsule_id": None}, "capsule_id must be an identifier"),
        (capsule, {"version": 0}, "version: .*greater than or equal to 1"),
        (capsule, {"version": "latest"}, "version: .*integer"),
        (capsule, {"data_assets": "a1"}, "data_assets: .*list"),
        (capsule, {"data_assets": [{"mount": "m"}]}, r"data_assets\.0\.id: Field required"),
        (capsule, {"parameters": "fast"}, "parameters: .*list"),
        (capsule, {"parameters": [True]}, r"parameters\.0: .*string"),
        (capsule, {"parameters": {"": "x"}}, r"parameters\.0\.param_name: "),
        (capsule, {"on_kill": "stop"}, "on_kill must be one of 'leave', 'delete'"),
        (capsule, {"name": ""}, "name must be"),
        (pipeline, {"pipeline_id": " "}, "pipeline_id must be an identifier"),
        (pipeline, {"processes": ["sort"]}, r"processes\.0: "),
        (pipeline, {"processes": {"sort": "fast"}}, r"processes\.0\.parameters: .*list"),
        (pipeline, {"nextflow_profile": ""}, "nextflow_profile: "),
        (pipeline, {"resume_run_id": ""}, "resume_run_id: "),
    ],
)
def test_what_is_wrong_is_told_when_the_dag_is_parsed(make, arguments, message):
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
def test_templates_are_left_until_they_are_rendered(arguments):
    capsule(**arguments)


def test_the_request_for_a_capsule_says_what_was_asked_for():
    operator = capsule(version=3, data_assets=["a1", {"id": "a2", "mount": "m"}], parameters=["fast", 0.5])
    assert operator.run_params().to_json() == {
        "capsule_id": "c1",
        "version": 3,
        "data_assets": [{"id": "a1"}, {"id": "a2", "mount": "m"}],
        "parameters": ["fast", "0.5"],
    }


def test_the_request_for_a_pipeline_says_what_was_asked_for():
    operator = pipeline(
        parameters={"mode": "fast"},
        processes={"sort": [1], "plot": {"format": "svg"}},
        nextflow_profile="big",
        resume_run_id="r1",
    )
    assert operator.run_params().to_json() == {
        "pipeline_id": "p1",
        "named_parameters": [{"param_name": "mode", "value": "fast"}],
        "processes": [
            {"name": "sort", "parameters": ["1"]},
            {"name": "plot", "named_parameters": [{"param_name": "format", "value": "svg"}]},
        ],
        "nextflow_profile": "big",
        "resume_run_id": "r1",
    }


def test_the_request_says_no_more_than_that():
    assert capsule().run_params().to_json() == {"capsule_id": "c1"}


@pytest.mark.parametrize(
    ("operator", "arguments", "message"),
    [
        (CodeOceanRenameComputationOperator, {"computation_id": "", "name": "n"}, "computation_id must be"),
        (CodeOceanRenameComputationOperator, {"computation_id": "c", "name": " "}, "name must be"),
        (CodeOceanDeleteComputationOperator, {"computation_id": None}, "computation_id must be"),
    ],
)
def test_wrong_identifiers_and_names_are_told_when_the_dag_is_parsed(operator, arguments, message):
    with pytest.raises(ValueError, match=message):
        operator(task_id="t", **arguments)
