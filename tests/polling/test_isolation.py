"""Isolation of problems: other waits keep their interval, in virtual time."""

from __future__ import annotations

import asyncio
import time

import pytest

from airflow_provider_codeocean.api._http.library import httpx
from airflow_provider_codeocean.polling.poller import wait_on_shared_poller
from airflow_provider_codeocean.polling.waits import ComputationWait, DataAssetWait, SearchWait
from airflow_provider_codeocean.polling.watches import DataAssetsWatch
from tests.polling.fake_deployment import SECONDS_PER_HOUR, FakeAsset, FakeDeployment
from tests.polling.test_poller import Waiting, many
from tests.polling.virtual_time import run

INTERVAL = 5.0
PAGE = "<html><title>Sign in</title></html>"


class Misbehaving(FakeDeployment):
    """A deployment in which some paths have a problem.

    :ivar answers: the response to a path, instead of the apply_faults one; None hangs.
    :ivar brief_answers: single responses to a path, each to the first request after a time.
    """

    def __init__(self, *assets: FakeAsset) -> None:
        super().__init__(*assets)
        self.answers: dict[str, httpx.Response | None] = {}
        self.brief_answers: dict[str, list[tuple[float, httpx.Response | None]]] = {}

    async def _apply_faults(self, request: httpx.Request, target: str) -> httpx.Response | None:
        brief_answers = self.brief_answers.get(target)
        if brief_answers and brief_answers[0][0] <= asyncio.get_running_loop().time():
            answer = brief_answers.pop(0)[1]
        elif target in self.answers:
            answer = self.answers[target]
        else:
            return await super()._apply_faults(request, target)
        if answer is None:
            await asyncio.sleep(30)
            raise httpx.ReadTimeout("too slow", request=request)
        return answer


def p95(values: list[float]) -> float:
    return sorted(values)[int(0.95 * (len(values) - 1))]


def wait_for_healthy(deployment: Misbehaving, monkeypatch, *, seconds: float = 900.0) -> Waiting:
    """Wait for all assets. Those whose path has a problem time out."""
    waiting = Waiting(deployment, interval=INTERVAL)
    healthy = [asset_id for asset_id in deployment.assets if asset_id not in deployment.answers]

    async def scene() -> None:
        async with asyncio.TaskGroup() as group:
            for asset_id in deployment.assets:
                group.create_task(waiting.wait(asset_id, seconds=seconds))

    run(scene(), monkeypatch)
    assert waiting.noticed.keys() == set(healthy)
    return waiting


@pytest.mark.long
@pytest.mark.fault("B1")
@pytest.mark.parametrize("retry_after", [None, "60"])
def test_poller_with_searches_rejected_with_429_delays_no_wait(monkeypatch, retry_after):
    deployment = Misbehaving(*many(200, 100, 400))
    deployment.faults = [(0.0, SECONDS_PER_HOUR, "search 429")]
    deployment.retry_after = retry_after
    waiting = wait_for_healthy(deployment, monkeypatch)
    assert p95(waiting.lateness()) <= 1.5 * INTERVAL
    assert deployment.search_count <= 20


@pytest.mark.long
@pytest.mark.fault("B1")
@pytest.mark.parametrize("retry_after", [None, "60", "3600"])
def test_poller_with_search_waits_rejected_with_429_delays_no_other(monkeypatch, retry_after):
    deployment = Misbehaving(*many(200, 100, 400))
    deployment.faults = [(0.0, SECONDS_PER_HOUR, "search 429")]
    deployment.retry_after = retry_after
    waiting = Waiting(deployment, interval=INTERVAL)
    connect = {"connect": deployment.connect, "name": "co"}
    searches = [DataAssetsWatch({"query": f"tag:{number}"}, poll_interval=60.0) for number in range(10)]
    searches += [
        SearchWait({"query": f"name:{number}"}, poll_interval=INTERVAL, deadline=None) for number in range(10)
    ]

    async def scene() -> None:
        tasks = [asyncio.create_task(wait_on_shared_poller(wait, **connect)) for wait in searches]
        await waiting.all()
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)

    run(scene(), monkeypatch)
    assert not waiting.errors
    assert p95(waiting.lateness()) <= 1.5 * INTERVAL
    assert deployment.search_count <= 10 + 400 / 60 + 400 / min(600, float(retry_after or 60))


@pytest.mark.long
@pytest.mark.fault("B2")
@pytest.mark.parametrize("retry_after", ["60", "600"])
@pytest.mark.parametrize("count", [7, 200])
def test_poller_with_path_responding_503_delays_only_its_waits(monkeypatch, retry_after, count):
    deployment = Misbehaving(*many(count, 100, 400))
    for number in range(0, count, 7):
        deployment.answers[f"a{number}"] = httpx.Response(
            503, headers={"Retry-After": retry_after}, json={"message": "maintenance"}
        )
    deployment.faults = [(0.0, SECONDS_PER_HOUR, "search 500")]
    waiting = wait_for_healthy(deployment, monkeypatch)
    assert p95(waiting.lateness()) <= 1.5 * INTERVAL
    assert deployment.count("a0") <= 900 / int(retry_after) + 2


def throttled(retry_after: str | None) -> httpx.Response:
    headers = {} if retry_after is None else {"Retry-After": retry_after}
    return httpx.Response(429, headers=headers, json={"message": "slow down"})


@pytest.mark.fault("B2")
@pytest.mark.parametrize("retry_after", [None, "60", "120", "600", "3600"])
@pytest.mark.parametrize(("count", "rejected"), [(2, 1), (7, 1), (40, 1), (40, 4), (200, 29)])
def test_poller_with_path_responding_429_delays_only_its_waits(monkeypatch, retry_after, count, rejected):
    deployment = Misbehaving(*many(count, 100, 400))
    deployment.answers = {f"a{number}": throttled(retry_after) for number in range(rejected)}
    deployment.faults = [(0.0, SECONDS_PER_HOUR, "search 500")]
    waiting = wait_for_healthy(deployment, monkeypatch)
    assert p95(waiting.lateness()) <= 1.5 * INTERVAL
    assert deployment.count("a0") <= 900 / min(600, int(retry_after or 60)) + 8


@pytest.mark.fault("B2")
def test_poller_with_single_429_delays_only_its_wait(monkeypatch):
    deployment = Misbehaving(*many(7, 100, 400))
    deployment.brief_answers = {"a0": [(50.0, throttled("600"))]}
    waiting = wait_for_healthy(deployment, monkeypatch)
    late = {asset_id: at - deployment.assets[asset_id].ends_at for asset_id, at in waiting.noticed.items()}
    assert late.pop("a0") > 1.5 * INTERVAL
    assert max(late.values()) <= 1.5 * INTERVAL


@pytest.mark.fault("B2")
@pytest.mark.parametrize("retry_after", ["30", "600"])
@pytest.mark.parametrize("count", [7, 200])
def test_poller_with_all_rejected_probes_once_per_retry_after(monkeypatch, retry_after, count):
    deployment = Misbehaving(*many(count, 2000, 2100))
    deployment.faults = [(50.0, 1850.0, "429")]
    deployment.retry_after = retry_after
    waiting = Waiting(deployment, interval=INTERVAL)
    run(waiting.all(), monkeypatch)
    assert len(waiting.noticed) == count
    assert deployment.rejected <= 2 * 1800 / int(retry_after) + 8  # reads and searches


@pytest.mark.long
@pytest.mark.fault("B3")
@pytest.mark.parametrize("hanging", [8, 40])
@pytest.mark.parametrize("status", [502, None])
def test_poller_with_failed_read_beside_hanging_reads_is_in_time(monkeypatch, hanging, status):
    deployment = Misbehaving(*many(hanging + 60, 100, 400))
    ids = list(deployment.assets)
    deployment.answers = dict.fromkeys(ids[:hanging])
    answer = httpx.Response(status, html=PAGE) if status else None
    for number, asset_id in enumerate(ids[hanging::3]):
        deployment.brief_answers[asset_id] = [(80.0 + number, answer)]
    deployment.faults = [(0.0, SECONDS_PER_HOUR, "search 500")]
    waiting = wait_for_healthy(deployment, monkeypatch)
    late = {asset_id: at - deployment.assets[asset_id].ends_at for asset_id, at in waiting.noticed.items()}
    assert p95([late[asset_id] for asset_id in deployment.brief_answers]) <= 1.5 * INTERVAL
    assert p95([late[asset_id] for asset_id in late.keys() - deployment.brief_answers]) <= 1.5 * INTERVAL


@pytest.mark.fault("B3")
def test_poller_with_failing_neighbors_beside_hanging_reads_is_in_time(monkeypatch):
    deployment = Misbehaving(*many(60, 100, 400))
    deployment.answers = {f"a{number}": None for number in range(8)}
    for number in range(8, 28):
        answer = httpx.Response(502, html=PAGE)
        deployment.brief_answers[f"a{number}"] = [(at, answer) for at in range(65, 400, 30)]
    deployment.faults = [(0.0, SECONDS_PER_HOUR, "search 500")]
    waiting = wait_for_healthy(deployment, monkeypatch)
    assert p95(waiting.lateness()) <= 1.5 * INTERVAL


@pytest.mark.fault("B3")
def test_poller_with_slowly_failing_reads_delays_no_other(monkeypatch):
    deployment = Misbehaving(*many(100, 100, 400))
    slow = [f"a{number}" for number in range(40)]
    apply_faults = deployment._apply_faults

    async def fail_slowly(request: httpx.Request, target: str) -> httpx.Response | None:
        if target not in slow:
            return await apply_faults(request, target)
        await asyncio.sleep(4)
        return httpx.Response(504, html=PAGE)

    monkeypatch.setattr(deployment, "_apply_faults", fail_slowly)
    deployment.answers = dict.fromkeys(slow)
    deployment.faults = [(0.0, SECONDS_PER_HOUR, "search 500")]
    waiting = wait_for_healthy(deployment, monkeypatch)
    assert p95(waiting.lateness()) <= 1.5 * INTERVAL


@pytest.mark.long
@pytest.mark.fault("B3")
@pytest.mark.parametrize("searches", ["work", "fail"])
def test_poller_with_hanging_reads_delays_no_other(monkeypatch, searches):
    deployment = Misbehaving(*many(208, 100, 400))
    deployment.answers = {f"a{number}": None for number in range(8)}
    for number in range(8):  # a search must not show them
        deployment.assets[f"a{number}"].is_indexed = False
    deployment.faults = [(0.0, SECONDS_PER_HOUR, "search 500")] if searches == "fail" else []
    waiting = wait_for_healthy(deployment, monkeypatch)
    assert p95(waiting.lateness()) <= 1.5 * INTERVAL


@pytest.mark.long
@pytest.mark.fault("B3")
def test_poller_with_immediately_failing_reads_delays_no_other(monkeypatch):
    deployment = Misbehaving(*many(50, 100, 400))
    for number in range(20):
        deployment.answers[f"a{number}"] = httpx.Response(500, json={"message": "broken"})
        deployment.assets[f"a{number}"].is_indexed = False
    waiting = wait_for_healthy(deployment, monkeypatch)
    assert p95(waiting.lateness()) <= 1.5 * INTERVAL


PROXY = {
    "408": httpx.Response(408, html=PAGE),
    "425": httpx.Response(425, html=PAGE),
    "302": httpx.Response(302, headers={"Location": "https://login.test"}, html=PAGE),
    "403": httpx.Response(403, html=PAGE),
    "404": httpx.Response(404, html=PAGE),
}


@pytest.mark.fault("B4")
@pytest.mark.parametrize("count", [1, 200])
@pytest.mark.parametrize("status", PROXY)
def test_poller_with_proxy_response_ends_no_wait(monkeypatch, status, count):
    deployment = Misbehaving(*many(count, 60, 100))
    waiting = Waiting(deployment, interval=INTERVAL)

    async def scene() -> None:
        waits = asyncio.create_task(waiting.all())
        await asyncio.sleep(30)
        deployment.answers = dict.fromkeys([*deployment.assets, "search"], PROXY[status])
        await asyncio.sleep(6 if count == 1 else 2)
        deployment.answers = {}
        await waits

    run(scene(), monkeypatch)
    assert not waiting.errors
    assert p95(waiting.lateness()) <= 1.5 * INTERVAL


@pytest.mark.fault("B8")
@pytest.mark.parametrize("count", [500, 4000])
def test_poller_with_many_waits_for_one_target_does_constant_work_each(monkeypatch, count):
    deployment = FakeDeployment(FakeAsset("a", 2.0))
    call_count = 0

    class Counting(DataAssetWait):
        def poll_delay(self, *args, **kwargs) -> float:
            nonlocal call_count
            call_count += 1
            return super().poll_delay(*args, **kwargs)

    waits = [Counting("a", poll_interval=INTERVAL, deadline=None) for _ in range(count)]

    async def scene() -> None:
        await asyncio.gather(
            *(wait_on_shared_poller(wait, connect=deployment.connect, name="co") for wait in waits)
        )

    run(scene(), monkeypatch)
    assert len(deployment.requests) < 10
    assert call_count <= 10 * count  # once on joining, and once per poll


@pytest.mark.parametrize("interval", [2.0, 10.0, 60.0, 300.0])
@pytest.mark.parametrize("duration", [3.0, 45.0, 700.0, 10_000.0])
@pytest.mark.parametrize("kinds", ["a", "c", "aaa", "aca"])
def test_poller_with_up_to_three_waits_costs_at_most_six_extra_requests(
    monkeypatch, interval, duration, kinds
):
    end = {"state": "completed", "end_status": "succeeded"}
    assets = [
        FakeAsset(f"{kind}{number}", duration, end if kind == "c" else {"state": "ready"})
        for number, kind in enumerate(kinds)
    ]
    deployment = FakeDeployment(*assets)

    async def scene() -> None:
        waits = [
            (ComputationWait if asset.id[0] == "c" else DataAssetWait)(
                asset.id, poll_interval=interval, deadline=None
            )
            for asset in assets
        ]
        await asyncio.gather(
            *(wait_on_shared_poller(wait, connect=deployment.connect, name="co") for wait in waits)
        )

    run(scene(), monkeypatch)
    # A provider with a fixed interval polls at once, and then at its interval until the end.
    peer = len(kinds) * (2 + duration // interval)
    assert len(deployment.requests) <= peer + 6


@pytest.mark.long
def test_poller_with_ten_thousand_waits_shares_searches(monkeypatch):
    assets = [FakeAsset(f"a{number}", SECONDS_PER_HOUR, created_at=-600.0) for number in range(10_000)]
    deployment = FakeDeployment(*assets)

    async def scene() -> None:
        async def one(asset: FakeAsset) -> None:
            wait = DataAssetWait(asset.id, poll_interval=60.0, deadline=time.time() + 600)
            try:
                await wait_on_shared_poller(wait, connect=deployment.connect, name="co")
            except Exception:  # noqa: BLE001 - its deadline passes
                return

        await asyncio.gather(*map(one, assets))

    run(scene(), monkeypatch)
    steady = [target for at, target in deployment.requests if 300 < at < 540]
    # A page holds a thousand; reads verify the searches twice a second, ten times at first.
    assert steady.count("search") <= 240 / 60 * 10 * 3
    assert len(steady) - steady.count("search") <= 240 * 2.2


@pytest.mark.fault("B3")
def test_poller_with_slow_searches_reads_hanging_target_with_short_timeout(monkeypatch):
    deployment = Misbehaving(FakeAsset("a", 600.0))
    deployment.brief_answers = {"a": [(500.0, None)]}

    async def delay_searches(request: httpx.Request, target: str) -> httpx.Response | None:
        await asyncio.sleep(15 if target == "search" else 0)
        return await Misbehaving._apply_faults(deployment, request, target)

    monkeypatch.setattr(deployment, "_apply_faults", delay_searches)
    waiting = Waiting(deployment, interval=INTERVAL)
    connect = {"connect": deployment.connect, "name": "co"}
    watches = [DataAssetsWatch({"query": f"tag:{number}"}, poll_interval=INTERVAL) for number in range(8)]

    async def scene() -> None:
        tasks = [asyncio.create_task(wait_on_shared_poller(watch, **connect)) for watch in watches]
        await waiting.all()
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)

    run(scene(), monkeypatch)
    hung_at, repeated_at = [at for at, target in deployment.requests if target == "a" and at >= 500.0][:2]
    assert repeated_at - hung_at <= 2 * INTERVAL
