"""Counters, the rate limit, the version check: what every request passes."""

from __future__ import annotations

import itertools

import pytest

from airflow_provider_codeocean.emulator.domain.config import RateLimit
from airflow_provider_codeocean.emulator.state.traffic import RateLimiter
from tests.emulator.in_process import expect_error, expect_status


async def counters(deployment):
    return expect_status(await deployment.control.get("stats"), 200)


async def test_stats_count_requests_by_endpoint_and_status(deployment):
    await deployment.create_data_asset()
    for asset in (deployment.env["CODEOCEAN_DATA_ASSET_ID"], "nothing", "nothing/at/all"):
        await deployment.user.get(f"data_assets/{asset}")
    await deployment.add_client(None).get("data_assets/x")
    await deployment.web.get("")
    counted = await counters(deployment)
    assert counted["endpoints"] == {
        "POST /api/v1/data_assets": 1,
        "GET /api/v1/data_assets/{data_asset_id}": 3,
        "GET (unknown)": 1,
        "GET /": 1,
    }
    assert counted["statuses"] == {"200": 3, "404": 2, "401": 1}
    assert counted["requests"] == 6
    assert counted["rate_limited"] == 0
    expect_status(await deployment.control.post("stats/reset"), 204)
    assert (await counters(deployment))["requests"] == 0


async def test_stats_with_fault_response_count_its_endpoint(deployment):
    expect_status(await deployment.control.post("faults", json={"kind": "status", "status": 429}), 200)
    await deployment.user.get("data_assets/x/permissions")
    counted = await counters(deployment)
    assert counted["endpoints"] == {"GET /api/v1/data_assets/{data_asset_id}/permissions": 1}
    assert counted["rate_limited"] == 1


async def test_rate_limit_rejects_excess_requests(deployment):
    limit = {"requests_per_second": 0.5, "burst": 2, "retry_after": True}
    expect_status(await deployment.control.put("rate_limit", json=limit), 200)
    answers = [await deployment.user.get("custom_metadata") for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 429, 429]
    assert expect_error(answers[2], 429)
    assert 1 <= int(answers[2].headers["retry-after"]) <= 2
    expect_status(
        await deployment.control.put("rate_limit", json={**limit, "burst": 1, "retry_after": False}), 200
    )
    answers = [await deployment.user.get("custom_metadata") for _ in range(2)]
    assert "retry-after" not in answers[1].headers
    expect_status(await deployment.control.put("rate_limit", json={}), 200)
    expect_status(await deployment.user.get("custom_metadata"), 200)
    assert (await counters(deployment))["rate_limited"] == 3


def test_rate_limiter_refills_evenly(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    limiter = RateLimiter(RateLimit(requests_per_second=4, burst=2))
    admitted = []
    for _ in range(40):
        admitted.append(limiter.try_acquire() is None)
        now[0] += 0.125
    assert sum(admitted) == 2 + 19
    assert all(any(pair) for pair in itertools.pairwise(admitted))
    now[0] += 100
    assert [limiter.try_acquire() is None for _ in range(3)] == [True, True, False]


def test_rate_limiter_burst_defaults_to_one_second(monkeypatch):
    monkeypatch.setattr("time.monotonic", lambda: 0.0)
    for rate, admitted in ((2.5, 3), (0.1, 1)):
        limiter = RateLimiter(RateLimit(requests_per_second=rate))
        assert sum(limiter.try_acquire() is None for _ in range(10)) == admitted


@pytest.mark.parametrize(
    ("version", "required", "status"),
    [
        ("4.8.0", "4.8.0", 200),
        ("4.8.0", "3.6.0", 200),
        ("4.8.0", "4.8.1", 400),
        ("4.8.0", "4.10.0", 400),
        ("4.10.0", "4.8.0", 200),
        ("4.8.0", "", 200),
        ("4.8.0", "something", 200),
    ],
)
async def test_min_server_version_newer_than_server_is_rejected(deploy, version, required, status):
    deployment = deploy(server_version=version)
    answer = await deployment.user.get(
        "custom_metadata", headers={"Min-Server-Version": required, "Agent-Id": "x"}
    )
    if status == 200:
        expect_status(answer, 200)
    else:
        assert required in expect_error(answer, 400)


async def test_faults_and_rate_limit_by_default_affect_only_the_api(deploy):
    deployment = deploy(faults=[{"kind": "status", "times": None}], rate_limit={"requests_per_second": 0.001})
    for _ in range(2):
        expect_status(await deployment.control.get("faults"), 200)
        assert (await deployment.web.get("")).status_code == 200
    expect_error(await deployment.user.get("custom_metadata"), 503)
    assert (await counters(deployment))["requests"] == 3
