"""The custom metadata of data assets."""

import math
from typing import Any

from airflow_provider_codeocean.emulator.domain.config import MetadataField, MetadataSchema
from airflow_provider_codeocean.emulator.domain.errors import raise_bad_request
from airflow_provider_codeocean.emulator.domain.records import JsonObject


def merge_metadata(
    schema: MetadataSchema, requested: JsonObject | None, current: JsonObject | None = None
) -> JsonObject:
    """Validate custom metadata, and merge it into the current values.

    :param schema: the deployment's schema.
    :param requested: the requested values; null keeps the current one.
    :param current: the current values; None for a new data asset, which must have all required fields.
    :returns: the custom metadata after the change.
    :raises ApiError: 400 with the name of the invalid field.
    """
    fields = {field.name: field for field in schema.fields}
    changes = {name: value for name, value in (requested or {}).items() if value is not None}
    for name, value in changes.items():
        if name not in fields:
            raise_bad_request(f"custom_metadata.{name}: there is no such field")
        _validate_field(fields[name], value)
    result = (current or {}) | changes
    for field in schema.fields:
        if current is None and field.required and field.name not in result:
            raise_bad_request(f"custom_metadata.{field.name}: is required")
    return result


def metadata_schema_payload(schema: MetadataSchema) -> JsonObject:
    """Return the API's payload for the schema.

    :param schema: the deployment's schema.
    :returns: `{fields, categories}`.
    """
    payload: JsonObject = schema.model_dump(mode="json")
    payload["fields"] = [
        {name: value for name, value in field.items() if value not in (None, False)}
        for field in payload["fields"]
    ]
    return payload


def _validate_field(field: MetadataField, value: Any) -> None:
    is_list = isinstance(value, list)
    if is_list and not field.multiple:
        _reject(field, "takes one value")
    for item in value if is_list else [value]:
        _validate_value(field, item)


def _validate_value(field: MetadataField, value: Any) -> None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if field.type == "string" and not isinstance(value, str):
        _reject(field, "takes a string")
    if field.type == "number" and not is_number:
        _reject(field, "takes a number")
    if field.type == "date" and not is_number:
        _reject(field, "takes a date in Unix seconds")
    if field.allowed_values is not None and value not in field.allowed_values:
        _reject(field, f"takes one of {', '.join(map(str, field.allowed_values))}")
    if field.range is not None and is_number:
        if field.range.min is not None and value < field.range.min:
            _reject(field, f"takes at least {field.range.min:g}")
        if field.range.max is not None and value > field.range.max:
            _reject(field, f"takes at most {field.range.max:g}")


def _reject(field: MetadataField, problem: str) -> None:
    raise_bad_request(f"custom_metadata.{field.name}: {problem}")
