from __future__ import annotations

import asyncio

import pytest

from airflow_provider_codeocean.api._http.library import httpx
from airflow_provider_codeocean.emulator import EmulatorConfig, Policy
from airflow_provider_codeocean.emulator.server.app import create_app
from tests.emulator.in_process import START_TIME, expect_error, expect_status


async def test_faults_are_added_shown_and_removed(deployment):
    rule = {"kind": "status", "status": 500, "path": "data_assets/*", "times": None}
    added = expect_status(await deployment.control.post("faults", json=rule), 200)
    assert rule.items() <= added.items()
    assert (added["hits"], added["held"]) == (0, 0)
    expect_error(await deployment.user.get("data_assets/x"), 500)
    assert expect_status(await deployment.control.get("faults"), 200) == [{**added, "hits": 1}]
    expect_status(await deployment.control.delete(f"faults/{added['id']}"), 204)
    expect_error(await deployment.control.delete(f"faults/{added['id']}"), 404)
    expect_error(await deployment.control.post(f"faults/{added['id']}/release"), 404)
    expect_error(await deployment.control.get(f"faults/{added['id']}/wait"), 404)
    expect_status(await deployment.control.post("faults", json=rule), 200)
    expect_status(await deployment.control.delete("faults"), 204)
    assert expect_status(await deployment.control.get("faults"), 200) == []


async def test_fault_endpoints_wait_for_and_release_held_request(deployment):
    fault = expect_status(
        await deployment.control.post("faults", json={"kind": "hold", "method": "PUT"}), 200
    )
    path = f"faults/{fault['id']}"
    too_late = expect_status(await deployment.control.get(f"{path}/wait?hits=1&timeout=0.01"), 408)
    assert too_late["hits"] == 0
    asset = f"data_assets/{deployment.env['CODEOCEAN_DATA_ASSET_ID']}"
    held = asyncio.ensure_future(deployment.admin.put(asset, json={"name": "held"}))
    waited = expect_status(await deployment.control.get(f"{path}/wait?hits=1&held=1&timeout=10"), 200)
    assert (waited["hits"], waited["held"]) == (1, 1)
    assert not held.done()
    expect_status(await deployment.control.post(f"{path}/release"), 200)
    assert expect_status(await held, 200)["name"] == "held"


async def test_search_lag_endpoint_delays_search_results(deployment):
    await deployment.create_data_asset(name="late")
    expect_status(await deployment.control.put("search_lag", json={"seconds": 5}), 200)
    assert "late" not in await deployment.search_names()
    deployment.clock.advance(5)
    assert "late" in await deployment.search_names()


async def test_transitions_endpoint_affects_only_later_work(deployment):
    before = await deployment.create_data_asset()
    changed = expect_status(await deployment.control.put("transitions", json={"assets": {"seconds": 9}}), 200)
    assert changed["assets"]["seconds"] == 9
    assert changed["computations"] == Policy().model_dump()
    after = await deployment.create_data_asset()
    assert (await deployment.read_data_asset(before["id"]))["state"] == "ready"
    assert (await deployment.read_data_asset(after["id"]))["state"] == "draft"


async def test_advance_endpoint_moves_only_a_manual_clock(deployment):
    assert expect_status(await deployment.control.post("advance", json={"seconds": 60}), 200) == {
        "now": START_TIME + 60
    }
    deployment.app = create_app(EmulatorConfig())
    message = expect_error(
        await deployment.add_client(None, "/_emulator/").post("advance", json={"seconds": 1}), 400
    )
    assert "manual" in message


def test_manual_clock_after_restart_continues(tmp_path):
    config = EmulatorConfig(clock="manual")
    for expected in (0, 100, 200):
        emulator = create_app(config, state=tmp_path / "state").state.emulator
        start = emulator.store.get_meta("start") or emulator.now()
        emulator.store.set_meta("start", start)
        assert emulator.now() == pytest.approx(start + expected, abs=1)
        emulator.advance_clock(100)
        emulator.store.close()


@pytest.mark.parametrize(
    ("method", "path", "body", "named"),
    [
        ("POST", "faults", {"kind": "explode"}, "kind"),
        ("POST", "faults", {"kind": "slow", "speed": 1}, "speed"),
        ("PUT", "search_lag", {"seconds": -1}, "seconds"),
        ("PUT", "search_lag", {}, "seconds"),
        ("PUT", "rate_limit", {"requests_per_second": "many"}, "requests_per_second"),
        ("PUT", "transitions", {"naps": {}}, "naps"),
        ("POST", "advance", {"seconds": -1}, "seconds"),
        ("POST", "computations", {"count": 0}, "count"),
        ("POST", "computations", {"owner": "nobody@emulator.test"}, "nobody"),
        ("POST", "data_assets", {"type": "thing"}, "type"),
    ],
)
async def test_invalid_control_request_error_names_the_problem(deployment, method, path, body, named):
    assert named in expect_error(await deployment.control.request(method, path, json=body), 400)


async def test_data_assets_endpoint_creates_many_at_once(deployment):
    seed = {"count": 300, "name": "many", "tags": ["bench"], "age": 600, "owner": "user@emulator.test"}
    made = expect_status(await deployment.control.post("data_assets", json=seed), 200)["data_assets"]
    assert len({one["id"] for one in made}) == 300
    assert {one["finished_at"] for one in made} == {START_TIME}
    names = await deployment.search_names(query="tag:bench", limit=1000)
    assert names == [f"many {number}" for number in reversed(range(300))]
    asset = await deployment.read_data_asset(made[0]["id"])
    assert (asset["state"], asset["created"], asset["owner_email"]) == (
        "ready",
        START_TIME - 600,
        "user@emulator.test",
    )
    assert expect_status(await deployment.user.post(f"data_assets/{asset['id']}/files"), 200)["items"]


async def test_data_assets_endpoint_creates_drafts_and_failures(deployment):
    seed = {
        "count": 2,
        "policy": {"seconds": 5, "jitter": 30},
        "failure_reason": "bad luck",
        "everyone": "none",
    }
    made = expect_status(await deployment.control.post("data_assets", json=seed), 200)["data_assets"]
    assert all(START_TIME + 5 <= one["finished_at"] <= START_TIME + 35 for one in made)
    assert (await deployment.read_data_asset(made[0]["id"]))["state"] == "draft"
    expect_error(await deployment.user.get(f"data_assets/{made[0]['id']}"), 404)
    deployment.clock.advance(35)
    failed = await deployment.read_data_asset(made[0]["id"])
    assert (failed["state"], failed["failure_reason"]) == ("failed", "bad luck")
    reads = expect_status(await deployment.control.post("data_assets", json={"policy": {"reads": 1}}), 200)
    assert reads["data_assets"][0]["finished_at"] is None


async def test_computations_endpoint_creates_many_at_once(deployment):
    made = expect_status(await deployment.control.post("computations", json={"count": 300}), 200)[
        "computations"
    ]
    listed = expect_status(
        await deployment.user.get(f"capsules/{deployment.env['CODEOCEAN_CAPSULE_ID']}/computations"), 200
    )
    states = {run["id"]: (run["state"], run.get("end_status")) for run in listed}
    assert all(states[one["id"]] == ("completed", "succeeded") for one in made)
    asset = await deployment.create_data_asset(source={"computation": {"id": made[7]["id"]}})
    assert (await deployment.read_data_asset(asset["id"]))["files"] == 4


async def test_computations_endpoint_creates_them_with_given_end_status(deployment):
    slow = deployment.env["CODEOCEAN_SLOW_CAPSULE_ID"]
    seed = {
        "capsule_id": slow,
        "policy": {"seconds": 1},
        "end_status": "stopped",
        "exit_code": None,
        "has_results": False,
    }
    made = expect_status(
        await deployment.control.post("computations", json={**seed, "name": "stopped run"}), 200
    )
    path = f"computations/{made['computations'][0]['id']}"
    assert expect_status(await deployment.user.get(path), 200)["state"] == "initializing"
    deployment.clock.advance(1)
    ended = expect_status(await deployment.user.get(path), 200)
    assert (ended["name"], ended["end_status"], ended["has_results"]) == ("stopped run 0", "stopped", False)
    assert "exit_code" not in ended
    expect_error(await deployment.control.post("computations", json={"capsule_id": "nothing"}), 404)


async def test_users_endpoint_replaces_the_token(deployment):
    user = {"email": "runner@lab.test", "tokens": [{"token": "old"}]}
    enrolled = expect_status(await deployment.control.put("users", json=user), 200)
    assert enrolled["tokens"] == ["old"]
    path = f"computations/{deployment.env['CODEOCEAN_COMPUTATION_ID']}"
    old, new = httpx.BasicAuth("old", ""), httpx.BasicAuth("new", "")
    expect_error(await deployment.admin.get(path, auth=old), 404)  # known, but it is not his
    changed = expect_status(
        await deployment.control.put("users", json={**user, "admin": True, "tokens": [{"token": "new"}]}), 200
    )
    assert changed == {"id": enrolled["id"], "tokens": ["new"]}
    expect_error(await deployment.admin.get(path, auth=old), 401)
    assert expect_status(await deployment.admin.get(path, auth=new), 200)["state"] == "completed"
