"""A token that is replaced, or stays refused, while a worker is at work."""

from __future__ import annotations

import time
from types import SimpleNamespace

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, PokeReturnValue

from airflow_provider_codeocean.api.errors import Unauthorized
from airflow_provider_codeocean.api.models.data_asset_params import DataAssetParams
from airflow_provider_codeocean.emulator.domain.config import TokenConfig, UserConfig
from airflow_provider_codeocean.emulator.state.users import ADMIN_EMAIL
from airflow_provider_codeocean.hooks import codeocean as hooks
from airflow_provider_codeocean.hooks.codeocean import CodeOceanHook
from airflow_provider_codeocean.polling.shared_client import AuthGracePeriod
from airflow_provider_codeocean.polling.waits import DataAssetWait
from airflow_provider_codeocean.sensors.data_asset import CodeOceanDataAssetSensor
from tests.operators._submit_once.test_runner import KEY, State, capturing, count

CONTEXT = {"ti": SimpleNamespace(xcom_push=lambda key, value: None)}


class Rotation:
    """Replaces the admin's token, at Code Ocean and in the connection."""

    def __init__(self, code_ocean, connect):
        self.code_ocean, self.connect, self.number = code_ocean, connect, 0

    def revoke(self):
        self.number += 1
        tokens = (TokenConfig(token=f"cop_new{self.number}"),)
        admin = UserConfig(email=ADMIN_EMAIL, admin=True, tokens=tokens)
        emulator = self.code_ocean.emulator
        emulator.user_directory.upsert(admin, emulator.new_id(), emulator.now())

    def write_down(self, **extra):
        self.connect(self.code_ocean.url, f"cop_new{self.number}", **extra)

    def __call__(self):
        self.revoke()
        self.write_down()


@pytest.fixture
def rotate(code_ocean, connect):
    return Rotation(code_ocean, connect)


@pytest.fixture
def params(code_ocean):
    source = {"computation": {"id": code_ocean.env["CODEOCEAN_COMPUTATION_ID"]}}
    return DataAssetParams.model_validate({"name": "n", "mount": "m", "tags": [], "source": source})


@pytest.fixture
def asset(code_ocean, params):
    with CodeOceanHook().get_conn() as client:
        return client.data_assets.create(params)


@pytest.fixture
def slept(monkeypatch):
    """What was slept: it takes no time, but on the clock of the grace, which knows nothing else."""
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    monkeypatch.setattr(hooks, "MIN_RELOAD_INTERVAL_SECONDS", 0.0)
    monkeypatch.setattr(hooks, "AuthGracePeriod", lambda *of: AuthGracePeriod(*of, now=lambda: sum(slept)))
    return slept


@pytest.mark.parametrize("requests", range(1, 6))
def test_capture_with_token_refused_at_any_request_submits_once(
    code_ocean, params, rotate, monkeypatch, requests
):
    monkeypatch.setattr("airflow_provider_codeocean.submission.protocol.MAX_SEARCH_LAG_SECONDS", 0.2)
    monkeypatch.setattr("airflow_provider_codeocean.submission.protocol._INITIAL_DELAY_SECONDS", 0.05)
    state, steps = State(), iter(range(1, 100))

    def rotate_before_a_command():
        if next(steps) == requests:
            rotate()

    mine = capturing(2, state, SimpleNamespace(is_set=rotate_before_a_command), asked=params)
    stays = mine.confirm(mine.start())
    assert rotate.number == 1 or requests > 3
    assert count(code_ocean) == 1
    assert KEY in stays.tags


def test_capture_on_retry_after_refused_token_adopts_data_asset(code_ocean, params, rotate):
    state = State()
    mine = capturing(1, state, asked=params)
    begun = mine.start()
    rotate.revoke()
    with pytest.raises(Unauthorized):
        capturing(2, state, asked=params).start()
    rotate.write_down()
    again = capturing(3, state, asked=params).start()
    assert (again.job.id, count(code_ocean)) == (begun.job.id, 1)


def test_wait_with_refused_token_continues_with_new_token(code_ocean, asset, rotate, slept, monkeypatch):
    rotate.revoke()
    looks = iter(range(1, 100))

    def sleep(seconds):
        slept.append(seconds)
        if next(looks) == 3:
            rotate.write_down()

    monkeypatch.setattr(time, "sleep", sleep)
    monkeypatch.setattr("airflow_provider_codeocean.api.auth._REFRESH_COOLDOWN_SECONDS", 0.0)
    assert CodeOceanHook().wait_for_data_asset(asset.id, poll_interval=1.0).state == "ready"
    assert len(slept) >= 3


@pytest.mark.parametrize(("grace", "seconds"), [(0, 0), ("30", 30)])
def test_wait_with_refused_token_raises_after_grace_period(
    code_ocean, asset, connect, slept, caplog, grace, seconds
):
    connect(code_ocean.url, "cop_wrong", token_grace_period=grace)
    with pytest.raises(Unauthorized, match="token of connection codeocean_default has been refused"):
        CodeOceanHook().wait_for_data_asset(asset.id, poll_interval=60.0)
    assert ("put a valid one into the connection" in caplog.text) is (seconds > 0)
    assert seconds - 2 <= sum(slept) <= seconds + 2


@pytest.mark.parametrize(("status", "seconds"), [("success", 30), ("timeout", 0), ("error", 0)], ids=str)
def test_resolve_wait_with_refused_token_has_grace_after_success_only(
    code_ocean, asset, connect, slept, status, seconds
):
    connect(code_ocean.url, "cop_wrong", token_grace_period=30)
    event = {"status": status, "state": "draft", "message": "it took too long"}
    with pytest.raises(Unauthorized, match="token of connection codeocean_default has been refused"):
        CodeOceanHook().resolve_wait(event, DataAssetWait(asset.id, poll_interval=1.0, deadline=None))
    assert seconds - 2 <= sum(slept) <= seconds + 2


def test_token_of_edited_host_is_not_sent_to_old_host(code_ocean, asset, rotate, connect, caplog):
    with CodeOceanHook().get_conn() as client:
        rotate.revoke()
        connect("https://elsewhere.test", "cop_of_another_deployment")
        with pytest.raises(Unauthorized):
            client.data_assets.get(asset.id)
        assert not client._access_token.credentials.matches("cop_of_another_deployment")
    assert "the connection now points to https://elsewhere.test" in caplog.text


async def test_async_token_of_edited_host_is_not_sent_to_old_host(code_ocean, asset, rotate, connect, caplog):
    async with await CodeOceanHook().get_async_conn() as client:
        rotate.revoke()
        connect("https://elsewhere.test", "cop_of_another_deployment")
        with pytest.raises(Unauthorized):
            await client.data_assets.get(asset.id)
        assert not client._access_token.credentials.matches("cop_of_another_deployment")
    assert "the connection now points to https://elsewhere.test" in caplog.text


def test_get_conn_with_token_argument_keeps_it(code_ocean, asset):
    """It is another user's: what this one may not do is not done as the other."""
    with CodeOceanHook().get_conn(token="cop_of_somebody_else") as client:
        with pytest.raises(Unauthorized):
            client.data_assets.get(asset.id)
        assert client._access_token.credentials.matches("cop_of_somebody_else")


async def test_get_async_conn_with_token_argument_keeps_it(code_ocean, asset):
    async with await CodeOceanHook().get_async_conn(token="cop_of_somebody_else") as client:
        with pytest.raises(Unauthorized):
            await client.data_assets.get(asset.id)
        assert client._access_token.credentials.matches("cop_of_somebody_else")


def test_sensor_with_refused_token_raises_after_its_timeout(code_ocean, asset, rotate, slept):
    rotate.revoke()
    with pytest.raises(AirflowFailException, match="has been refused for 30 s"):
        CodeOceanDataAssetSensor(task_id="t", data_asset_id=asset.id, timeout=30).poke(CONTEXT)


def test_sensor_with_refused_token_continues_with_new_token(code_ocean, asset, rotate, slept, monkeypatch):
    monkeypatch.setattr("airflow_provider_codeocean.api.auth._REFRESH_COOLDOWN_SECONDS", 0.0)
    rotate.revoke()
    monkeypatch.setattr(time, "sleep", lambda seconds: (slept.append(seconds), rotate.write_down()))
    looked = CodeOceanDataAssetSensor(task_id="t", data_asset_id=asset.id).poke(CONTEXT)
    assert isinstance(looked, PokeReturnValue)
    assert len(slept) == 1


def test_sensor_with_refused_token_raises_after_grace_period(code_ocean, asset, rotate, slept):
    rotate.revoke()
    with pytest.raises(AirflowFailException, match="has been refused for 600 s: put a valid one"):
        CodeOceanDataAssetSensor(task_id="t", data_asset_id=asset.id).poke(CONTEXT)
    assert sum(slept) == 600


def test_deferrable_sensor_with_refused_token_defers_without_waiting(code_ocean, asset, rotate, slept):
    from airflow.providers.common.compat.sdk import TaskDeferred

    rotate.revoke()
    sensor = CodeOceanDataAssetSensor(task_id="t", data_asset_id=asset.id, deferrable=True, timeout=60)
    with pytest.raises(TaskDeferred):
        sensor.execute({"ti": SimpleNamespace(start_date=None, xcom_push=lambda key, value: None)})
    assert slept == []
