"""The ids that a watcher stores, in any order of events, and with killed processes."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from airflow_provider_codeocean.events import seen_set
from airflow_provider_codeocean.events.seen_set import SeenSet, intersection

identifiers = st.text(max_size=8)
sets = st.frozensets(identifiers).map(lambda ids: SeenSet().updated_with(ids))


@given(st.frozensets(identifiers), st.frozensets(identifiers))
def test_seen_set_contains_added_ids_only(some, others):
    seen_ids = SeenSet().updated_with(some)
    assert all(identifier in seen_ids for identifier in some)
    assert not any(identifier in seen_ids for identifier in others - some)


@given(sets)
def test_seen_set_survives_json(seen_ids):
    assert SeenSet.from_json(seen_ids.to_json()) == seen_ids
    assert SeenSet.from_json(seen_ids.to_json()).to_json() == seen_ids.to_json()


def test_seen_set_of_1000_ids_is_below_11_kilobytes():
    assert len(SeenSet().updated_with(map(str, range(1000))).to_json()) < 11_000


@pytest.mark.parametrize(
    "stored",
    [None, 7, {"format": 1}, {"format": 1, "digests": "no base64"}, {"format": 1, "digests": "QUJD"}],
)
def test_seen_set_from_invalid_text_raises(stored):
    with pytest.raises(ValueError, match=r"expected 1|not a set of ids|base64"):
        SeenSet.from_json(stored)


@given(st.lists(sets, min_size=1))
def test_intersection_contains_common_ids_only(seen_sets):
    assert intersection(seen_sets).digests == frozenset.intersection(
        *(seen_ids.digests for seen_ids in seen_sets)
    )


def test_intersection_of_nothing_is_none():
    assert intersection([]) is None


def new_ids(seen_ids, ids):
    return [identifier for identifier in ids if identifier not in seen_ids]


def test_find_new_after_incomplete_poll_returns_nothing():
    seen_ids = SeenSet().updated_with(["a", "b"]).updated_with(["a"])
    assert new_ids(seen_ids, ["a", "b"]) == []


@pytest.mark.parametrize("blip", [0, 1, 700])
@pytest.mark.parametrize("before", [1, 9, 10, 25])
def test_find_new_after_incomplete_polls_returns_nothing(before, blip):
    ids, seen_ids = [str(number) for number in range(5000)], SeenSet()
    for _ in range(before):
        seen_ids = seen_ids.updated_with(ids)
    for _ in range(seen_set._RECENT_POLLS - 1):
        assert new_ids(seen_ids, ids[:blip]) == []
        seen_ids = seen_ids.updated_with(ids[:blip])
    assert new_ids(seen_ids, ids) == []


def test_find_new_after_long_empty_index_returns_nothing():
    ids = [str(number) for number in range(5000)]
    seen_ids = SeenSet().updated_with(ids)
    for _ in range(100):
        seen_ids = SeenSet.from_json(seen_ids.to_json()).updated_with([])
    assert new_ids(seen_ids, ids) == []


def test_seen_set_of_changing_ids_stays_bounded():
    seen_ids = SeenSet()
    for begin in range(0, 100_000, 100):
        seen_ids = seen_ids.updated_with(map(str, range(begin, begin + 100)))
        assert len(seen_ids.digests) <= 3 * 100 * seen_set._RECENT_POLLS + seen_set._MAX_EXTRA_IDS


def test_seen_set_drops_ids_missing_from_several_polls():
    seen_ids = SeenSet().updated_with(map(str, range(5000)))
    for _ in range(2 * seen_set._RECENT_POLLS):
        seen_ids = seen_ids.updated_with(["0"])
    assert seen_ids == SeenSet().updated_with(["0"])


class Watch(RuleBasedStateMachine):
    """A watcher whose triggerer may be killed before an event is stored, or before the ids are."""

    def __init__(self):
        super().__init__()
        self.number = 0
        self.pending: set[str] = set()
        self.terminal: set[str] = set()
        self.hidden: set[str] = set()
        self.reported: Counter[str] = Counter()
        self.missed: set[str] = set()
        self.was_killed = False
        self.seen_ids: SeenSet | None = None
        self.stored: SeenSet | None = None

    @rule()
    def start(self):
        self.number += 1
        self.pending.add(str(self.number))

    @precondition(lambda self: self.pending)
    @rule(data=st.data())
    def end(self, data):
        identifier = data.draw(st.sampled_from(sorted(self.pending)))
        self.pending.discard(identifier)
        self.terminal.add(identifier)

    @precondition(lambda self: self.terminal)
    @rule(data=st.data())
    def delete(self, data):
        identifier = data.draw(st.sampled_from(sorted(self.terminal)))
        self.terminal.discard(identifier)
        self.missed.add(identifier)

    @precondition(lambda self: self.terminal)
    @rule(data=st.data())
    def hide(self, data):
        identifier = data.draw(st.sampled_from(sorted(self.terminal)))
        self.terminal.discard(identifier)
        self.hidden.add(identifier)

    @rule()
    def show(self):
        self.terminal |= self.hidden
        self.hidden.clear()

    @rule(fault=st.sampled_from(["stored", "killed before the event", "killed before the ids"]))
    def poll(self, fault):
        first = self.seen_ids is None and self.stored is None
        known = self.stored if self.seen_ids is None else self.seen_ids
        new = [] if known is None else new_ids(known, sorted(self.terminal))
        self.seen_ids = (known or SeenSet()).updated_with(self.terminal)
        if first:
            self.stored = self.seen_ids  # stored before the first event
            self.missed |= self.terminal | self.hidden
        if fault != "killed before the event":
            self.reported.update(new)
        if fault == "stored":
            self.stored = self.seen_ids
            assert self.terminal <= self.reported.keys() | self.missed
        else:
            self.seen_ids = None
            self.was_killed |= bool(new)

    @invariant()
    def nothing_is_told_that_goes_on(self):
        assert not self.reported.keys() & self.pending

    @invariant()
    def all_are_told_once_where_nothing_was_killed(self):
        if not self.was_killed:
            assert set(self.reported.values()) <= {1}

    def teardown(self):
        self.show()
        self.poll("stored")
        assert self.terminal <= self.reported.keys() | self.missed


TestWatch = Watch.TestCase
