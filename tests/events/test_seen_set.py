"""What a watch remembers, whatever happens in whatever order, and whatever is killed."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from airflow_provider_codeocean.events import seen_set as watching
from airflow_provider_codeocean.events.seen_set import Seen, look, told_to_all

identifiers = st.text(max_size=8)
sets = st.frozensets(identifiers).map(lambda them: Seen().with_all(them))


@given(st.frozensets(identifiers), st.frozensets(identifiers))
def test_what_is_in_it_is_in_it(some, others):
    seen = Seen().with_all(some)
    assert all(each in seen for each in some)
    assert not any(each in seen for each in others - some)


@given(sets)
def test_what_is_written_down_is_read_again(seen):
    assert Seen.read(seen.written()) == seen
    assert Seen.read(seen.written()).written() == seen.written()


def test_a_thousand_take_eleven_kilobytes():
    assert len(Seen().with_all(map(str, range(1000))).written()) < 11_000


@pytest.mark.parametrize("written", ["no base64", "QUJD", None, 7])
def test_what_is_none_is_refused(written):
    with pytest.raises((ValueError, TypeError)):
        Seen.read(written)


@given(st.lists(sets, min_size=1))
def test_told_to_all_is_what_each_has_been_told(marks):
    assert told_to_all(marks).digests == frozenset.intersection(*(mark.digests for mark in marks))


def test_told_to_nobody_is_not_told():
    assert told_to_all([]) is None


def test_what_a_look_leaves_out_is_not_new_after_it():
    seen, _ = look(None, ["a", "b"], str, from_now_on=True)
    seen, _ = look(seen, ["a"], str, from_now_on=True)
    assert look(seen, ["a", "b"], str, from_now_on=True)[1] == []


@pytest.mark.parametrize("blip", [0, 1, 700])
@pytest.mark.parametrize("before", [1, 9, 10, 25])
def test_a_search_that_shows_less_for_a_few_looks_makes_nothing_new(before, blip):
    there, seen = [str(number) for number in range(5000)], None
    for _ in range(before):
        seen, _ = look(seen, there, str, from_now_on=True)
    for _ in range(watching._LOOKS - 1):
        seen, new = look(seen, there[:blip], str, from_now_on=True)
        assert new == []
    assert look(seen, there, str, from_now_on=True)[1] == []


def test_an_index_that_is_empty_for_long_makes_nothing_new():
    there = [str(number) for number in range(5000)]
    seen, _ = look(None, there, str, from_now_on=True)
    for _ in range(100):
        seen, _ = look(Seen.read(seen.written()), [], str, from_now_on=True)
    assert look(seen, there, str, from_now_on=True)[1] == []


def test_what_is_gone_is_forgotten_before_it_takes_much_room():
    seen = Seen()
    for begin in range(0, 100_000, 100):
        seen = seen.with_all(map(str, range(begin, begin + 100)))
        assert len(seen.digests) <= 3 * 100 * watching._LOOKS + watching._ROOM


def test_what_several_looks_do_not_show_is_forgotten():
    seen = Seen().with_all(map(str, range(5000)))
    for _ in range(2 * watching._LOOKS):
        seen = seen.with_all(["0"])
    assert seen == Seen().with_all(["0"])


class Watch(RuleBasedStateMachine):
    """A watch of things that end; its events are stored, or not, and its mark after that, or not."""

    def __init__(self):
        super().__init__()
        self.number = 0
        self.going: set[str] = set()
        self.over: set[str] = set()
        self.lost_sight: set[str] = set()
        self.told: Counter[str] = Counter()
        self.missed: set[str] = set()
        self.was_killed_in_between = False
        self.memory: Seen | None = None
        self.mark: Seen | None = None

    @rule()
    def start(self):
        self.number += 1
        self.going.add(str(self.number))

    @precondition(lambda self: self.going)
    @rule(data=st.data())
    def end(self, data):
        which = data.draw(st.sampled_from(sorted(self.going)))
        self.going.discard(which)
        self.over.add(which)

    @precondition(lambda self: self.over)
    @rule(data=st.data())
    def delete(self, data):
        which = data.draw(st.sampled_from(sorted(self.over)))
        self.over.discard(which)
        self.missed.add(which)

    @precondition(lambda self: self.over)
    @rule(data=st.data())
    def hide(self, data):
        which = data.draw(st.sampled_from(sorted(self.over)))
        self.over.discard(which)
        self.lost_sight.add(which)

    @rule()
    def show(self):
        self.over |= self.lost_sight
        self.lost_sight.clear()

    @rule(how=st.sampled_from(["all is well", "killed before it is stored", "killed before the mark"]))
    def look(self, how):
        first = self.memory is None and self.mark is None
        known = self.mark if self.memory is None else self.memory
        self.memory, new = look(known, sorted(self.over), str, from_now_on=True)
        if first:
            self.mark = self.memory  # which is written down before anything is told
            self.missed |= self.over | self.lost_sight
        if how != "killed before it is stored":
            self.told.update(new)
        if how == "all is well":
            self.mark = self.memory
            assert self.over <= self.told.keys() | self.missed
        else:
            self.memory = None
            self.was_killed_in_between |= bool(new)

    @invariant()
    def nothing_is_told_that_goes_on(self):
        assert not self.told.keys() & self.going

    @invariant()
    def all_are_told_once_where_nothing_was_killed(self):
        if not self.was_killed_in_between:
            assert set(self.told.values()) <= {1}

    def teardown(self):
        self.show()
        self.look("all is well")
        assert self.over <= self.told.keys() | self.missed


TestWatch = Watch.TestCase
