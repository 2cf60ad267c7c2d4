"""A wait, without its I/O."""

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
    UnexpectedAnswer,
    WaitTimeout,
)
from airflow_provider_codeocean.api.models.data_asset import DataAsset
from airflow_provider_codeocean.api.models.data_asset_summary import Glance
from airflow_provider_codeocean.polling.waits import DataAssetWait, TransferWait, deadline_after


def wait(*, poll_interval: float = 5.0, deadline: float | None = None) -> DataAssetWait:
    return DataAssetWait("a1", poll_interval=poll_interval, deadline=deadline)


def asset(state: str | None, **fields) -> DataAsset:
    return DataAsset.model_validate({"id": "a1", "state": state, **fields})


def event(status: str):
    return {"status": status, "data_asset_id": "a1", "state": None, "message": f"the wait's {status}"}


def test_it_goes_on_while_a_data_asset_is_a_draft_and_ends_when_it_is_ready():
    waiting = wait()
    assert not waiting.is_over(asset("draft"))
    assert not waiting.is_over(asset("a state of the future"))
    assert waiting.is_over(asset("ready"))


def test_a_failed_data_asset_ends_it():
    with pytest.raises(DataAssetFailed):
        wait().is_over(asset("failed"))


@pytest.mark.parametrize(
    "error",
    [RateLimited(429, "slow down"), ServerError(503, "maintenance"), CodeOceanTransportError("unreachable")],
)
def test_a_server_in_trouble_is_borne(error):
    wait().bear(error)


@pytest.mark.parametrize(
    "error",
    [
        Unauthorized(401, "who?"),
        NotFound(404, "no such data asset"),
        CodeOceanApiError(301, "redirected to https://co.test"),
        CodeOceanApiError(405, "no such method"),
        UnexpectedAnswer("a page", transient=False),
        CodeOceanTransportError("certificate not trusted", transient=False),
    ],
)
def test_what_looking_again_cannot_mend_is_raised(error):
    with pytest.raises(type(error)) as caught:
        wait().bear(error)
    assert caught.value is error


def test_a_pause_is_as_long_as_the_server_asks_for_once():
    waiting = wait(poll_interval=5)
    waiting.bear(RateLimited(429, "slow down", retry_after=30.0))
    assert waiting.pause() == 30.0
    assert waiting.pause() == 1.0


@pytest.mark.parametrize(("age", "seconds"), [(0, 1.0), (10, 1.0), (30, 3.0), (600, 60.0), (21600, 60.0)])
def test_wait_with_cheap_polls_polls_by_its_age(age, seconds):
    waiting = wait(poll_interval=60)
    waiting.note(DataAsset.model_validate({"id": "a1", "state": "draft", "created": time.time() - age}))
    assert waiting.interval(time.time(), early_polls=None) == pytest.approx(seconds, rel=0.01)


@pytest.mark.parametrize(("age", "seconds"), [(0, 1.0), (10, 7.9), (30, 23.8), (600, 60.0), (21600, 60.0)])
def test_wait_with_six_early_polls_spreads_them_over_its_age(age, seconds):
    waiting = wait(poll_interval=60)
    waiting.note(DataAsset.model_validate({"id": "a1", "state": "draft", "created": time.time() - age}))
    assert waiting.interval(time.time()) == pytest.approx(seconds, rel=0.01)


@given(poll_interval=st.floats(0.01, 1e5), age=st.floats(-1e6, 1e7))
def test_no_pause_is_longer_than_asked_for(poll_interval, age):
    assert 0 < wait(poll_interval=poll_interval).interval(time.time() + age) <= poll_interval


@given(poll_interval=st.floats(0.01, 1e6), left=st.floats(0.5, 1e6))
def test_a_pause_never_goes_beyond_the_deadline(poll_interval, left):
    deadline = time.time() + left
    pause = wait(poll_interval=poll_interval, deadline=deadline).pause()
    assert 0 < pause <= min(poll_interval, left)


def test_after_the_deadline_it_names_the_data_asset_and_its_last_state():
    waiting = wait(deadline=time.time() - 1)
    with pytest.raises(WaitTimeout, match=r"a1 .*unknown"):
        waiting.pause()
    waiting.bear(ServerError(503, "maintenance"))
    with pytest.raises(WaitTimeout, match=r"a1 .*maintenance"):
        waiting.pause()
    waiting.is_over(asset("draft"))
    with pytest.raises(WaitTimeout, match=r"a1 .*draft"):
        waiting.pause()


@pytest.mark.parametrize(("timeout", "execution_timeout"), [(3600, 18000), (18000, 3600), (3600, None)])
def test_a_wait_ends_with_whichever_timeout_comes_first(timeout, execution_timeout):
    started = datetime.now(tz=UTC)
    limit = None if execution_timeout is None else timedelta(seconds=execution_timeout)
    deadline = deadline_after(timeout, execution_timeout=limit, started=started)
    assert deadline == pytest.approx(started.timestamp() + 3600, abs=5)


@pytest.mark.parametrize("status", ["success", "failed", "timeout", "error"])
def test_a_ready_data_asset_is_a_success_whatever_the_event_says(status):
    wait().conclude(event(status), asset("ready"))


@pytest.mark.parametrize("status", ["success", "failed", "timeout", "error"])
def test_a_failed_data_asset_is_a_failure_whatever_the_event_says(status):
    with pytest.raises(DataAssetFailed, match=r"'sorted'.* failed: no such bucket"):
        wait().conclude(event(status), asset("failed", name="sorted", failure_reason="no such bucket"))


def test_a_failure_without_a_reason_says_so():
    with pytest.raises(DataAssetFailed, match="gives no reason"):
        wait().conclude(event("failed"), asset("failed"))


def test_a_wait_that_ended_too_early_ends_as_its_event_says():
    with pytest.raises(WaitTimeout, match="the wait's timeout It is in state draft now"):
        wait().conclude(event("timeout"), asset("draft"))
    with pytest.raises(WaitTimeout, match=r"^the wait's timeout$"):
        wait().conclude({**event("timeout"), "state": "draft"}, asset("draft"))
    with pytest.raises(CodeOceanError, match="the wait's error") as caught:
        wait().conclude(event("error"), asset("draft"))
    assert not isinstance(caught.value, WaitTimeout)


def transfer(**before) -> TransferWait:
    return TransferWait("a1", poll_interval=5.0, deadline=None, **before)


def test_a_transfer_is_done_when_its_time_moves():
    waiting = transfer(last_transferred=100.0)
    assert not waiting.is_over(asset("ready", last_transferred=100))
    assert waiting.is_over(asset("ready", last_transferred=101))
    assert transfer().is_over(asset("ready", last_transferred=101))


def test_an_error_of_an_earlier_transfer_is_not_one_of_this():
    waiting = transfer(transfer_error="no such bucket")
    assert not waiting.is_over(asset("ready", transfer_error="no such bucket"))
    assert "failed with 'no such bucket' before" in waiting.describe()
    with pytest.raises(TransferFailed, match="access denied"):
        waiting.is_over(asset("ready", transfer_error="access denied"))


def test_a_line_of_a_search_that_lacks_the_error_makes_it_no_new_one():
    waiting = transfer(transfer_error="no such bucket")
    waiting.note(msgspec.convert({"id": "a1", "state": "ready"}, Glance))
    assert not waiting.is_over(asset("ready", transfer_error="no such bucket"))


def test_a_transfer_that_failed_is_a_failure_although_its_error_is_gone():
    with pytest.raises(TransferFailed, match="the wait's failed"):
        transfer(last_transferred=100.0).conclude(event("failed"), asset("ready", last_transferred=100))
    transfer(last_transferred=100.0).conclude(event("failed"), asset("ready", last_transferred=101))


def test_the_same_error_again_is_told_where_it_was_gone_in_between():
    waiting = transfer(transfer_error="no such bucket")
    assert not waiting.is_over(asset("ready", transfer_error=None))
    with pytest.raises(TransferFailed, match="no such bucket"):
        waiting.is_over(asset("ready", transfer_error="no such bucket"))


@pytest.mark.parametrize("jump", [-3600.0, 3600.0])
def test_a_clock_that_is_set_changes_no_wait(monkeypatch, jump):
    waiting = wait(poll_interval=60, deadline=time.time() + 100)
    monkeypatch.setattr(time, "time", lambda true=time.time: true() + jump)
    assert waiting.left() == pytest.approx(100, abs=5)
    assert not waiting.has_expired()
    assert waiting.pause() == 1.0


def test_no_server_is_left_alone_for_longer_than_ten_minutes():
    waiting = wait(poll_interval=5)
    waiting.bear(RateLimited(429, "slow down", retry_after=1e9))
    assert waiting.pause() == 600.0
