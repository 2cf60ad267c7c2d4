"""Templates that are rejected because the triggerer cannot render them as a worker does."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_codeocean.compat.features import Feature
from airflow_provider_codeocean.sensors import _template_check
from airflow_provider_codeocean.sensors._template_check import check_renderable_in_triggerer

#: Positions of an expression in a template.
PLACES = (
    "{{ %s }}",
    "{{- %s -}}",
    "prefix-{{ %s }}-suffix",
    "{{ %s['id'] }}",
    "{{ (%s) | upper }}",
    "{{ 'a' ~ %s }}",
    "{{ 'x' if %s else 'y' }}",
    "{%% if %s %%}x{%% endif %%}",
    "{%% for item in %s %%}{{ item }}{%% endfor %%}",
    "{%% set value = %s %%}{{ value }}",
    "{{ params.get('x', %s) }}",
    "{{ params.x }}{# a comment #}{{ [%s] | first }}",
)
ARGUMENTS = st.lists(
    st.sampled_from(["'up'", "task_ids='up'", "task_ids=['a', 'b']", "key='id'", "default=none"]),
    unique_by=lambda text: text.partition("=")[0],
).map(lambda arguments: sorted(arguments, key=lambda text: "=" in text))
TASK_INSTANCE_NAMES = st.sampled_from(["ti", "task_instance"])


def nested(value, depth):
    for level in range(depth):
        value = {"key": value} if level % 2 else ["plain", value]
    return value


@given(TASK_INSTANCE_NAMES, ARGUMENTS, st.sampled_from(PLACES), st.integers(0, 3))
def test_xcom_pull_without_map_indexes_raises_anywhere(ti, arguments, place, depth):
    template = place % f"{ti}.xcom_pull({', '.join(arguments)})"
    with pytest.raises(ValueError, match=r"^filters: .*add map_indexes=-1") as caught:
        check_renderable_in_triggerer("filters", nested(template, depth))
    assert template in str(caught.value) or repr(template) in str(caught.value)


@given(
    TASK_INSTANCE_NAMES,
    ARGUMENTS,
    st.sampled_from(PLACES),
    st.sampled_from(["-1", "none", "ti.map_index", "[0, 1]"]),
)
def test_xcom_pull_with_map_indexes_is_accepted(ti, arguments, place, indexes):
    check_renderable_in_triggerer(
        "x", place % f"{ti}.xcom_pull({', '.join([*arguments, f'map_indexes={indexes}'])})"
    )


@pytest.mark.parametrize(
    "expression",
    [
        "ti['xcom_pull']('up')",
        "(ti | attr('xcom_pull'))",
        "(ti).xcom_pull('up')",
        "ti.xcom_pull(**{'map_indexes': -1})",
        "ti.xcom_pull",
        "ti",
        "ti.start_date",
        "ti.get_dagrun()",
        "task.data_asset_id",
        "dag.default_args",
        "dag_run.consumed_asset_events",
    ],
)
@pytest.mark.parametrize("place", PLACES)
def test_expression_unavailable_in_triggerer_raises(expression, place):
    with pytest.raises(ValueError, match="triggerer"):
        check_renderable_in_triggerer("x", place % expression)


@pytest.mark.parametrize("name", sorted(_template_check._UNAVAILABLE_NAMES))
def test_name_unavailable_in_triggerer_raises(name):
    with pytest.raises(ValueError, match=f"{name} is not available; remove it"):
        check_renderable_in_triggerer("x", f"{{{{ {name} }}}}")


@pytest.mark.parametrize(
    "template",
    [
        "{{ params.data_asset_id }}",
        "{{ dag_run.conf['id'] }}-{{ ds }}-{{ ts_nodash }}-{{ run_id }}-{{ logical_date.year }}",
        "{{ var.value.x }}{{ var.json.y.z }}{{ conn.c.host }}{{ macros.ds_add(ds, 1) }}",
        "{{ ti.map_index }}{{ task_instance.try_number }}{{ task.task_id }}{{ dag.dag_id }}",
        "{{ broken",
        "{% if %}",
        "ti.xcom_pull('no template')",
    ],
)
def test_template_renderable_in_triggerer_is_accepted(template):
    check_renderable_in_triggerer("x", template)


@given(
    st.recursive(
        st.none() | st.integers() | st.text(),
        lambda values: st.lists(values) | st.dictionaries(st.text(), values),
    )
)
def test_value_without_template_is_accepted(value):
    if not any("{{" in text or "{%" in text for text in map(str, [value])):
        check_renderable_in_triggerer("x", value)


@pytest.mark.skipif(
    not Feature.START_FROM_TRIGGER.is_available,
    reason="Airflow before 3.3 does not start tasks in the triggerer",
)
def test_triggerer_of_airflow_lacks_rejected_requests():
    from typing import get_args

    from airflow.jobs.triggerer_job_runner import ToTriggerSupervisor
    from airflow.sdk.execution_time import comms

    union, *_ = get_args(ToTriggerSupervisor)
    answered = set(get_args(union))
    assert comms.GetXCom in answered
    assert answered.isdisjoint(
        {comms.GetXComSequenceSlice, comms.GetXComSequenceItem, comms.GetPrevSuccessfulDagRun}
    )
