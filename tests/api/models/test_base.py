"""Reading: no payload is refused, whatever it holds; what can be read is; nothing unknown is lost."""

from __future__ import annotations

import importlib
import json
import pkgutil

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from airflow_provider_codeocean.api import models
from airflow_provider_codeocean.api.models.base import (
    RequestModel,
    ResponseModel,
    lenient_int,
    lenient_number,
)
from airflow_provider_codeocean.api.models.capsule import Capsule
from airflow_provider_codeocean.api.models.computation import Parameter
from airflow_provider_codeocean.api.models.data_asset import DataAsset
from airflow_provider_codeocean.api.models.data_asset_params import AttachParams
from airflow_provider_codeocean.api.models.search import Page
from tests.api.models.samples import SAMPLE_PAYLOADS, any_json, payloads_for, to_camel_case
from tests.sampling import examples

PAGES = {Page[DataAsset], Page[Capsule]}
#: Fields of the payload's own keys, which are nobody's names.
FREE = {"custom_metadata", "submission", "article", "general"}

every_model = pytest.mark.parametrize(
    ("model", "sample"), SAMPLE_PAYLOADS.items(), ids=[model.__name__ for model in SAMPLE_PAYLOADS]
)
every_field = pytest.mark.parametrize(
    ("model", "name"),
    [(model, name) for model in SAMPLE_PAYLOADS for name in model.model_fields],
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)


def subclasses(base: type[BaseModel]) -> set[type[BaseModel]]:
    below = set(base.__subclasses__())
    return below.union(*map(subclasses, below))


def test_samples_cover_every_model():
    for module in pkgutil.iter_modules(models.__path__, f"{models.__name__}."):
        importlib.import_module(module.name)
    declared = {model for model in subclasses(ResponseModel) if model.__module__.startswith(models.__name__)}
    assert {model for model in declared if not issubclass(model, Page)} | PAGES == set(SAMPLE_PAYLOADS)


@every_model
class TestPayloads:
    def test_complete_payload_round_trips(self, model, sample):
        assert set(sample) == set(model.model_fields)
        assert model.model_validate(sample).model_dump(mode="json") == sample

    def test_empty_payload_reads_all_fields_as_absent(self, model, sample):
        empty = model.model_validate({})
        assert all(getattr(empty, name) in (None, "", [], {}) for name in model.model_fields)

    def test_payload_with_numbers_as_strings_is_read(self, model, sample):
        assert model.model_validate(with_numbers_as_strings(sample)) == model.model_validate(sample)

    def test_payload_with_camel_case_keys_is_read(self, model, sample):
        assert model.model_validate(with_camel_keys(sample)) == model.model_validate(sample)

    def test_payload_unknown_fields_are_kept(self, model, sample):
        unknown = {"new_field": {"deep": [1, None]}, "Other-Field": "x", "model_config": 1, "copy": 2}
        assert model.model_validate(sample | unknown).model_dump(mode="json") == sample | unknown

    def test_payload_nested_unknown_fields_are_kept(self, model, sample):
        nested = {name: value for name, value in sample.items() if name not in FREE and is_nested(value)}
        for name, value in nested.items():
            grown = [{**value[0], "new": 1}] if isinstance(value, list) else {**value, "new": 1}
            assert model.model_validate(sample | {name: grown}).model_dump(mode="json")[name] == grown

    @settings(max_examples=examples(20))
    @given(data=st.data())
    def test_payload_with_any_values_round_trips(self, model, sample, data):
        read = model.model_validate(data.draw(payloads_for(model))).model_dump(mode="json")
        again = model.model_validate(read).model_dump(mode="json")
        assert repr(again) == repr(read)  # NaN equals nothing, but is written the same

    def test_payload_with_deep_nesting_is_read(self, model, sample):
        deep = json.loads("[" * 900 + "]" * 900)
        for name in (*model.model_fields, "new_field"):
            model.model_validate({name: deep})


@every_field
class TestOddField:
    @pytest.fixture
    def absent(self, model, name):
        """The sample without the field."""
        return model.model_validate(
            {key: value for key, value in SAMPLE_PAYLOADS[model].items() if key != name}
        )

    def test_null_field_reads_as_absent(self, model, name, absent):
        assert model.model_validate({**SAMPLE_PAYLOADS[model], name: None}) == absent

    def test_odd_field_leaves_other_fields_readable(self, model, name, absent):
        for odd in (
            None,
            True,
            1,
            -1.5,
            float("nan"),
            float("inf"),
            "",
            "odd",
            "\ud800",
            [],
            [[]],
            {},
            [{}, 1],
        ):
            read = model.model_validate({**SAMPLE_PAYLOADS[model], name: odd})
            assert read.model_copy(update={name: getattr(absent, name)}) == absent


@pytest.mark.parametrize("value", [None, True, 3, "text", [], ["text"], [[]]])
def test_payload_that_is_not_an_object_is_rejected(value):
    with pytest.raises(ValidationError):
        DataAsset.model_validate(value)


class TestFormerNames:
    @pytest.mark.parametrize(
        "payload",
        [
            {"size": 5, "sizeInBytes": 7},
            {"sizeInBytes": 7, "size": 5},
            {"size_in_bytes": "5"},
            {"sizeInBytes": 5, "size": None},
            {"size": None, "sizeInBytes": 5},
            {"sizeInBytes": 5, "size_in_bytes": None},
        ],
    )
    def test_current_name_wins_unless_it_is_null(self, payload):
        assert DataAsset.model_validate(payload).size == 5

    def test_former_name_is_not_kept_as_unknown_field(self):
        assert DataAsset.model_validate({"size": 5, "sizeInBytes": 7}).model_extra == {}

    def test_similar_name_is_kept_as_unknown_field(self):
        assert DataAsset.model_validate({"lastUsedBy": "ada"}).model_extra == {"lastUsedBy": "ada"}


@given(value=any_json)
def test_lenient_number_of_any_value_is_finite_or_none(value):
    number, integer = lenient_number(value), lenient_int(value)
    assert (number is None) == (integer is None)
    assert number is None or (abs(number) < float("inf") and int(number) == integer)


@pytest.mark.parametrize(
    ("sent", "number", "integer"),
    [("12", 12, 12), (" 12 ", 12, 12), ("1.5", 1.5, 1), (1.5, 1.5, 1), ("1e3", 1000, 1000), (-0.5, -0.5, 0)],
)
def test_lenient_number_parses_numeric_text(sent, number, integer):
    assert (lenient_number(sent), lenient_int(sent)) == (number, integer)


@pytest.mark.parametrize("sent", [None, True, "", "many", "nan", "-inf", "9" * 5000, [1], {"value": 1}])
def test_lenient_number_of_other_value_is_none(sent):
    assert lenient_number(sent) is None


@pytest.mark.parametrize(
    ("sent", "text"),
    [
        ("", ""),
        (5, "5"),
        (0.5, "0.5"),
        ("half \ud800 a pair", "half ? a pair"),
        pytest.param(10**5000, None, id="more digits than Python writes"),
        (True, None),
        (["5"], None),
    ],
)
def test_text_field_converts_scalars(sent, text):
    assert Parameter.model_validate({"value": sent}).value == text


@pytest.mark.parametrize(
    ("sent", "flag"),
    [(True, True), ("true", True), ("False", False), (0, False), (1, True), (2, None), ("yes", None)],
)
def test_boolean_field_converts_usual_spellings(sent, flag):
    assert Page[DataAsset].model_validate({"has_more": sent}).has_more is flag


def test_list_field_wraps_single_value():
    asset = DataAsset.model_validate({"tags": "ephys", "contained_data_assets": {"id": "a2"}})
    assert asset.tags == ["ephys"]
    assert [contained.id for contained in asset.contained_data_assets] == ["a2"]


def test_list_field_drops_unreadable_items():
    asset = DataAsset.model_validate(
        {"tags": ["a", None, {}, 3], "contained_data_assets": [None, {"id": "a2"}]}
    )
    assert asset.tags == ["a", "3"]
    assert [contained.id for contained in asset.contained_data_assets] == ["a2"]


def test_payload_keys_with_surrogates_are_replaced():
    asset = DataAsset.model_validate({"\ud800": 1, "custom_metadata": {"\udfff": 2}})
    assert asset.model_extra == {"?": 1}
    assert asset.custom_metadata == {"?": 2}


def test_models_are_frozen_after_validation():
    for model in (DataAsset.model_validate({"id": "a1"}), AttachParams(id="a1")):
        with pytest.raises(ValidationError, match="frozen"):
            model.id = "a2"


def test_request_models_forbid_unknown_fields():
    for params in subclasses(RequestModel):
        assert params.model_config["extra"] == "forbid"


def is_nested(value):
    return isinstance(value, dict) or (isinstance(value, list) and isinstance(value[0], dict))


def with_numbers_as_strings(value):
    if isinstance(value, dict):
        return {key: item if key in FREE else with_numbers_as_strings(item) for key, item in value.items()}
    if isinstance(value, list):
        return [with_numbers_as_strings(item) for item in value]
    return str(value) if isinstance(value, int | float) else value


def with_camel_keys(value):
    if isinstance(value, dict):
        return {
            to_camel_case(key): item if key in FREE else with_camel_keys(item) for key, item in value.items()
        }
    return [with_camel_keys(item) for item in value] if isinstance(value, list) else value
