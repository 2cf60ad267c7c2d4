from __future__ import annotations

import asyncio

import httpx
import pytest

from airflow_provider_codeocean.emulator import EmulatorConfig, Policy
from airflow_provider_codeocean.emulator.server.app import create_app
from tests.emulator.helpers import START, expect, refusal


async def test_faults_are_added_shown_and_removed(deployment):
    rule = {"kind": "status", "status": 500, "path": "data_assets/*", "times": None}
    added = expect(await deployment.control.post("faults", json=rule), 200)
    assert rule.items() <= added.items()
    assert (added["hits"], added["held"]) == (0, 0)
    refusal(await deployment.user.get("data_assets/x"), 500)
    assert expect(await deployment.control.get("faults"), 200) == [{**added, "hits": 1}]
    expect(await deployment.control.delete(f"faults/{added['id']}"), 204)
    refusal(await deployment.control.delete(f"faults/{added['id']}"), 404)
    refusal(await deployment.control.post(f"faults/{added['id']}/release"), 404)
    refusal(await deployment.control.get(f"faults/{added['id']}/wait"), 404)
    expect(await deployment.control.post("faults", json=rule), 200)
    expect(await deployment.control.delete("faults"), 204)
    assert expect(await deployment.control.get("faults"), 200) == []


async def test_a_held_request_is_waited_for_and_released(deployment):
    fault = expect(await deployment.control.post("faults", json={"kind": "hold", "method": "PUT"}), 200)
    path = f"faults/{fault['id']}"
    too_late = expect(await deployment.control.get(f"{path}/wait?hits=1&timeout=0.01"), 408)
    assert too_late["hits"] == 0
    asset = f"data_assets/{deployment.env['CODEOCEAN_DATA_ASSET_ID']}"
    held = asyncio.ensure_future(deployment.admin.put(asset, json={"name": "held"}))
    waited = expect(await deployment.control.get(f"{path}/wait?hits=1&held=1&timeout=10"), 200)
    assert (waited["hits"], waited["held"]) == (1, 1)
    assert not held.done()
    expect(await deployment.control.post(f"{path}/release"), 200)
    assert expect(await held, 200)["name"] == "held"


async def test_search_can_be_made_to_lag(deployment):
    await deployment.create(name="late")
    expect(await deployment.control.put("search_lag", json={"seconds": 5}), 200)
    assert "late" not in await deployment.search()
    deployment.clock.advance(5)
    assert "late" in await deployment.search()


async def test_work_that_starts_later_takes_as_long_as_is_said_then(deployment):
    before = await deployment.create()
    changed = expect(await deployment.control.put("transitions", json={"assets": {"seconds": 9}}), 200)
    assert changed["assets"]["seconds"] == 9
    assert changed["computations"] == Policy().model_dump()
    after = await deployment.create()
    assert (await deployment.read(before["id"]))["state"] == "ready"
    assert (await deployment.read(after["id"]))["state"] == "draft"


async def test_a_manual_clock_is_moved_and_a_real_one_is_not(deployment):
    assert expect(await deployment.control.post("advance", json={"seconds": 60}), 200) == {"now": START + 60}
    deployment.app = create_app(EmulatorConfig())
    message = refusal(await deployment.client(None, "/_emulator/").post("advance", json={"seconds": 1}), 400)
    assert "manual" in message


def test_a_manual_clock_goes_on_after_a_restart(tmp_path):
    config = EmulatorConfig(clock="manual")
    for expected in (0, 100, 200):
        emulator = create_app(config, state=tmp_path / "state").state.emulator
        start = emulator.store.note("start") or emulator.now()
        emulator.store.write_note("start", start)
        assert emulator.now() == pytest.approx(start + expected, abs=1)
        emulator.advance(100)
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
async def test_what_is_wrong_is_named(deployment, method, path, body, named):
    assert named in refusal(await deployment.control.request(method, path, json=body), 400)


async def test_many_data_assets_are_made_at_once(deployment):
    seed = {"count": 300, "name": "many", "tags": ["bench"], "age": 600, "owner": "user@emulator.test"}
    made = expect(await deployment.control.post("data_assets", json=seed), 200)["data_assets"]
    assert len({one["id"] for one in made}) == 300
    assert {one["finished_at"] for one in made} == {START}
    names = await deployment.search(query="tag:bench", limit=1000)
    assert names == [f"many {number}" for number in reversed(range(300))]
    asset = await deployment.read(made[0]["id"])
    assert (asset["state"], asset["created"], asset["owner_email"]) == (
        "ready",
        START - 600,
        "user@emulator.test",
    )
    assert expect(await deployment.user.post(f"data_assets/{asset['id']}/files"), 200)["items"]


async def test_drafts_and_failures_are_made_too(deployment):
    seed = {
        "count": 2,
        "policy": {"seconds": 5, "jitter": 30},
        "failure_reason": "bad luck",
        "everyone": "none",
    }
    made = expect(await deployment.control.post("data_assets", json=seed), 200)["data_assets"]
    assert all(START + 5 <= one["finished_at"] <= START + 35 for one in made)
    assert (await deployment.read(made[0]["id"]))["state"] == "draft"
    refusal(await deployment.user.get(f"data_assets/{made[0]['id']}"), 404)
    deployment.clock.advance(35)
    failed = await deployment.read(made[0]["id"])
    assert (failed["state"], failed["failure_reason"]) == ("failed", "bad luck")
    reads = expect(await deployment.control.post("data_assets", json={"policy": {"reads": 1}}), 200)
    assert reads["data_assets"][0]["finished_at"] is None


async def test_many_computations_are_made_at_once(deployment):
    made = expect(await deployment.control.post("computations", json={"count": 300}), 200)["computations"]
    listed = expect(
        await deployment.user.get(f"capsules/{deployment.env['CODEOCEAN_CAPSULE_ID']}/computations"), 200
    )
    states = {run["id"]: (run["state"], run.get("end_status")) for run in listed}
    assert all(states[one["id"]] == ("completed", "succeeded") for one in made)
    asset = await deployment.create(source={"computation": {"id": made[7]["id"]}})
    assert (await deployment.read(asset["id"]))["files"] == 4


async def test_computations_are_made_with_any_end(deployment):
    slow = deployment.env["CODEOCEAN_SLOW_CAPSULE_ID"]
    seed = {
        "capsule_id": slow,
        "policy": {"seconds": 1},
        "end_status": "stopped",
        "exit_code": None,
        "has_results": False,
    }
    made = expect(await deployment.control.post("computations", json={**seed, "name": "stopped run"}), 200)
    path = f"computations/{made['computations'][0]['id']}"
    assert expect(await deployment.user.get(path), 200)["state"] == "initializing"
    deployment.clock.advance(1)
    ended = expect(await deployment.user.get(path), 200)
    assert (ended["name"], ended["end_status"], ended["has_results"]) == ("stopped run 0", "stopped", False)
    assert "exit_code" not in ended
    refusal(await deployment.control.post("computations", json={"capsule_id": "nothing"}), 404)


async def test_a_token_is_replaced(deployment):
    user = {"email": "runner@lab.test", "tokens": [{"token": "old"}]}
    enrolled = expect(await deployment.control.put("users", json=user), 200)
    assert enrolled["tokens"] == ["old"]
    path = f"computations/{deployment.env['CODEOCEAN_COMPUTATION_ID']}"
    old, new = httpx.BasicAuth("old", ""), httpx.BasicAuth("new", "")
    refusal(await deployment.admin.get(path, auth=old), 404)  # known, but it is not his
    changed = expect(
        await deployment.control.put("users", json={**user, "admin": True, "tokens": [{"token": "new"}]}), 200
    )
    assert changed == {"id": enrolled["id"], "tokens": ["new"]}
    refusal(await deployment.admin.get(path, auth=old), 401)
    assert expect(await deployment.admin.get(path, auth=new), 200)["state"] == "completed"
