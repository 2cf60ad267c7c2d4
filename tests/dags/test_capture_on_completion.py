"""The DAG that captures what finishes: what it is made of, and what it refuses."""

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
def test_airflow_2_has_no_watchers():
    with pytest.raises(ImportError, match=r"Watching for events needs Airflow 3\.0 or later"):
        capture_on_completion(**USUAL)


@has_watchers
def test_what_it_is_made_of():
    dag = capture_on_completion(
        **USUAL,
        share_with={"everyone": "viewer"},
        transfer={"target": {"bucket": "b"}},
        task_arguments={"pool": "captures", "timeout": 60},
        deferrable=True,
        tags=["t"],
    )
    assert dag.dag_id == "capture_on_completion_c1"
    assert dag.max_active_runs == 1
    assert {"t"} == set(dag.tags)
    assert list(dag.task_dict) == ["take", "finished.capture", "finished.share", "finished.transfer"]
    take, capture, share, transfer = dag.tasks
    assert take.inlets == ([take.asset] if AIRFLOW >= (3, 3) else [])
    assert take.retries == 10
    assert (capture.pool, share.pool, transfer.pool) == ("captures",) * 3
    assert (capture.retries, capture.deferrable, capture.timeout) == (2, True, 60)
    assert share.mode == "ensure"
    [watcher] = take.asset.watchers
    assert watcher.trigger.watcher == dag.dag_id  # so that two DAGs of one capsule have a memory each
    assert not [each for each in take.outlets if getattr(each, "uri", None)]


@has_watchers
@pytest.mark.fault("N9")
@pytest.mark.parametrize("arguments", [{}, {"include_own": True}])
def test_capture_on_completion_skips_own_computations_by_default(arguments):
    take = capture_on_completion(**USUAL, **arguments).task_dict["take"]
    trigger = take.asset.watchers[0].trigger
    own = Computation(id="c", state="completed", name=append_key("sort", f"airflow{7:032x}"))
    is_included = bool(arguments)
    assert take.include_own is is_included
    assert trigger.is_wanted(own) is is_included
    assert trigger.is_wanted(own.model_copy(update={"name": "by hand"}))


@has_watchers
def test_two_of_one_capsule_remember_apart():
    one, two = (capture_on_completion(dag_id, **USUAL).task_dict["take"].asset for dag_id in ("one", "two"))
    assert one != two
    assert one.watchers[0].trigger.serialize() != two.watchers[0].trigger.serialize()


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
        ({"capture": {"computation_id": "c"}}, "capture: 'computation_id' is given"),
        ({"capture": {"target": {"bucket": "s3://b"}}}, r"capture: target\.bucket"),
        ({"capture": {"description": "d"}}, "capture: .*description"),
        ({"share_with": {"groups": "lab"}}, "share_with: groups: must be a list"),
        ({"transfer": {}}, "transfer: .*target"),
        ({"schedule": None}, "schedule is given by the DAG itself"),
        ({"max_active_runs": 3}, "max_active_runs is given by the DAG itself"),
    ],
)
def test_what_is_wrong_is_told_when_it_is_made(arguments, message):
    with pytest.raises(ValueError, match=message):
        capture_on_completion(**{**USUAL, **arguments})


@has_watchers
@pytest.mark.parametrize(
    ("argument", "place"),
    [
        ({"share": {"everyone": "viewer"}}, "share_with"),
        ({"everyone": "viewer"}, "share_with={'everyone': …}"),
        ({"retries": 3}, "task_arguments={'retries': …}"),
        ({"on_kill": "delete"}, "task_arguments={'on_kill': …}"),
        ({"mount": "m"}, "capture={'mount': …}"),
        ({"target": {"bucket": "b"}}, "capture={'target': …} or transfer={'target': …}"),
    ],
)
def test_capture_on_completion_misplaced_argument_is_refused_with_its_place(argument, place):
    with pytest.raises(TypeError) as caught:
        capture_on_completion(**USUAL, **argument)
    [name] = argument
    assert str(caught.value) == f"{name} is not an argument of capture_on_completion: use {place}"


@has_watchers
def test_capture_on_completion_unknown_argument_is_left_to_airflow():
    with pytest.raises(TypeError, match="unexpected keyword argument 'retrys'"):
        capture_on_completion(**USUAL, retrys=3)


@pytest.mark.skipif(
    not (3, 0) <= AIRFLOW < (3, 3), reason="from Airflow 3.3 on the watch knows what was over"
)
def test_before_airflow_3_3_it_needs_since():
    with pytest.raises(ValueError, match="since must be given"):
        capture_on_completion(**{**USUAL, "since": None})
