"""Search: which records, in which order, page by page."""

import base64
import binascii
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, islice, takewhile
from typing import Any, Generic, TypeVar

from airflow_provider_codeocean.emulator.domain.errors import bad_request
from airflow_provider_codeocean.emulator.domain.permissions import Role
from airflow_provider_codeocean.emulator.domain.records import Shared
from airflow_provider_codeocean.emulator.domain.requests import FilterRange, SearchFilter, SearchParams
from airflow_provider_codeocean.emulator.domain.search_query import parse_query, phrase_pattern
from airflow_provider_codeocean.emulator.state.access import Caller
from airflow_provider_codeocean.emulator.state.store import Shelf

DEFAULT_LIMIT = 100

TEXT_KEYS = frozenset({"name", "description"})
"""Filtered by the words in them, as in a query; all other values must be equal, case aside. (Assumed.)"""

TEXT_SORTS = frozenset({"name", "type"})
"""Sort fields whose values are text; all others are numbers."""

S = TypeVar("S", bound=Shared)
Key = tuple[Any, str]
Test = Callable[[S], bool]


@dataclass(frozen=True)
class Index(Generic[S]):
    """How one kind of record is searched.

    :param query_fields: fields of the query language.
    :param free_fields: where free text is looked for.
    :param texts: gives the texts of a record, for each field.
    :param sort_keys: what each sort field sorts by.
    :param filter_keys: what filters may name.
    :param filter_values: gives what a record has under such a key.
    """

    query_fields: frozenset[str]
    free_fields: tuple[str, ...]
    texts: Mapping[str, Callable[[S], Iterable[str]]]
    sort_keys: Mapping[str, Callable[[S], Any]]
    filter_keys: frozenset[str]
    filter_values: Callable[[S, str], list[Any]]


@dataclass(frozen=True)
class PageQuirks:
    """What goes wrong between pages. The quirks are described in `faults`.

    :param overlap: number of results that a page repeats from the page before.
    :param repeats_token: whether later pages have the token that led to them.
    :param is_endless: whether `has_more` stays true.
    """

    overlap: int = 0
    repeats_token: bool = False
    is_endless: bool = False


NO_QUIRKS = PageQuirks()


@dataclass(frozen=True)
class Page(Generic[S]):
    """One page of results.

    :param records: the results.
    :param next_token: leads to the next page; None on the last one.
    :param has_more: whether there is a next page.
    """

    records: list[S]
    next_token: str | None
    has_more: bool

    def payload(self, render: Callable[[S], dict[str, Any]]) -> dict[str, Any]:
        """Return the page as the API does.

        :param render: makes the payload of one record.
        :returns: `{has_more, results, next_token}`.
        """
        page = {
            "has_more": self.has_more,
            "results": [render(record) for record in self.records],
        }
        return page if self.next_token is None else {**page, "next_token": self.next_token}


def search(
    index: Index[S],
    shelf: Shelf[S],
    params: SearchParams,
    *,
    sort_field: str | None,
    moment: float,
    caller: Caller,
    also: Iterable[Test[S]],
    quirks: PageQuirks = NO_QUIRKS,
) -> Page[S]:
    """Find records.

    :param index: how to search.
    :param shelf: where.
    :param params: what is asked for.
    :param sort_field: what to sort by; the time of creation if not given.
    :param moment: what the index shows, Unix seconds.
    :param caller: who is asking.
    :param also: further conditions.
    :param quirks: what goes wrong between pages.
    :returns: one page.
    :raises ApiError: 400 for a token that was not given out for this order.
    """
    field = sort_field or "created"
    # Servers ignore sort_order without sort_field.
    descending = sort_field is None or params.sort_order != "asc"
    order = _Order(field, descending, index.sort_keys[field])
    cursor = order.read_token(params.next_token) if params.next_token else None
    tests = [*_common_tests(index, params, caller), *also]

    def matches(record: S) -> bool:
        return all(test(record) for test in tests)

    found = filter(matches, order.walk(shelf, moment, cursor))
    skipped = 0 if cursor else params.offset or 0
    limit = params.limit or DEFAULT_LIMIT
    repeated = []
    if cursor and (overlap := min(quirks.overlap, limit - 1)):
        from_start = order.walk(shelf, moment, None)
        shown = takewhile(lambda record: not order.is_behind(record, cursor), from_start)
        repeated = list(filter(matches, shown))[-overlap:]
    records = list(islice(chain(repeated, found), skipped, skipped + limit + 1))
    more = len(records) > limit
    records = records[:limit]
    if quirks.repeats_token and params.next_token:
        return Page(records, params.next_token, has_more=True)
    if quirks.is_endless:
        return Page(records, order.token(records[-1]) if records else params.next_token, has_more=True)
    return Page(records, order.token(records[-1]) if more else None, has_more=more)


@dataclass(frozen=True)
class _Order(Generic[S]):
    """A total order: by a field, then by id, both in the same direction."""

    field: str
    descending: bool
    sort_key: Callable[[S], Any]

    def key(self, record: S) -> Key:
        return self.sort_key(record), record.id

    def walk(self, shelf: Shelf[S], moment: float, cursor: Key | None) -> Iterator[S]:
        """Go through all records behind the cursor."""
        if self.field == "created" and self.descending:
            return shelf.as_of(moment, before=cursor)
        records = sorted(shelf.as_of(moment), key=self.key, reverse=self.descending)
        return (record for record in records if cursor is None or self.is_behind(record, cursor))

    def is_behind(self, record: S, cursor: Key) -> bool:
        key = self.key(record)
        return key < cursor if self.descending else key > cursor

    def token(self, last: S) -> str:
        # It names the last item shown, so that what is created meanwhile shifts nothing.
        content = json.dumps([self.field, self.descending, *self.key(last)])
        return base64.urlsafe_b64encode(content.encode()).decode()

    def read_token(self, token: str) -> Key:
        try:
            content = json.loads(base64.b64decode(token, altchars=b"-_", validate=True))
            field, descending, value, record_id = content
            key = (str if field in TEXT_SORTS else float)(value), str(record_id)
        except (binascii.Error, ValueError, TypeError):
            bad_request("next_token: not a token of this server")
        if (field, descending) != (self.field, self.descending):
            bad_request("next_token: given out for another search")
        return key


def _common_tests(index: Index[S], params: SearchParams, caller: Caller) -> Iterator[Test[S]]:
    email, archived = caller.user.email, bool(params.archived)
    yield lambda record: record.archived == archived
    if not caller.user.admin:
        yield lambda record: caller.role(record.permissions) >= Role.DISCOVERABLE
    if params.favorite:
        yield lambda record: email in record.favorite_of
    if params.ownership:
        yield _ownership_test(params.ownership, caller)
    if params.query and params.query.strip():
        matcher = parse_query(params.query, index.query_fields).matcher(index.free_fields)
        yield lambda record: matcher(lambda field: index.texts[field](record))
    for position, condition in enumerate(params.filters or ()):
        yield _filter_test(index, condition, f"filters.{position}")


def _ownership_test(ownership: str, caller: Caller) -> Test[S]:
    user = caller.user
    if ownership == "created":
        return lambda record: record.owner == user.id
    if ownership == "private":
        return lambda record: record.owner == user.id and record.permissions.private
    return lambda record: (
        record.owner != user.id and record.permissions.role_of(user.email, user.groups) >= Role.DISCOVERABLE
    )


def _filter_test(index: Index[S], condition: SearchFilter, place: str) -> Test[S]:
    key = condition.key
    if key not in index.filter_keys:
        bad_request(f"{place}.key: there is no field {key!r}")
    found = _value_test(condition, place)
    return lambda record: any(map(found, index.filter_values(record, key))) != bool(condition.exclude)


def _value_test(condition: SearchFilter, place: str) -> Callable[[Any], bool]:
    if condition.range is not None and condition.range != FilterRange():
        low = -math.inf if condition.range.min is None else condition.range.min
        high = math.inf if condition.range.max is None else condition.range.max
        return lambda value: isinstance(value, int | float) and low <= value <= high
    wanted = condition.values if condition.value is None else [condition.value]
    if wanted is None:
        bad_request(f"{place}: one of value, values and range is required")
    if condition.key in TEXT_KEYS:
        patterns = [phrase_pattern(str(value)) for value in wanted]
        return lambda value: any(pattern.search(value) for pattern in patterns)
    folded = {_folded(value) for value in wanted}
    return lambda value: _folded(value) in folded


def _folded(value: Any) -> Any:
    return value.casefold() if isinstance(value, str) else value
