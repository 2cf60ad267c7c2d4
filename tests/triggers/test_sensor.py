"""A whole sensor in the triggerer: on what Airflow makes of a stored DAG, against the emulator."""

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
from tests.triggers.supervisor import Supervisor

pytestmark = pytest.mark.skipif(
    not Feature.STARTS_IN_TRIGGERER.is_there, reason="before Airflow 3.3 they start in workers"
)

START = {"start_from_trigger": True, "poke_interval": 1, "timeout": 60}


class UpOperator(BaseOperator):
    """Comes before, or after."""

    def __init__(self, *, asset=None, **kwargs):
        super().__init__(**kwargs)


@pytest.fixture
def supervisor(monkeypatch):
    from airflow.sdk.execution_time import task_runner

    supervisor = Supervisor()
    monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", supervisor, raising=False)
    return supervisor


def start(dag, *, map_index=-1, conf=None, ends_in=None, task_id="wait"):
    """Make the trigger of a task as Airflow's triggerer does, from the DAG as databases keep it: sorted."""
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
    trigger.timeout_after = now + timedelta(seconds=seconds if ends_in is None else ends_in)
    return trigger


async def event_of(trigger):
    (event,) = [event async for event in trigger.run()]
    return event


async def told_to_worker(trigger):
    event = await event_of(trigger)
    assert not isinstance(event, TaskSuccessEvent), "it ended in the triggerer"
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


async def test_it_ends_the_task_with_what_a_worker_would_return(code_ocean, supervisor, draft):
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


async def test_it_asks_no_more_than_it_needs(code_ocean, supervisor, draft):
    await event_of(start(wait(draft.id)))
    assert code_ocean.emulator.traffic.requests["GET /api/v1/data_assets/{data_asset_id}"] == 2


async def test_twice_at_once_it_does_the_same(supervisor, draft):
    triggers = [start(wait(draft.id)) for _ in range(2)]
    events = await asyncio.gather(*map(event_of, triggers))
    assert [type(event) for event in events] == [TaskSuccessEvent] * 2
    assert len(supervisor.xcoms) == 2


@pytest.mark.parametrize("index", [0, 1])
async def test_a_mapped_one_has_its_own(supervisor, create, index):
    assets = [create(), create()]
    supervisor.xcoms["up", "return_value"] = [asset.id for asset in assets]
    with DAG("d", schedule=None) as dag:
        up = UpOperator(task_id="up")
        CodeOceanDataAssetSensor.partial(task_id="wait", **START).expand(data_asset_id=up.output)
    assert isinstance(await event_of(start(dag, map_index=index)), TaskSuccessEvent)
    assert supervisor.xcoms["wait", "return_value", index]["id"] == assets[index].id


async def test_a_mapped_one_renders_what_is_in_the_dag(code_ocean, supervisor):
    with DAG("d", schedule=None) as dag:
        CodeOceanComputationSensor.partial(task_id="wait", **START).expand_kwargs(
            [{"computation_id": "no"}, {"computation_id": "{{ dag_run.conf.id }}"}]
        )
    trigger = start(dag, map_index=1, conf={"id": code_ocean.env["CODEOCEAN_COMPUTATION_ID"]})
    assert isinstance(await event_of(trigger), TaskSuccessEvent)


async def test_a_mapped_one_does_not_render_what_another_task_returned(supervisor, code_ocean):
    supervisor.xcoms["up", "return_value"] = ["{{ params.data_asset_id }}"]
    with DAG("d", schedule=None, params={"data_asset_id": "rendered"}) as dag:
        up = UpOperator(task_id="up")
        CodeOceanDataAssetSensor.partial(task_id="wait", **START).expand(data_asset_id=up.output)
    told = await told_to_worker(start(dag, map_index=0))
    assert told["status"] == "not_begun"
    assert "must be an id, " in told["message"]
    assert "got '{{ params.data_asset_id }}'" in told["message"]


@pytest.mark.parametrize("index", range(4))
async def test_one_of_a_product_is_that_of_a_worker(supervisor, index):
    with DAG("d", schedule=None) as dag:
        mapped = CodeOceanDataAssetSearchSensor.partial(task_id="wait", type="result", **START).expand(
            query=["name:mine", "tag:t"], origin=["internal", None]
        )
    expected, _ = mapped.expand_input.resolve({"ti": SimpleNamespace(map_index=index)})
    sensor = await start(dag, map_index=index)._make_sensor()
    assert {"query": sensor.query, "origin": sensor.origin} == expected


async def test_it_reads_what_one_task_left(supervisor, draft):
    supervisor.xcoms["up", "data_asset_id"] = draft.id
    with DAG("d", schedule=None) as dag:
        CodeOceanDataAssetSensor(
            task_id="wait", data_asset_id=UpOperator(task_id="up").output["data_asset_id"], **START
        )
    assert isinstance(await event_of(start(dag)), TaskSuccessEvent)


async def test_tasks_are_mapped_over_the_result(supervisor, draft):
    with DAG("d", schedule=None) as dag:
        found = CodeOceanDataAssetSearchSensor(task_id="wait", query="tag:t", **START)
        UpOperator.partial(task_id="after").expand(asset=found.output)
    assert isinstance(await event_of(start(dag)), TaskSuccessEvent)
    assert supervisor.lengths == {"return_value": 1}


async def test_no_length_is_told_where_none_are(supervisor, draft):
    await event_of(start(wait(draft.id)))
    assert set(supervisor.lengths.values()) == {None}


async def test_no_result_is_written_where_none_is_wanted(supervisor, draft):
    assert isinstance(await event_of(start(wait(draft.id, do_xcom_push=False))), TaskSuccessEvent)
    assert [key for _, key, _ in supervisor.xcoms] == ["codeocean_data_asset_url"]


async def test_a_worker_complains_where_tasks_are_mapped_over_no_result(supervisor, draft):
    with DAG("d", schedule=None) as dag:
        found = CodeOceanDataAssetSearchSensor(task_id="wait", query="tag:t", do_xcom_push=False, **START)
        UpOperator.partial(task_id="after").expand(asset=found.output)
    assert (await told_to_worker(start(dag)))["status"] == "success"


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
async def test_what_airflow_sees_to_in_workers_only_is_left_to_one(supervisor, draft, arguments, mapped):
    dag = wait(draft.id, **arguments)
    if mapped:
        with DAG("d", schedule=None) as dag:
            partial = CodeOceanDataAssetSensor.partial(task_id="wait", **START, **arguments)
            partial.expand(data_asset_id=[draft.id])
    told = await told_to_worker(start(dag, map_index=0 if mapped else -1))
    assert (told["status"], told["state"]) == ("success", "ready")
    assert all(key != "return_value" for _, key, _ in supervisor.xcoms)


async def test_a_result_that_cannot_be_written_is_left_to_a_worker(supervisor, draft):
    trigger = start(wait(draft.id))
    push = trigger._push

    async def push_later(result):
        supervisor.broken = True
        await push(result)

    trigger._push = push_later
    assert (await told_to_worker(trigger))["status"] == "success"


async def test_what_failed_is_left_to_a_worker(supervisor, create):
    failing = create(target={"aws": {"bucket": "no-such-bucket"}})
    told = await told_to_worker(start(wait(failing.id)))
    assert (told["status"], told["state"]) == ("failed", "failed")
    assert "no-such-bucket" in told["message"]


async def test_trouble_on_the_way_is_outlasted(code_ocean, supervisor, draft):
    faults = [
        code_ocean.faults.add(FaultRule(method="GET", kind=kind))
        for kind in ("status", "close_before", "html")
    ]
    assert isinstance(await event_of(start(wait(draft.id))), TaskSuccessEvent)
    assert [fault.hits for fault in faults] == [1, 1, 1]


async def test_time_runs_out_before_airflow_ends_it(code_ocean, supervisor, create):
    code_ocean.emulator.transitions = Transitions(assets=Policy(seconds=3600))
    slow = create()
    told = await told_to_worker(start(wait(slow.id, timeout=0.3)))
    assert told["status"] == "timeout"
    assert f"Data asset {slow.id} was not ready in time" in told["message"]


@pytest.mark.parametrize(
    ("timeout", "limit", "seconds"),
    [(100, None, 100), (100, 40, 36), (100, 1000, 100), (100, 130, 100), (1000, 500, 490), (100, 105, 95)],
)
def test_the_deadline_counts_from_the_start_of_the_task(timeout, limit, seconds):
    """However late the trigger runs, Airflow tells when the task is to be over."""
    execution_timeout = None if limit is None else timedelta(seconds=limit)
    dag = wait("a1", timeout=timeout, execution_timeout=execution_timeout)
    began = time.time()
    trigger = start(dag)
    assert trigger._deadline() == pytest.approx(began + seconds, abs=5)
    assert trigger._deadline() < trigger.timeout_after.timestamp()
    late = start(dag, ends_in=(min(timeout + 60, limit or timeout + 60)) - 30)  # half a minute later
    assert late._deadline() == pytest.approx(began + seconds - 30, abs=5)


class NotThereSensor(CodeOceanDataAssetSensor):
    """Is nowhere where the triggerer could import it."""

    __module__ = "a_dag_file"


NOT_BEGUN = {
    "a name that is not there": ({"data_asset_id": "{{ params.typo }}"}, "typo"),
    "a template that is none": ({"data_asset_id": "{{ broken"}, "TemplateSyntaxError"),
    "no identifier": ({"data_asset_id": "{{ '' }}"}, "data_asset_id: must not be empty"),
    "no connection": ({"data_asset_id": "a", "codeocean_conn_id": "not_there"}, "not_there"),
    "a class of a DAG file": ({"data_asset_id": "a", "sensor": NotThereSensor}, "a_dag_file"),
    "native objects": (
        {"data_asset_id": "{{ params.data_asset_id }}", "render_template_as_native_obj": True},
        "native objects",
    ),
}


@pytest.mark.parametrize("case", NOT_BEGUN)
async def test_what_cannot_be_begun_is_begun_in_a_worker(code_ocean, supervisor, monkeypatch, case):
    arguments, message = NOT_BEGUN[case]
    monkeypatch.setattr(sensor_trigger, "_ANSWER_SECONDS", 2.0)
    told = await told_to_worker(start(wait(**arguments)))
    assert (told["status"], told["state"]) == ("not_begun", None)
    assert message in told["message"] or case == "no connection"
    assert not supervisor.xcoms


@pytest.mark.parametrize("mapped", [False, True])
def test_a_param_without_a_default_does_not_end_the_triggerer(mapped):
    """Airflow makes the context of a task before its trigger runs, and ends with all waits over an error."""
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
    assert trigger._rendered("{{ params.needed }} {{ params.own }}") == "given 1"


async def test_what_a_task_has_not_left_is_for_a_worker_to_miss(code_ocean, supervisor):
    with DAG("d", schedule=None) as dag:
        CodeOceanDataAssetSensor(task_id="wait", data_asset_id=UpOperator(task_id="up").output, **START)
    told = await told_to_worker(start(dag))
    assert told["status"] == "not_begun"
    assert "data_asset_id: task up has left no XCom return_value" in told["message"]


async def test_what_airflow_does_not_answer_is_for_a_worker(code_ocean, supervisor, monkeypatch, draft):
    """A template may ask by ways that nobody thought of; without an end to that it would hang for ever."""
    monkeypatch.setattr(sensor_trigger, "_ANSWER_SECONDS", 0.2)
    trigger = start(wait(draft.id))

    async def hangs(*arguments):
        await supervisor.asend("a question that is not known")

    monkeypatch.setattr(sensor_trigger, "push_xcom", hangs)
    told = await told_to_worker(trigger)
    assert (told["status"], told["message"]) == ("not_begun", "TimeoutError: ")


async def test_a_worker_begins_what_could_not_be(code_ocean, create):
    code_ocean.emulator.transitions = Transitions(assets=Policy(seconds=3600))
    asset = create()

    class TaskInstance:
        map_index, start_date = -1, None

        def xcom_push(self, key, value):
            pass

    dag = wait(asset.id)
    event = {"status": "not_begun", "state": None, "message": "no such name"}
    with pytest.raises(TaskDeferred) as caught:
        dag.get_task("wait").execute_complete({"ti": TaskInstance()}, event)
    assert caught.value.trigger.data_asset_id == asset.id
