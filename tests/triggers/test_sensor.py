"""Whole sensors in the triggerer, from a serialized DAG, against the emulator."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from airflow.providers.common.compat.sdk import DAG, Asset, BaseOperator, Param, TaskDeferred
from airflow.triggers.base import TaskSuccessEvent

from airflow_provider_codeocean.api.models.data_asset_params import DataAssetParams
from airflow_provider_codeocean.compat.features import Feature
from airflow_provider_codeocean.emulator import FaultRule, Policy, Transitions
from airflow_provider_codeocean.hooks.codeocean import CodeOceanHook
from airflow_provider_codeocean.sensors.computation import CodeOceanComputationSensor
from airflow_provider_codeocean.sensors.data_asset import CodeOceanDataAssetSensor
from airflow_provider_codeocean.sensors.search import CodeOceanDataAssetSearchSensor
from airflow_provider_codeocean.triggers import sensor as sensor_trigger
from airflow_provider_codeocean.triggers.sensor import CodeOceanSensorTrigger
from tests.triggers.fake_supervisor import FakeSupervisor

pytestmark = pytest.mark.skipif(
    not Feature.START_FROM_TRIGGER.is_available, reason="before Airflow 3.3 they start in workers"
)

START = {"start_from_trigger": True, "poke_interval": 1, "timeout": 60}


class UpOperator(BaseOperator):
    """An upstream or downstream task."""

    def __init__(self, *, asset=None, **kwargs):
        super().__init__(**kwargs)


@pytest.fixture
def supervisor(monkeypatch):
    from airflow.sdk.execution_time import task_runner

    supervisor = FakeSupervisor()
    monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", supervisor, raising=False)
    return supervisor


def start(dag, *, map_index=-1, conf=None, seconds_left=None, task_id="wait"):
    """Build the trigger of a task as Airflow's triggerer does, from a serialized DAG with sorted keys."""
    from airflow.executors.workloads.task import TaskInstanceDTO
    from airflow.jobs.triggerer_job_runner import TriggerRunner
    from airflow.serialization.serialized_objects import BaseSerialization, DagSerialization

    stored = json.loads(json.dumps(DagSerialization.to_dict(dag), sort_keys=True))
    ti = TaskInstanceDTO(
        id=uuid.uuid4(),
        dag_version_id=uuid.uuid4(),
        task_id=task_id,
        dag_id=dag.dag_id,
        run_id="r",
        try_number=1,
        map_index=map_index,
        pool_slots=1,
        priority_weight=1,
    )
    now = datetime.now(UTC)
    run = {
        "dag_id": dag.dag_id,
        "run_id": "r",
        "logical_date": now,
        "data_interval_start": now,
        "data_interval_end": now,
        "run_after": now,
        "start_date": now,
        "end_date": None,
        "run_type": "manual",
        "state": "running",
        "conf": conf or {},
        "consumed_asset_events": [],
        "partition_key": None,
    }
    runtime_ti = TriggerRunner.create_runtime_ti(ti, stored, run)
    args = runtime_ti.task.start_trigger_args
    trigger = CodeOceanSensorTrigger(**BaseSerialization.deserialize(args.trigger_kwargs))
    trigger.task_instance = runtime_ti
    trigger.render_template_fields(runtime_ti.get_template_context())
    seconds = args.timeout.total_seconds()
    if runtime_ti.task.execution_timeout:
        seconds = min(seconds, runtime_ti.task.execution_timeout.total_seconds())
    trigger.timeout_after = now + timedelta(seconds=seconds if seconds_left is None else seconds_left)
    return trigger


async def event_of(trigger):
    (event,) = [event async for event in trigger.run()]
    return event


async def worker_event(trigger):
    event = await event_of(trigger)
    assert not isinstance(event, TaskSuccessEvent), "the task ended in the triggerer"
    return event.payload


def wait(data_asset_id, *, sensor=CodeOceanDataAssetSensor, **arguments):
    with DAG("d", schedule=None, params={"data_asset_id": "from params"}) as dag:
        sensor(task_id="wait", data_asset_id=data_asset_id, **{**START, **arguments})
    return dag


@pytest.fixture
def create(code_ocean):
    def make(**fields):
        source = {"computation": {"id": code_ocean.env["CODEOCEAN_COMPUTATION_ID"]}}
        values = {"name": "n", "mount": "m", "tags": ["t"], "source": source} | fields
        with CodeOceanHook().get_conn() as client:
            return client.data_assets.create(DataAssetParams.model_validate(values))

    return make


@pytest.fixture
def draft(create):
    return create()


async def test_run_with_success_pushes_same_xcoms_as_worker(code_ocean, supervisor, draft):
    event = await event_of(start(wait("{{ dag_run.conf.id }}"), conf={"id": draft.id}))
    assert isinstance(event, TaskSuccessEvent)
    assert event.xcoms is None
    with CodeOceanHook().get_conn() as client:
        asset = client.data_assets.get(draft.id)
    url = f"{code_ocean.url}/data-assets/{draft.id}"
    assert supervisor.xcoms == {
        ("wait", "return_value", -1): {**asset.model_dump(mode="json"), "url": url},
        ("wait", "codeocean_data_asset_url", -1): url,
    }


async def test_run_reads_data_asset_twice_only(code_ocean, supervisor, draft):
    await event_of(start(wait(draft.id)))
    assert code_ocean.emulator.traffic.requests["GET /api/v1/data_assets/{data_asset_id}"] == 2


async def test_run_twice_concurrently_pushes_same_result(supervisor, draft):
    triggers = [start(wait(draft.id)) for _ in range(2)]
    events = await asyncio.gather(*map(event_of, triggers))
    assert [type(event) for event in events] == [TaskSuccessEvent] * 2
    assert len(supervisor.xcoms) == 2


@pytest.mark.parametrize("index", [0, 1])
async def test_run_of_mapped_task_pushes_its_own_result(supervisor, create, index):
    assets = [create(), create()]
    supervisor.xcoms["up", "return_value"] = [asset.id for asset in assets]
    with DAG("d", schedule=None) as dag:
        up = UpOperator(task_id="up")
        CodeOceanDataAssetSensor.partial(task_id="wait", **START).expand(data_asset_id=up.output)
    assert isinstance(await event_of(start(dag, map_index=index)), TaskSuccessEvent)
    assert supervisor.xcoms["wait", "return_value", index]["id"] == assets[index].id


async def test_run_of_mapped_task_renders_template_in_dag(code_ocean, supervisor):
    with DAG("d", schedule=None) as dag:
        CodeOceanComputationSensor.partial(task_id="wait", **START).expand_kwargs(
            [{"computation_id": "no"}, {"computation_id": "{{ dag_run.conf.id }}"}]
        )
    trigger = start(dag, map_index=1, conf={"id": code_ocean.env["CODEOCEAN_COMPUTATION_ID"]})
    assert isinstance(await event_of(trigger), TaskSuccessEvent)


async def test_run_of_mapped_task_does_not_render_xcom(supervisor, code_ocean):
    supervisor.xcoms["up", "return_value"] = ["{{ params.data_asset_id }}"]
    with DAG("d", schedule=None, params={"data_asset_id": "rendered"}) as dag:
        up = UpOperator(task_id="up")
        CodeOceanDataAssetSensor.partial(task_id="wait", **START).expand(data_asset_id=up.output)
    event = await worker_event(start(dag, map_index=0))
    assert event["status"] == "not_started"
    assert "must be an id, " in event["message"]
    assert "got '{{ params.data_asset_id }}'" in event["message"]


@pytest.mark.parametrize("index", range(4))
async def test_run_of_mapped_product_resolves_same_arguments_as_worker(supervisor, index):
    with DAG("d", schedule=None) as dag:
        mapped = CodeOceanDataAssetSearchSensor.partial(task_id="wait", type="result", **START).expand(
            query=["name:mine", "tag:t"], origin=["internal", None]
        )
    expected, _ = mapped.expand_input.resolve({"ti": SimpleNamespace(map_index=index)})
    sensor = await start(dag, map_index=index)._build_sensor()
    assert {"query": sensor.query, "origin": sensor.origin} == expected


async def test_run_with_xcom_argument_reads_it(supervisor, draft):
    supervisor.xcoms["up", "data_asset_id"] = draft.id
    with DAG("d", schedule=None) as dag:
        CodeOceanDataAssetSensor(
            task_id="wait", data_asset_id=UpOperator(task_id="up").output["data_asset_id"], **START
        )
    assert isinstance(await event_of(start(dag)), TaskSuccessEvent)


async def test_run_with_downstream_mapped_task_pushes_length(supervisor, draft):
    with DAG("d", schedule=None) as dag:
        search = CodeOceanDataAssetSearchSensor(task_id="wait", query="tag:t", **START)
        UpOperator.partial(task_id="after").expand(asset=search.output)
    assert isinstance(await event_of(start(dag)), TaskSuccessEvent)
    assert supervisor.mapped_lengths == {"return_value": 1}


async def test_run_without_downstream_mapped_task_pushes_no_length(supervisor, draft):
    await event_of(start(wait(draft.id)))
    assert set(supervisor.mapped_lengths.values()) == {None}


async def test_run_with_do_xcom_push_false_pushes_link_only(supervisor, draft):
    assert isinstance(await event_of(start(wait(draft.id, do_xcom_push=False))), TaskSuccessEvent)
    assert [key for _, key, _ in supervisor.xcoms] == ["codeocean_data_asset_url"]


async def test_run_with_mapped_downstream_but_no_result_leaves_end_to_worker(supervisor, draft):
    with DAG("d", schedule=None) as dag:
        search = CodeOceanDataAssetSearchSensor(task_id="wait", query="tag:t", do_xcom_push=False, **START)
        UpOperator.partial(task_id="after").expand(asset=search.output)
    assert (await worker_event(start(dag)))["status"] == "success"


@pytest.mark.parametrize(
    "arguments",
    [
        {"outlets": [Asset("test://asset")]},
        {"on_success_callback": print},
        {"on_execute_callback": print},
        {"multiple_outputs": True},
    ],
)
@pytest.mark.parametrize("mapped", [False, True])
async def test_run_with_argument_for_workers_leaves_end_to_worker(supervisor, draft, arguments, mapped):
    dag = wait(draft.id, **arguments)
    if mapped:
        with DAG("d", schedule=None) as dag:
            partial = CodeOceanDataAssetSensor.partial(task_id="wait", **START, **arguments)
            partial.expand(data_asset_id=[draft.id])
    event = await worker_event(start(dag, map_index=0 if mapped else -1))
    assert (event["status"], event["state"]) == ("success", "ready")
    assert all(key != "return_value" for _, key, _ in supervisor.xcoms)


async def test_run_with_failed_push_leaves_end_to_worker(supervisor, draft):
    trigger = start(wait(draft.id))
    push = trigger._push_result

    async def push_later(result):
        supervisor.is_unavailable = True
        await push(result)

    trigger._push_result = push_later
    assert (await worker_event(trigger))["status"] == "success"


async def test_run_with_failed_data_asset_leaves_end_to_worker(supervisor, create):
    failing = create(target={"aws": {"bucket": "no-such-bucket"}})
    event = await worker_event(start(wait(failing.id)))
    assert (event["status"], event["state"]) == ("failed", "failed")
    assert "no-such-bucket" in event["message"]


async def test_run_with_transient_errors_continues(code_ocean, supervisor, draft):
    faults = [
        code_ocean.faults.add(FaultRule(method="GET", kind=kind))
        for kind in ("status", "close_before", "html")
    ]
    assert isinstance(await event_of(start(wait(draft.id))), TaskSuccessEvent)
    assert [fault.hits for fault in faults] == [1, 1, 1]


async def test_run_after_timeout_emits_timeout_event(code_ocean, supervisor, create):
    code_ocean.emulator.transitions = Transitions(assets=Policy(seconds=3600))
    slow = create()
    event = await worker_event(start(wait(slow.id, timeout=0.3)))
    assert event["status"] == "timeout"
    assert f"Data asset {slow.id} was not ready in time" in event["message"]


@pytest.mark.parametrize(
    ("timeout", "limit_seconds", "seconds"),
    [(100, None, 100), (100, 40, 36), (100, 1000, 100), (100, 130, 100), (1000, 500, 490), (100, 105, 95)],
)
def test_deadline_counts_from_start_of_task(timeout, limit_seconds, seconds):
    """Airflow sets the end of the task, so a late start of the trigger does not move the deadline."""
    execution_timeout = None if limit_seconds is None else timedelta(seconds=limit_seconds)
    dag = wait("a1", timeout=timeout, execution_timeout=execution_timeout)
    started_at = time.time()
    trigger = start(dag)
    assert trigger._compute_deadline() == pytest.approx(started_at + seconds, abs=5)
    assert trigger._compute_deadline() < trigger.timeout_after.timestamp()
    late = start(
        dag, seconds_left=(min(timeout + 60, limit_seconds or timeout + 60)) - 30
    )  # half a minute later
    assert late._compute_deadline() == pytest.approx(started_at + seconds - 30, abs=5)


class NotThereSensor(CodeOceanDataAssetSensor):
    """A sensor in a module that the triggerer cannot import."""

    __module__ = "a_dag_file"


NOT_BEGUN = {
    "an unknown variable": ({"data_asset_id": "{{ params.typo }}"}, "typo"),
    "an invalid template": ({"data_asset_id": "{{ broken"}, "TemplateSyntaxError"),
    "no id": ({"data_asset_id": "{{ '' }}"}, "data_asset_id: must not be empty"),
    "no connection": ({"data_asset_id": "a", "codeocean_conn_id": "not_there"}, "not_there"),
    "a class of a DAG file": ({"data_asset_id": "a", "sensor": NotThereSensor}, "a_dag_file"),
    "native objects": (
        {"data_asset_id": "{{ params.data_asset_id }}", "render_template_as_native_obj": True},
        "native objects",
    ),
}


@pytest.mark.parametrize("case", NOT_BEGUN)
async def test_run_that_cannot_start_emits_not_started(code_ocean, supervisor, monkeypatch, case):
    arguments, message = NOT_BEGUN[case]
    monkeypatch.setattr(sensor_trigger, "_SETUP_TIMEOUT_SECONDS", 2.0)
    event = await worker_event(start(wait(**arguments)))
    assert (event["status"], event["state"]) == ("not_started", None)
    assert message in event["message"] or case == "no connection"
    assert not supervisor.xcoms


@pytest.mark.parametrize("mapped", [False, True])
def test_start_with_param_without_default_does_not_end_triggerer(mapped):
    """Airflow builds the context of a task before its trigger runs, and exits if that fails."""
    with DAG("d", schedule=None, params={"needed": Param(type="string")}) as dag:
        if mapped:
            CodeOceanDataAssetSensor.partial(task_id="wait", params={"own": 1}, **START).expand(
                data_asset_id=["{{ params.needed }}"]
            )
        else:
            CodeOceanDataAssetSensor(
                task_id="wait", data_asset_id="{{ params.needed }}", params={"own": 1}, **START
            )
    trigger = start(dag, map_index=0 if mapped else -1, conf={"needed": "given"})
    assert trigger._render_value("{{ params.needed }} {{ params.own }}") == "given 1"


async def test_run_with_missing_xcom_emits_not_started(code_ocean, supervisor):
    with DAG("d", schedule=None) as dag:
        CodeOceanDataAssetSensor(task_id="wait", data_asset_id=UpOperator(task_id="up").output, **START)
    event = await worker_event(start(dag))
    assert event["status"] == "not_started"
    assert "data_asset_id: task up has no XCom return_value" in event["message"]


async def test_run_with_unanswered_request_to_airflow_emits_not_started(
    code_ocean, supervisor, monkeypatch, draft
):
    """A template may send other requests that Airflow never answers, so the setup has a limit."""
    monkeypatch.setattr(sensor_trigger, "_SETUP_TIMEOUT_SECONDS", 0.2)
    trigger = start(wait(draft.id))

    async def hangs(*arguments):
        await supervisor.asend("an unknown request")

    monkeypatch.setattr(sensor_trigger, "push_xcom", hangs)
    event = await worker_event(trigger)
    assert (event["status"], event["message"]) == ("not_started", "TimeoutError: ")


async def test_execute_complete_after_not_started_defers(code_ocean, create):
    code_ocean.emulator.transitions = Transitions(assets=Policy(seconds=3600))
    asset = create()

    class TaskInstance:
        map_index, start_date = -1, None

        def xcom_push(self, key, value):
            pass

    dag = wait(asset.id)
    event = {"status": "not_started", "state": None, "message": "no such name"}
    with pytest.raises(TaskDeferred) as caught:
        dag.get_task("wait").execute_complete({"ti": TaskInstance()}, event)
    assert caught.value.trigger.data_asset_id == asset.id
