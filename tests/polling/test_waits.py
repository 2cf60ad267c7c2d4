"""Waits, without I/O."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_codeocean.api.errors import (
    CodeOceanApiError,
    CodeOceanError,
    CodeOceanTransportError,
    DataAssetFailed,
    NotFound,
    RateLimited,
    ServerError,
    TransferFailed,
    Unauthorized,
    UnexpectedResponse,
    WaitTimeout,
)
from airflow_provider_codeocean.api.models.data_asset import DataAsset
from airflow_provider_codeocean.api.models.data_asset_summary import DataAssetSummary
from airflow_provider_codeocean.polling.waits import DataAssetWait, TransferWait, Wait, compute_deadline


def wait(*, poll_interval: float = 5.0, deadline: float | None = None) -> DataAssetWait:
    return DataAssetWait("a1", poll_interval=poll_interval, deadline=deadline)


def asset(state: str | None, **fields) -> DataAsset:
    return DataAsset.model_validate({"id": "a1", "state": state, **fields})


def event(status: str):
    return {"status": status, "data_asset_id": "a1", "state": None, "message": f"the wait's {status}"}


def test_check_is_true_when_data_asset_is_ready():
    waiting = wait()
    assert not waiting.check(asset("draft"))
    assert not waiting.check(asset("a state of the future"))
    assert waiting.check(asset("ready"))


def test_check_with_failed_data_asset_raises():
    with pytest.raises(DataAssetFailed):
        wait().check(asset("failed"))


@pytest.mark.parametrize(
    "error",
    [RateLimited(429, "slow down"), ServerError(503, "maintenance"), CodeOceanTransportError("unreachable")],
)
def test_handle_error_with_transient_error_returns(error):
    wait().handle_error(error)


@pytest.mark.parametrize(
    "error",
    [
        Unauthorized(401, "who?"),
        NotFound(404, "no such data asset"),
        CodeOceanApiError(301, "redirected to https://co.test"),
        CodeOceanApiError(405, "no such method"),
        UnexpectedResponse("a page", is_transient=False),
        CodeOceanTransportError("certificate not trusted", is_transient=False),
    ],
)
def test_handle_error_with_permanent_error_raises_it(error):
    with pytest.raises(type(error)) as caught:
        wait().handle_error(error)
    assert caught.value is error


def test_next_delay_after_retry_after_follows_it_once():
    waiting = wait(poll_interval=5)
    waiting.handle_error(RateLimited(429, "slow down", retry_after=30.0))
    assert waiting.next_delay() == 30.0
    assert waiting.next_delay() == 1.0


@pytest.mark.parametrize(("age", "seconds"), [(0, 1.0), (10, 1.0), (30, 3.0), (600, 60.0), (21600, 60.0)])
def test_poll_delay_with_cheap_polls_grows_with_age(age, seconds):
    waiting = wait(poll_interval=60)
    waiting.observe(DataAsset.model_validate({"id": "a1", "state": "draft", "created": time.time() - age}))
    assert waiting.poll_delay(time.time(), early_polls=None) == pytest.approx(seconds, rel=0.01)


@pytest.mark.parametrize(("age", "seconds"), [(0, 1.0), (10, 7.9), (30, 23.8), (600, 60.0), (21600, 60.0)])
def test_poll_delay_with_long_interval_grows_with_age(age, seconds):
    waiting = wait(poll_interval=60)
    waiting.observe(DataAsset.model_validate({"id": "a1", "state": "draft", "created": time.time() - age}))
    assert waiting.poll_delay(time.time()) == pytest.approx(seconds, rel=0.01)


@given(poll_interval=st.floats(0.01, 1e5), age=st.floats(-1e6, 1e7))
def test_poll_delay_is_at_most_poll_interval(poll_interval, age):
    assert 0 < wait(poll_interval=poll_interval).poll_delay(time.time() + age) <= poll_interval


@given(poll_interval=st.floats(0.01, 1e6), left=st.floats(0.5, 1e6))
def test_next_delay_does_not_exceed_deadline(poll_interval, left):
    deadline = time.time() + left
    pause = wait(poll_interval=poll_interval, deadline=deadline).next_delay()
    assert 0 < pause <= min(poll_interval, left)


def test_next_delay_after_deadline_raises_with_last_state():
    waiting = wait(deadline=time.time() - 1)
    with pytest.raises(WaitTimeout, match=r"a1 .*unknown"):
        waiting.next_delay()
    waiting.handle_error(ServerError(503, "maintenance"))
    with pytest.raises(WaitTimeout, match=r"a1 .*maintenance"):
        waiting.next_delay()
    waiting.check(asset("draft"))
    with pytest.raises(WaitTimeout, match=r"a1 .*draft"):
        waiting.next_delay()


@pytest.mark.parametrize(("timeout", "execution_timeout"), [(3600, 18000), (18000, 3600), (3600, None)])
def test_compute_deadline_uses_shorter_timeout(timeout, execution_timeout):
    started = datetime.now(tz=UTC)
    limit = None if execution_timeout is None else timedelta(seconds=execution_timeout)
    deadline = compute_deadline(timeout, execution_timeout=limit, started_at=started)
    assert deadline == pytest.approx(started.timestamp() + 3600, abs=5)


@pytest.mark.parametrize("status", ["success", "failed", "timeout", "error"])
def test_reconcile_with_ready_data_asset_succeeds_for_any_event(status):
    wait().reconcile(event(status), asset("ready"))


@pytest.mark.parametrize("status", ["success", "failed", "timeout", "error"])
def test_reconcile_with_failed_data_asset_raises_for_any_event(status):
    with pytest.raises(DataAssetFailed, match=r"'sorted'.* failed: no such bucket"):
        wait().reconcile(event(status), asset("failed", name="sorted", failure_reason="no such bucket"))


def test_reconcile_with_failure_without_reason_states_it():
    with pytest.raises(DataAssetFailed, match="gives no reason"):
        wait().reconcile(event("failed"), asset("failed"))


def test_reconcile_with_pending_data_asset_raises_error_of_event():
    with pytest.raises(WaitTimeout, match="the wait's timeout It is in state draft now"):
        wait().reconcile(event("timeout"), asset("draft"))
    with pytest.raises(WaitTimeout, match=r"^the wait's timeout$"):
        wait().reconcile({**event("timeout"), "state": "draft"}, asset("draft"))
    with pytest.raises(CodeOceanError, match="the wait's error") as caught:
        wait().reconcile(event("error"), asset("draft"))
    assert not isinstance(caught.value, WaitTimeout)


def transfer(**before) -> TransferWait:
    return TransferWait("a1", poll_interval=5.0, deadline=None, **before)


def test_transfer_check_is_true_when_last_transferred_changes():
    waiting = transfer(last_transferred=100.0)
    assert not waiting.check(asset("ready", last_transferred=100))
    assert waiting.check(asset("ready", last_transferred=101))
    assert transfer().check(asset("ready", last_transferred=101))


def test_transfer_check_with_error_of_earlier_transfer_is_pending():
    waiting = transfer(transfer_error="no such bucket")
    assert not waiting.check(asset("ready", transfer_error="no such bucket"))
    assert "failed with 'no such bucket' before" in waiting.describe_timeout()
    with pytest.raises(TransferFailed, match="access denied"):
        waiting.check(asset("ready", transfer_error="access denied"))


def test_transfer_check_after_search_without_error_is_pending():
    waiting = transfer(transfer_error="no such bucket")
    waiting.observe(msgspec.convert({"id": "a1", "state": "ready"}, DataAssetSummary))
    assert not waiting.check(asset("ready", transfer_error="no such bucket"))


def test_transfer_reconcile_with_failed_event_raises_without_error_field():
    with pytest.raises(TransferFailed, match="the wait's failed"):
        transfer(last_transferred=100.0).reconcile(event("failed"), asset("ready", last_transferred=100))
    transfer(last_transferred=100.0).reconcile(event("failed"), asset("ready", last_transferred=101))


def test_transfer_check_with_same_error_after_its_removal_raises():
    waiting = transfer(transfer_error="no such bucket")
    assert not waiting.check(asset("ready", transfer_error=None))
    with pytest.raises(TransferFailed, match="no such bucket"):
        waiting.check(asset("ready", transfer_error="no such bucket"))


@pytest.mark.parametrize("jump", [-3600.0, 3600.0])
def test_wait_with_system_clock_changed_keeps_deadline(monkeypatch, jump):
    waiting = wait(poll_interval=60, deadline=time.time() + 100)
    monkeypatch.setattr(time, "time", lambda true=time.time: true() + jump)
    assert waiting.remaining() == pytest.approx(100, abs=5)
    assert waiting.next_delay() == 1.0


def test_next_delay_with_huge_retry_after_is_ten_minutes():
    waiting = wait(poll_interval=5)
    waiting.handle_error(RateLimited(429, "slow down", retry_after=1e9))
    assert waiting.next_delay() == 600.0


def test_progress_names_state_and_time_since_creation():
    waiting = DataAssetWait("a1", poll_interval=5, deadline=None)
    assert waiting.describe_progress() == "Data asset a1 is in state unknown after 1 second"
    waiting.observe(DataAsset(id="a1", state="draft", created=waiting.clock() - 3661))
    assert waiting.describe_progress() == "Data asset a1 is in state draft after 1 hour 1 minute 1 second"


def test_progress_delays_grow_to_an_hour():
    delays = Wait.progress_delays()
    assert [next(delays) for _ in range(9)] == [60, 120, 240, 480, 960, 1920, 3600, 3600, 3600]
