"""What the run is judged by."""

from __future__ import annotations

from tests.cluster.report import Verdict, judge

COMPUTATIONS = ["first", "second"]
MADE = {"first": [("a", "ready")], "second": [("b", "ready")]}
RETURNED = {"first": "a", "second": "b"}
STATES = ["success", "success", "success"]


def test_one_for_each_is_good():
    verdict = judge(COMPUTATIONS, MADE, RETURNED, STATES)
    assert verdict == Verdict(asked=2, made=2, doubled=0, lost=0, failed=0)
    assert verdict.good


def test_a_second_one_is_a_double():
    verdict = judge(COMPUTATIONS, MADE | {"first": [("a", "ready"), ("c", "draft")]}, RETURNED, STATES)
    assert verdict == Verdict(asked=2, made=3, doubled=1, lost=0, failed=0)
    assert not verdict.good


def test_one_that_is_not_there_is_lost():
    verdict = judge(COMPUTATIONS, {"first": MADE["first"]}, RETURNED, STATES)
    assert verdict == Verdict(asked=2, made=1, doubled=0, lost=1, failed=0)


def test_one_that_is_not_ready_is_lost():
    verdict = judge(COMPUTATIONS, MADE | {"second": [("b", "draft")]}, RETURNED, STATES)
    assert verdict == Verdict(asked=2, made=2, doubled=0, lost=1, failed=0)


def test_one_that_the_task_did_not_return_is_lost():
    verdict = judge(COMPUTATIONS, MADE, {"first": "a", "second": ""}, STATES)
    assert verdict == Verdict(asked=2, made=2, doubled=0, lost=1, failed=0)


def test_a_failed_task_is_counted_though_all_was_made():
    verdict = judge(COMPUTATIONS, MADE, RETURNED, ["success", "failed", "upstream_failed"])
    assert verdict == Verdict(asked=2, made=2, doubled=0, lost=0, failed=2)
    assert not verdict.good


def test_nothing_asked_is_not_good():
    assert not judge([], {}, {}, ["success"]).good
