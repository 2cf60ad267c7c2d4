"""Values that are accepted or rejected as text, names, ids, folders, and paths."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from airflow_provider_codeocean.api import text
from tests.api.models.strategies import any_json, ids

CONVERSIONS = [
    text.to_text,
    text.to_nonempty_text,
    text.to_display_name,
    text.to_folder_name,
    text.to_new_folder_name,
    text.to_file_path,
    text.to_bucket_prefix,
    text.to_id,
    text.to_capsule_id,
]


@pytest.mark.parametrize("convert", CONVERSIONS)
@given(value=any_json)
@example(value=10**5000)
@example(value="\ud800")
def test_conversion_any_json_value_returns_text_or_raises_value_error(convert, value):
    try:
        converted = convert(value)
    except ValueError as error:
        assert "Error" not in str(error)  # noqa: PT017 - any value may be rejected
        assert len(str(error)) < 500  # noqa: PT017
        return
    assert type(converted) is str
    converted.encode()
    if isinstance(value, dict):
        assert converted == value["id"].strip()
    elif isinstance(value, str) and not value.lstrip().startswith("{"):
        assert converted in (value, value.strip(), value.lstrip("/"), "")
    elif isinstance(value, int):
        assert converted == str(value)


@pytest.mark.parametrize("convert", CONVERSIONS)
@pytest.mark.parametrize("value", [2310009e13, 1e5, 0.5, float("nan"), True, False])
def test_conversion_float_or_boolean_is_rejected_with_the_remedy(convert, value):
    with pytest.raises(ValueError, match=r"must be text, got .*put the template in quotes \(\"'{{ .* }}'\""):
        convert(value)


@pytest.mark.parametrize("to_string", [repr, json.dumps])
@given(result=st.dictionaries(st.text(), any_json, max_size=3), external_id=ids)
def test_id_of_a_result_or_its_text_is_extracted(to_string, result, external_id):
    result |= {"id": external_id}
    assert text.to_id(result) == external_id
    if "nan" not in repr(result) and "inf" not in repr(result):
        assert text.to_id(to_string(result)) == external_id


@pytest.mark.parametrize(
    "value",
    [
        "{'name': 'x'}",
        "{}",
        "{'id': 5}",
        "{",
        "{" * 5000,
        "a b",
        "a/b",
        "a\nb",
        "'a'",
        "[1]",
        "{'id': 'a/b'}",
        {},
        [],
    ],
)
def test_id_in_another_format_is_rejected(value):
    with pytest.raises(ValueError, match="must be"):
        text.to_id(value)


def test_id_address_or_number_of_a_page_is_rejected():
    with pytest.raises(
        ValueError, match=r"must be an id, got the address 'https://co.test/capsule/1234567/tree'"
    ):
        text.to_id("https://co.test/capsule/1234567/tree")
    with pytest.raises(ValueError, match="must be an id, got 1234567, which is the number in the address"):
        text.to_capsule_id("1234567")
    assert text.to_id("1234567") == "1234567"


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("", text.EMPTY_MESSAGE),
        (" \n", text.EMPTY_MESSAGE),
        (None, text.NONE_MESSAGE),
        ("None", text.NONE_MESSAGE),
    ],
)
def test_id_blank_or_none_is_rejected(value, problem):
    with pytest.raises(ValueError, match=f"^{problem}$"):
        text.to_id(value)


@pytest.mark.parametrize("value", ["/data/foo", "a/b", "..", ".", "a\\b", "a\tb", "x" * 256, "ü" * 128])
def test_folder_that_is_not_one_folder_is_rejected(value):
    with pytest.raises(ValueError, match=r"must (be the name of one folder|have at most 255 bytes)"):
        text.to_folder_name(value)


def test_folder_of_a_new_data_asset_with_spaces_is_rejected():
    assert text.to_folder_name("a b") == "a b"
    with pytest.raises(ValueError, match="must not contain spaces"):
        text.to_new_folder_name("a b")


@given(st.text().filter(str.strip))
def test_folder_derived_from_any_name_is_valid_or_rejected(name):
    try:
        assert text.to_new_folder_name(text.derive_folder_name(name)) == text.derive_folder_name(name)
    except ValueError as error:
        assert str(error).startswith("must ")  # noqa: PT017


def test_name_of_5000_characters_is_rejected():
    assert text.to_display_name("x" * 1000)
    with pytest.raises(ValueError, match="must have at most 1000 characters, got 5000"):
        text.to_display_name("x" * 5000)


@pytest.mark.parametrize(
    ("given_path", "path"),
    [("/figures/", "figures/"), ("//a", "a"), ("/", ""), (" ", ""), ("a b/c.d", "a b/c.d")],
)
def test_path_with_leading_slashes_loses_them(given_path, path):
    assert text.to_file_path(given_path) == path


@pytest.mark.parametrize("path", ["..", "a/../b", "./a", "a\0b", "a\nb"])
def test_path_out_of_the_files_is_rejected(path):
    with pytest.raises(ValueError, match="must be a path below the root of the files"):
        text.to_file_path(path)


@given(any_json)
def test_description_of_any_value_is_short_and_one_line(value):
    shown = text.describe(value)
    assert len(shown) < 500
    assert "\n" not in shown
