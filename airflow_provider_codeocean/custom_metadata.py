"""What the metadata of a data asset may be, and what is to become of its tags."""

from __future__ import annotations

import logging
import math
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING, Any

from airflow_provider_codeocean.api.errors import Forbidden, NotFound
from airflow_provider_codeocean.api.models.base import read_number
from airflow_provider_codeocean.api.models.custom_metadata import CustomMetadataFieldType
from airflow_provider_codeocean.api.models.search import TEXT_KEYS
from airflow_provider_codeocean.api.text import not_text
from airflow_provider_codeocean.submission.keys import is_key
from airflow_provider_codeocean.validation import ArgumentError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from types import UnionType

    from airflow_provider_codeocean.api.client import CodeOceanClient
    from airflow_provider_codeocean.api.models.custom_metadata import CustomMetadata, CustomMetadataField
    from airflow_provider_codeocean.api.models.data_asset_params import DataAssetSearchParams

log = logging.getLogger(__name__)


def checked_with(client: CodeOceanClient, values: Mapping[str, Any], *, whole: bool) -> dict[str, Any]:
    """Check values of custom metadata against the fields that the deployment tells, where it does.

    Source: ``GET custom_metadata``.

    :param client: the client.
    :param values: see :func:`check_custom_metadata`.
    :param whole: see :func:`check_custom_metadata`.
    :returns: the values to send: see :func:`as_fields_take_them`.
    :raises ValueError: see :func:`check_custom_metadata`.
    :raises CodeOceanError: where the server is in trouble or out of reach.
    """
    try:
        schema = client.custom_metadata.get()
    except (Forbidden, NotFound) as error:
        log.info("The custom metadata is left to Code Ocean to check: %s", error)
        return dict(values)
    fitting = as_fields_take_them(schema, values)
    check_custom_metadata(schema, fitting, whole=whole)
    return fitting


def as_fields_take_them(schema: CustomMetadata, values: Mapping[str, Any]) -> dict[str, Any]:
    """Convert each value to the type of its field if its meaning is certain: templates render to text.

    A number or a date may be given as text, a date as an ISO time with a zone, and text as an integer. A
    float does not become text: the text that it was rendered from cannot be restored.

    :param schema: the fields: ``GET custom_metadata``.
    :param values: the values by field.
    :returns: the values; one that cannot be converted is unchanged.
    """
    types = {field.name: field.type for field in schema.fields}
    return {
        name: [_as_taken(types.get(name), each) for each in value]
        if isinstance(value, list)
        else _as_taken(types.get(name), value)
        for name, value in values.items()
    }


def fit_filters(client: CodeOceanClient, params: DataAssetSearchParams) -> DataAssetSearchParams:
    """Convert the values of filters on custom fields to the types of these fields.

    Source: ``GET custom_metadata``, only if a filter on a custom field has a number, or text that is one.

    :param client: the client.
    :param params: the search.
    :returns: the search to send; unchanged if the deployment does not define the fields for this token.
    :raises ArgumentError: if a text field is compared with a float.
    :raises CodeOceanError: if the fields could not be read.
    """
    if not has_ambiguous_filters(params):
        return params
    filters = params.filters or []
    try:
        schema = client.custom_metadata.get()
    except (Forbidden, NotFound) as error:
        log.info("The values of filters are sent as they are: %s", error)
        return params
    types = {field.name: field.type for field in schema.fields}
    fitting = [
        each.model_copy(
            update={
                "value": _fit(each.value, types.get(each.key), f"filters.{number}.value"),
                "values": each.values
                and [_fit(one, types.get(each.key), f"filters.{number}.values") for one in each.values],
            }
        )
        for number, each in enumerate(filters)
    ]
    return params.model_copy(update={"filters": fitting})


def has_ambiguous_filters(params: DataAssetSearchParams) -> bool:
    """Return whether a search has a filter on a custom field with a number, or with text that is one.

    :param params: the search.
    :returns: whether only the type of the field tells which of the two it is.
    """
    return any(
        each.key not in TEXT_KEYS and read_number(value) is not None
        for each in params.filters or ()
        for value in (*(each.values or ()), each.value)
    )


def _fit(value: Any, kind: str | None, argument: str) -> Any:
    if kind == CustomMetadataFieldType.STRING and isinstance(value, float):
        raise ArgumentError((argument, not_text(value)))
    return _as_taken(kind, value)


def _as_taken(kind: str | None, value: Any) -> Any:
    if isinstance(value, bool):
        return value
    if kind == CustomMetadataFieldType.STRING and isinstance(value, int):
        return str(value)
    if isinstance(value, str):
        for read in _READERS.get(kind, ()):
            with suppress(ValueError, OverflowError):
                number = read(value)
                return number if math.isfinite(number) else value
    return value


def _unix_seconds(text: str) -> int:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("a date needs a time zone")
    return int(moment.timestamp())


def check_custom_metadata(schema: CustomMetadata, values: Mapping[str, Any], *, whole: bool) -> None:
    """Check values of custom metadata against the fields that the deployment defines.

    :param schema: the fields: ``GET custom_metadata``.
    :param values: the values by field, as they are sent: dates in Unix seconds.
    :param whole: whether these are all values of a data asset, so that required ones must be among them.
    :raises ValueError: where a value is wrong, naming the field, what is wrong and what would be right; all
        that is wrong is told at once.
    """
    fields = {field.name: field for field in schema.fields}
    problems = []
    for name, value in values.items():
        if name in fields:
            problems += _problems(fields[name], value)
        else:
            known = ", ".join(map(repr, fields)) or "none"
            problems.append(f"{name!r} is no field of this deployment: it has {known}")
    if whole:
        problems += [
            f"{name!r} is required" for name in fields if fields[name].required and name not in values
        ]
    if problems:
        raise ValueError("custom_metadata: " + "; ".join(problems))


#: How text may be read as what a type of field takes.
_READERS: dict[str | None, tuple[Callable[[str], float], ...]] = {
    CustomMetadataFieldType.NUMBER: (int, float),
    CustomMetadataFieldType.DATE: (int, float, _unix_seconds),
}


def _problems(field: CustomMetadataField, value: Any) -> list[str]:
    if not isinstance(value, list):
        problem = _problem(field, value)
        return [problem] if problem else []
    if not field.multiple:
        return [f"{field.name!r} takes one value, got a list of {len(value)}"]
    return [problem for problem in (_problem(field, each) for each in value) if problem]


#: What a value of each type is, and the Python types of it.
_TYPES: dict[str | None, tuple[str, type | UnionType]] = {
    CustomMetadataFieldType.STRING: ("a string", str),
    CustomMetadataFieldType.NUMBER: ("a number", int | float),
    CustomMetadataFieldType.DATE: ("a date (a time with a zone, or Unix seconds)", int | float),
}


def _problem(field: CustomMetadataField, value: Any) -> str | None:
    what, types = _TYPES.get(field.type, ("", object))
    if isinstance(value, float) and field.type == CustomMetadataFieldType.STRING:
        return f"{field.name!r} takes a string: {not_text(value)}"
    if isinstance(value, bool) or not isinstance(value, types):
        wanted = what
    elif field.allowed_values and value not in field.allowed_values:
        wanted = f"{', '.join(map(repr, field.allowed_values))} only"
    elif not _is_in_range(field, value):
        least, most = (field.range.min, field.range.max) if field.range else (None, None)
        bounds = [f"{least:g} at least"] if least is not None else []
        bounds += [f"{most:g} at most"] if most is not None else []
        wanted = " and ".join(bounds)
    else:
        return None
    return f"{field.name!r} takes {wanted}, got {value!r}"


def _is_in_range(field: CustomMetadataField, value: Any) -> bool:
    if field.range is None or not isinstance(value, int | float):
        return True
    least, most = field.range.min, field.range.max
    return (least is None or value >= least) and (most is None or value <= most)


def changed_tags(
    there: Sequence[str],
    *,
    tags: Iterable[str] | None = None,
    add: Iterable[str] = (),
    remove: Iterable[str] = (),
) -> list[str]:
    """Return the tags that a data asset is to have.

    The tag by which a capture recognises what it has made stays, unless it is removed by name. That of
    another data asset is not added: a capture would take this one for its own.

    :param there: the tags that it has.
    :param tags: all tags that it is to have, in place of those that it has.
    :param add: tags to add.
    :param remove: tags to remove.
    :returns: the tags, each once.
    """
    own = [tag for tag in there if is_key(tag)]
    wanted = [*(there if tags is None else [*tags, *own]), *add]
    gone = {*remove, *(tag for tag in wanted if is_key(tag) and tag not in own)}
    return [tag for tag in dict.fromkeys(wanted) if tag not in gone]
