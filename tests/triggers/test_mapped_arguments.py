"""Mapped arguments resolve as they do in a worker of Airflow."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_codeocean.compat.features import Feature
from airflow_provider_codeocean.triggers._mapped_arguments import product_indexes, resolve_mapped_arguments

pytestmark = pytest.mark.skipif(
    not Feature.START_FROM_TRIGGER.is_available, reason="only Airflow 3.3 maps tasks in the triggerer"
)

COLUMNS = st.dictionaries(
    st.sampled_from(["query", "type", "origin", "ownership"]),
    st.lists(st.none() | st.integers() | st.text(max_size=3), min_size=1, max_size=4),
    min_size=1,
)


async def nothing(task_id, key):
    return None


def dict_of_lists(value):
    return SimpleNamespace(EXPAND_INPUT_TYPE="dict-of-lists", value=value)


def list_of_dicts(value):
    return SimpleNamespace(EXPAND_INPUT_TYPE="list-of-dicts", value=value)


def xcom(task_id="up", key="return_value", **fields):
    from airflow.serialization.definitions.xcom_arg import SchedulerPlainXComArg

    operator = SimpleNamespace(
        **{"task_id": task_id, "is_mapped": False, "get_closest_mapped_task_group": lambda: None} | fields
    )
    return SchedulerPlainXComArg(operator, key)


@given(COLUMNS, st.data())
async def test_resolve_dict_of_lists_matches_airflow(columns, data):
    from airflow.sdk.definitions._internal.expandinput import DictOfListsExpandInput

    count = 1
    for column in columns.values():
        count *= len(column)
    index = data.draw(st.integers(0, count - 1))
    expected, _ = DictOfListsExpandInput(columns).resolve({"ti": SimpleNamespace(map_index=index)})
    stored = dict_of_lists(dict(sorted(columns.items())))  # as databases store them
    assert (await resolve_mapped_arguments(index, stored, list(columns), nothing)).values == expected


@given(st.lists(st.dictionaries(st.sampled_from("ab"), st.integers()), min_size=1), st.data())
async def test_resolve_list_of_dicts_matches_airflow(rows, data):
    from airflow.sdk.definitions._internal.expandinput import ListOfDictsExpandInput

    index = data.draw(st.integers(0, len(rows) - 1))
    expected, _ = ListOfDictsExpandInput(rows).resolve({"ti": SimpleNamespace(map_index=index)})
    assert await resolve_mapped_arguments(index, list_of_dicts(rows), (), nothing) == (expected, frozenset())


async def test_resolve_with_xcom_returns_it_unrendered():
    async def pull(task_id, key):
        return {("up", "return_value"): ["a", "{{ b }}"]}[task_id, key]

    resolved = await resolve_mapped_arguments(
        3, dict_of_lists({"type": ["x", "{{ y }}"], "query": xcom()}), ("type", "query"), pull
    )
    assert resolved == ({"type": "{{ y }}", "query": "{{ b }}"}, {"query"})


@pytest.mark.parametrize(
    "expand_input",
    [
        lambda: dict_of_lists({"x": []}),
        lambda: dict_of_lists({"x": {"a": 1}}),
        lambda: dict_of_lists({"x": xcom(is_mapped=True)}),
        lambda: dict_of_lists({"x": xcom(get_closest_mapped_task_group=lambda: "a group")}),
        lambda: list_of_dicts(xcom()),
        lambda: list_of_dicts([xcom()]),
    ],
)
async def test_resolve_with_input_for_workers_only_raises(expand_input):
    async def pull(task_id, key):
        return ["an XCom", "of some task"]

    with pytest.raises(LookupError):
        await resolve_mapped_arguments(0, expand_input(), ("x",), pull)


@pytest.mark.parametrize("value", [None, "text", {"a": 1}])
async def test_resolve_with_xcom_that_is_not_a_list_raises(value):
    async def pull(task_id, key):
        return value

    with pytest.raises(LookupError, match="of task up is not a list"):
        await resolve_mapped_arguments(0, dict_of_lists({"x": xcom()}), ("x",), pull)


@pytest.mark.parametrize("index", [-1, 4])
async def test_resolve_with_index_out_of_range_raises(index):
    with pytest.raises(LookupError):
        await resolve_mapped_arguments(index, dict_of_lists({"x": [1, 2], "y": [1, 2]}), ("x", "y"), nothing)


async def test_resolve_with_changed_mapped_argument_raises():
    with pytest.raises(LookupError, match="x"):
        await resolve_mapped_arguments(0, dict_of_lists({"y": [1]}), ("x",), nothing)


@given(st.dictionaries(st.text(max_size=2), st.integers(1, 5), max_size=4))
def test_product_indexes_of_each_map_index_are_unique(lengths):
    count = 1
    for length in lengths.values():
        count *= length
    resolved = [tuple(sorted(product_indexes(lengths, index).items())) for index in range(count)]
    assert len(set(resolved)) == count
