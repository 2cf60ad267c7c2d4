"""The machine's clock is set while something goes on: no wait is shorter or longer for that."""

from __future__ import annotations

import time

import pytest

from airflow_provider_codeocean.api.models.data_asset_params import DataAssetParams
from airflow_provider_codeocean.clock import SteadyClock
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
        note = Wait.note

        def noting(self, seen):
            set_clock(jump)
            note(self, seen)

        monkeypatch.setattr(Wait, "note", noting)

    return arrange


def test_in_a_worker(draft, set_at_first_look):
    set_at_first_look(3600.0)  # not back: the emulator has the same clock
    asset = CodeOceanHook().wait_for_data_asset(draft, poll_interval=0.01, deadline=time.time() + 30)
    assert asset.state == "ready"


async def test_in_the_triggerer(draft, set_at_first_look):
    set_at_first_look(3600.0)  # not back: the emulator has the same clock
    trigger = CodeOceanDataAssetTrigger(draft, poll_interval=0.01, deadline=time.time() + 30)
    assert [event.payload["status"] async for event in trigger.run()] == ["success"]


@JUMPS
def test_while_it_is_looked_for_what_was_made(set_clock, jump):
    attempt = TaskAttempt("d", "r", "t", -1, 1)
    once = SubmitOnce(attempt, IdempotencyKeys("k"), has_durable_state=True, is_usable=bool)
    before = once._settled_at(None)
    set_clock(jump)
    assert once._settled_at(None) == pytest.approx(before, abs=10)


@JUMPS
def test_the_next_process_takes_the_time_as_it_is(set_clock, jump):
    before = SteadyClock()()
    set_clock(jump)
    assert SteadyClock()() == pytest.approx(before + jump, abs=10)
