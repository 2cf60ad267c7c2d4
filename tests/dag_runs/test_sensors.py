"""Complete runs of sensors against the emulator."""

from __future__ import annotations

from importlib.metadata import version

import pytest

from airflow_provider_codeocean.api.models.data_asset_params import DataAssetParams
from airflow_provider_codeocean.emulator import FaultRule, Policy, Transitions
from airflow_provider_codeocean.hooks.codeocean import CodeOceanHook

# In Airflow 3.0, dag.test() passes the first start of a rescheduled sensor as a string, which then fails.
RESCHEDULES = not version("apache-airflow").startswith("3.0.")
MODES = ("poke", "reschedule", "deferred") if RESCHEDULES else ("poke", "deferred")


@pytest.fixture
def create(code_ocean):
    def make(**fields):
        source = {"computation": {"id": code_ocean.env["CODEOCEAN_COMPUTATION_ID"]}}
        values = {"name": "n", "mount": "m", "tags": [], "source": source} | fields
        with CodeOceanHook().get_conn() as client:
            return client.data_assets.create(DataAssetParams.model_validate(values))

    return make


@pytest.fixture
def failing(create):
    return create(target={"aws": {"bucket": "no-such-bucket"}})


@pytest.mark.parametrize("mode", MODES)
def test_data_asset_sensor_returns_ready_data_asset(run_dag, code_ocean, create, mode):
    asset = create()
    run = run_dag(f"sense_{mode}", data_asset_id=asset.id)
    assert run.states == {"sense": "success"}
    result = run.xcom("sense")
    assert (result["id"], result["state"]) == (asset.id, "ready")
    assert result["url"] == run.xcom("sense", "codeocean_data_asset_url")


@pytest.mark.parametrize("mode", MODES)
def test_data_asset_sensor_with_failed_data_asset_fails(run_dag, failing, mode):
    assert run_dag(f"sense_{mode}", data_asset_id=failing.id).states == {"sense": "failed"}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("how", ["_softly", "_never_failing"])
def test_data_asset_sensor_with_failed_data_asset_skips_if_requested(run_dag, failing, mode, how):
    assert run_dag(f"sense_{mode}{how}", data_asset_id=failing.id).states == {"sense": "skipped"}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("how", "state"), [("_briefly", "failed"), ("_briefly_softly", "skipped")])
def test_data_asset_sensor_after_timeout_fails_or_skips(run_dag, code_ocean, create, mode, how, state):
    code_ocean.emulator.transitions = Transitions(assets=Policy(seconds=3600))
    assert run_dag(f"sense_{mode}{how}", data_asset_id=create().id).states == {"sense": state}


@pytest.mark.parametrize("mode", MODES)
def test_data_asset_sensor_with_transient_errors_succeeds(run_dag, code_ocean, create, mode):
    asset = create()
    kinds = ("status", "close_before", "html")
    faults = [code_ocean.faults.add(FaultRule(method="GET", kind=kind)) for kind in kinds]
    assert run_dag(f"sense_{mode}", data_asset_id=asset.id).states == {"sense": "success"}
    assert [fault.hits for fault in faults] == [1, 1, 1]


def test_data_asset_sensor_with_ready_data_asset_polls_once(run_dag, code_ocean, create):
    code_ocean.emulator.transitions = Transitions(assets=Policy())
    run = run_dag("sense_deferred", data_asset_id=create().id)
    assert run.states == {"sense": "success"}
    assert code_ocean.emulator.traffic.requests["GET /api/v1/data_assets/{data_asset_id}"] == 1
