"""Search parameters and result pages, common to data assets, capsules, and pipelines."""

from enum import StrEnum
from typing import Annotated, Any, Generic, Self, TypeVar

from pydantic import Field, ValidationInfo, field_validator, model_validator

from airflow_provider_codeocean.api.models.base import (
    CoercedStr,
    FiniteNumber,
    NonEmptyStr,
    ObjectList,
    OptionalBool,
    OptionalStr,
    RequestModel,
    ResponseModel,
    Scalar,
)
from airflow_provider_codeocean.api.text import EMPTY_MESSAGE, is_blank, to_text

ResultT = TypeVar("ResultT", bound=ResponseModel)

#: Maximum and default number of results per page.
MAX_PAGE_SIZE = 1000
DEFAULT_PAGE_SIZE = 100
#: Filter keys with text values; all others are keys of custom metadata.
TEXT_FILTER_KEYS = frozenset({"name", "description", "tags"})


class SortOrder(StrEnum):
    """Sort direction."""

    ASCENDING = "asc"
    DESCENDING = "desc"


class Ownership(StrEnum):
    """Restricts a search by owner; by default, it covers all objects that the token can see."""

    CREATED = "created"
    SHARED = "shared"


class Page(ResponseModel, Generic[ResultT]):
    """A page of search results.

    :ivar has_more: whether there are more pages.
    :ivar next_token: token of the next page; 2.x servers have none and use offsets.
    :ivar results: the matching objects.
    """

    characteristic_fields = ("results", "has_more")

    has_more: OptionalBool = None
    next_token: OptionalStr = None
    results: ObjectList[ResultT] = Field(default_factory=list)


class FilterRange(RequestModel):
    """A range of numbers or of times in Unix seconds; without ``min`` or ``max``, it is open."""

    min: FiniteNumber | None = None
    max: FiniteNumber | None = None

    @model_validator(mode="after")
    def _check_bounds(self) -> Self:
        if self.min is None and self.max is None:
            raise ValueError("a range needs min, max or both")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError("min must not be greater than max")
        return self


class SearchFilter(RequestModel):
    """A filter on one field.

    :param key: ``name``, ``description``, ``tags``, or the key of a custom metadata field.
    :param value: value that the field must have.
    :param values: values of which the field must have one.
    :param range: range of the field's value.
    :param exclude: invert the filter.
    """

    fields_allowing_blank = frozenset({"value"})

    key: NonEmptyStr
    value: Scalar | None = None
    values: Annotated[list[Scalar], Field(min_length=1)] | None = None
    range: FilterRange | None = None
    exclude: bool | None = None

    @field_validator("value", "values")
    @classmethod
    def _convert_text_values(cls, value: Any, info: ValidationInfo) -> Any:
        """Convert values of text fields to text; the deployment defines the types of the others."""
        if any(is_blank(item) for item in (value if isinstance(value, list) else [value])):
            raise ValueError(EMPTY_MESSAGE)
        if value is None or info.data.get("key") not in TEXT_FILTER_KEYS:
            return value
        return [to_text(item) for item in value] if isinstance(value, list) else to_text(value)

    @model_validator(mode="after")
    def _check_exactly_one_condition(self) -> Self:
        conditions = [name for name in ("value", "values", "range") if getattr(self, name) is not None]
        if len(conditions) != 1:
            raise ValueError(
                "a filter requires exactly one of value, values and range, "
                f"got {' and '.join(conditions) or 'none'}"
            )
        return self


class SearchParams(RequestModel):
    """Common parameters of searches.

    :param query: free text and ``field:value`` terms. Terms for the same field are alternatives; terms for
        different fields must all match; quotes enclose an exact phrase; case is ignored; there are no
        wildcards.
    :param offset: index of the first result, from 0; servers ignore it if ``next_token`` is set.
    :param limit: results per page, 1 to 1000; the server's default is 100.
    :param next_token: token of the page, from the previous page.
    :param sort_order: sort direction, together with ``sort_field``.
    :param ownership: only objects that the token's user created, or that others shared with them.
    :param favorite: only favorites.
    :param archived: only archived objects, which are excluded by default.
    :param filters: conditions on single fields, which must all match.
    """

    query: CoercedStr | None = None
    offset: Annotated[int, Field(ge=0)] | None = None
    limit: Annotated[int, Field(ge=1, le=MAX_PAGE_SIZE)] | None = None
    next_token: NonEmptyStr | None = None
    sort_order: SortOrder | None = None
    ownership: Ownership | None = None
    favorite: bool | None = None
    archived: bool | None = None
    filters: list[SearchFilter] | None = None

    @model_validator(mode="after")
    def _check_sort_arguments(self) -> Self:
        field: Any = getattr(self, "sort_field", None)
        if (field is None) != (self.sort_order is None):
            raise ValueError("sort_field and sort_order belong together: set both or neither")
        return self
