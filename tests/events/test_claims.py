"""Each computation belongs to one run, whichever runs are killed, cleared, or compacted."""

from __future__ import annotations

import json

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from airflow_provider_codeocean.events import claims
from airflow_provider_codeocean.events.claims import ClaimExpired, ClaimLedger
from airflow_provider_codeocean.events.seen_set import SeenSet


def store_and_load(ledger):
    return ClaimLedger.from_json(json.loads(json.dumps(ledger.compacted().to_json())))


def test_claim_repeated_by_run_returns_same_list():
    ledger = ClaimLedger()
    assert ledger.claim("r", ["b", "a"], 10) == (["b", "a"], False)
    assert store_and_load(ledger).claim("r", ["a", "c", "b"], 10) == (["b", "a"], True)


def test_claim_excludes_unavailable_computations():
    assert ClaimLedger(unavailable=SeenSet().updated_with(["a"])).claim("r", ["a", "b"], 10) == (["b"], False)


def test_claim_with_limit_returns_at_most_limit():
    ledger = ClaimLedger()
    assert ledger.claim("r1", ["a", "b", "c"], 2) == (["a", "b"], True)
    assert ledger.claim("r2", ["a", "b", "c"], 2) == (["c"], False)


def test_claim_of_forgotten_run_raises_claim_expired():
    ledger = ClaimLedger()
    for number in range(2 * claims._MAX_LISTED_IDS):
        ledger.claim(f"r{number}", [f"c{number}"], 1)
        ledger = ledger.compacted()
    assert sum(map(len, ledger.claims_by_run.values())) <= claims._MAX_LISTED_IDS
    candidates = [f"c{number}" for number in range(2 * claims._MAX_LISTED_IDS)]
    assert ledger.claim("next", candidates, 10) == ([], False)
    with pytest.raises(ClaimExpired, match="claims of run r0 are too old"):
        ledger.claim("r0", candidates, 10)
    assert len(json.dumps(ledger.to_json())) < 120_000


def test_claims_of_newest_run_are_kept_completely():
    candidates = [f"c{number}" for number in range(2 * claims._MAX_LISTED_IDS)]
    ledger = ClaimLedger()
    ledger.claim("r", candidates, len(candidates))
    assert store_and_load(ledger).claim("r", [], 1) == (candidates, False)


@pytest.mark.parametrize(
    "stored",
    [
        7,
        {},
        {"format": 2},
        {"format": 1},
        {"format": 1, "claims_by_run": [], "unavailable": {}, "expired_runs": []},
        {"format": 1, "claims_by_run": {}, "unavailable": {"format": 1, "digests": "?"}, "expired_runs": []},
    ],
)
def test_claim_ledger_from_invalid_json_raises(stored):
    with pytest.raises(ValueError, match=r"expected 1|not a claim ledger|base64|padding"):
        ClaimLedger.from_json(stored)


class Runs(RuleBasedStateMachine):
    """DAG runs that claim finished computations, are retried, and are cleared after others have run."""

    def __init__(self):
        super().__init__()
        self.terminal: list[str] = []
        self.stored = ClaimLedger().to_json()
        self.returned: dict[str, list[str]] = {}

    @rule(count=st.integers(1, 5), position=st.integers(0, 10))
    def end(self, count, position):
        number = len(self.terminal)
        self.terminal[position:position] = [f"c{number + offset}" for offset in range(count)]

    def take(self, run_id, limit, *, is_killed_before_store=False):
        ledger = ClaimLedger.from_json(self.stored)
        claimed_ids, more = ledger.claim(run_id, self.terminal, limit)
        if is_killed_before_store:
            return
        self.stored = json.loads(json.dumps(ledger.compacted().to_json()))
        others = [claimed for other, ids in self.returned.items() if other != run_id for claimed in ids]
        assert not set(claimed_ids) & set(others)
        assert claimed_ids == self.returned.setdefault(run_id, claimed_ids)
        everything = {claimed for ids in self.returned.values() for claimed in ids}
        assert more == bool(set(self.terminal) - everything)

    @rule(limit=st.integers(1, 4))
    def run(self, limit):
        self.take(f"r{len(self.returned)}", limit)

    @rule(limit=st.integers(1, 4))
    def run_that_is_killed_and_tried_again(self, limit):
        run_id = f"r{len(self.returned)}"
        self.take(run_id, limit, is_killed_before_store=True)
        self.take(run_id, limit)
        self.take(run_id, limit)

    @precondition(lambda self: self.returned)
    @rule(data=st.data())
    def clear(self, data):
        self.take(data.draw(st.sampled_from(sorted(self.returned))), 2)

    def teardown(self):
        while sum(map(len, self.returned.values())) < len(self.terminal):
            self.run(4)


TestRuns = Runs.TestCase
