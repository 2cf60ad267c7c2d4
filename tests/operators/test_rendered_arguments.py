"""What becomes of rendered arguments: text is sent as text, and everything else is rejected by name."""

from __future__ import annotations

import json
import re
import traceback
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import DAG, AirflowFailException
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_codeocean.operators._submit_once import runner
from airflow_provider_codeocean.operators.attachment import (
    CodeOceanAttachDataAssetsOperator,
    CodeOceanDetachDataAssetsOperator,
)
from airflow_provider_codeocean.operators.computation import (
    CodeOceanDeleteComputationOperator,
    CodeOceanRenameComputationOperator,
    CodeOceanRunCapsuleOperator,
    CodeOceanRunPipelineOperator,
)
from airflow_provider_codeocean.operators.data_asset import (
    CodeOceanArchiveDataAssetOperator,
    CodeOceanCaptureResultOperator,
    CodeOceanCreateDataAssetOperator,
    CodeOceanUpdateDataAssetOperator,
)
from airflow_provider_codeocean.operators.files import CodeOceanListFilesOperator
from airflow_provider_codeocean.operators.permissions import CodeOceanSetDataAssetPermissionsOperator
from airflow_provider_codeocean.operators.search import CodeOceanSearchDataAssetsOperator
from airflow_provider_codeocean.operators.transfer import CodeOceanTransferDataAssetOperator
from airflow_provider_codeocean.sensors.computation import CodeOceanComputationSensor
from airflow_provider_codeocean.sensors.data_asset import CodeOceanDataAssetSensor
from airflow_provider_codeocean.sensors.search import CodeOceanDataAssetSearchSensor
from tests.api.models.strategies import any_json
from tests.operators.test_run import TaskInstance

CAPTURE = (CodeOceanCaptureResultOperator, {"computation_id": "c", "name": "n"})
CREATE = (CodeOceanCreateDataAssetOperator, {"name": "n", "source": {"aws": {"bucket": "b"}}})
UPDATE = (CodeOceanUpdateDataAssetOperator, {"data_asset_id": "a", "tags": ["t"]})
CAPSULE = (CodeOceanRunCapsuleOperator, {"capsule_id": "c"})
PIPELINE = (CodeOceanRunPipelineOperator, {"pipeline_id": "p"})
SHARE = (CodeOceanSetDataAssetPermissionsOperator, {"data_asset_id": "a", "everyone": "viewer"})
TRANSFER = (CodeOceanTransferDataAssetOperator, {"data_asset_id": "a", "target": {"bucket": "b"}})
SEARCH = (CodeOceanSearchDataAssetsOperator, {})
WAIT = (CodeOceanDataAssetSearchSensor, {"type": "result"})
ATTACH = (CodeOceanAttachDataAssetsOperator, {"capsule_id": "c", "data_assets": ["a"]})
DETACH = (CodeOceanDetachDataAssetsOperator, {"capsule_id": "c", "data_asset_ids": ["a"]})
FILES = (CodeOceanListFilesOperator, {"data_asset_id": "a"})

#: What each operator sends for its arguments, without sending it.
REQUESTS = {
    CAPTURE[0]: lambda task: task.build_params().to_json(),
    CREATE[0]: lambda task: task.build_params().to_json(),
    UPDATE[0]: lambda task: task.update_params().to_json(),
    CAPSULE[0]: lambda task: task.build_params().to_json(),
    PIPELINE[0]: lambda task: task.build_params().to_json(),
    SHARE[0]: lambda task: task.permissions_params().to_json(),
    TRANSFER[0]: lambda task: task.transfer_params().to_json(),
    SEARCH[0]: lambda task: task.search_params().to_json(),
    WAIT[0]: lambda task: task.search_params().to_json(),
    ATTACH[0]: lambda task: [each.to_json() for each in task.attach_params()],
    DETACH[0]: lambda task: task._read_ids(),
    FILES[0]: lambda task: task.file_selection(),
}

#: Text arguments: the task, the argument, its value around the text, where the text is in the request,
#: whether it is an id, and whether it is optional.
FIELDS = [
    pytest.param(task, argument, around, path, is_id, optional, id=f"{task[0].__name__}-{'.'.join(path)}")
    for task, argument, around, path, is_id, optional in [
        (CAPTURE, "name", lambda x: x, ["name"], False, False),
        (CAPTURE, "mount", lambda x: x, ["mount"], False, True),
        (CAPTURE, "tags", lambda x: [x], ["tags", "0"], False, False),
        (CAPTURE, "description", lambda x: x, ["description"], False, True),
        (CAPTURE, "path", lambda x: x, ["source", "computation", "path"], False, True),
        (CAPTURE, "computation_id", lambda x: x, ["source", "computation", "id"], True, False),
        (CAPTURE, "target", lambda x: {"bucket": x}, ["target", "aws", "bucket"], False, False),
        (CAPTURE, "target", lambda x: {"bucket": "b", "prefix": x}, ["target", "aws", "prefix"], False, True),
        (
            CREATE,
            "source",
            lambda x: {"aws": {"bucket": "b", "endpoint_name": x}},
            ["source", "aws", "endpoint_name"],
            False,
            True,
        ),
        (
            CREATE,
            "source",
            lambda x: {"cloud_workstation": {"id": x, "path": "p"}},
            ["source", "cloud_workstation", "id"],
            True,
            False,
        ),
        (
            CREATE,
            "results_info",
            lambda x: {"capsule_id": "c", "commit": x},
            ["results_info", "commit"],
            False,
            True,
        ),
        (CREATE, "results_info", lambda x: {"pipeline_id": x}, ["results_info", "pipeline_id"], True, True),
        (UPDATE, "name", lambda x: x, ["name"], False, True),
        (UPDATE, "description", lambda x: x, ["description"], False, True),
        (UPDATE, "mount", lambda x: x, ["mount"], False, True),
        (UPDATE, "tags", lambda x: [x], ["tags", "0"], False, False),
        (CAPSULE, "capsule_id", lambda x: x, ["capsule_id"], True, False),
        (CAPSULE, "parameters", lambda x: [x], ["parameters", "0"], False, False),
        (CAPSULE, "parameters", lambda x: {"p": x}, ["named_parameters", "0", "value"], False, False),
        (CAPSULE, "data_assets", lambda x: [x], ["data_assets", "0", "id"], True, False),
        (
            CAPSULE,
            "data_assets",
            lambda x: [{"id": "a", "mount": x}],
            ["data_assets", "0", "mount"],
            False,
            True,
        ),
        (PIPELINE, "pipeline_id", lambda x: x, ["pipeline_id"], True, False),
        (PIPELINE, "nextflow_profile", lambda x: x, ["nextflow_profile"], False, True),
        (PIPELINE, "resume_run_id", lambda x: x, ["resume_run_id"], True, True),
        (PIPELINE, "processes", lambda x: {"sort": [x]}, ["processes", "0", "parameters", "0"], False, False),
        (SHARE, "users", lambda x: [{"email": x, "role": "viewer"}], ["users", "0", "email"], False, False),
        (SHARE, "groups", lambda x: [{"group": x, "role": "viewer"}], ["groups", "0", "group"], False, False),
        (
            TRANSFER,
            "target",
            lambda x: {"bucket": "b", "prefix": x},
            ["target", "aws", "prefix"],
            False,
            True,
        ),
        (SEARCH, "query", lambda x: x, ["query"], False, True),
        (SEARCH, "filters", lambda x: [{"key": "tags", "value": x}], ["filters", "0", "value"], False, False),
        (
            SEARCH,
            "filters",
            lambda x: [{"key": "name", "values": [x]}],
            ["filters", "0", "values", "0"],
            False,
            False,
        ),
        (SEARCH, "filters", lambda x: [{"key": x, "value": "v"}], ["filters", "0", "key"], False, False),
        (WAIT, "query", lambda x: x, ["query"], False, True),
        (ATTACH, "data_assets", lambda x: [x], ["0", "id"], True, False),
        (ATTACH, "data_assets", lambda x: [{"id": "a", "mount": x}], ["0", "mount"], False, True),
        (DETACH, "data_asset_ids", lambda x: [x], ["0"], True, False),
        (FILES, "path", lambda x: x, ["path"], False, True),
        (FILES, "pattern", lambda x: x, ["pattern"], False, True),
        (FILES, "data_asset_id", lambda x: x, ["data_asset_id"], True, False),
    ]
]
fields = pytest.mark.parametrize(("task", "argument", "around", "path", "is_id", "optional"), FIELDS)


def make(task, **arguments):
    kind, usual = task
    return kind(**{"task_id": "t"} | usual | arguments)


def at(request, path):
    for part in path:
        if request is None:
            return None
        request = request[int(part)] if isinstance(request, list) else request.get(part)
    return request


def sent(task, argument, around, path, rendered):
    """What a task sends for an argument that was rendered to a value."""
    made = make(task, **{argument: around("{{ params.x }}")})
    setattr(made, argument, around(rendered))
    return at(REQUESTS[task[0]](made), path)


@pytest.fixture
def context(monkeypatch):
    monkeypatch.setattr(runner, "is_superseded", lambda context: False)  # there is no task to ask Airflow for
    return {"ti": TaskInstance()}


#: Words of pydantic that say nothing to the author of a DAG.
INTERNALS = re.compile(
    r"function-|union\[|Value error|Input should|pydantic|Extra inputs|\[key\]|validation error"
)


@pytest.mark.fault("A4")
@pytest.mark.fault("N5")
@fields
@given(value=any_json | st.from_regex(r"[a-z0-9]{1,6}", fullmatch=True))
def test_text_argument_any_json_value_is_sent_as_text_or_rejected(
    task, argument, around, path, is_id, optional, value
):
    try:
        found = sent(task, argument, around, path, value)
    except ValueError as error:
        assert argument in str(error) or "give exactly one of" in str(error)  # noqa: PT017
        assert not INTERNALS.search(str(error))  # noqa: PT017
        return
    if found is None or (found == "" and optional):
        assert optional
        assert value is None or not str(value).strip() or value == "/" * len(value)
    elif isinstance(value, list):  # of patterns
        assert found == [str(each).strip() for each in value]
        assert {type(each) for each in value} <= {str, int}
    elif is_id and isinstance(value, dict | str):
        assert found == (value["id"] if isinstance(value, dict) else value).strip()
    else:
        assert type(value) in (str, int) or (value is None and path == ["mount"])
        assert found in (str(value), str(value).strip(), str(value).lstrip("/"), "n")


@pytest.mark.fault("A4")
@fields
def test_text_argument_number_is_sent_as_text(task, argument, around, path, is_id, optional):
    if path[-1] in ("email", "capsule_id", "pipeline_id"):
        pytest.skip("no number is one")
    assert sent(task, argument, around, path, 782149) == "782149"


@pytest.mark.fault("A5")
@fields
def test_text_argument_float_is_rejected_with_remedy(task, argument, around, path, is_id, optional):
    with pytest.raises(
        ValueError, match=rf"^{argument}[^ ]*: must be text, got 1e\+18.*put the template in quotes"
    ):
        sent(task, argument, around, path, 1e18)


@pytest.mark.fault("D4")
@fields
def test_optional_text_argument_blank_is_omitted(task, argument, around, path, is_id, optional):
    if path == ["results_info", "pipeline_id"]:
        pytest.skip("one of two is required")
    if not optional and not (path[-1] == "value" or "parameters" in path):
        with pytest.raises(ValueError, match=rf"{argument}[^ ]*: must not be empty|give exactly one of"):
            sent(task, argument, around, path, " ")
    elif optional and task is not WAIT:
        assert sent(task, argument, around, path, " ") in (None, "", "n")


@pytest.mark.fault("D4")
@pytest.mark.parametrize(
    ("task", "argument"),
    [(CAPSULE, "version"), (CAPSULE, "data_assets"), (CAPSULE, "parameters"), (PIPELINE, "processes")]
    + [
        (CAPTURE, name)
        for name in ("tags", "custom_metadata", "target", "capsule_id", "name_file", "name_key")
    ]
    + [(SEARCH, name) for name in ("filters", "type", "ownership", "origin", "sort_field")]
    + [(SHARE, name) for name in ("users", "groups", "share_assets")]
    + [(UPDATE, name) for name in ("add_tags", "remove_tags", "custom_metadata")],
)
def test_optional_argument_blank_sends_same_as_without(task, argument):
    build = REQUESTS[task[0]]
    tags = {"tags": None, "name": "n"} if argument in ("add_tags", "remove_tags") else {}
    made = make(task, **{argument: "{{ params.x }}"} | tags)
    setattr(made, argument, " ")
    assert build(made) == build(make(task, **tags))


@pytest.mark.fault("D4")
def test_update_description_is_cleared_by_dag_file_only():
    assert make(UPDATE, description="").update_params().to_json()["description"] == ""
    assert sent(UPDATE, "description", lambda x: x, ["description"], "") is None


def test_search_sensor_conditions_all_blank_are_rejected():
    """Also without the templates, which mapped tasks do not have."""
    made = make((CodeOceanDataAssetSearchSensor, {"query": "{{ params.x }}"}))
    made.query = ""
    with pytest.raises(ValueError, match=r"all of query, .* rendered to nothing"):
        made.search_params()


@pytest.mark.parametrize("rendered", ["", None])
@pytest.mark.parametrize("kind", [CodeOceanDataAssetSearchSensor, CodeOceanSearchDataAssetsOperator])
def test_search_conditions_all_blank_are_rejected(kind, rendered):
    made = make((kind, {"query": "{{ params.x }}"}))
    made.templates = {"query": made.query}
    made.query = rendered
    with pytest.raises(ValueError, match=r"all of query, .* rendered to nothing"):
        made.search_params()


@pytest.mark.fault("N10")
@pytest.mark.parametrize("argument", ["mount", "description", "tags", "query"])
def test_render_template_fields_none_stays_none(argument):
    kind = CodeOceanSearchDataAssetsOperator if argument == "query" else CodeOceanUpdateDataAssetOperator
    template: Any = "{{ params.x }}"
    arguments = {argument: ["kept", template] if argument == "tags" else template}
    if argument != "query":
        arguments["data_asset_id"] = "a"
    with DAG("d", schedule=None):
        task = kind(task_id="t", **arguments)
    task.render_template_fields({"params": {"x": None}})
    assert getattr(task, argument) == (["kept", None] if argument == "tags" else None)


class Result(dict):
    """A mapping as operators return it."""


MADE = {"id": "a-1", "state": "ready", "name": "n", "mount": "m", "tags": [], "url": "https://co.test"}


@pytest.mark.fault("N3")
@pytest.mark.parametrize("rendered", [MADE, Result(MADE), str(MADE), json.dumps(MADE)], ids=type)
@pytest.mark.parametrize(
    ("task", "argument", "around", "path"),
    [field.values[:4] for field in FIELDS if field.values[4]],
    ids=[field.id for field in FIELDS if field.values[4]],
)
def test_id_argument_operator_result_is_its_id(task, argument, around, path, rendered):
    assert sent(task, argument, around, path, rendered) == "a-1"


@pytest.mark.fault("N3")
@pytest.mark.parametrize("rendered", [MADE, str(MADE)], ids=type)
@pytest.mark.parametrize(
    ("kind", "name"),
    [(CodeOceanDataAssetSensor, "data_asset_id"), (CodeOceanComputationSensor, "computation_id")],
)
def test_sensor_operator_result_is_its_id(kind, name, rendered):
    sensor = kind(task_id="t", **{name: "{{ params.x }}"})
    setattr(sensor, name, rendered)
    assert sensor.build_wait(1.0).id == "a-1"
    assert getattr(sensor.build_trigger(1.0, 0.0), name) == "a-1"


@pytest.fixture
def upstream():
    """Tasks whose output others take."""
    with DAG("d", schedule=None):
        yield SimpleNamespace(
            run=make(CAPSULE, task_id="run"),
            capture=make(CAPTURE, task_id="capture"),
            search=make(SEARCH, task_id="search"),
            update=make(UPDATE, task_id="update"),
            delete=CodeOceanDeleteComputationOperator(task_id="delete", computation_id="c"),
        )


@pytest.mark.fault("N3")
def test_id_argument_output_of_right_task_is_accepted(upstream):
    make(CAPTURE, task_id="d", computation_id=upstream.run.output)
    make(CAPTURE, task_id="e", computation_id=upstream.run.output["computation_id"])
    CodeOceanArchiveDataAssetOperator(task_id="a", data_asset_id=upstream.capture.output)
    CodeOceanArchiveDataAssetOperator(task_id="b", data_asset_id=upstream.update.output)
    CodeOceanArchiveDataAssetOperator(task_id="c", data_asset_id=upstream.capture.output["data_asset_id"])
    CodeOceanArchiveDataAssetOperator.partial(task_id="m").expand(data_asset_id=upstream.search.output)


@pytest.mark.fault("N3")
@pytest.mark.parametrize(
    ("argument", "output", "problem"),
    [
        (
            "data_asset_id",
            lambda up: up.run.output,
            "must be the id of a data asset, but task 'run' returns a computation",
        ),
        (
            "computation_id",
            lambda up: up.capture.output,
            "must be the id of a computation, but task 'capture' returns a",
        ),
        (
            "capsule_id",
            lambda up: up.run.output,
            "must be the id of a capsule, but task 'run' returns a computation",
        ),
        (
            "computation_id",
            lambda up: up.run.output["id"],
            "task 'run' leaves no XCom 'id'; give its output or its out",
        ),
        ("data_asset_id", lambda up: up.search.output, "the result of task 'search' .*Operator. has no id"),
        ("computation_id", lambda up: up.delete.output, "the result of task 'delete' .*Operator. has no id"),
    ],
)
def test_id_argument_output_of_wrong_task_raises_at_parse_time(upstream, argument, output, problem):
    task = {
        "data_asset_id": FILES,
        "computation_id": CAPTURE,
        "capsule_id": CAPSULE,
    }[argument]
    with pytest.raises(ValueError, match=rf"^{argument}: {problem}"):
        make(task, **{argument: output(upstream)})


@pytest.mark.fault("N10")
@pytest.mark.parametrize("value", ["https://co.test/capsule/1234567/tree", "1234567", 1234567])
@pytest.mark.parametrize(("task", "argument"), [(CAPSULE, "capsule_id"), (PIPELINE, "pipeline_id")])
def test_capsule_id_address_or_number_raises_at_parse_time(task, argument, value):
    shown = "on its metadata page"
    with pytest.raises(
        ValueError, match=rf"^{argument}: must be an id, got .*1234567.*Code Ocean shows .* {shown}"
    ):
        make(task, **{argument: value})


@pytest.mark.fault("N7")
@pytest.mark.parametrize("value", ["yes", 1, "{{ params.x }}"])
@pytest.mark.parametrize(
    ("task", "argument"),
    [(task, name) for task in (CAPTURE, CAPSULE, TRANSFER) for name in ("deferrable", "wait_for_completion")]
    + [
        (TRANSFER, "force"),
        (FILES, "recursive"),
        (SEARCH, "return_ids"),
        (SEARCH, "favorite"),
        (SEARCH, "archived"),
    ]
    + [(WAIT, "deferrable"), (WAIT, "start_from_trigger"), (WAIT, "archived")]
    + [((CodeOceanArchiveDataAssetOperator, {"data_asset_id": "a"}), "archived")],
)
def test_flag_other_than_true_or_false_is_rejected(task, argument, value):
    with pytest.raises(ValueError, match=f"{argument} must be True or False, got {value!r}"):
        make(task, **{argument: value})


@pytest.mark.fault("N7")
@pytest.mark.parametrize("task", [CAPTURE, CREATE, UPDATE])
@pytest.mark.parametrize("mount", ["/data/foo", "..", "a b", "m" * 5000])
def test_mount_with_invalid_folder_name_is_rejected(task, mount):
    with pytest.raises(ValueError, match=r"^mount: must "):
        make(task, mount=mount)


@pytest.mark.fault("N7")
@pytest.mark.parametrize("task", [CAPTURE, CREATE, UPDATE])
def test_name_of_5000_characters_is_rejected_once_by_name(task):
    with pytest.raises(ValueError, match=r"^name: must have at most 1000 characters, got 5000$"):
        make(task, name="n" * 5000)


@pytest.mark.fault("N5")
@pytest.mark.parametrize("name", ["", None, 1.5])
def test_mount_not_given_is_absent_from_errors(name):
    with pytest.raises(ValueError, match=r"^name: ") as caught:
        make(CAPTURE, name=name)
    assert "mount" not in str(caught.value)


def test_mount_not_given_is_derived_from_name():
    params = make(CAPTURE, name="Sorted /  2026-01-02").build_data_asset_params()
    assert (params.name, params.mount) == ("Sorted /  2026-01-02", "Sorted_2026-01-02")
    with pytest.raises(ValueError, match=r"^name: must have at most 255 bytes.*; give mount"):
        make(CAPTURE, name="n" * 300)


@pytest.mark.fault("N5")
@pytest.mark.parametrize(
    ("task", "arguments", "message"),
    [
        (
            CAPTURE,
            {"custom_metadata": {"a": [1, True]}},
            "custom_metadata.a: must be text or a number, got True",
        ),
        (
            CAPTURE,
            {"custom_metadata": {"a": {}}},
            "custom_metadata.a: must be text or a number, got a mapping",
        ),
        (CAPTURE, {"custom_metadata": {1.5: 1}}, "custom_metadata.1.5: must be text, got 1.5: .*"),
        (CAPTURE, {"custom_metadata": 7}, "custom_metadata: must be a mapping, got 7"),
        (CAPTURE, {"tags": "a"}, "tags: must be a list, got 'a'"),
        (CAPSULE, {"parameters": {"p": {}}}, "parameters.p: must be text, got a mapping"),
        (CAPSULE, {"version": 0}, "version: must be at least 1, got 0"),
        (CAPSULE, {"version": True}, "version: must be a whole number, got True"),
        (
            CAPSULE,
            {"data_assets": [{"id": "a", "mout": "m"}]},
            r"data_assets.0: does not take 'mout'; it takes id, mount",
        ),
        (PIPELINE, {"processes": {"sort": {"p": []}}}, "processes.sort.p: must be text, got a list"),
        (PIPELINE, {"processes": {"sort": [[]]}}, "processes.sort.0: must be text, got a list"),
        (CREATE, {"source": {"aws": 5}}, "source.aws: must be a mapping, got 5"),
        (
            CREATE,
            {"source": {"aws": {"bucket": "b", "public": "x"}}},
            "source.aws.public: must be true or false, got 'x'",
        ),
        (
            CREATE,
            {"source": {"aws": {"prefix": "p"}}},
            "source.aws: bucket is required unless use_input_bucket is set",
        ),
        (
            CREATE,
            {"source": {"gcp": {"bucket": "b", "client_id": "i", "client_secret": 1.5}}},
            "source.gcp.client_secret: must be text; .*",
        ),
        (
            SEARCH,
            {"type": "film"},
            "type: must be one of 'dataset', 'result', 'combined' or 'model', got 'film'",
        ),
        (
            SEARCH,
            {"filters": [{"key": "k", "range": {"min": "x"}}]},
            "filters.0.range.min: must be a finite number, got 'x'",
        ),
        (SHARE, {"groups": [{"group": "g"}]}, "groups.0.role: is required"),
        (
            SHARE,
            {"users": [{"email": "ana", "role": "viewer"}]},
            "users.0.email: must be an email address, got 'ana'",
        ),
        (
            CREATE,
            {"source": {"aws": {"bucket": "b", "prefix": "/p"}}},
            "source.aws.prefix: must not begin with a slash, got '/p'",
        ),
    ],
)
def test_invalid_value_error_uses_own_words(task, arguments, message):
    with pytest.raises(ValueError, match=f"^{message}$") as caught:
        make(task, **arguments)
    assert not INTERNALS.search(str(caught.value))


def test_invalid_secret_is_not_in_error():
    with pytest.raises(ValueError, match="client_secret") as caught:
        make(CREATE, source={"gcp": {"bucket": "b", "client_id": "i", "client_secret": 7310.5}})
    assert "7310" not in str(caught.value)


def rendered(task, params, *, native=True, **arguments):
    """A task whose templates Airflow has rendered."""
    with DAG("d", schedule=None, render_template_as_native_obj=native):
        made = make(task, **arguments)
    made.render_template_fields({"params": params})
    return made


@pytest.mark.fault("A4")
@pytest.mark.parametrize("subject", ["782149", "007", "2025-03-21", "abc"])
def test_native_rendering_of_text_sends_text(subject):
    made = rendered(
        CAPTURE, {"x": subject}, name="{{ params.x }}", tags=["{{ params.x }}"], path="{{ params.x }}"
    )
    params = made.build_params()
    assert (params.name, params.mount, params.tags) == (subject, subject, [subject])
    assert params.source.computation.path == subject


@pytest.mark.fault("A5")
@pytest.mark.parametrize("subject", ["2310009E13", "1e5", "12.30"])
def test_native_rendering_of_float_is_rejected_unless_quoted(subject):
    made = rendered(CAPTURE, {"x": subject}, tags=["{{ params.x }}"])
    with pytest.raises(
        AirflowFailException, match=r"^tags\.0: must be text, got .* \(template: '{{ params.x }}'\)$"
    ):
        made.execute({})
    made = rendered(CAPTURE, {"x": subject}, tags=["'{{ params.x }}'"])
    assert made.build_params().tags == [subject]


@pytest.mark.fault("N10")
@pytest.mark.parametrize(
    ("native", "value", "said"),
    [
        (True, "", "rendered to an empty text"),
        (False, " ", "rendered to an empty text"),
        (True, None, "rendered to None"),
        (False, None, "rendered to None"),
    ],
)
def test_required_argument_rendered_to_nothing_names_template(native, value, said):
    made = rendered(CAPTURE, {"x": value}, native=native, computation_id="{{ params.x }}")
    template = re.escape(" (template: '{{ params.x }}')")
    with pytest.raises(AirflowFailException, match=f"^computation_id: {said}{template}$") as caught:
        made.execute({})
    shown = "".join(traceback.format_exception(caught.value))
    assert "pydantic" not in shown
    assert "The above exception" not in shown
    assert "During handling" not in shown


@pytest.mark.fault("N10")
@pytest.mark.parametrize(
    ("task", "argument", "variable", "remedy"),
    [
        (
            CAPSULE,
            "capsule_id",
            "CODEOCEAN_PIPELINE_ID",
            "of a pipeline, give it as pipeline_id; .*CodeOceanRunPipelineOperator",
        ),
        (
            PIPELINE,
            "pipeline_id",
            "CODEOCEAN_CAPSULE_ID",
            "of a capsule, give it as capsule_id; .*CodeOceanRunCapsuleOperator",
        ),
        (ATTACH, "capsule_id", "CODEOCEAN_PIPELINE_ID", "of a pipeline, give it as pipeline_id"),
    ],
)
def test_id_of_wrong_kind_error_names_remedy(code_ocean, context, task, argument, variable, remedy):
    made = make(task, **{argument: code_ocean.env[variable]})
    with pytest.raises(
        AirflowFailException, match=f"404.*If it is the id {remedy}.* metadata page"
    ) as caught:
        made.execute(context)
    shown = "".join(traceback.format_exception(caught.value))
    assert "site-packages/httpx" not in shown
    assert "site-packages/pydantic" not in shown


def test_rename_with_number_and_run_result_accepts_them(code_ocean):
    computation_id = code_ocean.env["CODEOCEAN_COMPUTATION_ID"]
    made = CodeOceanRenameComputationOperator(task_id="t", computation_id="{{ x }}", name="{{ y }}")
    made.computation_id, made.name = {"id": computation_id, "state": "completed"}, 20260102
    assert made.execute({}) == "20260102"


@pytest.mark.fault("A4")
@pytest.mark.parametrize("kind", [SEARCH[0], WAIT[0]])
def test_filter_on_custom_text_field_with_number_finds_text(code_ocean, context, kind):
    with_subject(code_ocean, "782149")
    made = rendered((kind, {}), {"x": "782149"}, filters=[{"key": "subject", "value": "{{ params.x }}"}])
    assert made.filters == [{"key": "subject", "value": 782149}]
    found = made.execute(context)
    assert [asset["custom_metadata"]["subject"] for asset in found] == ["782149"]


def with_subject(code_ocean, subject):
    """Give the emulator a text field, and one data asset a value of it."""
    from dataclasses import replace

    from airflow_provider_codeocean.emulator.domain.config import MetadataField, MetadataSchema

    emulator = code_ocean.emulator
    fields = [*emulator.config.custom_metadata.fields, MetadataField(name="subject", type="string")]
    emulator.config = emulator.config.model_copy(update={"custom_metadata": MetadataSchema(fields=fields)})
    assets = code_ocean.store.data_assets
    asset = assets.get(code_ocean.env["CODEOCEAN_DATA_ASSET_ID"])
    assets.put(replace(asset, custom_metadata={"subject": subject}))
