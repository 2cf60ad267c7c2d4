"""What one mapped task was given: the same as Airflow itself resolves in a worker."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_codeocean.compat.features import Feature
from airflow_provider_codeocean.triggers._mapped_arguments import given_to, one_of_product

pytestmark = pytest.mark.skipif(
    not Feature.STARTS_IN_TRIGGERER.is_there, reason="only Airflow 3.3 maps tasks in the triggerer"
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
async def test_a_product_is_airflows(columns, data):
    from airflow.sdk.definitions._internal.expandinput import DictOfListsExpandInput

    count = 1
    for column in columns.values():
        count *= len(column)
    index = data.draw(st.integers(0, count - 1))
    expected, _ = DictOfListsExpandInput(columns).resolve({"ti": SimpleNamespace(map_index=index)})
    stored = dict_of_lists(dict(sorted(columns.items())))  # as databases keep them
    assert (await given_to(index, stored, list(columns), nothing)).values == expected


@given(st.lists(st.dictionaries(st.sampled_from("ab"), st.integers()), min_size=1), st.data())
async def test_a_list_is_airflows(rows, data):
    from airflow.sdk.definitions._internal.expandinput import ListOfDictsExpandInput

    index = data.draw(st.integers(0, len(rows) - 1))
    expected, _ = ListOfDictsExpandInput(rows).resolve({"ti": SimpleNamespace(map_index=index)})
    assert await given_to(index, list_of_dicts(rows), (), nothing) == (expected, frozenset())


async def test_what_a_task_returned_is_read_and_not_to_be_rendered():
    async def pull(task_id, key):
        return {("up", "return_value"): ["a", "{{ b }}"]}[task_id, key]

    found = await given_to(
        3, dict_of_lists({"type": ["x", "{{ y }}"], "query": xcom()}), ("type", "query"), pull
    )
    assert found == ({"type": "{{ y }}", "query": "{{ b }}"}, {"query"})


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
async def test_what_only_a_worker_can_know_is_left_to_it(expand_input):
    async def pull(task_id, key):
        return ["an XCom", "of some task"]

    with pytest.raises(LookupError):
        await given_to(0, expand_input(), ("x",), pull)


@pytest.mark.parametrize("value", [None, "text", {"a": 1}])
async def test_what_is_no_list_is_left_to_it(value):
    async def pull(task_id, key):
        return value

    with pytest.raises(LookupError, match="what task up has left"):
        await given_to(0, dict_of_lists({"x": xcom()}), ("x",), pull)


@pytest.mark.parametrize("index", [-1, 4])
async def test_an_index_that_is_none_of_its_own_is_left_too(index):
    with pytest.raises(LookupError):
        await given_to(index, dict_of_lists({"x": [1, 2], "y": [1, 2]}), ("x", "y"), nothing)


async def test_what_is_mapped_over_something_else_by_now_is_left_too():
    with pytest.raises(LookupError, match="mapped over y by now, and over x at first"):
        await given_to(0, dict_of_lists({"y": [1]}), ("x",), nothing)


@given(st.dictionaries(st.text(max_size=2), st.integers(1, 5), max_size=4))
def test_each_combination_has_one_index(lengths):
    count = 1
    for length in lengths.values():
        count *= length
    found = [tuple(sorted(one_of_product(lengths, index).items())) for index in range(count)]
    assert len(set(found)) == count
