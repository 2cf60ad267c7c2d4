"""The schema of custom metadata."""

from __future__ import annotations

import pytest

from airflow_provider_codeocean.api.models.custom_metadata import (
    CustomMetadata,
    CustomMetadataField,
    CustomMetadataFieldType,
)


def test_field_type_unknown_value_is_kept():
    schema = CustomMetadata.model_validate({"fields": [{"type": "Date"}, {"type": "colour"}]})
    assert [field.type for field in schema.fields] == [CustomMetadataFieldType.DATE, "colour"]


@pytest.mark.parametrize(
    ("sent", "values"),
    [(["a", 1, 0.5], ["a", 1, 0.5]), (None, []), ("a", []), ({}, [])],
)
def test_field_allowed_values_keep_their_types(sent, values):
    assert CustomMetadataField.model_validate({"allowed_values": sent}).allowed_values == values


def test_field_range_without_maximum_is_read():
    field = CustomMetadataField.model_validate({"range": {"min": "1.5", "max": None}})
    assert field.range is not None
    assert (field.range.min, field.range.max) == (1.5, None)
