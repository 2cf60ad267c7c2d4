"""What the operators that run do in a worker, when something comes in between."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from types import SimpleNamespace

import pytest
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException, TaskDeferred

from airflow_provider_codeocean.api.errors import (
    CodeOceanError,
    ComputationFailed,
    ComputationStartFailed,
    ServerError,
)
from airflow_provider_codeocean.emulator import FaultRule, Policy, Transitions
from airflow_provider_codeocean.hooks.codeocean import CodeOceanHook
from airflow_provider_codeocean.operators._submit_once import computation as computation_job
from airflow_provider_codeocean.operators._submit_once import runner
from airflow_provider_codeocean.operators.computation import (
    CodeOceanRunCapsuleOperator,
    CodeOceanRunPipelineOperator,
)
from airflow_provider_codeocean.polling import waits
from airflow_provider_codeocean.polling.waits import ComputationWait, Wait
from airflow_provider_codeocean.submission import protocol


class TaskInstance:
    """The first try of a task."""

    dag_id, run_id, task_id, map_index, try_number, max_tries, start_date = "d", "r", "t", -1, 1, 0, None

    def __init__(self):
        self.xcoms = {}

    def xcom_push(self, key, value):
        """Keep an XCom."""
        self.xcoms[key] = value


@pytest.fixture
def context(monkeypatch):
    monkeypatch.setattr(protocol, "NOT_FOUND_GRACE_SECONDS", 0.2)
    monkeypatch.setattr(waits, "NOT_FOUND_GRACE_SECONDS", 0.2)
    monkeypatch.setattr(runner, "is_superseded", lambda context: False)  # there is no task to ask Airflow for
    return {"ti": TaskInstance(), "dag_run": SimpleNamespace(start_date=datetime.now(UTC))}


@pytest.fixture
def operator(code_ocean):
    code_ocean.emulator.transitions = Transitions(computations=Policy(reads=2))
    capsule_id = code_ocean.env["CODEOCEAN_CAPSULE_ID"]
    return partial(CodeOceanRunCapsuleOperator, task_id="t", poll_interval=0.01, capsule_id=capsule_id)


@pytest.fixture
def at_the_first_pause(monkeypatch):
    """Let something happen while an operator waits."""

    def happens(do):
        pause = Wait.next_delay

        def pause_after(wait):
            monkeypatch.setattr(Wait, "next_delay", pause)
            do(wait.id)
            return pause(wait)

        monkeypatch.setattr(Wait, "next_delay", pause_after)

    return happens


@pytest.mark.fault("B5")
def test_execute_with_deleted_job_keeps_retries(operator, context, at_the_first_pause):
    def delete(computation_id):
        with CodeOceanHook().get_conn() as client:
            client.computations.delete(computation_id)

    at_the_first_pause(delete)
    with pytest.raises(CodeOceanError, match=r"which this task submitted, is gone.*404") as raised:
        operator().execute(context)
    assert raised.value.is_transient


@pytest.mark.parametrize("deferrable", [False, True])
def test_execute_with_adopted_job_deleted_keeps_retries(
    operator, context, at_the_first_pause, code_ocean, monkeypatch, deferrable
):
    """As where the trigger of a try that was cleared deletes it only after the next try has found it."""
    monkeypatch.setattr(protocol, "MAX_SEARCH_LAG_SECONDS", 0.1)
    code_ocean.emulator.transitions = Transitions(computations=Policy(seconds=3600))
    began = operator(wait_for_completion=False).execute(context)["id"]
    context["ti"].try_number = 2

    def delete(computation_id):
        with CodeOceanHook().get_conn() as client:
            client.computations.delete(computation_id)

    if deferrable:
        with pytest.raises(TaskDeferred) as deferred:
            operator(deferrable=True).execute(context)
        delete(began)
        event = {"status": "error", "state": "running", "message": "404", "computation_id": began}
        conclude = partial(operator().execute_complete, context, event, **deferred.value.kwargs)
    else:
        at_the_first_pause(delete)
        conclude = partial(operator().execute, context)
    with pytest.raises(CodeOceanError, match=f"{began}, which this task submitted, is gone.*404") as raised:
        conclude()
    assert raised.value.is_transient
    context["ti"].try_number = 3
    assert operator(wait_for_completion=False).execute(context)["id"] != began


def test_execute_with_deleted_job_adopts_other_job_with_key(
    operator, context, at_the_first_pause, code_ocean, monkeypatch
):
    monkeypatch.setattr(protocol, "MAX_SEARCH_LAG_SECONDS", 0.1)
    others = []

    def replace(computation_id):
        with CodeOceanHook().get_conn() as client:
            name = client.computations.get(computation_id).name
            others.append(client.computations.run(operator().build_run_params()))
            client.computations.rename(others[0].id, name)
            client.computations.delete(computation_id)

    at_the_first_pause(replace)
    assert operator().execute(context)["id"] == others[0].id
    assert context["ti"].xcoms["computation_id"] == others[0].id


def test_execute_with_failed_computation_keeps_retries(operator, context, code_ocean):
    failing = operator(capsule_id=code_ocean.env["CODEOCEAN_FAILING_CAPSULE_ID"])
    with pytest.raises(AirflowException, match="did not succeed: failed, exit code 1") as raised:
        failing.execute(context)
    assert not isinstance(raised.value, AirflowFailException)


def test_execute_with_failed_computation_shows_end_of_output(operator, context, code_ocean, caplog):
    caplog.set_level(logging.INFO)
    failing = operator(capsule_id=code_ocean.env["CODEOCEAN_FAILING_CAPSULE_ID"], parameters=["fast"])
    with pytest.raises(AirflowException) as raised:
        failing.execute(context)
    assert isinstance(raised.value, ComputationFailed)
    assert not isinstance(raised.value, ComputationStartFailed)
    assert "code/run fast | exit code 1" in str(raised.value)
    assert str(raised.value).endswith(f"[{failing.codeocean_url}]")
    shown = f"The output of computation {context['ti'].xcoms['computation_id']} ends with:"
    assert [line for line in caplog.messages if line.startswith(shown) and "+ code/run fast\n" in line]


def test_execute_with_failed_computation_and_log_output_never_reads_no_file(operator, context, code_ocean):
    failing = operator(capsule_id=code_ocean.env["CODEOCEAN_FAILING_CAPSULE_ID"], log_output="never")
    with pytest.raises(ComputationFailed) as raised:
        failing.execute(context)
    assert "output" not in str(raised.value)
    assert not [route for route in code_ocean.emulator.traffic.requests if "results" in route]


def test_execute_with_unreadable_output_raises_the_failure(operator, context, code_ocean, caplog):
    code_ocean.faults.add(FaultRule(path="computations/*/results", kind="status", status=403, times=None))
    failing = operator(capsule_id=code_ocean.env["CODEOCEAN_FAILING_CAPSULE_ID"])
    with pytest.raises(ComputationFailed, match="did not succeed: failed, exit code 1"):
        failing.execute(context)
    assert "could not be read: Code Ocean answered 403" in caplog.text


def test_execute_with_computation_that_did_not_start_raises_its_class(operator, context, code_ocean):
    with pytest.raises(AirflowException, match="may not have started") as raised:
        operator(capsule_id=code_ocean.env["CODEOCEAN_UNSTARTABLE_CAPSULE_ID"]).execute(context)
    assert isinstance(raised.value, ComputationStartFailed)


@pytest.mark.parametrize(("log_output", "is_shown"), [("always", True), ("on_failure", False)])
def test_execute_with_succeeded_computation_shows_output_if_requested(
    operator, context, caplog, log_output, is_shown
):
    caplog.set_level(logging.INFO)
    operator(log_output=log_output).execute(context)
    assert ("The output of computation" in caplog.text) is is_shown


def test_run_with_invalid_log_output_raises(operator):
    with pytest.raises(ValueError, match="log_output"):
        operator(log_output="sometimes")


def test_execute_with_capsule_without_page_omits_links(operator, context, monkeypatch, caplog):
    from airflow_provider_codeocean.api.endpoints.capsules import Capsules
    from airflow_provider_codeocean.api.models.capsule import Capsule

    monkeypatch.setattr(Capsules, "get", lambda self, capsule_id: Capsule(id=capsule_id))
    result = operator().execute(context)
    assert "url" not in result
    assert "codeocean_capsule_url" not in context["ti"].xcoms


@pytest.mark.parametrize("on_kill", ["leave", "delete"])
def test_on_kill_while_waiting_leaves_or_deletes_computation(
    operator, context, at_the_first_pause, on_kill, caplog, code_ocean
):
    caplog.set_level(logging.INFO)
    running = operator(on_kill=on_kill)
    at_the_first_pause(lambda _: running.on_kill())
    if on_kill == "leave":
        made = running.execute(context)["id"]
        assert f"Killed: computation {made} continues" in caplog.text
    else:
        with pytest.raises(CodeOceanError, match="The task was killed"):
            running.execute(context)
        assert f"Killed: Computation {context['ti'].xcoms['computation_id']} was deleted" in caplog.text


def test_on_kill_during_submission_logs_key(operator, context, caplog):
    starting = operator()
    starting._create_runner(context, CodeOceanHook())
    starting.on_kill()
    assert "Killed while a computation was being submitted: if it was, its name has, or gets, airflow" in (
        caplog.text
    )


@pytest.mark.fault("D4")
def test_run_with_blank_name_counts_as_not_given(operator, context):
    nameless = operator(name="{{ params.name }}")
    nameless.name = " "
    assert nameless.execute(context)["name"].startswith("Run ")


def test_execute_complete_on_retry_rechecks_for_duplicates(operator, context, monkeypatch):
    """The second try of a task, where no intent is kept: it looks again when its computation is over."""
    monkeypatch.setattr(protocol, "MAX_SEARCH_LAG_SECONDS", 0.1)
    context["ti"].try_number = 2
    with pytest.raises(TaskDeferred) as deferred:
        operator(deferrable=True).execute(context)
    made = context["ti"].xcoms["computation_id"]
    CodeOceanHook().wait_for(ComputationWait(made, poll_interval=0.01, deadline=None))
    event = {"status": "success", "state": "completed", "message": "", "computation_id": made}
    result = operator(deferrable=True).execute_complete(context, event, **deferred.value.kwargs)
    assert deferred.value.kwargs["recheck_at"] > 0
    assert result["id"] == made


@pytest.mark.parametrize("capsule", ["CODEOCEAN_CAPSULE_ID", "CODEOCEAN_FAILING_CAPSULE_ID"])
def test_execute_with_adopted_job_named_by_other_task_submits_another(
    operator, context, at_the_first_pause, code_ocean, monkeypatch, capsule
):
    monkeypatch.setattr(protocol, "MAX_SEARCH_LAG_SECONDS", 0.1)
    monkeypatch.setattr(computation_job, "MAX_NAMING_SECONDS", 0.0)
    operator = partial(operator, capsule_id=code_ocean.env[capsule])
    with CodeOceanHook().get_conn() as client:
        theirs = client.computations.run(operator().build_run_params()).id

    def name(computation_id):
        with CodeOceanHook().get_conn() as client:
            client.computations.rename(theirs, "airflow" + "0123456789abcdef" * 2)

    at_the_first_pause(name)
    code_ocean.faults.add(FaultRule(method="POST", path="computations", kind="html"))
    if capsule == "CODEOCEAN_FAILING_CAPSULE_ID":
        with pytest.raises(AirflowException, match="did not succeed: failed") as raised:
            operator().execute(context)
        assert theirs not in str(raised.value)
        assert context["ti"].xcoms["computation_id"] in str(raised.value)
    else:
        assert operator().execute(context)["id"] == context["ti"].xcoms["computation_id"]
    assert context["ti"].xcoms["computation_id"] != theirs


def test_run_with_name_rendered_to_number_sends_text(operator, context):
    numbered = operator(name="{{ ds_nodash }}")
    numbered.name = 20261121  # what render_template_as_native_obj makes of it
    assert numbered.execute(context)["name"].startswith("20261121 airflow")


class Lazy(Sequence):
    """What mapped tasks return: a sequence that is no list."""

    def __init__(self, *items):
        self.items = items

    def __getitem__(self, index):
        return self.items[index]

    def __len__(self):
        return len(self.items)


def test_run_with_list_like_sequences_accepts_them(operator):
    params = operator(capsule_id="c")
    params.data_assets, params.parameters = Lazy("a1", "a2"), Lazy(5, "fast")
    assert params.build_run_params().to_json() == {
        "capsule_id": "c",
        "data_assets": [{"id": "a1"}, {"id": "a2"}],
        "parameters": ["5", "fast"],
    }


def test_run_with_float_in_dag_file_sends_its_text():
    run = CodeOceanRunCapsuleOperator(task_id="t", capsule_id="c1", parameters={"threshold": 0.5, "n": 3})
    assert run.build_run_params().to_json()["named_parameters"] == [
        {"param_name": "threshold", "value": "0.5"},
        {"param_name": "n", "value": "3"},
    ]
    pipeline = CodeOceanRunPipelineOperator(task_id="t", pipeline_id="p1", processes={"align": [1e-05, "x"]})
    assert pipeline.build_run_params().to_json()["processes"] == [
        {"name": "align", "parameters": ["1e-05", "x"]}
    ]


@pytest.mark.parametrize("name", [None, "nightly"])
def test_run_opens_one_client_and_one_to_name_the_computation(operator, context, monkeypatch, name):
    clients = []
    create_client = CodeOceanHook._create_client
    monkeypatch.setattr(
        CodeOceanHook,
        "_create_client",
        lambda *args, **options: clients.append(create_client(*args, **options)) or clients[-1],
    )
    operator(name=name).execute(context)
    assert [client.retry_budget for client in clients] == [60.0, 20.0]


def test_run_with_invalid_parameters_names_all_and_runs_nothing(operator, context, code_ocean):
    with pytest.raises(AirflowFailException) as raised:
        operator(parameters={"threshold": 99, "speed": "high"}).execute(context)
    for part in (
        "parameters.threshold: must be at most 20, got '99'",
        "parameters.speed: there is no such parameter, only 'threshold', 'probe'",
        "check_parameters=False omits this check",
    ):
        assert part in str(raised.value)
    assert code_ocean.emulator.traffic.runs == {}


def test_run_without_check_of_parameters_runs(operator, context):
    assert operator(parameters={"threshold": 99}, check_parameters=False).execute(context)["id"]


def test_run_with_unreadable_app_panel_runs(operator, context, code_ocean, caplog):
    caplog.set_level(logging.INFO)
    code_ocean.faults.add(FaultRule(path="capsules/*/app_panel", kind="status", status=403, times=None))
    assert operator(parameters={"threshold": 99}).execute(context)["id"]
    assert "The parameters are not checked, because the App Panel cannot be read" in caplog.text


def test_run_with_unavailable_app_panel_keeps_retries_and_runs_nothing(
    operator, context, code_ocean, short_retries
):
    code_ocean.faults.add(FaultRule(path="capsules/*/app_panel", kind="status", status=503, times=None))
    with pytest.raises(ServerError):
        operator(parameters={"threshold": 5}).execute(context)
    assert code_ocean.emulator.traffic.runs == {}


@pytest.fixture
def pipeline(code_ocean):
    pipeline_id = code_ocean.env["CODEOCEAN_FAILING_PIPELINE_ID"]
    return partial(CodeOceanRunPipelineOperator, task_id="t", poll_interval=0.01, pipeline_id=pipeline_id)


@pytest.fixture
def run_attempts(context, monkeypatch):
    """Run attempts of a task, by number: all but the last one fail."""
    monkeypatch.setattr(protocol, "MAX_SEARCH_LAG_SECONDS", 0.1)

    def run(operator, *numbers):
        for number in numbers:
            context["ti"].try_number = number
            if number != numbers[-1]:
                with pytest.raises(ComputationFailed):
                    operator.execute(context)
        return operator.execute(context)

    return run


def test_retry_with_on_failure_resume_resumes_its_failed_run(pipeline, run_attempts, code_ocean, caplog):
    caplog.set_level(logging.INFO)
    result = run_attempts(pipeline(on_failure="resume"), 1, 2)
    assert result["end_status"] == "succeeded"
    traffic = code_ocean.emulator.traffic
    assert (traffic.runs, traffic.processes) == ({"fresh": 1, "resumed": 1}, {"qc": 1, "sort": 1, "plot": 2})
    assert [line for line in caplog.messages if re.fullmatch("Resuming run .*, which failed", line)]


def test_retry_with_on_failure_rerun_starts_from_the_beginning(pipeline, run_attempts, code_ocean):
    with pytest.raises(ComputationFailed):
        run_attempts(pipeline(), 1, 2)
    assert code_ocean.emulator.traffic.runs == {"fresh": 2}


def test_retry_of_run_that_cannot_be_resumed_starts_another_with_warning(
    pipeline, run_attempts, code_ocean, caplog
):
    operator = pipeline(on_failure="resume")
    with pytest.raises(ComputationFailed):
        run_attempts(operator, 1)
    refusal = FaultRule(method="POST", path="computations", kind="status", status=400, times=1)
    code_ocean.faults.add(refusal)
    with pytest.raises(ComputationFailed):
        run_attempts(operator, 2)
    assert code_ocean.emulator.traffic.runs == {"fresh": 2}
    assert "Code Ocean does not resume run" in caplog.text


def test_retry_with_lost_response_of_resumed_run_adopts_it(pipeline, run_attempts, code_ocean, monkeypatch):
    operator = pipeline(on_failure="resume")
    with pytest.raises(ComputationFailed):
        run_attempts(operator, 1)
    code_ocean.faults.add(FaultRule(method="POST", path="computations", kind="close_after", times=1))
    monkeypatch.setattr(computation_job, "MAX_NAMING_SECONDS", 0.0)
    assert run_attempts(operator, 2)["end_status"] == "succeeded"
    assert code_ocean.emulator.traffic.runs == {"fresh": 1, "resumed": 1}


def test_retry_resumes_its_own_run_among_those_of_mapped_tasks(pipeline, run_attempts, code_ocean, context):
    tasks = [pipeline(on_failure="resume", parameters=[f"subject {index}"]) for index in (0, 1)]
    failed_ids = []
    for context["ti"].map_index, task in enumerate(tasks):
        with pytest.raises(ComputationFailed):
            run_attempts(task, 1)
        failed_ids.append(context["ti"].xcoms["computation_id"])
    resumed_ids = []
    for context["ti"].map_index, task in enumerate(tasks):
        resumed = code_ocean.store.computations.get(run_attempts(task, 2)["id"])
        resumed_ids.append(resumed.resume_run_id)
    assert resumed_ids == failed_ids


def test_execute_with_on_failure_fail_uses_no_retries(operator, context, code_ocean):
    failing = operator(capsule_id=code_ocean.env["CODEOCEAN_FAILING_CAPSULE_ID"], on_failure="fail")
    with pytest.raises(AirflowFailException) as raised:
        failing.execute(context)
    assert isinstance(raised.value, ComputationFailed)


def test_run_capsule_with_on_failure_resume_raises(operator):
    with pytest.raises(ValueError, match="on_failure"):
        operator(on_failure="resume")
