"""The DAG that captures finished computations: its tasks and its errors."""

from __future__ import annotations

from importlib.metadata import version

import pytest

from airflow_provider_codeocean.api.models.computation import Computation
from airflow_provider_codeocean.dags.capture_on_completion import capture_on_completion
from airflow_provider_codeocean.submission.keys import append_key

AIRFLOW = tuple(map(int, version("apache-airflow").split(".")[:2]))
has_watchers = pytest.mark.skipif(AIRFLOW < (3, 0), reason="Airflow 2 has no asset watchers")
USUAL = {"capsule_id": "c1", "name": "{{ computation.name }}", "since": 0}


@pytest.mark.skipif(AIRFLOW >= (3, 0), reason="Airflow 3 has asset watchers")
def test_capture_on_completion_on_airflow_2_raises():
    with pytest.raises(ImportError, match=r"Asset watchers require Airflow 3\.0 or later"):
        capture_on_completion(**USUAL)


@has_watchers
def test_capture_on_completion_has_configured_tasks():
    dag = capture_on_completion(
        **USUAL,
        share_with={"everyone": "viewer"},
        transfer={"target": {"bucket": "b"}},
        operator_kwargs={"pool": "captures", "timeout": 60},
        deferrable=True,
        tags=["t"],
    )
    assert dag.dag_id == "capture_on_completion_c1"
    assert dag.max_active_runs == 1
    assert {"t"} == set(dag.tags)
    assert list(dag.task_dict) == [
        "claim",
        "computation.capture",
        "computation.share",
        "computation.transfer",
    ]
    claim, capture, share, transfer = dag.tasks
    assert claim.inlets == ([claim.asset] if AIRFLOW >= (3, 3) else [])
    assert claim.retries == 10
    assert (capture.pool, share.pool, transfer.pool) == ("captures",) * 3
    assert (capture.retries, capture.deferrable, capture.timeout) == (2, True, 60)
    assert share.mode == "ensure"
    [watcher] = claim.asset.watchers
    assert watcher.trigger.watcher == dag.dag_id  # so that two DAGs of one capsule have separate states
    assert not [outlet for outlet in claim.outlets if getattr(outlet, "uri", None)]


@has_watchers
@pytest.mark.fault("N9")
@pytest.mark.parametrize("arguments", [{}, {"include_own": True}])
def test_capture_on_completion_skips_own_computations_by_default(arguments):
    claim = capture_on_completion(**USUAL, **arguments).task_dict["claim"]
    trigger = claim.asset.watchers[0].trigger
    own = Computation(id="c", state="completed", name=append_key("sort", f"airflow{7:032x}"))
    is_included = bool(arguments)
    assert claim.include_own is is_included
    assert trigger.matches(own) is is_included
    assert trigger.matches(own.model_copy(update={"name": "by hand"}))


@has_watchers
def test_capture_on_completion_twice_for_capsule_uses_separate_assets():
    dags = [capture_on_completion(dag_id, **USUAL) for dag_id in ("one", "two")]
    first, second = (dag.task_dict["claim"].asset for dag in dags)
    assert first != second
    assert first.watchers[0].trigger.serialize() != second.watchers[0].trigger.serialize()


@has_watchers
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"capsule_id": None}, "give exactly one of capsule_id, pipeline_id, got none"),
        ({"pipeline_id": "p1"}, "give exactly one of capsule_id, pipeline_id"),
        ({"name": " "}, "name: must not be empty"),
        ({"name": "{{ computation.name }"}, "name is no template"),
        ({"description": "{% if %}"}, "description is no template"),
        ({"status": "done"}, "status must be one of"),
        ({"since": "2026"}, "since must be a time with a zone"),
        ({"limit": 0}, "limit must be a whole number"),
        ({"poll_interval": -1}, "poll_interval must be a number of seconds"),
        ({"capture": {"computation_id": "c"}}, "capture: the group passes 'computation_id' itself"),
        ({"capture": {"target": {"bucket": "s3://b"}}}, r"capture: target\.bucket"),
        ({"capture": {"description": "d"}}, "capture: .*description"),
        ({"share_with": {"groups": "lab"}}, "share_with: groups: must be a list"),
        ({"transfer": {}}, "transfer: .*target"),
        ({"schedule": None}, "capture_on_completion sets schedule itself"),
        ({"max_active_runs": 3}, "capture_on_completion sets max_active_runs itself"),
    ],
)
def test_capture_on_completion_with_invalid_arguments_raises(arguments, message):
    with pytest.raises(ValueError, match=message):
        capture_on_completion(**{**USUAL, **arguments})


@has_watchers
@pytest.mark.parametrize(
    ("argument", "place"),
    [
        ({"share": {"everyone": "viewer"}}, "share_with"),
        ({"everyone": "viewer"}, "share_with={'everyone': …}"),
        ({"retries": 3}, "operator_kwargs={'retries': …}"),
        ({"on_kill": "delete"}, "operator_kwargs={'on_kill': …}"),
        ({"mount": "m"}, "capture={'mount': …}"),
        ({"target": {"bucket": "b"}}, "capture={'target': …} or transfer={'target': …}"),
    ],
)
def test_capture_on_completion_with_misplaced_argument_names_its_place(argument, place):
    with pytest.raises(TypeError) as caught:
        capture_on_completion(**USUAL, **argument)
    [name] = argument
    assert str(caught.value) == f"{name} is not an argument of capture_on_completion: use {place}"


@has_watchers
def test_capture_on_completion_with_unknown_argument_passes_it_to_airflow():
    with pytest.raises(TypeError, match="unexpected keyword argument 'retrys'"):
        capture_on_completion(**USUAL, retrys=3)


@pytest.mark.skipif(not (3, 0) <= AIRFLOW < (3, 3), reason="Airflow 3.3 and later store the starting point")
def test_capture_on_completion_before_airflow_3_3_requires_since():
    with pytest.raises(ValueError, match="'since' is required"):
        capture_on_completion(**{**USUAL, "since": None})
