"""What all models share: lenient reading of what the API answers, strict checking of what it is sent.

The API may leave out any field, send null, a number as a string, a field or an enum value that is new, or the
older shape of the 2.x servers. An answer is therefore never refused: what cannot be read as the documented
type reads as absent. Parameters, in contrast, are refused before anything is sent.
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
    printable,
    to_capsule_id,
    to_folder,
    to_id,
    to_name,
    to_new_folder,
    to_nonempty,
    to_path,
    to_prefix,
    to_text,
)

if TYPE_CHECKING:
    from enum import StrEnum

M = TypeVar("M", bound="Payload")
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
#: Numbers in a response are smaller: beyond it, neither times nor sizes make sense, and arithmetic overflows.
_MAX_NUMBER = 2**63
#: How deep free values in a response may be nested: pydantic serializes 255 levels.
_MAX_DEPTH = 100


class Payload(BaseModel):
    """Base of what the API answers. Unknown fields are kept as they came."""

    model_config = ConfigDict(extra="allow", frozen=True, defer_build=True, protected_namespaces=())

    #: Fields of which an answer has one at least, or it is not the API's.
    essential: ClassVar[tuple[str, ...]] = ()
    #: What older servers called a field (in snake case), and what it is called today.
    former_names: ClassVar[Mapping[str, str]] = {}

    def is_whole(self) -> bool:
        """Tell whether it has what such an answer cannot be without."""
        given = self.model_fields_set.intersection(self.essential)
        return not self.essential or any(getattr(self, name) != "" for name in given)

    @model_validator(mode="before")
    @classmethod
    def _read_former_names(cls, data: Any) -> Any:
        """Rename the camel-case and former names of 2.x servers; a value under the name of today wins."""
        known = cls.model_fields
        if not isinstance(data, Mapping) or data.keys() <= known.keys():
            return data
        fields: dict[str, Any] = {}
        for key, value in _items(data):
            name = key if key in known else cls._name_of_today(key)
            if name not in known:
                fields[key] = read_value(value)
            elif key == name or data.get(name) is None:
                fields[name] = fields.get(name) if value is None else value
        return fields

    @classmethod
    def _name_of_today(cls, key: str) -> str:
        name = _HUMP.sub("_", key).lower()
        return cls.former_names.get(name, name)


class Params(BaseModel):
    """Base of what the API is sent: nothing unknown, nothing wrong. Errors do not repeat the values given.

    An optional field that is given as a blank text counts as not given: templates of forms render to one.
    """

    model_config = ConfigDict(
        extra="forbid", frozen=True, hide_input_in_errors=True, defer_build=True, allow_inf_nan=False
    )

    #: Optional fields for which an empty text is a value.
    blank_is_a_value: ClassVar[frozenset[str]] = frozenset()

    @model_validator(mode="before")
    @classmethod
    def _drop_blanks(cls, data: Any) -> Any:
        if not isinstance(data, Mapping):
            return data
        unknown = [str(name) for name in data if name not in cls.model_fields]
        if unknown:
            raise ValueError(
                f"does not take {', '.join(map(repr, unknown))}; it takes {', '.join(cls.model_fields)}"
            )
        needed = {name for name, field in cls.model_fields.items() if field.is_required()}
        return {
            name: value
            for name, value in data.items()
            if name in needed | cls.blank_is_a_value or not is_blank(value)
        }

    def to_json(self) -> dict[str, Any]:
        """Return the request's body: what was given, without nulls."""
        return self.model_dump(mode="json", exclude_none=True)


def read_text(value: Any) -> str | None:
    """Read a string; a number is written out, anything else is absent."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        text = str(value)
        text.encode()
    except UnicodeEncodeError:  # half of a surrogate pair: JSON can carry it, UTF-8 cannot
        return str(value).encode(errors="replace").decode()
    except ValueError:  # an integer of more digits than Python writes out
        return None
    return text


def read_number(value: Any) -> int | float | None:
    """Read a number of reasonable size, also one sent as a string."""
    # The usual case first: a page has a thousand results.
    if (type(value) is int or type(value) is float) and -_MAX_NUMBER < value < _MAX_NUMBER:
        return value
    number = _finite(value)
    return number if number is not None and -_MAX_NUMBER < number < _MAX_NUMBER else None


def _finite(value: Any) -> int | float | None:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    if isinstance(value, str):
        for kind in (int, float):
            try:
                return _finite(kind(value))
            except ValueError:
                continue
        return None
    return value if isinstance(value, int) or math.isfinite(value) else None


def read_integer(value: Any) -> int | None:
    """Read a whole number, also one sent as a string or with a fraction, which is cut off."""
    number = read_number(value)
    return None if number is None else int(number)


def read_flag(value: Any) -> bool | None:
    """Read a boolean, also one sent as a string or as 0 or 1."""
    if isinstance(value, str):
        return {"true": True, "1": True, "false": False, "0": False}.get(value.strip().lower())
    return bool(value) if isinstance(value, bool | int) and value in (0, 1) else None


def read_texts(value: Any) -> list[str]:
    """Read a list of strings; a single string is a list of one."""
    items = value if isinstance(value, list | tuple) else [value]
    return [text for text in map(read_text, items) if text is not None]


def read_object(value: Any) -> Any:
    """Read an object; anything else is absent."""
    return value if isinstance(value, Mapping | BaseModel) else None


def read_objects(value: Any) -> list[Any]:
    """Read a list of objects; a single object is a list of one, and what is no object is left out."""
    items = value if isinstance(value, list | tuple) else [value]
    return [item for item in items if isinstance(item, Mapping | BaseModel)]


def read_fields(value: Any) -> dict[str, Any]:
    """Read an object of free fields; anything else is empty."""
    return {name: read_value(item) for name, item in _items(value)}


def read_value(value: Any, *, levels: int = _MAX_DEPTH) -> Any:
    """Read a free value. Infinity, NaN, and anything that is nested too deep are absent."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if not isinstance(value, Mapping | list):
        return value
    if not levels:
        return None
    if isinstance(value, list):
        return [read_value(item, levels=levels - 1) for item in value]
    return {key: read_value(item, levels=levels - 1) for key, item in value.items()}


def _items(value: Any) -> Iterator[tuple[str, Any]]:
    for key, item in value.items() if isinstance(value, Mapping) else ():
        name = read_text(key)
        if name is not None:
            yield name, item


def reader_of(enum: type[StrEnum], **former: str) -> Callable[[Any], StrEnum | str | None]:
    """Make a reader of an enum's values that keeps an unknown one as a string without control characters.

    :param enum: the enum.
    :param **former: values of older servers, in lower case, and what they are today; the name of the enum
        as a prefix (``DATA_ASSET_STATE_``) is known anyway.
    :returns: the reader.
    """
    prefix = _HUMP.sub("_", enum.__name__).lower() + "_"

    def read(value: Any) -> StrEnum | str | None:
        text = read_text(value)
        if not text:
            return None
        plain = text.strip().lower().removeprefix(prefix)
        plain = former.get(plain.replace("-", "_"), plain)
        return enum(plain) if plain in enum.__members__.values() else printable(text)

    return read


def to_scalar(value: Any) -> str | int | float:
    """Return a text or a finite number.

    :param value: the value.
    :returns: the value.
    :raises ValueError: if it is neither.
    """
    if isinstance(value, str):
        return to_text(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"must be text or a number, got {describe(value)}")  # noqa: TRY004
    return to_number(value)


def to_number(value: Any) -> int | float:
    """Return a finite number, also one that is given as text: templates render to text.

    :param value: the value.
    :returns: the number.
    :raises ValueError: if it is none.
    """
    number = _finite(value)
    if number is None:
        raise ValueError(f"must be a finite number, got {describe(value)}")
    return number


def not_a_flag(value: Any) -> Any:
    """Reject true and false, which pydantic reads as 1 and 0.

    :param value: the value.
    :returns: the value.
    :raises ValueError: if it is true or false.
    """
    if isinstance(value, bool):
        raise ValueError(f"must be a whole number, got {value}")  # noqa: TRY004
    return value


#: Read leniently; see the functions of the same names above.
Text = Annotated[str | None, BeforeValidator(read_text)]
Number = Annotated[int | float | None, BeforeValidator(read_number)]
Integer = Annotated[int | None, BeforeValidator(read_integer)]
Flag = Annotated[bool | None, BeforeValidator(read_flag)]
Texts = Annotated[list[str], BeforeValidator(read_texts)]
Fields = Annotated[dict[str, Any], BeforeValidator(read_fields)]
#: An identifier, without control characters: it is in many log lines. Empty if the server sent none.
ResponseId = Annotated[str, BeforeValidator(lambda value: printable(read_text(value) or ""))]
#: A name: empty where the server sent none.
Name = Annotated[str, BeforeValidator(lambda value: read_text(value) or "")]
Maybe = Annotated[M | None, BeforeValidator(read_object)]
Many = Annotated[list[M], BeforeValidator(read_objects)]

#: Parameters, read strictly; see the functions of :mod:`airflow_provider_codeocean.api.text`.
AnyText = Annotated[str, BeforeValidator(to_text)]
NonEmpty = Annotated[str, BeforeValidator(to_nonempty)]
DisplayName = Annotated[str, BeforeValidator(to_name)]
Folder = Annotated[str, BeforeValidator(to_folder)]
NewFolder = Annotated[str, BeforeValidator(to_new_folder)]
FilePath = Annotated[str, BeforeValidator(to_path)]
Prefix = Annotated[str, BeforeValidator(to_prefix)]
Id = Annotated[str, BeforeValidator(to_id)]
CapsuleId = Annotated[str, BeforeValidator(to_capsule_id)]
#: A text or a number, as it is; a number; a whole number from 1.
Scalar = Annotated[str | int | float, PlainValidator(to_scalar)]
FiniteNumber = Annotated[int | float, PlainValidator(to_number)]
Version = Annotated[int, BeforeValidator(not_a_flag), Field(ge=1)]
