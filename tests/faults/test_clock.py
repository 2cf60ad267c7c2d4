"""The machine's clock is set while something goes on: no wait is shorter or longer for that."""

from __future__ import annotations

import time
from unittest.mock import Mock

import pytest

from airflow_provider_codeocean.api.models.data_asset_params import DataAssetParams
from airflow_provider_codeocean.clock import MonotonicUnixClock
from airflow_provider_codeocean.hooks.codeocean import CodeOceanHook
from airflow_provider_codeocean.polling.waits import Wait
from airflow_provider_codeocean.submission.keys import IdempotencyKeys, TaskAttempt
from airflow_provider_codeocean.submission.protocol import SubmitOnce
from airflow_provider_codeocean.triggers.data_asset import CodeOceanDataAssetTrigger

JUMPS = pytest.mark.parametrize("jump", [-3600.0, 3600.0], ids=["back", "forward"])


@pytest.fixture
def set_clock(monkeypatch):
    """``set_clock(seconds)`` sets the machine's clock forward, or back."""
    true = time.time
    return lambda seconds: monkeypatch.setattr(time, "time", lambda: true() + seconds)


@pytest.fixture
def draft(code_ocean):
    """A data asset that is ready at the second look."""
    source = {"computation": {"id": code_ocean.env["CODEOCEAN_COMPUTATION_ID"]}}
    with CodeOceanHook().get_conn() as client:
        params = {"name": "n", "mount": "m", "tags": [], "source": source}
        return client.data_assets.create(DataAssetParams.model_validate(params)).id


@pytest.fixture
def set_at_first_look(monkeypatch, set_clock):
    def arrange(jump):
        note = Wait.observe

        def noting(self, seen):
            set_clock(jump)
            note(self, seen)

        monkeypatch.setattr(Wait, "observe", noting)

    return arrange


def test_hook_wait_while_clock_jumps_succeeds(draft, set_at_first_look):
    set_at_first_look(3600.0)  # not back: the emulator has the same clock
    asset = CodeOceanHook().wait_for_data_asset(draft, poll_interval=0.01, deadline=time.time() + 30)
    assert asset.state == "ready"


async def test_trigger_wait_while_clock_jumps_succeeds(draft, set_at_first_look):
    set_at_first_look(3600.0)  # not back: the emulator has the same clock
    trigger = CodeOceanDataAssetTrigger(draft, poll_interval=0.01, deadline=time.time() + 30)
    assert [event.payload["status"] async for event in trigger.run()] == ["success"]


@JUMPS
def test_submit_once_search_delay_ignores_clock_jumps(set_clock, jump):
    attempt = TaskAttempt("d", "r", "t", -1, 1)
    once = SubmitOnce(attempt, IdempotencyKeys("k"), Mock(), has_durable_state=True)
    before = once._searchable_at(None)
    set_clock(jump)
    assert once._searchable_at(None) == pytest.approx(before, abs=10)


@JUMPS
def test_monotonic_clock_in_new_process_uses_the_current_time(set_clock, jump):
    before = MonotonicUnixClock()()
    set_clock(jump)
    assert MonotonicUnixClock()() == pytest.approx(before + jump, abs=10)
