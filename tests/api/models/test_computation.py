"""Computations: how they are read, and what a run takes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from airflow_provider_codeocean.api.models.computation import (
    Computation,
    ComputationEndStatus,
    ComputationState,
    NamedParameter,
    ProcessParams,
    RunDataAsset,
    RunParams,
)
from tests.api.models.strategies import assert_survives_json, folders, ids, names, optional


def test_computation_in_any_letter_case_is_read():
    run = Computation.model_validate({"state": "Completed", "end_status": "SUCCEEDED", "exit_code": "0"})
    assert run.state is ComputationState.COMPLETED
    assert run.end_status is ComputationEndStatus.SUCCEEDED
    assert run.exit_code == 0


def test_computation_of_older_server_has_only_its_state():
    run = Computation.model_validate({"id": "c1", "state": "completed", "end_status": "", "exit_code": None})
    assert (run.end_status, run.exit_code, run.owner) == (None, None, None)


def test_computation_parameter_value_is_read_as_text():
    run = Computation.model_validate({"parameters": [{"value": '{"a": [1]}'}, {"name": "n", "value": 0.5}]})
    assert [parameter.value for parameter in run.parameters] == ['{"a": [1]}', "0.5"]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({}, "exactly one of capsule_id and pipeline_id"),
        ({"capsule_id": "c", "pipeline_id": "p"}, "exactly one of capsule_id and pipeline_id"),
        ({"capsule_id": "  "}, "capsule_id"),
        ({"capsule_id": "c", "processes": []}, "processes requires pipeline_id"),
        ({"capsule_id": "c", "nextflow_profile": "p"}, "nextflow_profile requires pipeline_id"),
        ({"capsule_id": "c", "version": 0}, "version"),
        ({"capsule_id": "c", "data_assets": [{"mount": "m"}]}, r"data_assets\.0\.id"),
        ({"capsule_id": "c", "parameters": [1.5]}, r"parameters\.0"),
        ({"capsule_id": "c", "named_parameters": [{"value": "v"}]}, r"named_parameters\.0\.param_name"),
        ({"pipeline_id": "p", "processes": [{"name": ""}]}, r"processes\.0\.name"),
        ({"capsule_id": "c", "cpu": 4}, "cpu"),
    ],
)
def test_run_params_with_invalid_values_are_rejected(wrong, message):
    with pytest.raises(ValidationError, match=message):
        RunParams.model_validate(wrong)


named = st.lists(st.builds(NamedParameter, param_name=names, value=st.text()), max_size=2)
values = st.lists(st.text(), max_size=2)
common = {
    "version": optional(st.integers(min_value=1)),
    "resume_run_id": optional(ids),
    "data_assets": optional(st.lists(st.builds(RunDataAsset, id=ids, mount=optional(folders)), max_size=2)),
    "parameters": optional(values),
    "named_parameters": optional(named),
}
processes = st.builds(
    ProcessParams, name=names, parameters=optional(values), named_parameters=optional(named)
)


@given(
    st.builds(RunParams, capsule_id=ids, **common)
    | st.builds(
        RunParams,
        pipeline_id=ids,
        nextflow_profile=optional(names),
        processes=optional(st.lists(processes, max_size=2)),
        **common,
    )
)
def test_run_params_round_trip_through_json(params):
    assert_survives_json(params)
