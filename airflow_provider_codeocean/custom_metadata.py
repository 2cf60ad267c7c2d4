"""Check and convert custom metadata, and merge tags."""

from __future__ import annotations

import logging
import math
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow_provider_codeocean.api.errors import Forbidden, NotFound
from airflow_provider_codeocean.api.models.base import lenient_number
from airflow_provider_codeocean.api.models.custom_metadata import CustomMetadataFieldType
from airflow_provider_codeocean.api.models.search import TEXT_FILTER_KEYS
from airflow_provider_codeocean.api.text import not_text_message
from airflow_provider_codeocean.submission.keys import is_key
from airflow_provider_codeocean.validation import ArgumentError, check_timestamp

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from types import UnionType

    from airflow_provider_codeocean.api.client import CodeOceanClient
    from airflow_provider_codeocean.api.models.custom_metadata import CustomMetadata, CustomMetadataField
    from airflow_provider_codeocean.api.models.data_asset_params import DataAssetSearchParams

log = logging.getLogger(__name__)


def validate_with_schema(
    client: CodeOceanClient, values: Mapping[str, Any], *, require_all: bool
) -> dict[str, Any]:
    """Convert and check custom metadata, unless the token may not read the deployment's fields.

    Source: ``GET custom_metadata``.

    :param client: the client.
    :param values: see :func:`coerce_to_schema`.
    :param require_all: see :func:`check_custom_metadata`.
    :returns: the values to send.
    :raises ValueError: see :func:`check_custom_metadata`.
    :raises CodeOceanError: if the fields cannot be read.
    """
    try:
        schema = client.custom_metadata.get()
    except (Forbidden, NotFound) as error:
        log.info("Cannot read the custom metadata fields, so only Code Ocean checks the values: %s", error)
        return dict(values)
    coerced = coerce_to_schema(schema, values)
    check_custom_metadata(schema, coerced, require_all=require_all)
    return coerced


def coerce_to_schema(schema: CustomMetadata, values: Mapping[str, Any]) -> dict[str, Any]:
    """Convert values that templates have rendered to the types of their fields.

    Text becomes a number, or a date (also from an ISO time with a zone), and an integer becomes text. A float
    does not become text: the text that it was rendered from cannot be restored.

    :param schema: the response of ``GET custom_metadata``.
    :param values: the values by field.
    :returns: the values; those that cannot be converted are unchanged.
    """
    types = {field.name: field.type for field in schema.fields}
    return {
        name: [_coerce_value(types.get(name), item) for item in value]
        if isinstance(value, list)
        else _coerce_value(types.get(name), value)
        for name, value in values.items()
    }


def coerce_filters(client: CodeOceanClient, params: DataAssetSearchParams) -> DataAssetSearchParams:
    """Convert the values of filters on custom fields to the types of these fields.

    Source: ``GET custom_metadata``, only if :func:`has_ambiguous_filters`.

    :param client: the client.
    :param params: the search.
    :returns: the search to send; unchanged if the token may not read the fields.
    :raises ArgumentError: if a text field is compared with a float.
    :raises CodeOceanError: if the fields cannot be read.
    """
    if not has_ambiguous_filters(params):
        return params
    filters = params.filters or []
    try:
        schema = client.custom_metadata.get()
    except (Forbidden, NotFound) as error:
        log.info("Cannot read the custom metadata fields, so the filters are not converted: %s", error)
        return params
    types = {field.name: field.type for field in schema.fields}
    coerced = []
    for number, search_filter in enumerate(filters):
        coerce = partial(_coerce_filter_value, types.get(search_filter.key), f"filters.{number}")
        values = search_filter.values and [coerce("values", value) for value in search_filter.values]
        coerced.append(
            search_filter.model_copy(update={"value": coerce("value", search_filter.value), "values": values})
        )
    return params.model_copy(update={"filters": coerced})


def has_ambiguous_filters(params: DataAssetSearchParams) -> bool:
    """Return whether a filter on a custom field has a number, or text that may be a number."""
    return any(
        search_filter.key not in TEXT_FILTER_KEYS and lenient_number(value) is not None
        for search_filter in params.filters or ()
        for value in (*(search_filter.values or ()), search_filter.value)
    )


def _coerce_filter_value(field_type: str | None, path: str, name: str, value: Any) -> Any:
    if field_type == CustomMetadataFieldType.STRING and isinstance(value, float):
        raise ArgumentError((f"{path}.{name}", not_text_message(value)))
    return _coerce_value(field_type, value)


def _coerce_value(field_type: str | None, value: Any) -> Any:
    if isinstance(value, bool):
        return value
    if field_type == CustomMetadataFieldType.STRING and isinstance(value, int):
        return str(value)
    if isinstance(value, str):
        for parse in _PARSERS.get(field_type, ()):
            with suppress(ValueError, OverflowError):
                number = parse(value)
                return number if math.isfinite(number) else value
    return value


def _parse_unix_seconds(text: str) -> int:
    return int(check_timestamp("date", text))


def check_custom_metadata(schema: CustomMetadata, values: Mapping[str, Any], *, require_all: bool) -> None:
    """Check custom metadata against the fields of the deployment.

    :param schema: the response of ``GET custom_metadata``.
    :param values: the values by field: one value, or a list if the field takes several.
    :param require_all: whether required fields must have a value.
    :raises ValueError: if values are invalid; the message names each field and the expected values.
    """
    fields = {field.name: field for field in schema.fields}
    problems = []
    for name, value in values.items():
        if name in fields:
            problems += _find_problems(fields[name], value)
        else:
            known = ", ".join(map(repr, fields)) or "none"
            problems.append(f"{name!r} is no field of this deployment: it has {known}")
    if require_all:
        problems += [
            f"{name!r} is required" for name in fields if fields[name].required and name not in values
        ]
    if problems:
        raise ValueError("custom_metadata: " + "; ".join(problems))


#: Parsers of text, by the type of the field.
_PARSERS: dict[str | None, tuple[Callable[[str], float], ...]] = {
    CustomMetadataFieldType.NUMBER: (int, float),
    CustomMetadataFieldType.DATE: (int, float, _parse_unix_seconds),
}


def _find_problems(field: CustomMetadataField, value: Any) -> list[str]:
    if not isinstance(value, list):
        problem = _find_problem(field, value)
        return [problem] if problem else []
    if not field.multiple:
        return [f"{field.name!r} takes one value, got a list of {len(value)}"]
    return [problem for item in value if (problem := _find_problem(field, item))]


#: Description and Python types of the values, by the type of the field.
_VALUE_TYPES: dict[str | None, tuple[str, type | UnionType]] = {
    CustomMetadataFieldType.STRING: ("a string", str),
    CustomMetadataFieldType.NUMBER: ("a number", int | float),
    CustomMetadataFieldType.DATE: ("a date (a time with a zone, or Unix seconds)", int | float),
}


def _find_problem(field: CustomMetadataField, value: Any) -> str | None:
    expected, types = _VALUE_TYPES.get(field.type, ("", object))
    if isinstance(value, float) and field.type == CustomMetadataFieldType.STRING:
        return f"{field.name!r} takes a string: {not_text_message(value)}"
    if isinstance(value, bool) or not isinstance(value, types):
        pass
    elif field.allowed_values and value not in field.allowed_values:
        expected = f"{', '.join(map(repr, field.allowed_values))} only"
    elif not _is_in_range(field, value):
        minimum, maximum = (field.range.min, field.range.max) if field.range else (None, None)
        bounds = [f"{minimum:g} at least"] if minimum is not None else []
        bounds += [f"{maximum:g} at most"] if maximum is not None else []
        expected = " and ".join(bounds)
    else:
        return None
    return f"{field.name!r} takes {expected}, got {value!r}"


def _is_in_range(field: CustomMetadataField, value: Any) -> bool:
    if field.range is None or not isinstance(value, int | float):
        return True
    minimum, maximum = field.range.min, field.range.max
    return (minimum is None or value >= minimum) and (maximum is None or value <= maximum)


def merge_tags(
    current: Sequence[str],
    *,
    tags: Iterable[str] | None = None,
    add: Iterable[str] = (),
    remove: Iterable[str] = (),
) -> list[str]:
    """Return the new tags of a data asset.

    Its idempotency key stays unless it is in ``remove``. Other keys are not added: the task with such a key
    would adopt this data asset.

    :param current: its current tags.
    :param tags: replacement of the current tags.
    :param add: tags to add.
    :param remove: tags to remove.
    :returns: the tags, without repetitions.
    """
    own_keys = [tag for tag in current if is_key(tag)]
    merged = [*(current if tags is None else [*tags, *own_keys]), *add]
    excluded = {*remove, *(tag for tag in merged if is_key(tag) and tag not in own_keys)}
    return [tag for tag in dict.fromkeys(merged) if tag not in excluded]
