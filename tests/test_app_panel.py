"""Parameters of runs are compared with the App Panel, and all mistakes are reported together."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_codeocean.api.models.capsule import AppPanel
from airflow_provider_codeocean.api.models.computation import RunParams
from airflow_provider_codeocean.app_panel import find_parameter_problems

THRESHOLD = {"name": "Threshold", "type": "text", "value_type": "number", "minimum": 1, "maximum": 20}
PROBE = {"name": "Probe", "type": "list", "value_options": ["A", "B"], "required": True}
SUBJECT = {"name": "Subject", "type": "text", "pattern": "^[0-9]{6}$"}
FILE = {"name": "Settings", "type": "file"}
ORDERED = [THRESHOLD, PROBE, SUBJECT, FILE]
NAMED = [{**item, "param_name": item["name"].lower()} for item in ORDERED]


def problems(panel_parameters, **params):
    panel = AppPanel.model_validate({"parameters": panel_parameters})
    return find_parameter_problems(panel, RunParams.model_validate({"capsule_id": "c1"} | params))


def by_name(**values):
    return {"named_parameters": [{"param_name": name, "value": value} for name, value in values.items()]}


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"probe": "A"}, []),
        ({"probe": "B", "threshold": "7.5", "subject": "123456", "settings": "/data/x"}, []),
        ({}, [("parameters.probe", "must be given (parameter 'Probe' of the App Panel)")]),
        ({"probe": ""}, [("parameters.probe", "must be given (parameter 'Probe' of the App Panel)")]),
        (
            {"probe": "C", "threshold": "21", "subject": "12345", "speed": "1"},
            [
                (
                    "parameters.speed",
                    "there is no such parameter, only 'threshold', 'probe', 'subject', 'settings'",
                ),
                (
                    "parameters.threshold",
                    "must be at most 20, got '21' (parameter 'Threshold' of the App Panel)",
                ),
                ("parameters.probe", "must be one of 'A', 'B', got 'C' (parameter 'Probe' of the App Panel)"),
                (
                    "parameters.subject",
                    "must match '^[0-9]{6}$', got '12345' (parameter 'Subject' of the App Panel)",
                ),
            ],
        ),
        ({"probe": "A", "threshold": "0.5"}, [("parameters.threshold", "must be at least 1, got '0.5'")]),
        ({"probe": "A", "threshold": "nan"}, [("parameters.threshold", "must be a number, got 'nan'")]),
        ({"probe": "A", "threshold": "many"}, [("parameters.threshold", "must be a number, got 'many'")]),
    ],
)
def test_named_parameters_are_checked_with_all_mistakes(values, expected):
    found = problems(NAMED, **by_name(**values))
    assert [path for path, _ in found] == [path for path, _ in expected]
    assert all(text.startswith(start) for (_, text), (_, start) in zip(found, expected, strict=True))


def test_ordered_parameters_are_checked_by_position():
    assert problems(ORDERED, parameters=["5", "A", "123456"]) == []
    assert problems(ORDERED, parameters=["5", "A", "", "", "one more"]) == []
    assert [path for path, _ in problems(ORDERED, parameters=["0", "C"])] == ["parameters.0", "parameters.1"]
    assert [path for path, _ in problems(ORDERED)] == ["parameters.1"]


@pytest.mark.parametrize(
    ("panel", "params"),
    [
        ([], by_name(anything="1")),
        (NAMED, {"parameters": ["0", "C"]}),
        (ORDERED, by_name(threshold="0")),
        ([THRESHOLD, NAMED[1]], by_name(probe="A", other="1")),
    ],
)
def test_parameters_that_cannot_be_assigned_are_not_checked(panel, params):
    assert problems(panel, **params) == []


def test_required_parameter_with_default_may_be_omitted():
    assert problems([{**NAMED[1], "default_value": "A"}]) == []


@pytest.mark.parametrize(("value", "is_valid"), [("5", True), ("5.0", True), ("5.5", False), ("x", False)])
def test_integer_parameter_accepts_integers_only(value, is_valid):
    parameter = {"name": "n", "param_name": "n", "type": "text", "value_type": "integer"}
    assert (problems([parameter], **by_name(n=value)) == []) is is_valid


def test_invalid_pattern_of_another_dialect_is_ignored():
    assert (
        problems([{"name": "n", "param_name": "n", "type": "text", "pattern": "(?<"}], **by_name(n="x")) == []
    )


def test_processes_of_pipeline_are_checked():
    processes = [{"name": "sort", "parameters": NAMED[:2]}, {"name": "plot", "parameters": []}]
    valid = {"name": "sort", **by_name(probe="A")}
    found = find_parameter_problems(
        AppPanel.model_validate({"processes": processes}),
        RunParams.model_validate({"pipeline_id": "p1", "processes": [valid, {"name": "tidy"}]}),
    )
    assert found == [("processes.tidy", "there is no such process, only 'sort', 'plot'")]
    found = find_parameter_problems(
        AppPanel.model_validate({"processes": processes}), RunParams.model_validate({"pipeline_id": "p1"})
    )
    assert [path for path, _ in found] == ["processes.sort.probe"]


@given(st.text(max_size=20), st.sampled_from(NAMED))
def test_any_value_is_accepted_or_has_a_printable_problem(value, parameter):
    for path, problem in problems([parameter], **by_name(**{parameter["param_name"]: value})):
        assert path == f"parameters.{parameter['param_name']}"
        assert problem.isprintable()
