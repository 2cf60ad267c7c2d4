"""Detection of a stale search index."""

from __future__ import annotations

import pytest

from airflow_provider_codeocean.api.models.data_asset_summary import DataAssetSummary
from airflow_provider_codeocean.polling.search_consistency import SearchConsistencyMonitor
from airflow_provider_codeocean.polling.waits import DataAssetWait


def wait(poll_interval: float = 10.0) -> DataAssetWait:
    return DataAssetWait("a", poll_interval=poll_interval, deadline=None)


def page(state: str) -> list[DataAssetSummary]:
    return [DataAssetSummary(raw_id="a", raw_state=state)]


def test_allowance_after_first_half_minute_decreases():
    monitor = SearchConsistencyMonitor(0.0)
    checks = [0]
    for second in range(1, 61):
        checks.append(monitor.allowance(float(second)))
        monitor.consume(checks[-1])
    assert checks[1:31] == [10] * 30
    assert checks[32:] == [2] * 29  # one second shares both rates


def test_allowance_after_confirmed_search_decreases():
    monitor = SearchConsistencyMonitor(0.0)
    assert monitor.allowance(60.0) == 10
    monitor.consume(10)
    assert monitor.allowance(60.0) == 0
    monitor.confirm_from_search()
    assert monitor.allowance(61.0) == 2


@pytest.mark.parametrize(
    ("seconds", "state", "off_for"),
    [(5.0, "draft", 0.0), (11.0, "draft", 60.0), (11.0, "ready", 0.0), (5.0, "ready", 0.0)],
)
def test_verify_page_tolerates_lag_of_one_interval(seconds, state, off_for):
    monitor = SearchConsistencyMonitor(0.0)
    monitor.expect_in_search(wait(), 100.0)
    now = 100.0 + seconds
    assert monitor.verify_page([DataAssetSummary(raw_id="b"), *page(state)], now) == off_for
    assert monitor.is_usable(now) is not bool(off_for)
    assert monitor.is_usable(now + 60)


def test_verify_page_with_repeated_staleness_disables_search_for_longer():
    monitor, periods, now = SearchConsistencyMonitor(0.0), [], 0.0
    for _ in range(6):
        monitor.expect_in_search(wait(), now)
        periods.append(monitor.verify_page(page("draft"), now + 20))
        now += 1000
    assert periods == [60, 120, 240, 480, 600, 600]
    monitor.confirm_from_search()
    monitor.expect_in_search(wait(), now)
    assert monitor.verify_page(page("draft"), now + 20) == 60


def test_record_search_failure_repeated_disables_search_for_longer():
    monitor = SearchConsistencyMonitor(0.0)
    assert [monitor.record_search_failure(0.0) for _ in range(9)] == [5, 10, 20, 40, 80, 160, 320, 600, 600]
    assert not monitor.is_usable(599.0)
    monitor.record_search_success()
    assert monitor.record_search_failure(0.0) == 5


def test_verify_page_ignores_old_expectations():
    monitor = SearchConsistencyMonitor(0.0)
    monitor.expect_in_search(wait(), 0.0)
    other = DataAssetWait("b", poll_interval=10, deadline=None)
    monitor.expect_in_search(other, 1300.0)
    assert monitor.verify_page(page("draft"), 1301.0) == 0


def test_verify_page_ignores_results_without_id():
    monitor = SearchConsistencyMonitor(0.0)
    monitor.expect_in_search(wait(), 0.0)
    assert monitor.verify_page([DataAssetSummary(raw_id=["a"])], 20.0) == 0


def test_verify_page_with_continued_staleness_disables_search_at_once():
    monitor = SearchConsistencyMonitor(0.0)
    monitor.expect_in_search(wait(), 0.0)
    assert monitor.verify_page(page("draft"), 20.0) == 60
    assert monitor.verify_page(page("draft"), 80.0) == 120
    assert monitor.verify_page(page("ready"), 200.0) == 0
    assert monitor.verify_page(page("draft"), 210.0) == 0
