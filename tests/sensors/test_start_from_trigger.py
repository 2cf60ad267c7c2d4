"""Sensors that are to start in the triggerer: what they are refused, and what their trigger is given."""

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
    not Feature.STARTS_IN_TRIGGERER.is_there, reason="before Airflow 3.3 they start in workers"
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
    """Comes before."""

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


def given_to_the_trigger(found):
    return found.start_trigger_args.trigger_kwargs


@pytest.mark.parametrize("sensor_class", [CodeOceanWaitSensorBase, *(each for each, _ in WAITS)])
def test_classes_never_start_in_the_triggerer(sensor_class):
    assert sensor_class.start_from_trigger is False
    assert sensor_class.start_trigger_args is None


@pytest.mark.parametrize("name", ["start_from_trigger", "start_trigger_args"])
def test_a_class_that_does_is_refused(name):
    with pytest.raises(
        TypeError, match=rf"Mine\.{name}: give start_from_trigger=True to the sensors themselves"
    ):
        type("Mine", (CodeOceanDataAssetSensor,), {name: True})


def test_one_that_is_not_to_does_not():
    assert not CodeOceanDataAssetSensor(task_id="wait", data_asset_id="a1").start_from_trigger
    assert not CodeOceanDataAssetSensor.partial(task_id="p").expand(data_asset_id=["a"]).start_from_trigger


@pytest.mark.skipif(Feature.STARTS_IN_TRIGGERER.is_there, reason="Airflow 3.3 starts them in the triggerer")
@pytest.mark.parametrize(("sensor_class", "arguments"), WAITS)
def test_before_airflow_3_3_they_are_deferrable(sensor_class, arguments):
    found = sensor_class(task_id="wait", start_from_trigger=True, deferrable=False, **arguments)
    assert found.deferrable
    assert not found.start_from_trigger
    assert found.start_trigger_args is None
    mapped = partial(task_id="mapped").expand(data_asset_id=["a", HANGS])
    assert not mapped.start_trigger_args


@needs_3_3
@pytest.mark.parametrize(("sensor_class", "arguments"), WAITS)
def test_the_trigger_is_given_all_that_they_were(sensor_class, arguments):
    found = sensor_class(
        task_id="wait",
        start_from_trigger=True,
        codeocean_conn_id="lab",
        poke_interval=7,
        timeout=90,
        **arguments,
    )
    assert found.start_from_trigger is True
    start = found.start_trigger_args
    assert (start.next_method, start.timeout) == ("execute_complete", timedelta(seconds=90 + 60))
    assert start.trigger_cls == "airflow_provider_codeocean.triggers.sensor.CodeOceanSensorTrigger"
    given = start.trigger_kwargs
    assert given["sensor"] == f"{sensor_class.__module__}.{sensor_class.__name__}"
    assert (given["poll_interval"], given["timeout"], given["xcoms"]) == (7.0, 90.0, {})
    assert {name: value for name, value in given["arguments"].items() if value is not None} == {
        "codeocean_conn_id": "lab",
        **arguments,
    }


@needs_3_3
def test_there_is_always_a_timeout():
    assert sensor().start_trigger_args.timeout == timedelta(days=7, seconds=60)


@needs_3_3
def test_it_is_not_rendered_by_airflow_to_which_nothing_is_an_error():
    assert not given_to_the_trigger(sensor()).keys() & set(CodeOceanDataAssetSearchSensor.template_fields)


@needs_3_3
def test_what_one_task_left_is_for_the_trigger_to_read():
    up = UpOperator(task_id="up")
    found = sensor(up.output["data_asset_id"])
    assert given_to_the_trigger(found)["xcoms"] == {"data_asset_id": ["up", "data_asset_id"]}
    assert "data_asset_id" not in given_to_the_trigger(found)["arguments"]
    assert found.upstream_task_ids == {"up"}


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
def test_what_the_triggerer_cannot_read_is_refused(kind, use):
    with pytest.raises(
        ValueError, match="data_asset_id: the triggerer does not know what mapped tasks return"
    ):
        use(XCOMS[kind]())


@needs_3_3
def test_a_number_that_json_lacks_is_refused():
    with pytest.raises(ValueError, match=r"data_asset_id: the triggerer can be given texts.*inf"):
        partial().expand(data_asset_id=["a1", math.inf])


@needs_3_3
def test_what_another_task_leaves_is_refused_within_an_argument():
    with pytest.raises(
        ValueError, match=r"filters: the triggerer can be given texts.*leave out start_from_trigger"
    ):
        CodeOceanDataAssetSearchSensor(
            task_id="find",
            start_from_trigger=True,
            filters=[{"key": "name", "value": UpOperator(task_id="up").output}],
        )


@needs_3_3
def test_the_argument_of_a_mapped_group_is_refused():
    @task_group
    def group(asset_id):
        sensor(asset_id)

    with pytest.raises(ValueError, match="data_asset_id: the triggerer can be given texts"):
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
def test_a_template_that_would_hang_is_refused(name, make):
    with pytest.raises(ValueError, match=f"^{name}: .*add map_indexes=-1"):
        make()


@needs_3_3
def test_the_dags_own_jinja_is_refused():
    with (
        DAG("own", schedule=None, jinja_environment_kwargs={"variable_start_string": "[["}),
        pytest.raises(ValueError, match="does not know the DAG's jinja_environment_kwargs"),
    ):
        sensor("[[ params.x ]]")


@needs_3_3
@pytest.mark.parametrize("make", [sensor, lambda **of_task: partial(**of_task).expand(data_asset_id=["a"])])
def test_params_of_the_dag_are_left_to_it(dag, make):
    dag.params.update({"needed": Param(type="string"), "days": 5})
    assert make(params={"days": 7, "own": None}).params.dump() == {"days": 7, "own": None}


@needs_3_3
@pytest.mark.parametrize("make", [sensor, lambda **of_task: partial(**of_task).expand(data_asset_id=["a"])])
def test_params_of_its_own_without_a_value_are_refused(make):
    with pytest.raises(ValueError, match="params: give days a value that fits, or give it to the DAG"):
        make(params={"days": Param(type="integer")})


@needs_3_3
def test_mapping_is_one_line():
    mapped = partial(codeocean_conn_id="lab", timeout=90, poke_interval=7).expand(data_asset_id=["a", "b"])
    assert mapped.start_from_trigger is True
    assert mapped.start_trigger_args.timeout == timedelta(seconds=150)
    given = given_to_the_trigger(mapped)
    assert (given["arguments"], given["poll_interval"]) == ({"codeocean_conn_id": "lab"}, 7.0)
    # In a worker, where one may end, it is as any other.
    unmapped = mapped.unmap({"data_asset_id": "a"})
    assert (unmapped.deferrable, unmapped.start_from_trigger, unmapped.timeout) == (True, False, 90.0)


@needs_3_3
def test_mapping_takes_the_defaults_of_its_dag():
    defaults = {"start_from_trigger": True, "codeocean_conn_id": "lab", "timeout": 90, "poke_interval": 7}
    with DAG("defaults", schedule=None, default_args=defaults):
        mapped = CodeOceanDataAssetSensor.partial(task_id="wait").expand(data_asset_id=["a"])
        found = CodeOceanDataAssetSensor(task_id="plain", data_asset_id="a")
    for start in (mapped.start_trigger_args, found.start_trigger_args):
        assert start.timeout == timedelta(seconds=150)
        assert start.trigger_kwargs["arguments"]["codeocean_conn_id"] == "lab"
    assert not mapped.unmap({"data_asset_id": "a"}).start_from_trigger


@needs_3_3
def test_mapping_over_what_one_task_returns_and_over_a_product():
    up = UpOperator(task_id="up")
    mapped = CodeOceanTransferSensor.partial(
        task_id="moved", start_from_trigger=True, transfer_error="e"
    ).expand(data_asset_id=up.output, last_transferred=[1.0, 2.0])
    assert given_to_the_trigger(mapped)["arguments"] == {
        "codeocean_conn_id": "codeocean_default",
        "transfer_error": "e",
    }
    assert given_to_the_trigger(mapped)["mapped_over"] == ["data_asset_id", "last_transferred"]
    assert mapped.upstream_task_ids == {"up"}


@needs_3_3
def test_mapping_over_nothing_is_no_error(dag):
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
            "timeout: give it to partial",
            lambda: partial().expand(data_asset_id=["a"], timeout=[1]),
        ),
        (
            TypeError,
            "data_asset_id: the triggerer can map over a list",
            lambda: partial().expand(data_asset_id={"a": 1}),
        ),
        (
            ValueError,
            "expand_kwargs: the triggerer does not know",
            lambda: partial().expand_kwargs(UpOperator(task_id="u").output),
        ),
        (
            ValueError,
            "expand_kwargs: give all tasks the same arguments.*conn_id, data_asset_id and data_asset_id",
            lambda: partial().expand_kwargs(
                [{"data_asset_id": "a"}, {"data_asset_id": "b", "codeocean_conn_id": "c"}]
            ),
        ),
        (
            ValueError,
            "data_asset_id: the triggerer can be given",
            lambda: partial().expand(data_asset_id=[object()]),
        ),
        (ValueError, "data_asset_id: must not be empty", lambda: sensor("")),
    ],
)
def test_what_else_is_refused(error, message, make):
    with pytest.raises(error, match=message):
        make()


@needs_3_3
def test_a_sensor_of_ones_own_starts_there_with_its_own_arguments():
    class MySensor(CodeOceanDataAssetSensor):
        template_fields = (*CodeOceanDataAssetSensor.template_fields, "subject")

        def __init__(self, *, subject, **kwargs):
            self.subject = subject
            super().__init__(**kwargs)

    found = MySensor(task_id="mine", subject="{{ ds }}", data_asset_id="a1", start_from_trigger=True)
    assert given_to_the_trigger(found)["arguments"]["subject"] == "{{ ds }}"


@needs_3_3
def test_arguments_that_could_be_positional_are_its_own_too():
    class MySensor(CodeOceanDataAssetSensor):
        def __init__(self, subject="all", **kwargs):
            self.subject = subject
            super().__init__(**kwargs)

    found = MySensor(task_id="mine", subject="s", data_asset_id="a1", start_from_trigger=True)
    assert given_to_the_trigger(found)["arguments"]["subject"] == "s"


@needs_3_3
def test_one_that_keeps_an_argument_too_late_is_told_so():
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
    lambda each: st.lists(each, max_size=3) | st.dictionaries(st.text(min_size=1), each, max_size=3),
)


@needs_3_3
@settings(deadline=None)  # the first example imports the scheduler
@given(st.dictionaries(st.sampled_from(["data_asset_id", "filters", "query"]), JSON))
def test_what_the_trigger_is_given_arrives_there(arguments):
    from airflow.models.trigger import Trigger
    from airflow.serialization.decoders import smart_decode_trigger_kwargs
    from airflow.serialization.serialized_objects import (
        _decode_start_trigger_args,
        _encode_start_trigger_args,
    )

    path, given = CodeOceanSensorTrigger("a.Sensor", arguments, {"type": ("up", "key")}, 1.0, 9.0).serialize()
    start = StartTriggerArgs(trigger_cls=path, next_method="execute_complete", trigger_kwargs=given)
    stored = json.loads(json.dumps(_encode_start_trigger_args(start)))
    kwargs = Trigger._decrypt_kwargs(
        Trigger.encrypt_kwargs(_decode_start_trigger_args(stored).trigger_kwargs)
    )
    assert {name: smart_decode_trigger_kwargs(value) for name, value in kwargs.items()} == given
