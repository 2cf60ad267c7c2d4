"""One request as data, and the declaration that serves it sync and async.

An endpoint is declared once, as a method of a resource (``endpoints/``) under the decorator :func:`endpoint`.
The decorator says method, path and what is answered; the method takes the arguments and returns the
:class:`Parts` that go beside the path. From that follow a :class:`Call`, which is all that a client needs in
order to send it, the rule by which it may be sent again, and two methods:
``CodeOceanClient(…).data_assets.get(…)`` answers, ``CodeOceanAsyncClient(…).data_assets.get(…)`` is awaited.
"""

from __future__ import annotations

import enum
import json
from collections.abc import Generator, Mapping, Sequence
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

from airflow_provider_codeocean.api.models.base import Params, Payload
from airflow_provider_codeocean.api.models.search import Page

T = TypeVar("T")
P = ParamSpec("P")
R = TypeVar("R", bound=Payload)
JSON = Mapping[str, Any] | list[Any]
#: Integers in a response that have more digits are absent: Python refuses to convert them.
_MAX_DIGITS = 300


class Effect(enum.Enum):
    """What sending a request does, which decides when it may be sent again."""

    READ = enum.auto()
    """Nothing changes."""
    REPEATABLE = enum.auto()
    """Something changes, and twice is as good as once."""
    ONCE = enum.auto()
    """Something is created or started: twice is once too often."""


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """One request, ready to be sent.

    :param method: HTTP method.
    :param path: path below ``/api/v1/``, quoted.
    :param answers: type of the answer; ``NoneType`` where it is empty. One that has a class method
        ``from_bytes`` decodes it itself.
    :param effect: what sending it does.
    :param query: query parameters.
    :param body: JSON body, or None.
    """

    method: str
    path: str
    answers: type[T]
    effect: Effect
    query: Mapping[str, str] = field(default_factory=dict)
    body: JSON | None = field(default=None, repr=False)  # may hold the secret of a bucket

    def read(self, value: Any) -> T:
        """Read the answer from its decoded JSON.

        :param value: the JSON.
        :returns: the answer.
        :raises pydantic.ValidationError: where it is not even of the right kind: a string, not an object.
        """
        answers: Any = self.answers
        if value is None and get_origin(answers) is list:  # how some languages write an empty list
            value = []
        adapter: TypeAdapter[T] = _adapter(answers)
        return adapter.validate_python(value)

    def decode(self, content: bytes) -> T:
        """Read the answer from the bytes that came.

        :param content: the JSON.
        :returns: the answer.
        :raises ValueError: where it is not of the right kind.
        """
        from_bytes = getattr(self.answers, "from_bytes", None)
        if from_bytes is not None:
            return cast("T", from_bytes(content))
        return self.read(json.loads(content, parse_int=_read_integer))


def _read_integer(digits: str) -> int | None:
    return int(digits) if len(digits) <= _MAX_DIGITS else None


@cache
def _adapter(answers: Any) -> TypeAdapter[Any]:
    return TypeAdapter(answers)


@dataclass(frozen=True, slots=True)
class Parts:
    """What an endpoint's method adds to the path: query and body."""

    query: Mapping[str, str] = field(default_factory=dict)
    body: Params | Sequence[Params | str] | None = None

    def body_json(self) -> JSON | None:
        """Return the body as JSON values."""
        if self.body is None:
            return None
        if isinstance(self.body, Params):
            return self.body.to_json()
        return [item.to_json() if isinstance(item, Params) else item for item in self.body]


#: The pages of a search: a generator that yields the request for each page and is sent the page.
Pages = Generator[Call[Page[R]], Page[R], None]
