"""Base classes of all models: lenient for responses, strict for parameters.

The API may omit any field, send null or a number as a string, add fields or enum values, or use the older
format of 2.x servers. Responses are therefore never rejected: a value that cannot be converted to the
documented type counts as absent. Invalid parameters, in contrast, are rejected before a request is sent.

Modules of models do not import ``annotations`` from ``__future__``: pydantic would compile each annotation
from text, in each task's process.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainValidator, model_validator

from airflow_provider_codeocean.api.text import (
    describe,
    is_blank,
    to_bucket_prefix,
    to_capsule_id,
    to_display_name,
    to_file_path,
    to_folder_name,
    to_id,
    to_new_folder_name,
    to_nonempty_text,
    to_printable,
    to_text,
)

if TYPE_CHECKING:
    from enum import StrEnum

ModelT = TypeVar("ModelT", bound="ResponseModel")
_CAMEL_CASE_BOUNDARY = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
#: Limit for numbers in a response: larger times and sizes make no sense, and arithmetic would overflow.
_MAX_ABSOLUTE_NUMBER = 2**63
#: Maximum nesting depth of free values in a response: pydantic serializes 255 levels.
_MAX_NESTING_DEPTH = 100


class ResponseModel(BaseModel):
    """Base class of responses. Unknown fields are kept unchanged."""

    model_config = ConfigDict(extra="allow", frozen=True, defer_build=True, protected_namespaces=())

    #: Every response of the API has at least one of these fields.
    characteristic_fields: ClassVar[tuple[str, ...]] = ()
    #: Maps field names of older servers (in snake case) to the current names.
    legacy_names: ClassVar[Mapping[str, str]] = {}

    def has_characteristic_field(self) -> bool:
        """Return whether the response has at least one characteristic field."""
        present = self.model_fields_set.intersection(self.characteristic_fields)
        return not self.characteristic_fields or any(getattr(self, name) != "" for name in present)

    @model_validator(mode="before")
    @classmethod
    def _apply_legacy_names(cls, data: Any) -> Any:
        """Rename camel-case and former names of 2.x servers; values under current names take precedence."""
        current_fields = cls.model_fields
        if not isinstance(data, Mapping) or data.keys() <= current_fields.keys():
            return data
        fields: dict[str, Any] = {}
        for key, value in _iter_str_items(data):
            name = key if key in current_fields else cls._current_name(key)
            if name not in current_fields:
                fields[key] = lenient_value(value)
            elif key == name or data.get(name) is None:
                fields[name] = fields.get(name) if value is None else value
        return fields

    @classmethod
    def _current_name(cls, legacy_key: str) -> str:
        name = _CAMEL_CASE_BOUNDARY.sub("_", legacy_key).lower()
        return cls.legacy_names.get(name, name)


class RequestModel(BaseModel):
    """Base class of parameters: unknown fields and invalid values are errors. Errors do not show the values.

    An optional field with blank text counts as omitted, because templates often render to empty text.
    """

    model_config = ConfigDict(
        extra="forbid", frozen=True, hide_input_in_errors=True, defer_build=True, allow_inf_nan=False
    )

    #: Optional fields for which empty text is a value.
    fields_allowing_blank: ClassVar[frozenset[str]] = frozenset()

    @model_validator(mode="before")
    @classmethod
    def _drop_blank_fields(cls, data: Any) -> Any:
        if not isinstance(data, Mapping):
            return data
        unknown = [str(name) for name in data if name not in cls.model_fields]
        if unknown:
            raise ValueError(
                f"does not take {', '.join(map(repr, unknown))}; it takes {', '.join(cls.model_fields)}"
            )
        required_names = {name for name, field in cls.model_fields.items() if field.is_required()}
        return {
            name: value
            for name, value in data.items()
            if name in required_names | cls.fields_allowing_blank or not is_blank(value)
        }

    def to_json(self) -> dict[str, Any]:
        """Return the request body, without nulls."""
        return self.model_dump(mode="json", exclude_none=True)


def lenient_str(value: Any) -> str | None:
    """Read a string. Numbers are converted; any other value is absent."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        text = str(value)
        text.encode()
    except UnicodeEncodeError:  # an unpaired surrogate: valid in JSON, but not in UTF-8
        return str(value).encode(errors="replace").decode()
    except ValueError:  # an integer with more digits than Python converts
        return None
    return text


def lenient_number(value: Any) -> int | float | None:
    """Read a number of reasonable size, or a string with one."""
    # Check the usual case first: a page has up to 1,000 results.
    if (type(value) is int or type(value) is float) and -_MAX_ABSOLUTE_NUMBER < value < _MAX_ABSOLUTE_NUMBER:
        return value
    number = _parse_finite_number(value)
    return number if number is not None and -_MAX_ABSOLUTE_NUMBER < number < _MAX_ABSOLUTE_NUMBER else None


def _parse_finite_number(value: Any) -> int | float | None:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    if isinstance(value, str):
        for kind in (int, float):
            try:
                return _parse_finite_number(kind(value))
            except ValueError:
                continue
        return None
    return value if isinstance(value, int) or math.isfinite(value) else None


def lenient_int(value: Any) -> int | None:
    """Read an integer, or a string with one; a fraction is truncated."""
    number = lenient_number(value)
    return None if number is None else int(number)


def lenient_bool(value: Any) -> bool | None:
    """Read a boolean, or a string, 0, or 1 that stands for one."""
    if isinstance(value, str):
        return {"true": True, "1": True, "false": False, "0": False}.get(value.strip().lower())
    return bool(value) if isinstance(value, bool | int) and value in (0, 1) else None


def lenient_str_list(value: Any) -> list[str]:
    """Read a list of strings; a single string is a list of one."""
    items = value if isinstance(value, list | tuple) else [value]
    return [text for text in map(lenient_str, items) if text is not None]


def lenient_object(value: Any) -> Any:
    """Read an object; any other value is absent."""
    return value if isinstance(value, Mapping | BaseModel) else None


def lenient_object_list(value: Any) -> list[Any]:
    """Read a list of objects. A single object counts as a list of one; other items are dropped."""
    items = value if isinstance(value, list | tuple) else [value]
    return [item for item in items if isinstance(item, Mapping | BaseModel)]


def lenient_fields(value: Any) -> dict[str, Any]:
    """Read an object with free fields; any other value is an empty object."""
    return {name: lenient_value(item) for name, item in _iter_str_items(value)}


def lenient_value(value: Any, *, max_depth: int = _MAX_NESTING_DEPTH) -> Any:
    """Read a free value. Infinity, NaN, and values that are nested too deeply are absent."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if not isinstance(value, Mapping | list):
        return value
    if not max_depth:
        return None
    if isinstance(value, list):
        return [lenient_value(item, max_depth=max_depth - 1) for item in value]
    return {key: lenient_value(item, max_depth=max_depth - 1) for key, item in value.items()}


def _iter_str_items(value: Any) -> Iterator[tuple[str, Any]]:
    for key, item in value.items() if isinstance(value, Mapping) else ():
        name = lenient_str(key)
        if name is not None:
            yield name, item


def lenient_enum(enum: type[StrEnum], **legacy_values: str) -> Callable[[Any], StrEnum | str | None]:
    """Return a reader of enum values. It keeps unknown values as strings without control characters.

    :param enum: the enum.
    :param **legacy_values: maps values of older servers, in lower case, to current ones; the reader always
        removes the enum's name as a prefix (``DATA_ASSET_STATE_``).
    :returns: the reader.
    """
    prefix = _CAMEL_CASE_BOUNDARY.sub("_", enum.__name__).lower() + "_"

    def read(value: Any) -> StrEnum | str | None:
        text = lenient_str(value)
        if not text:
            return None
        plain = text.strip().lower().removeprefix(prefix)
        plain = legacy_values.get(plain.replace("-", "_"), plain)
        return enum(plain) if plain in enum.__members__.values() else to_printable(text)

    return read


def to_scalar(value: Any) -> str | int | float:
    """Check that a value is text or a finite number.

    :param value: the value.
    :returns: the value.
    :raises ValueError: if the value is neither.
    """
    if isinstance(value, str):
        return to_text(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"must be text or a number, got {describe(value)}")  # noqa: TRY004
    return to_finite_number(value)


def to_finite_number(value: Any) -> int | float:
    """Convert a number, or text with one (templates render to text), to a finite number.

    :param value: the value.
    :returns: the number.
    :raises ValueError: if the value is not a finite number.
    """
    number = _parse_finite_number(value)
    if number is None:
        raise ValueError(f"must be a finite number, got {describe(value)}")
    return number


def reject_bool(value: Any) -> Any:
    """Reject booleans, which pydantic would read as 1 and 0.

    :param value: the value.
    :returns: the value.
    :raises ValueError: if the value is a boolean.
    """
    if isinstance(value, bool):
        raise ValueError(f"must be a whole number, got {value}")  # noqa: TRY004
    return value


#: Lenient types; see the functions with the same names above.
OptionalStr = Annotated[str | None, BeforeValidator(lenient_str)]
OptionalNumber = Annotated[int | float | None, BeforeValidator(lenient_number)]
OptionalInt = Annotated[int | None, BeforeValidator(lenient_int)]
OptionalBool = Annotated[bool | None, BeforeValidator(lenient_bool)]
StrList = Annotated[list[str], BeforeValidator(lenient_str_list)]
FreeFields = Annotated[dict[str, Any], BeforeValidator(lenient_fields)]
#: An identifier, without control characters, because many log lines contain it. Empty if absent.
ResponseId = Annotated[str, BeforeValidator(lambda value: to_printable(lenient_str(value) or ""))]
#: A name; empty if absent.
StrOrEmpty = Annotated[str, BeforeValidator(lambda value: lenient_str(value) or "")]
OptionalObject = Annotated[ModelT | None, BeforeValidator(lenient_object)]
ObjectList = Annotated[list[ModelT], BeforeValidator(lenient_object_list)]

#: Strict types for parameters; see the functions of :mod:`airflow_provider_codeocean.api.text`.
CoercedStr = Annotated[str, BeforeValidator(to_text)]
NonEmptyStr = Annotated[str, BeforeValidator(to_nonempty_text)]
DisplayName = Annotated[str, BeforeValidator(to_display_name)]
FolderName = Annotated[str, BeforeValidator(to_folder_name)]
NewFolderName = Annotated[str, BeforeValidator(to_new_folder_name)]
FilePath = Annotated[str, BeforeValidator(to_file_path)]
BucketPrefix = Annotated[str, BeforeValidator(to_bucket_prefix)]
Id = Annotated[str, BeforeValidator(to_id)]
CapsuleId = Annotated[str, BeforeValidator(to_capsule_id)]
#: Text or a number, unchanged; a number; an integer from 1.
Scalar = Annotated[str | int | float, PlainValidator(to_scalar)]
FiniteNumber = Annotated[int | float, PlainValidator(to_finite_number)]
VersionNumber = Annotated[int, BeforeValidator(reject_bool), Field(ge=1)]
