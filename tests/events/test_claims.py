"""Each computation belongs to one run, whatever is killed, cleared or forgotten."""

from __future__ import annotations

import json

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from airflow_provider_codeocean.events import claims as keeping
from airflow_provider_codeocean.events.claims import Forgotten, Ledger
from airflow_provider_codeocean.events.seen_set import Seen


def written_and_read(ledger):
    return Ledger.read(json.loads(json.dumps(ledger.shortened().written())))


def test_a_run_gets_the_same_list_in_the_same_order_again():
    ledger = Ledger()
    assert ledger.take("r", ["b", "a"], 10) == (["b", "a"], False)
    assert written_and_read(ledger).take("r", ["a", "c", "b"], 10) == (["b", "a"], True)


def test_what_was_old_is_not_taken():
    assert Ledger(taken=Seen().with_all(["a"])).take("r", ["a", "b"], 10) == (["b"], False)


def test_a_run_takes_so_many_at_most():
    ledger = Ledger()
    assert ledger.take("r1", ["a", "b", "c"], 2) == (["a", "b"], True)
    assert ledger.take("r2", ["a", "b", "c"], 2) == (["c"], False)


def test_what_is_taken_by_a_run_long_ago_is_known_but_not_which():
    ledger = Ledger()
    for number in range(2 * keeping._IDENTIFIERS):
        ledger.take(f"r{number}", [f"c{number}"], 1)
        ledger = ledger.shortened()
    assert sum(map(len, ledger.runs.values())) <= keeping._IDENTIFIERS
    there = [f"c{number}" for number in range(2 * keeping._IDENTIFIERS)]
    assert ledger.take("next", there, 10) == ([], False)
    with pytest.raises(Forgotten, match="run r0 has taken is so long ago"):
        ledger.take("r0", there, 10)
    assert len(json.dumps(ledger.written())) < 120_000


def test_the_newest_run_is_kept_in_whole_however_much_it_took():
    there = [f"c{number}" for number in range(2 * keeping._IDENTIFIERS)]
    ledger = Ledger()
    ledger.take("r", there, len(there))
    assert written_and_read(ledger).take("r", [], 1) == (there, False)


@pytest.mark.parametrize(
    "written",
    [7, {}, [], {"runs": [], "taken": "", "earlier": []}, {"runs": {}, "taken": "?", "earlier": []}],
)
def test_what_is_none_is_refused(written):
    with pytest.raises(ValueError, match=r"no record|base64|bytes"):
        Ledger.read(written)


class Runs(RuleBasedStateMachine):
    """Runs of a DAG that take what ends, are tried again, and are cleared when others have run."""

    def __init__(self):
        super().__init__()
        self.there: list[str] = []
        self.written = Ledger().written()
        self.returned: dict[str, list[str]] = {}

    @rule(count=st.integers(1, 5), position=st.integers(0, 10))
    def end(self, count, position):
        number = len(self.there)
        self.there[position:position] = [f"c{number + each}" for each in range(count)]

    def take(self, run_id, limit, *, killed_before_it_is_written=False):
        ledger = Ledger.read(self.written)
        mine, more = ledger.take(run_id, self.there, limit)
        if killed_before_it_is_written:
            return
        self.written = json.loads(json.dumps(ledger.shortened().written()))
        others = [each for other, taken in self.returned.items() if other != run_id for each in taken]
        assert not set(mine) & set(others)
        assert mine == self.returned.setdefault(run_id, mine)
        everything = {each for taken in self.returned.values() for each in taken}
        assert more == bool(set(self.there) - everything)

    @rule(limit=st.integers(1, 4))
    def run(self, limit):
        self.take(f"r{len(self.returned)}", limit)

    @rule(limit=st.integers(1, 4))
    def run_that_is_killed_and_tried_again(self, limit):
        run_id = f"r{len(self.returned)}"
        self.take(run_id, limit, killed_before_it_is_written=True)
        self.take(run_id, limit)
        self.take(run_id, limit)

    @precondition(lambda self: self.returned)
    @rule(data=st.data())
    def clear(self, data):
        self.take(data.draw(st.sampled_from(sorted(self.returned))), 2)

    def teardown(self):
        while len([each for taken in self.returned.values() for each in taken]) < len(self.there):
            self.run(4)


TestRuns = Runs.TestCase
