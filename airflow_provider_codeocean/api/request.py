"""Requests as data: everything that a client needs to send one and to parse its response."""

from __future__ import annotations

import enum
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import (
    Any,
    Generic,
    ParamSpec,
    TypeVar,
    cast,
    get_origin,
)

from pydantic import TypeAdapter

from airflow_provider_codeocean.api.models.base import RequestModel, ResponseModel

T = TypeVar("T")
P = ParamSpec("P")
ResultT = TypeVar("ResultT", bound=ResponseModel)
JsonValue = Mapping[str, Any] | list[Any]
#: Longer integers in a response count as absent: Python does not convert them.
_MAX_INTEGER_DIGITS = 300


class Idempotency(enum.Enum):
    """The effect of a request, which decides when it can be retried."""

    SAFE = enum.auto()
    """It changes nothing."""
    IDEMPOTENT = enum.auto()
    """Sending it twice has the same effect as sending it once."""
    NON_IDEMPOTENT = enum.auto()
    """It creates or starts something: retrying could create a duplicate."""


@dataclass(frozen=True, slots=True)
class Request(Generic[T]):
    """A request.

    :param method: HTTP method.
    :param path: path below ``/api/v1/``, quoted.
    :param response_model: type of the response; ``NoneType`` if it has no body. If the type has a class
        method ``from_bytes``, that parses the body.
    :param idempotency: effect of the request.
    :param query: query parameters.
    :param body: JSON body, or None.
    """

    method: str
    path: str
    response_model: type[T]
    idempotency: Idempotency
    query: Mapping[str, str] = field(default_factory=dict)
    body: JsonValue | None = field(default=None, repr=False)  # may contain a bucket's secret

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    def parse(self, value: Any) -> T:
        """Parse a response from decoded JSON.

        :param value: the JSON.
        :returns: the result.
        :raises pydantic.ValidationError: if the JSON is of another kind, such as a string for an object.
        """
        model: Any = self.response_model
        if value is None and get_origin(model) is list:  # Go encodes an empty list as null
            value = []
        if isinstance(model, type) and issubclass(model, ResponseModel):
            for result_model in model.__pydantic_generic_metadata__["args"]:
                result_model.model_rebuild()  # once, instead of again as a part of each page's model
            return cast("T", model.model_validate(value))
        adapter: TypeAdapter[T] = _type_adapter(model)
        return adapter.validate_python(value)

    def parse_json(self, content: bytes) -> T:
        """Parse a response from its body.

        :param content: the JSON.
        :returns: the result.
        :raises ValueError: if the body is not JSON of the right kind.
        """
        from_bytes = getattr(self.response_model, "from_bytes", None)
        if from_bytes is not None:
            return cast("T", from_bytes(content))
        return self.parse(json.loads(content, parse_int=_parse_integer))


def _parse_integer(digits: str) -> int | None:
    return int(digits) if len(digits) <= _MAX_INTEGER_DIGITS else None


@cache
def _type_adapter(response_model: Any) -> TypeAdapter[Any]:
    return TypeAdapter(response_model)


@dataclass(frozen=True, slots=True)
class RequestParts:
    """Query and body of a request."""

    query: Mapping[str, str] = field(default_factory=dict)
    body: RequestModel | Sequence[RequestModel | str] | None = None

    def to_json_body(self) -> JsonValue | None:
        """Return the body as JSON values."""
        if self.body is None:
            return None
        if isinstance(self.body, RequestModel):
            return self.body.to_json()
        return [item.to_json() if isinstance(item, RequestModel) else item for item in self.body]
