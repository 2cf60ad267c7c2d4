"""Which templates are refused because the triggerer could not render them, or would get them wrong."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_codeocean.compat.features import Feature
from airflow_provider_codeocean.sensors import _template_check
from airflow_provider_codeocean.sensors._template_check import check_for_triggerer

#: Where in a template an expression can be.
PLACES = (
    "{{ %s }}",
    "{{- %s -}}",
    "prefix-{{ %s }}-suffix",
    "{{ %s['id'] }}",
    "{{ (%s) | upper }}",
    "{{ 'a' ~ %s }}",
    "{{ 'x' if %s else 'y' }}",
    "{%% if %s %%}x{%% endif %%}",
    "{%% for each in %s %%}{{ each }}{%% endfor %%}",
    "{%% set value = %s %%}{{ value }}",
    "{{ params.get('x', %s) }}",
    "{{ params.x }}{# a comment #}{{ [%s] | first }}",
)
ARGUMENTS = st.lists(
    st.sampled_from(["'up'", "task_ids='up'", "task_ids=['a', 'b']", "key='id'", "default=none"]),
    unique_by=lambda text: text.partition("=")[0],
).map(lambda found: sorted(found, key=lambda text: "=" in text))
OF_TASK = st.sampled_from(["ti", "task_instance"])


def nested(value, depth):
    for level in range(depth):
        value = {"key": value} if level % 2 else ["plain", value]
    return value


@given(OF_TASK, ARGUMENTS, st.sampled_from(PLACES), st.integers(0, 3))
def test_a_pull_without_map_indexes_is_refused_wherever_it_is(ti, arguments, place, depth):
    template = place % f"{ti}.xcom_pull({', '.join(arguments)})"
    with pytest.raises(ValueError, match=r"^filters: .*add map_indexes=-1") as caught:
        check_for_triggerer("filters", nested(template, depth))
    assert template in str(caught.value) or repr(template) in str(caught.value)


@given(OF_TASK, ARGUMENTS, st.sampled_from(PLACES), st.sampled_from(["-1", "none", "ti.map_index", "[0, 1]"]))
def test_one_with_map_indexes_is_not(ti, arguments, place, indexes):
    check_for_triggerer("x", place % f"{ti}.xcom_pull({', '.join([*arguments, f'map_indexes={indexes}'])})")


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
def test_no_other_way_leads_to_what_the_triggerer_lacks(expression, place):
    with pytest.raises(ValueError, match="triggerer"):
        check_for_triggerer("x", place % expression)


@pytest.mark.parametrize("name", sorted(_template_check._NOT_THERE))
def test_what_is_not_there_is_refused(name):
    with pytest.raises(ValueError, match=f"does not know {name}: do without it"):
        check_for_triggerer("x", f"{{{{ {name} }}}}")


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
def test_what_is_there_is_not(template):
    check_for_triggerer("x", template)


@given(
    st.recursive(
        st.none() | st.integers() | st.text(), lambda each: st.lists(each) | st.dictionaries(st.text(), each)
    )
)
def test_any_other_value_passes(value):
    if not any("{{" in text or "{%" in text for text in map(str, [value])):
        check_for_triggerer("x", value)


@pytest.mark.skipif(
    not Feature.STARTS_IN_TRIGGERER.is_there,
    reason="Airflow before 3.3 does not start tasks in the triggerer",
)
def test_the_triggerer_still_does_not_answer_what_is_refused():
    from typing import get_args

    from airflow.jobs.triggerer_job_runner import ToTriggerSupervisor
    from airflow.sdk.execution_time import comms

    union, *_ = get_args(ToTriggerSupervisor)
    answered = set(get_args(union))
    assert comms.GetXCom in answered
    assert answered.isdisjoint(
        {comms.GetXComSequenceSlice, comms.GetXComSequenceItem, comms.GetPrevSuccessfulDagRun}
    )
