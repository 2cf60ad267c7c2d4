"""Submissions against servers and proxies as they really behave: one job, its own result, or an error."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, TaskDeferred

from airflow_provider_codeocean.api.errors import AlreadyExists, CodeOceanError
from airflow_provider_codeocean.api.models.computation import Computation, RunParams
from airflow_provider_codeocean.emulator import FaultRule, Policy, Transitions
from airflow_provider_codeocean.hooks.codeocean import CodeOceanHook
from airflow_provider_codeocean.operators._submit_once import computation, runner
from airflow_provider_codeocean.operators._submit_once.computation import ComputationJob, _canonical_value
from airflow_provider_codeocean.operators.computation import (
    CodeOceanRunCapsuleOperator,
    CodeOceanRunPipelineOperator,
)
from airflow_provider_codeocean.operators.data_asset import CodeOceanCaptureResultOperator
from airflow_provider_codeocean.submission import protocol
from airflow_provider_codeocean.submission.keys import IdempotencyKeys, TaskAttempt, extract_key

HTML_404 = {"kind": "html", "status": 404}


class State(dict):
    """A durable state."""

    def set(self, key, value):
        self[key] = value


class TaskInstance:
    """An attempt of a task."""

    dag_id, run_id, task_id, map_index, start_date = "d", "r", "t", -1, None

    def __init__(self, try_number, max_tries):
        self.try_number, self.max_tries = try_number, max_tries

    def xcom_push(self, key, value):
        """Drop an XCom."""


@pytest.fixture(autouse=True)
def short_times(monkeypatch, code_ocean):
    monkeypatch.setattr(protocol, "MAX_SEARCH_LAG_SECONDS", 0.2)
    monkeypatch.setattr(protocol, "_INITIAL_DELAY_SECONDS", 0.05)
    monkeypatch.setattr(protocol, "_MAX_DELAY_SECONDS", 0.2)
    monkeypatch.setattr(computation, "MAX_NAMING_SECONDS", 0.0)
    monkeypatch.setattr(runner, "is_superseded", lambda context: False)  # there is no task to ask Airflow for
    code_ocean.emulator.transitions = Transitions(assets=Policy(reads=2), computations=Policy(reads=2))


def a_context(try_number=1, max_tries=0, state=None):
    started = SimpleNamespace(start_date=datetime.now(UTC))
    return {"ti": TaskInstance(try_number, max_tries), "task_state_store": state, "dag_run": started}


@pytest.fixture
def capture(code_ocean):
    def operator(**arguments):
        return CodeOceanCaptureResultOperator(
            **{
                "task_id": "t",
                "computation_id": code_ocean.env["CODEOCEAN_COMPUTATION_ID"],
                "name": "faulty",
                "poll_interval": 0.01,
            }
            | arguments
        )

    operator.jobs = lambda: [a for a in code_ocean.store.data_assets.all() if a.name == "faulty"]
    return operator


@pytest.fixture
def run(code_ocean):
    known = {each.id for each in code_ocean.store.computations.all()}

    def operator(**arguments):
        capsule_id = code_ocean.env["CODEOCEAN_CAPSULE_ID"]
        return CodeOceanRunCapsuleOperator(
            **{"task_id": "t", "capsule_id": capsule_id, "poll_interval": 0.01} | arguments
        )

    operator.jobs = lambda: [c for c in code_ocean.store.computations.all() if c.id not in known]
    return operator


@pytest.fixture(params=["capture", "run"])
def submit(request):
    return request.getfixturevalue(request.param)


@pytest.fixture
def fault(code_ocean):
    return lambda **rule: code_ocean.faults.add(FaultRule(**rule))


def warnings_in(caplog):
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


# --- false 404s


@pytest.mark.fault("A8")
def test_retry_with_false_404_of_known_job_adopts_it(submit, fault):
    fault(kind="drop_tags")  # so that a search by the key does not find the job
    fault(kind="truncate_names", length=20)
    state = State()
    job = submit(wait_for_completion=False).execute(a_context(1, state=state))
    fault(method="GET", path="*/*", **HTML_404, times=1)
    assert submit().execute(a_context(2, state=state))["id"] == job["id"]
    assert len(submit.jobs()) == 1


@pytest.mark.fault("A8")
def test_execute_with_false_404_while_waiting_succeeds(submit, fault):
    fault(method="GET", path="data_assets/*", **HTML_404, times=2)
    fault(method="GET", path="computations/*", **HTML_404, times=2)
    submit().execute(a_context())
    assert len(submit.jobs()) == 1


# --- not visible yet


@pytest.mark.fault("B5")
@pytest.mark.parametrize("durable", [True, False])
def test_execute_with_job_not_visible_yet_succeeds(submit, fault, durable):
    fault(kind="read_lag", delay=0.5)
    context = a_context(state=State() if durable else None)
    assert submit().execute(context)["id"] == submit.jobs()[0].id


@pytest.mark.fault("B5")
def test_retry_with_job_not_visible_yet_adopts_it(submit, fault):
    state = State()
    fault(kind="read_lag", delay=1.0)
    job = submit(wait_for_completion=False).execute(a_context(1, state=state))
    assert submit().execute(a_context(2, state=state))["id"] == job["id"]
    assert len(submit.jobs()) == 1


@pytest.mark.fault("B5")
def test_execute_complete_with_job_not_visible_yet_succeeds(submit, fault):
    fault(kind="read_lag", delay=0.5)
    operator = submit(deferrable=True)
    with pytest.raises(TaskDeferred) as deferred:
        operator.execute(a_context())
    job = submit.jobs()[0].id
    assert deferred.value.trigger.build_wait().submitted_at is not None
    event = {"status": "success", "state": "ready", "message": "", operator.external_id_key: job}
    assert submit().execute_complete(a_context(), event, **deferred.value.kwargs)["id"] == job


@pytest.mark.fault("B5")
def test_execute_with_job_that_never_appears_keeps_retries(submit, fault, monkeypatch):
    monkeypatch.setattr(protocol, "NOT_FOUND_GRACE_SECONDS", 0.3)
    monkeypatch.setattr("airflow_provider_codeocean.polling.waits.NOT_FOUND_GRACE_SECONDS", 0.3)
    fault(kind="read_lag", delay=3600)
    with pytest.raises(CodeOceanError, match="which this task submitted, is gone") as raised:
        submit().execute(a_context())
    assert raised.value.is_transient


@pytest.mark.fault("B5")
def test_on_kill_with_job_not_visible_yet_does_not_report_it_deleted(submit, fault, caplog):
    operator = submit(on_kill="delete", wait_for_completion=False)
    job = operator.execute(a_context())["id"]
    fault(kind="status", status=404, body={"message": "not found"}, times=None)
    operator.on_kill()
    assert f"{job} was not found. It was submitted less than five minutes ago" in caplog.text


# --- edited retries


@pytest.mark.fault("A12")
@pytest.mark.parametrize("on_existing", ["create", "fail"])
@pytest.mark.parametrize("durable", [True, False])
@pytest.mark.parametrize(("before", "after"), [(2, 0), (2, 1), (1, 5)])
def test_retry_after_edited_retries_adopts_job(submit, on_existing, durable, before, after):
    state = State() if durable else None
    first = submit(on_existing=on_existing, retries=before, wait_for_completion=False)
    job = first.execute(a_context(1, before, state))
    retry = submit(on_existing=on_existing, retries=after)
    assert retry.execute(a_context(2, before, state))["id"] == job["id"]
    assert len(submit.jobs()) == 1


@pytest.mark.parametrize("after", [0, 4])
def test_cleared_task_after_edited_retries_follows_on_existing(capture, after):
    capture(on_existing="create", retries=2).execute(a_context(1, 2))
    capture(on_existing="create", retries=after).execute(a_context(2, 1 + after))
    assert len(capture.jobs()) == 2
    with pytest.raises(AirflowFailException, match=r"submitted .* before it was cleared") as raised:
        capture(on_existing="fail", retries=after).execute(a_context(4, 3 + after))
    assert isinstance(raised.value.__cause__, AlreadyExists)


# --- a cleared task


@pytest.mark.fault("C3")
@pytest.mark.parametrize("durable", [True, False])
def test_cleared_task_that_adopts_warns_and_names_remedy(submit, durable, caplog):
    state = State() if durable else None
    job = submit(retries=1).execute(a_context(1, 1, state))
    caplog.clear()
    assert submit(retries=1).execute(a_context(2, 2, state))["id"] == job["id"]
    [warning] = [each for each in warnings_in(caplog) if each.startswith("Adopted")]
    assert job["id"] in warning
    assert job["name"] in warning
    assert "UTC" in warning
    assert "on_existing='create'" in warning
    assert len(submit.jobs()) == 1


def test_retry_that_adopts_pending_job_does_not_warn(submit, caplog):
    state = State()
    submit(retries=1, wait_for_completion=False).execute(a_context(1, 1, state))
    submit(retries=1).execute(a_context(2, 1, state))
    assert [each for each in warnings_in(caplog) if "Adopted" in each] == []


def test_on_existing_with_template_is_accepted(submit):
    operator = submit(on_existing="{{ params.on_existing }}")
    assert "on_existing" in operator.template_fields
    operator.on_existing = "rerun"
    with pytest.raises(AirflowFailException, match="on_existing must be one of 'adopt', 'create', 'fail'"):
        operator.execute(a_context())
    assert submit.jobs() == []


# --- keys that the server does not keep


@pytest.mark.fault("A13")
@pytest.mark.parametrize(
    "rule",
    [
        {"kind": "drop_tags"},
        {"kind": "truncate_tags", "length": 20},
        {"kind": "prefix_tags"},
        {"kind": "drop_fields", "fields": ["tags"]},
    ],
    ids=lambda rule: rule["kind"],
)
def test_capture_without_its_key_warns_of_consequence(capture, fault, rule, caplog):
    fault(**rule)
    capture().execute(a_context())
    [warning] = [each for each in warnings_in(caplog) if "does not have the idempotency key" in each]
    assert capture.jobs()[0].id in warning
    assert "durable state" in warning
    assert "duplicate" in warning


@pytest.mark.fault("A13")
def test_retry_with_dropped_key_adopts_job_from_durable_state(capture, fault):
    fault(kind="drop_tags")
    state = State()
    job = capture(wait_for_completion=False).execute(a_context(1, state=state))
    assert capture().execute(a_context(2, state=state))["id"] == job["id"]
    assert len(capture.jobs()) == 1


@pytest.mark.fault("A13")
@pytest.mark.parametrize(
    "rule",
    [
        {"kind": "drop_fields", "fields": ["tags"], "path": "data_assets/search"},
        {"kind": "uppercase_ids", "path": "data_assets/search"},
        {"kind": "uppercase_ids", "method": "GET"},
    ],
    ids=lambda rule: "-".join(map(str, rule.values())),
)
def test_retry_with_altered_search_results_adopts_job(capture, fault, rule):
    fault(**rule)
    job = capture(wait_for_completion=False).execute(a_context(1))
    adopted = capture().execute(a_context(2))
    assert adopted["id"].lower() == job["id"].lower()
    assert len(capture.jobs()) == 1


@pytest.mark.fault("A13")
def test_run_with_truncated_name_puts_key_in_front(run, fault, caplog):
    fault(kind="truncate_names", length=60)
    job = run(name="a display name that is rather long", wait_for_completion=False).execute(a_context(1))
    key = extract_key(run.jobs()[0].name)
    assert run.jobs()[0].name.startswith(f"{key} a display")
    adopted = run(name="a display name that is rather long").execute(a_context(2))
    assert adopted["id"] == job["id"]
    assert len(run.jobs()) == 1
    assert [each for each in warnings_in(caplog) if "does not have the idempotency key" in each] == []


@pytest.mark.fault("A13")
def test_run_with_truncated_key_warns_of_consequence(run, fault, caplog):
    fault(kind="truncate_names", length=30)
    run(name="sorted").execute(a_context())
    assert len([each for each in warnings_in(caplog) if "does not have the idempotency key" in each]) == 1


@pytest.mark.fault("A13")
def test_retry_with_truncated_key_of_another_task_does_not_adopt(run, code_ocean):
    with CodeOceanHook().get_conn() as client:
        theirs = client.computations.run(run().build_run_params())
        client.computations.rename(theirs.id, "sorted airflow0123456789ab")
    assert run().execute(a_context(2))["id"] != theirs.id


# --- parameters


@pytest.mark.fault("C1")
@pytest.mark.parametrize("parameters", [None, ["7"], {"probe": "B"}])
def test_run_with_lost_response_and_reported_defaults_is_adopted(run, fault, parameters):
    fault(kind="report_defaults", method="POST", path="computations")
    fault(kind="close_after", method="POST", path="computations")
    run(parameters=parameters).execute(a_context())
    assert len(run.jobs()) == 1


@pytest.mark.fault("C1")
def test_run_with_other_values_than_defaults_is_not_adopted(run, fault):
    fault(kind="report_defaults", method="POST", path="computations", body={"threshold": "6"}, times=1)
    with CodeOceanHook().get_conn() as client:
        theirs = client.computations.run(run().build_run_params())
    assert run().execute(a_context(2))["id"] != theirs.id


@pytest.mark.fault("C1")
@pytest.mark.parametrize("status", [403, 404])
def test_run_with_reported_defaults_and_no_app_panel_submits_once(run, fault, status):
    fault(kind="report_defaults", method="POST", path="computations")
    fault(kind="close_after", method="POST", path="computations")
    fault(kind="status", path="*/*/app_panel", status=status, body={"message": "no"}, times=None)
    with pytest.raises(CodeOceanError, match="may be the one that an earlier attempt submitted") as raised:
        run().execute(a_context())
    assert raised.value.is_transient
    assert len(run.jobs()) == 1


@pytest.mark.fault("C1")
@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ("5", "5.0", True),
        ("1e3", "1000", True),
        ("-0.50", "-0.5", True),
        ("True", "true", True),
        (" 5", "5", True),
        ("007", "7", False),
        ("fast", "Fast", False),
        ("5", "5.1", False),
        ("1e999999", "1e999998", False),
    ],
)
def test_canonical_form_of_equivalent_values_is_equal(one, other, is_same):
    assert (_canonical_value(one) == _canonical_value(other)) is is_same


@pytest.mark.fault("A11")
def test_pipeline_run_with_ordered_parameters_warns(code_ocean, caplog):
    operator = CodeOceanRunPipelineOperator(
        task_id="t",
        pipeline_id=code_ocean.env["CODEOCEAN_PIPELINE_ID"],
        parameters=["5", "fast"],
        poll_interval=0.01,
    )
    operator.execute(a_context())
    assert "Pipelines may ignore a list of parameters (['5', 'fast'])" in caplog.text


@pytest.mark.fault("A11")
@pytest.mark.parametrize(
    ("reported", "missing"),
    [
        ([], "speed='fast', '5'"),
        ([{"param_name": "speed", "value": "fast"}], "'5'"),
        ([{"param_name": "speed", "value": "fast"}, {"value": "5.0"}], None),
        ([{"param_name": "speed", "value": "slow"}, {"value": "5"}], "speed='fast'"),
        (None, None),
    ],
)
def test_verify_with_unreported_parameters_warns(reported, missing, caplog):
    params = RunParams.model_validate(
        {
            "pipeline_id": "p1",
            "parameters": ["5"],
            "named_parameters": [{"param_name": "speed", "value": "fast"}],
        }
    )
    key = f"airflow{7:032x}"
    attempt = TaskAttempt("d", "r", "t", -1, 1)
    job = ComputationJob(CodeOceanHook(), attempt, IdempotencyKeys(key), params, context={})
    fields = {} if reported is None else {"parameters": reported}
    job.verify(Computation.model_validate({"id": "c1", "name": key, **fields}))
    expected = [] if missing is None else [f"so it may have ignored them: {missing}"]
    assert [each.split("parameters, ")[1] for each in warnings_in(caplog)] == expected


# --- responses that are hard to write down


@pytest.mark.fault("B7")
@pytest.mark.parametrize("field", ["custom_metadata", "a_new_field"])
def test_capture_with_deeply_nested_field_succeeds(capture, fault, code_ocean, field):
    nested = {}
    for _ in range(300):
        nested = {"a": nested}
    code_ocean.emulator.transitions = Transitions(assets=Policy())
    job = capture(wait_for_completion=False).execute(a_context(1))
    body = {"id": job["id"], "name": "faulty", "state": "ready", "created": 10**400, field: nested}
    fault(kind="wrong_shape", method="GET", path="data_assets/*", body=body, times=None)
    assert capture().execute(a_context(2))["state"] == "ready"
