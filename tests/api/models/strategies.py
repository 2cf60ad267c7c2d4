"""What the tests of all parameters share."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

if TYPE_CHECKING:
    from airflow_provider_codeocean.api.models.base import RequestModel

#: Text that is not only blanks.
names = st.text(min_size=1, max_size=12).filter(str.strip)
ids = st.from_regex(r"[a-z][a-z0-9-]{0,11}", fullmatch=True)
folders = st.from_regex(r"[\w-][\w.-]{0,11}", fullmatch=True)
buckets = st.from_regex(r"[a-z0-9][a-z0-9.-]{1,20}", fullmatch=True)
numbers = st.integers() | st.floats(allow_nan=False, allow_infinity=False)

any_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


def optional(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | strategy


def assert_survives_json(params: RequestModel) -> None:
    """What is sent holds no nulls and reads as the same parameters."""
    sent = json.dumps(params.to_json(), allow_nan=False)
    assert type(params).model_validate_json(sent) == params
    assert has_no_null(params.to_json())


def has_no_null(value: Any) -> bool:
    if isinstance(value, dict):
        return all(map(has_no_null, value.values()))
    return all(map(has_no_null, value)) if isinstance(value, list) else value is not None
