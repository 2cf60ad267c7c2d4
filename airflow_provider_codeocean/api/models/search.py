"""Searching: pages of results, filters and order, the same for data assets, capsules and pipelines."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Generic, Self, TypeVar

from pydantic import Field, ValidationInfo, field_validator, model_validator

from airflow_provider_codeocean.api.models.base import (
    AnyText,
    FiniteNumber,
    Flag,
    Many,
    NonEmpty,
    Params,
    Payload,
    Scalar,
    Text,
)
from airflow_provider_codeocean.api.text import EMPTY, is_blank, to_text

P = TypeVar("P", bound=Payload)

#: The most results that one page can hold, and how many it holds if nothing is said.
MAX_PAGE = 1000
DEFAULT_PAGE = 100
#: Keys of filters whose values are text; all others are keys of custom metadata.
TEXT_KEYS = frozenset({"name", "description", "tags"})


class SortOrder(StrEnum):
    """Direction of a search's order."""

    ASCENDING = "asc"
    DESCENDING = "desc"


class Ownership(StrEnum):
    """Whose objects a search looks at; without it, all that the token can see."""

    CREATED = "created"
    SHARED = "shared"


class Page(Payload, Generic[P]):
    """One page of a search.

    :ivar has_more: whether there are further pages.
    :ivar next_token: what to send for the next page; servers of the 2.x line have none and page by offset.
    :ivar results: the objects found.
    """

    essential = ("results", "has_more")

    has_more: Flag = None
    next_token: Text = None
    results: Many[P] = Field(default_factory=list)


class FilterRange(Params):
    """A range of numbers or of times in Unix seconds, open where one end is not given."""

    min: FiniteNumber | None = None
    max: FiniteNumber | None = None

    @model_validator(mode="after")
    def _check_ends(self) -> Self:
        if self.min is None and self.max is None:
            raise ValueError("a range needs min, max or both")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError("min must not be greater than max")
        return self


class SearchFilter(Params):
    """A filter on one field.

    :param key: ``name``, ``description``, ``tags`` or the key of a custom metadata field.
    :param value: the one value that the field must have.
    :param values: the values of which the field must have one.
    :param range: the range that the field must lie in.
    :param exclude: turn the filter around.
    """

    blank_is_a_value = frozenset({"value"})

    key: NonEmpty
    value: Scalar | None = None
    values: Annotated[list[Scalar], Field(min_length=1)] | None = None
    range: FilterRange | None = None
    exclude: bool | None = None

    @field_validator("value", "values")
    @classmethod
    def _as_text(cls, value: Any, info: ValidationInfo) -> Any:
        """Convert values of fields that are text to text; the deployment defines the types of others."""
        if any(is_blank(item) for item in (value if isinstance(value, list) else [value])):
            raise ValueError(EMPTY)
        if value is None or info.data.get("key") not in TEXT_KEYS:
            return value
        return [to_text(item) for item in value] if isinstance(value, list) else to_text(value)

    @model_validator(mode="after")
    def _check_one_condition(self) -> Self:
        given = [name for name in ("value", "values", "range") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(
                f"a filter takes exactly one of value, values and range, got {' and '.join(given) or 'none'}"
            )
        return self


class SearchParams(Params):
    """What every search takes.

    :param query: free text and ``field:value`` terms. The same field twice means or, different fields mean
        and; quotes make an exact phrase; case is ignored; there are no wildcards.
    :param offset: index of the first result, from 0; ignored by the server where ``next_token`` is given.
    :param limit: results of one page, 1 to 1000; the server's default is 100.
    :param next_token: the next page's token, from the page before.
    :param sort_order: direction, together with ``sort_field``.
    :param ownership: only what the token's user created, or what others shared with it.
    :param favorite: only favorites.
    :param archived: archived objects instead of the others.
    :param filters: conditions on single fields, all of which must hold.
    """

    query: AnyText | None = None
    offset: Annotated[int, Field(ge=0)] | None = None
    limit: Annotated[int, Field(ge=1, le=MAX_PAGE)] | None = None
    next_token: NonEmpty | None = None
    sort_order: SortOrder | None = None
    ownership: Ownership | None = None
    favorite: bool | None = None
    archived: bool | None = None
    filters: list[SearchFilter] | None = None

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        field: Any = getattr(self, "sort_field", None)
        if (field is None) != (self.sort_order is None):
            raise ValueError("sort_field and sort_order belong together: give both or neither")
        return self
