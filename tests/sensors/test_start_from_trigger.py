"""Sensors that start in the triggerer: rejected arguments, and the arguments of their trigger."""

from __future__ import annotations

import json
import math
from datetime import timedelta

import pytest
from airflow.providers.common.compat.sdk import DAG, BaseOperator, Param, task_group
from airflow.triggers.base import StartTriggerArgs
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_codeocean.compat.features import Feature
from airflow_provider_codeocean.sensors._base import CodeOceanWaitSensorBase
from airflow_provider_codeocean.sensors.computation import CodeOceanComputationSensor
from airflow_provider_codeocean.sensors.data_asset import CodeOceanDataAssetSensor
from airflow_provider_codeocean.sensors.search import CodeOceanDataAssetSearchSensor
from airflow_provider_codeocean.sensors.transfer import CodeOceanTransferSensor
from airflow_provider_codeocean.triggers.sensor import CodeOceanSensorTrigger

needs_3_3 = pytest.mark.skipif(
    not Feature.START_FROM_TRIGGER.is_available, reason="before Airflow 3.3 they start in workers"
)

WAITS = [
    (CodeOceanDataAssetSensor, {"data_asset_id": "a1"}),
    (CodeOceanComputationSensor, {"computation_id": "c1"}),
    (CodeOceanTransferSensor, {"data_asset_id": "a1", "last_transferred": 5.5, "transfer_error": "e"}),
    (
        CodeOceanDataAssetSearchSensor,
        {"query": "q", "filters": [{"key": "name", "value": "n"}], "archived": True},
    ),
]


class UpOperator(BaseOperator):
    """An upstream task."""

    def __init__(self, *, number=0, **kwargs):
        super().__init__(**kwargs)


@pytest.fixture(autouse=True)
def dag():
    with DAG("d", schedule=None) as dag:
        yield dag


def sensor(data_asset_id="a1", **arguments):
    return CodeOceanDataAssetSensor(
        **{"task_id": "wait", "data_asset_id": data_asset_id, "start_from_trigger": True} | arguments
    )


def partial(**arguments):
    return CodeOceanDataAssetSensor.partial(**{"task_id": "wait", "start_from_trigger": True} | arguments)


def trigger_kwargs_of(task):
    return task.start_trigger_args.trigger_kwargs


@pytest.mark.parametrize(
    "sensor_class", [CodeOceanWaitSensorBase, *(sensor_class for sensor_class, _ in WAITS)]
)
def test_sensor_classes_do_not_start_from_trigger(sensor_class):
    assert sensor_class.start_from_trigger is False
    assert sensor_class.start_trigger_args is None


@pytest.mark.parametrize("name", ["start_from_trigger", "start_trigger_args"])
def test_subclass_that_starts_from_trigger_raises(name):
    with pytest.raises(
        TypeError,
        match=rf"Mine\.{name} applies the same arguments to all mapped tasks: pass start_from_trigger=True",
    ):
        type("Mine", (CodeOceanDataAssetSensor,), {name: True})


def test_sensor_by_default_does_not_start_from_trigger():
    assert not CodeOceanDataAssetSensor(task_id="wait", data_asset_id="a1").start_from_trigger
    assert not CodeOceanDataAssetSensor.partial(task_id="p").expand(data_asset_id=["a"]).start_from_trigger


@pytest.mark.skipif(
    Feature.START_FROM_TRIGGER.is_available, reason="Airflow 3.3 starts them in the triggerer"
)
@pytest.mark.parametrize(("sensor_class", "arguments"), WAITS)
def test_start_from_trigger_before_airflow_3_3_makes_sensor_deferrable(sensor_class, arguments):
    task = sensor_class(task_id="wait", start_from_trigger=True, deferrable=False, **arguments)
    assert task.deferrable
    assert not task.start_from_trigger
    assert task.start_trigger_args is None
    mapped = partial(task_id="mapped").expand(data_asset_id=["a", HANGS])
    assert not mapped.start_trigger_args


@needs_3_3
@pytest.mark.parametrize(("sensor_class", "arguments"), WAITS)
def test_start_trigger_args_contain_all_arguments(sensor_class, arguments):
    task = sensor_class(
        task_id="wait",
        start_from_trigger=True,
        codeocean_conn_id="lab",
        poke_interval=7,
        timeout=90,
        **arguments,
    )
    assert task.start_from_trigger is True
    start = task.start_trigger_args
    assert (start.next_method, start.timeout) == ("execute_complete", timedelta(seconds=90 + 60))
    assert start.trigger_cls == "airflow_provider_codeocean.triggers.sensor.CodeOceanSensorTrigger"
    trigger_kwargs = start.trigger_kwargs
    assert trigger_kwargs["sensor_classpath"] == f"{sensor_class.__module__}.{sensor_class.__name__}"
    assert (
        trigger_kwargs["poll_interval"],
        trigger_kwargs["timeout"],
        trigger_kwargs["xcom_references"],
    ) == (7.0, 90.0, {})
    defaults = {"log_output": "on_failure"} if sensor_class is CodeOceanComputationSensor else {}
    assert {name: value for name, value in trigger_kwargs["sensor_kwargs"].items() if value is not None} == {
        **defaults,
        "codeocean_conn_id": "lab",
        **arguments,
    }


@needs_3_3
def test_start_trigger_args_without_timeout_have_default_timeout():
    assert sensor().start_trigger_args.timeout == timedelta(days=7, seconds=60)


@needs_3_3
def test_start_trigger_kwargs_are_not_rendered_by_airflow():
    assert not trigger_kwargs_of(sensor()).keys() & set(CodeOceanDataAssetSearchSensor.template_fields)


@needs_3_3
def test_start_trigger_args_with_xcom_argument_reference_it():
    up = UpOperator(task_id="up")
    task = sensor(up.output["data_asset_id"])
    assert trigger_kwargs_of(task)["xcom_references"] == {"data_asset_id": ["up", "data_asset_id"]}
    assert "data_asset_id" not in trigger_kwargs_of(task)["sensor_kwargs"]
    assert task.upstream_task_ids == {"up"}


def from_mapped():
    return UpOperator.partial(task_id="up").expand(number=[1, 2]).output


def from_mapped_group():
    inside = []

    @task_group
    def group(number):
        inside.append(UpOperator(task_id="up").output)

    group.expand(number=[1, 2])
    return inside[0]


XCOMS = {
    "mapped": from_mapped,
    "in a mapped group": from_mapped_group,
    "map": lambda: UpOperator(task_id="up").output.map(str),
    "zip": lambda: UpOperator(task_id="up").output.zip(UpOperator(task_id="up2").output),
    "concat": lambda: UpOperator(task_id="up").output.concat(UpOperator(task_id="up2").output),
}


@needs_3_3
@pytest.mark.parametrize("kind", XCOMS)
@pytest.mark.parametrize("use", [sensor, lambda value: partial().expand(data_asset_id=value)])
def test_xcom_unreadable_in_triggerer_raises(kind, use):
    with pytest.raises(
        ValueError, match="data_asset_id: the triggerer cannot read the results of mapped tasks"
    ):
        use(XCOMS[kind]())


@needs_3_3
def test_infinite_number_in_mapped_argument_raises():
    with pytest.raises(ValueError, match=r"data_asset_id: the triggerer accepts texts.*inf"):
        partial().expand(data_asset_id=["a1", math.inf])


@needs_3_3
def test_xcom_nested_in_argument_raises():
    with pytest.raises(ValueError, match=r"filters: the triggerer accepts texts.*remove start_from_trigger"):
        CodeOceanDataAssetSearchSensor(
            task_id="find",
            start_from_trigger=True,
            filters=[{"key": "name", "value": UpOperator(task_id="up").output}],
        )


@needs_3_3
def test_argument_of_mapped_task_group_raises():
    @task_group
    def group(asset_id):
        sensor(asset_id)

    with pytest.raises(ValueError, match="data_asset_id: the triggerer accepts texts"):
        group.expand(asset_id=["a", "b"])


HANGS = "{{ ti.xcom_pull('up') }}"


@needs_3_3
@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("data_asset_id", lambda: sensor(HANGS)),
        ("codeocean_conn_id", lambda: sensor(codeocean_conn_id=HANGS)),
        ("codeocean_conn_id", lambda: partial(codeocean_conn_id=HANGS).expand(data_asset_id=["a"])),
        ("data_asset_id", lambda: partial().expand(data_asset_id=["a", HANGS])),
        (
            "data_asset_id",
            lambda: partial().expand_kwargs([{"data_asset_id": "a"}, {"data_asset_id": HANGS}]),
        ),
        (
            "filters",
            lambda: CodeOceanDataAssetSearchSensor(
                task_id="find", start_from_trigger=True, filters=[{"key": "name", "values": ["x", HANGS]}]
            ),
        ),
    ],
)
def test_template_that_would_hang_in_triggerer_raises(name, make):
    with pytest.raises(ValueError, match=f"^{name}: .*add map_indexes=-1"):
        make()


@needs_3_3
def test_custom_jinja_environment_raises():
    with (
        DAG("own", schedule=None, jinja_environment_kwargs={"variable_start_string": "[["}),
        pytest.raises(ValueError, match="does not support the DAG's jinja_environment_kwargs"),
    ):
        sensor("[[ params.x ]]")


@needs_3_3
@pytest.mark.parametrize("make", [sensor, lambda **kwargs: partial(**kwargs).expand(data_asset_id=["a"])])
def test_params_required_by_dag_do_not_change_params_of_task(dag, make):
    dag.params.update({"needed": Param(type="string"), "days": 5})
    assert make(params={"days": 7, "own": None}).params.dump() == {"days": 7, "own": None}


@needs_3_3
@pytest.mark.parametrize("make", [sensor, lambda **kwargs: partial(**kwargs).expand(data_asset_id=["a"])])
def test_task_params_without_value_raise(make):
    with pytest.raises(ValueError, match="params: set a valid value for days, or move it to the DAG"):
        make(params={"days": Param(type="integer")})


@needs_3_3
def test_mapped_sensor_passes_arguments_to_trigger():
    mapped = partial(codeocean_conn_id="lab", timeout=90, poke_interval=7).expand(data_asset_id=["a", "b"])
    assert mapped.start_from_trigger is True
    assert mapped.start_trigger_args.timeout == timedelta(seconds=150)
    trigger_kwargs = trigger_kwargs_of(mapped)
    assert (trigger_kwargs["sensor_kwargs"], trigger_kwargs["poll_interval"]) == (
        {"codeocean_conn_id": "lab"},
        7.0,
    )
    # If a task ends in a worker, it is deferrable there.
    unmapped = mapped.unmap({"data_asset_id": "a"})
    assert (unmapped.deferrable, unmapped.start_from_trigger, unmapped.timeout) == (True, False, 90.0)


@needs_3_3
def test_mapped_sensor_uses_default_args_of_dag():
    defaults = {"start_from_trigger": True, "codeocean_conn_id": "lab", "timeout": 90, "poke_interval": 7}
    with DAG("defaults", schedule=None, default_args=defaults):
        mapped = CodeOceanDataAssetSensor.partial(task_id="wait").expand(data_asset_id=["a"])
        task = CodeOceanDataAssetSensor(task_id="plain", data_asset_id="a")
    for start in (mapped.start_trigger_args, task.start_trigger_args):
        assert start.timeout == timedelta(seconds=150)
        assert start.trigger_kwargs["sensor_kwargs"]["codeocean_conn_id"] == "lab"
    assert not mapped.unmap({"data_asset_id": "a"}).start_from_trigger


@needs_3_3
def test_mapped_sensor_over_xcom_and_list_names_mapped_arguments():
    up = UpOperator(task_id="up")
    mapped = CodeOceanTransferSensor.partial(
        task_id="moved", start_from_trigger=True, transfer_error="e"
    ).expand(data_asset_id=up.output, last_transferred=[1.0, 2.0])
    assert trigger_kwargs_of(mapped)["sensor_kwargs"] == {
        "codeocean_conn_id": "codeocean_default",
        "transfer_error": "e",
    }
    assert trigger_kwargs_of(mapped)["mapped_argument_names"] == ["data_asset_id", "last_transferred"]
    assert mapped.upstream_task_ids == {"up"}


@needs_3_3
def test_mapped_sensor_over_empty_list_is_accepted(dag):
    from airflow.serialization.serialized_objects import DagSerialization

    partial().expand(data_asset_id=[])
    partial(task_id="kwargs").expand_kwargs([])
    stored = DagSerialization.from_dict(json.loads(json.dumps(DagSerialization.to_dict(dag))))
    assert stored.get_task("wait").start_trigger_args
    assert not stored.get_task("kwargs").start_trigger_args


@needs_3_3
@pytest.mark.parametrize(
    ("error", "message", "make"),
    [
        (
            ValueError,
            "timeout: pass it to partial",
            lambda: partial().expand(data_asset_id=["a"], timeout=[1]),
        ),
        (
            TypeError,
            "data_asset_id: the triggerer can map over a list",
            lambda: partial().expand(data_asset_id={"a": 1}),
        ),
        (
            ValueError,
            "expand_kwargs: the triggerer cannot map over",
            lambda: partial().expand_kwargs(UpOperator(task_id="u").output),
        ),
        (
            ValueError,
            "expand_kwargs: pass the same arguments to all tasks.*conn_id, data_asset_id and data_asset_id",
            lambda: partial().expand_kwargs(
                [{"data_asset_id": "a"}, {"data_asset_id": "b", "codeocean_conn_id": "c"}]
            ),
        ),
        (
            ValueError,
            "data_asset_id: the triggerer accepts",
            lambda: partial().expand(data_asset_id=[object()]),
        ),
        (ValueError, "data_asset_id: must not be empty", lambda: sensor("")),
    ],
)
def test_start_from_trigger_with_unsupported_arguments_raises(error, message, make):
    with pytest.raises(error, match=message):
        make()


@needs_3_3
def test_subclass_with_own_argument_passes_it_to_trigger():
    class MySensor(CodeOceanDataAssetSensor):
        template_fields = (*CodeOceanDataAssetSensor.template_fields, "subject")

        def __init__(self, *, subject, **kwargs):
            self.subject = subject
            super().__init__(**kwargs)

    task = MySensor(task_id="mine", subject="{{ ds }}", data_asset_id="a1", start_from_trigger=True)
    assert trigger_kwargs_of(task)["sensor_kwargs"]["subject"] == "{{ ds }}"


@needs_3_3
def test_subclass_with_positional_argument_passes_it_to_trigger():
    class MySensor(CodeOceanDataAssetSensor):
        def __init__(self, subject="all", **kwargs):
            self.subject = subject
            super().__init__(**kwargs)

    task = MySensor(task_id="mine", subject="s", data_asset_id="a1", start_from_trigger=True)
    assert trigger_kwargs_of(task)["sensor_kwargs"]["subject"] == "s"


@needs_3_3
def test_subclass_that_sets_attribute_too_late_raises():
    class LateSensor(CodeOceanDataAssetSensor):
        def __init__(self, *, subject, **kwargs):
            super().__init__(**kwargs)
            self.subject = subject

    with pytest.raises(TypeError, match="LateSensor: set the attribute subject before"):
        LateSensor(task_id="mine", subject="s", data_asset_id="a1", start_from_trigger=True)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda values: st.lists(values, max_size=3) | st.dictionaries(st.text(min_size=1), values, max_size=3),
)


@needs_3_3
@settings(deadline=None)  # the first example imports the scheduler
@given(st.dictionaries(st.sampled_from(["data_asset_id", "filters", "query"]), JSON))
def test_trigger_kwargs_survive_storage(arguments):
    from airflow.models.trigger import Trigger
    from airflow.serialization.decoders import smart_decode_trigger_kwargs
    from airflow.serialization.serialized_objects import (
        _decode_start_trigger_args,
        _encode_start_trigger_args,
    )

    path, trigger_kwargs = CodeOceanSensorTrigger(
        "a.Sensor", arguments, {"type": ("up", "key")}, 1.0, 9.0
    ).serialize()
    start = StartTriggerArgs(trigger_cls=path, next_method="execute_complete", trigger_kwargs=trigger_kwargs)
    stored = json.loads(json.dumps(_encode_start_trigger_args(start)))
    kwargs = Trigger._decrypt_kwargs(
        Trigger.encrypt_kwargs(_decode_start_trigger_args(stored).trigger_kwargs)
    )
    assert {name: smart_decode_trigger_kwargs(value) for name, value in kwargs.items()} == trigger_kwargs
