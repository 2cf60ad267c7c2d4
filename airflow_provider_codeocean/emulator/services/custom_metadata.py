"""The admin-defined fields of data assets: what may be set."""

import math
from typing import Any

from airflow_provider_codeocean.emulator.domain.config import MetadataField, MetadataSchema
from airflow_provider_codeocean.emulator.domain.errors import bad_request
from airflow_provider_codeocean.emulator.domain.records import Json


def checked_metadata(schema: MetadataSchema, given: Json | None, known: Json | None = None) -> Json:
    """Check custom metadata and put it beside what is there.

    :param schema: the deployment's fields.
    :param given: what a client sets; null leaves a field as it is.
    :param known: what the data asset has; None for a new one, which must have all required fields.
    :returns: the custom metadata after the change.
    :raises ApiError: 400 naming the field.
    """
    fields = {field.name: field for field in schema.fields}
    changes = {name: value for name, value in (given or {}).items() if value is not None}
    for name, value in changes.items():
        if name not in fields:
            bad_request(f"custom_metadata.{name}: there is no such field")
        _check(fields[name], value)
    result = (known or {}) | changes
    for field in schema.fields:
        if known is None and field.required and field.name not in result:
            bad_request(f"custom_metadata.{field.name}: is required")
    return result


def schema_payload(schema: MetadataSchema) -> Json:
    """Return the schema as the API does.

    :param schema: the deployment's fields.
    :returns: `{fields, categories}`.
    """
    payload: Json = schema.model_dump(mode="json")
    payload["fields"] = [
        {name: value for name, value in field.items() if value not in (None, False)}
        for field in payload["fields"]
    ]
    return payload


def _check(field: MetadataField, value: Any) -> None:
    several = isinstance(value, list)
    if several and not field.multiple:
        _refuse(field, "takes one value")
    for one in value if several else [value]:
        _check_one(field, one)


def _check_one(field: MetadataField, value: Any) -> None:
    number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if field.type == "string" and not isinstance(value, str):
        _refuse(field, "takes a string")
    if field.type == "number" and not number:
        _refuse(field, "takes a number")
    if field.type == "date" and not number:
        _refuse(field, "takes a date in Unix seconds")
    if field.allowed_values is not None and value not in field.allowed_values:
        _refuse(field, f"takes one of {', '.join(map(str, field.allowed_values))}")
    if field.range is not None and number:
        if field.range.min is not None and value < field.range.min:
            _refuse(field, f"takes at least {field.range.min:g}")
        if field.range.max is not None and value > field.range.max:
            _refuse(field, f"takes at most {field.range.max:g}")


def _refuse(field: MetadataField, what: str) -> None:
    bad_request(f"custom_metadata.{field.name}: {what}")
