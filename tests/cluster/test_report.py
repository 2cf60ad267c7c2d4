"""What the run is judged by."""

from __future__ import annotations

from tests.cluster.report import CaptureSummary, summarize

COMPUTATIONS = ["first", "second"]
MADE = {"first": [("a", "ready")], "second": [("b", "ready")]}
RETURNED = {"first": "a", "second": "b"}
STATES = ["success", "success", "success"]


def test_summary_with_one_asset_each_is_exactly_once():
    verdict = summarize(COMPUTATIONS, MADE, RETURNED, STATES)
    assert verdict == CaptureSummary(requested=2, created=2, duplicated=0, lost=0, failed=0)
    assert verdict.is_exactly_once


def test_summary_second_asset_is_duplicated():
    verdict = summarize(COMPUTATIONS, MADE | {"first": [("a", "ready"), ("c", "draft")]}, RETURNED, STATES)
    assert verdict == CaptureSummary(requested=2, created=3, duplicated=1, lost=0, failed=0)
    assert not verdict.is_exactly_once


def test_summary_missing_asset_is_lost():
    verdict = summarize(COMPUTATIONS, {"first": MADE["first"]}, RETURNED, STATES)
    assert verdict == CaptureSummary(requested=2, created=1, duplicated=0, lost=1, failed=0)


def test_summary_asset_that_is_not_ready_is_lost():
    verdict = summarize(COMPUTATIONS, MADE | {"second": [("b", "draft")]}, RETURNED, STATES)
    assert verdict == CaptureSummary(requested=2, created=2, duplicated=0, lost=1, failed=0)


def test_summary_asset_that_the_task_did_not_return_is_lost():
    verdict = summarize(COMPUTATIONS, MADE, {"first": "a", "second": ""}, STATES)
    assert verdict == CaptureSummary(requested=2, created=2, duplicated=0, lost=1, failed=0)


def test_summary_failed_task_is_counted():
    verdict = summarize(COMPUTATIONS, MADE, RETURNED, ["success", "failed", "upstream_failed"])
    assert verdict == CaptureSummary(requested=2, created=2, duplicated=0, lost=0, failed=2)
    assert not verdict.is_exactly_once


def test_summary_without_computations_is_not_exactly_once():
    assert not summarize([], {}, {}, ["success"]).is_exactly_once
