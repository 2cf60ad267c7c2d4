"""A wait, without its I/O."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_codeocean.api.errors import (
    CodeOceanApiError,
    CodeOceanTransportError,
    DataAssetFailed,
    NotFound,
    RateLimited,
    ServerError,
    Unauthorized,
    UnexpectedAnswer,
    WaitTimeout,
)
from airflow_provider_codeocean.api.models.data_asset import DataAsset
from airflow_provider_codeocean.polling import DataAssetWait, deadline_after


def wait(*, poll_interval: float = 5.0, deadline: float | None = None) -> DataAssetWait:
    return DataAssetWait("a1", poll_interval=poll_interval, deadline=deadline)


def asset(state: str) -> DataAsset:
    return DataAsset.model_validate({"id": "a1", "state": state})


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
    assert waiting.pause() == 5.0


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
