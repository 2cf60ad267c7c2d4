"""Search records: filtering, sorting, and pagination."""

import base64
import binascii
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, islice, takewhile
from typing import Any, Generic, TypeVar

from airflow_provider_codeocean.emulator.domain.errors import raise_bad_request
from airflow_provider_codeocean.emulator.domain.permissions import Role
from airflow_provider_codeocean.emulator.domain.records import SharedRecord
from airflow_provider_codeocean.emulator.domain.requests import FilterRange, SearchFilter, SearchParams
from airflow_provider_codeocean.emulator.domain.search_query import compile_phrase, parse_query
from airflow_provider_codeocean.emulator.state.access import Caller
from airflow_provider_codeocean.emulator.state.store import Table

DEFAULT_PAGE_SIZE = 100

TEXT_FILTER_KEYS = frozenset({"name", "description"})
"""Filters on these fields match words, as in a query; others must be equal, ignoring case. (Assumed.)"""

TEXT_SORT_FIELDS = frozenset({"name", "type"})
"""Sort fields with text values; all others are numbers."""

SharedRecordT = TypeVar("SharedRecordT", bound=SharedRecord)
Cursor = tuple[Any, str]
Predicate = Callable[[SharedRecordT], bool]


@dataclass(frozen=True)
class SearchIndex(Generic[SharedRecordT]):
    """The searchable fields of a kind of record.

    :param query_fields: fields of the query language.
    :param free_text_fields: fields that free text is searched in.
    :param text_getters: for each field, a function that returns a record's texts.
    :param sort_keys: for each sort field, a function that returns the sort key.
    :param filter_keys: allowed filter keys.
    :param get_filter_values: returns a record's values for a filter key.
    """

    query_fields: frozenset[str]
    free_text_fields: tuple[str, ...]
    text_getters: Mapping[str, Callable[[SharedRecordT], Iterable[str]]]
    sort_keys: Mapping[str, Callable[[SharedRecordT], Any]]
    filter_keys: frozenset[str]
    get_filter_values: Callable[[SharedRecordT, str], list[Any]]


@dataclass(frozen=True)
class PageQuirks:
    """Quirks of pagination. `faults` documents them.

    :param overlap: number of results that a page repeats from the page before.
    :param repeats_token: whether later pages return the token that they were requested with.
    :param is_endless: whether `has_more` stays true.
    """

    overlap: int = 0
    repeats_token: bool = False
    is_endless: bool = False


NO_PAGE_QUIRKS = PageQuirks()


@dataclass(frozen=True)
class Page(Generic[SharedRecordT]):
    """One page of results.

    :param records: the results.
    :param next_token: token of the next page; None on the last one.
    :param has_more: whether there is a next page.
    """

    records: list[SharedRecordT]
    next_token: str | None
    has_more: bool

    def to_payload(self, render: Callable[[SharedRecordT], dict[str, Any]]) -> dict[str, Any]:
        """Return the API's payload for the page.

        :param render: returns the payload of a record.
        :returns: `{has_more, results, next_token}`.
        """
        page = {
            "has_more": self.has_more,
            "results": [render(record) for record in self.records],
        }
        return page if self.next_token is None else {**page, "next_token": self.next_token}


def search(
    index: SearchIndex[SharedRecordT],
    table: Table[SharedRecordT],
    params: SearchParams,
    *,
    sort_field: str | None,
    timestamp: float,
    caller: Caller,
    extra_predicates: Iterable[Predicate[SharedRecordT]],
    quirks: PageQuirks = NO_PAGE_QUIRKS,
) -> Page[SharedRecordT]:
    """Find records.

    :param index: the searchable fields.
    :param table: the records.
    :param params: parameters of the search.
    :param sort_field: field to sort by; the creation time by default.
    :param timestamp: time of the index, in Unix seconds.
    :param caller: the user of the token.
    :param extra_predicates: additional conditions.
    :param quirks: quirks of pagination.
    :returns: one page.
    :raises ApiError: 400 for an invalid filter, or for a page token of another search.
    """
    field = sort_field or "created"
    # Servers ignore sort_order without sort_field.
    descending = sort_field is None or params.sort_order != "asc"
    order = _SortOrder(field, descending, index.sort_keys[field])
    cursor = order.decode_token(params.next_token) if params.next_token else None
    predicates = [*_common_predicates(index, params, caller), *extra_predicates]

    def matches(record: SharedRecordT) -> bool:
        return all(predicate(record) for predicate in predicates)

    matching = filter(matches, order.iter_records(table, timestamp, cursor))
    skipped = 0 if cursor else params.offset or 0
    limit = params.limit or DEFAULT_PAGE_SIZE
    repeated = []
    if cursor and (overlap := min(quirks.overlap, limit - 1)):
        from_start = order.iter_records(table, timestamp, None)
        previous = takewhile(lambda record: not order.is_after(record, cursor), from_start)
        repeated = list(filter(matches, previous))[-overlap:]
    records = list(islice(chain(repeated, matching), skipped, skipped + limit + 1))
    has_more = len(records) > limit
    records = records[:limit]
    if quirks.repeats_token and params.next_token:
        return Page(records, params.next_token, has_more=True)
    if quirks.is_endless:
        return Page(records, order.encode_token(records[-1]) if records else params.next_token, has_more=True)
    return Page(records, order.encode_token(records[-1]) if has_more else None, has_more=has_more)


@dataclass(frozen=True)
class _SortOrder(Generic[SharedRecordT]):
    """A total order: by a field, then by id, both in the same direction."""

    field: str
    descending: bool
    sort_key: Callable[[SharedRecordT], Any]

    def cursor_at(self, record: SharedRecordT) -> Cursor:
        return self.sort_key(record), record.id

    def iter_records(
        self, table: Table[SharedRecordT], timestamp: float, cursor: Cursor | None
    ) -> Iterator[SharedRecordT]:
        """Iterate over the records after the cursor."""
        if self.field == "created" and self.descending:
            return table.iter_as_of(timestamp, before=cursor)
        records = sorted(table.iter_as_of(timestamp), key=self.cursor_at, reverse=self.descending)
        return (record for record in records if cursor is None or self.is_after(record, cursor))

    def is_after(self, record: SharedRecordT, cursor: Cursor) -> bool:
        key = self.cursor_at(record)
        return key < cursor if self.descending else key > cursor

    def encode_token(self, last_record: SharedRecordT) -> str:
        # The token contains the last item of the page, so that new objects do not shift the next page.
        content = json.dumps([self.field, self.descending, *self.cursor_at(last_record)])
        return base64.urlsafe_b64encode(content.encode()).decode()

    def decode_token(self, token: str) -> Cursor:
        try:
            content = json.loads(base64.b64decode(token, altchars=b"-_", validate=True))
            field, descending, value, record_id = content
            key = (str if field in TEXT_SORT_FIELDS else float)(value), str(record_id)
        except (binascii.Error, ValueError, TypeError):
            raise_bad_request("next_token: not a token of this server")
        if (field, descending) != (self.field, self.descending):
            raise_bad_request("next_token: given out for another search")
        return key


def _common_predicates(
    index: SearchIndex[SharedRecordT], params: SearchParams, caller: Caller
) -> Iterator[Predicate[SharedRecordT]]:
    email, archived = caller.user.email, bool(params.archived)
    yield lambda record: record.archived == archived
    if not caller.user.admin:
        yield lambda record: caller.role_on(record.permissions) >= Role.DISCOVERABLE
    if params.favorite:
        yield lambda record: email in record.favorited_by
    if params.ownership:
        yield _ownership_predicate(params.ownership, caller)
    if params.query and params.query.strip():
        matcher = parse_query(params.query, index.query_fields).build_matcher(index.free_text_fields)
        yield lambda record: matcher(lambda field: index.text_getters[field](record))
    for position, condition in enumerate(params.filters or ()):
        yield _filter_predicate(index, condition, f"filters.{position}")


def _ownership_predicate(ownership: str, caller: Caller) -> Predicate[SharedRecordT]:
    user = caller.user
    if ownership == "created":
        return lambda record: record.owner == user.id
    if ownership == "private":
        return lambda record: record.owner == user.id and record.permissions.is_private
    return lambda record: (
        record.owner != user.id and record.permissions.role_for(user.email, user.groups) >= Role.DISCOVERABLE
    )


def _filter_predicate(
    index: SearchIndex[SharedRecordT], condition: SearchFilter, location: str
) -> Predicate[SharedRecordT]:
    key = condition.key
    if key not in index.filter_keys:
        raise_bad_request(f"{location}.key: there is no field {key!r}")
    found = _value_predicate(condition, location)
    return lambda record: any(map(found, index.get_filter_values(record, key))) != bool(condition.exclude)


def _value_predicate(condition: SearchFilter, location: str) -> Callable[[Any], bool]:
    if condition.range is not None and condition.range != FilterRange():
        low = -math.inf if condition.range.min is None else condition.range.min
        high = math.inf if condition.range.max is None else condition.range.max
        return lambda value: isinstance(value, int | float) and low <= value <= high
    wanted = condition.values if condition.value is None else [condition.value]
    if wanted is None:
        raise_bad_request(f"{location}: one of value, values and range is required")
    if condition.key in TEXT_FILTER_KEYS:
        patterns = [compile_phrase(str(value)) for value in wanted]
        return lambda value: any(pattern.search(value) for pattern in patterns)
    folded = {_casefold(value) for value in wanted}
    return lambda value: _casefold(value) in folded


def _casefold(value: Any) -> Any:
    return value.casefold() if isinstance(value, str) else value
