"""A problem with one wait, or with searches, stays there: the other waits keep their interval."""

from __future__ import annotations

import asyncio
import time

import httpx
import pytest

from airflow_provider_codeocean.polling.poller import wait_together
from airflow_provider_codeocean.polling.waits import ComputationWait, DataAssetWait, SearchWait
from airflow_provider_codeocean.polling.watches import DataAssetsWatch
from tests.polling.deployment import HOUR, Asset, Deployment
from tests.polling.test_poller import Waiting, many
from tests.polling.virtual_time import run

INTERVAL = 5.0
PAGE = "<html><title>Sign in</title></html>"


class Misbehaving(Deployment):
    """A deployment in which some paths have a problem.

    :ivar answers: the response to a path, instead of the usual one; None hangs.
    :ivar brief_answers: responses to single requests for a path; each replaces the first one after a time.
    """

    def __init__(self, *assets: Asset) -> None:
        super().__init__(*assets)
        self.answers: dict[str, httpx.Response | None] = {}
        self.brief_answers: dict[str, list[tuple[float, httpx.Response | None]]] = {}

    async def _trouble(self, request: httpx.Request, what: str) -> httpx.Response | None:
        brief_answers = self.brief_answers.get(what)
        if brief_answers and brief_answers[0][0] <= asyncio.get_running_loop().time():
            answer = brief_answers.pop(0)[1]
        elif what in self.answers:
            answer = self.answers[what]
        else:
            return await super()._trouble(request, what)
        if answer is None:
            await asyncio.sleep(30)
            raise httpx.ReadTimeout("too slow", request=request)
        return answer


def p95(values: list[float]) -> float:
    return sorted(values)[int(0.95 * (len(values) - 1))]


def wait_for_healthy(deployment: Misbehaving, monkeypatch, *, seconds: float = 900.0) -> Waiting:
    """Wait for all; those whose path has a problem end at their deadline."""
    waiting = Waiting(deployment, interval=INTERVAL)
    healthy = [each for each in deployment.assets if each not in deployment.answers]

    async def scene() -> None:
        async with asyncio.TaskGroup() as group:
            for each in deployment.assets:
                group.create_task(waiting.wait(each, seconds=seconds))

    run(scene(), monkeypatch)
    assert waiting.noticed.keys() == set(healthy)
    return waiting


@pytest.mark.fault("B1")
@pytest.mark.parametrize("retry_after", [None, "60"])
def test_poller_searches_rejected_with_429_delay_no_wait(monkeypatch, retry_after):
    deployment = Misbehaving(*many(200, 100, 400))
    deployment.troubles = [(0.0, HOUR, "search 429")]
    deployment.retry_after = retry_after
    waiting = wait_for_healthy(deployment, monkeypatch)
    assert p95(waiting.lateness()) <= 1.5 * INTERVAL
    assert deployment.searches <= 20


@pytest.mark.fault("B1")
@pytest.mark.parametrize("retry_after", [None, "60", "3600"])
def test_poller_search_waits_rejected_with_429_delay_no_other(monkeypatch, retry_after):
    deployment = Misbehaving(*many(200, 100, 400))
    deployment.troubles = [(0.0, HOUR, "search 429")]
    deployment.retry_after = retry_after
    waiting = Waiting(deployment, interval=INTERVAL)
    connect = {"connect": deployment.connect, "name": "co"}
    searches = [DataAssetsWatch({"query": f"tag:{number}"}, poll_interval=60.0) for number in range(10)]
    searches += [
        SearchWait({"query": f"name:{number}"}, poll_interval=INTERVAL, deadline=None) for number in range(10)
    ]

    async def scene() -> None:
        tasks = [asyncio.create_task(wait_together(each, **connect)) for each in searches]
        await waiting.all()
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)

    run(scene(), monkeypatch)
    assert not waiting.errors
    assert p95(waiting.lateness()) <= 1.5 * INTERVAL
    assert deployment.searches <= 10 + 400 / 60 + 400 / min(600, float(retry_after or 60))


@pytest.mark.fault("B2")
@pytest.mark.parametrize("retry_after", ["60", "600"])
@pytest.mark.parametrize("count", [7, 200])
def test_poller_path_that_responds_503_delays_only_itself(monkeypatch, retry_after, count):
    deployment = Misbehaving(*many(count, 100, 400))
    for number in range(0, count, 7):
        deployment.answers[f"a{number}"] = httpx.Response(
            503, headers={"Retry-After": retry_after}, json={"message": "maintenance"}
        )
    deployment.troubles = [(0.0, HOUR, "search 500")]
    waiting = wait_for_healthy(deployment, monkeypatch)
    assert p95(waiting.lateness()) <= 1.5 * INTERVAL
    assert deployment.count("a0") <= 900 / int(retry_after) + 2


def throttled(retry_after: str | None) -> httpx.Response:
    headers = {} if retry_after is None else {"Retry-After": retry_after}
    return httpx.Response(429, headers=headers, json={"message": "slow down"})


@pytest.mark.fault("B2")
@pytest.mark.parametrize("retry_after", [None, "60", "120", "600", "3600"])
@pytest.mark.parametrize(("count", "rejected"), [(2, 1), (7, 1), (40, 1), (40, 4), (200, 29)])
def test_poller_path_that_responds_429_delays_only_itself(monkeypatch, retry_after, count, rejected):
    deployment = Misbehaving(*many(count, 100, 400))
    deployment.answers = {f"a{number}": throttled(retry_after) for number in range(rejected)}
    deployment.troubles = [(0.0, HOUR, "search 500")]
    waiting = wait_for_healthy(deployment, monkeypatch)
    assert p95(waiting.lateness()) <= 1.5 * INTERVAL
    assert deployment.count("a0") <= 900 / min(600, int(retry_after or 60)) + 8


@pytest.mark.fault("B2")
def test_poller_single_429_delays_only_its_wait(monkeypatch):
    deployment = Misbehaving(*many(7, 100, 400))
    deployment.brief_answers = {"a0": [(50.0, throttled("600"))]}
    waiting = wait_for_healthy(deployment, monkeypatch)
    late = {each: at - deployment.assets[each].ends_at for each, at in waiting.noticed.items()}
    assert late.pop("a0") > 1.5 * INTERVAL
    assert max(late.values()) <= 1.5 * INTERVAL


@pytest.mark.fault("B2")
@pytest.mark.parametrize("retry_after", ["30", "600"])
@pytest.mark.parametrize("count", [7, 200])
def test_poller_server_that_rejects_all_is_probed_once_per_retry_after(monkeypatch, retry_after, count):
    deployment = Misbehaving(*many(count, 2000, 2100))
    deployment.troubles = [(50.0, 1850.0, "429")]
    deployment.retry_after = retry_after
    waiting = Waiting(deployment, interval=INTERVAL)
    run(waiting.all(), monkeypatch)
    assert len(waiting.noticed) == count
    assert deployment.refused <= 2 * 1800 / int(retry_after) + 8  # reads and searches


@pytest.mark.fault("B3")
@pytest.mark.parametrize("hanging", [8, 40])
@pytest.mark.parametrize("status", [502, None])
def test_poller_read_that_fails_once_beside_reads_that_hang_is_noticed_in_time(monkeypatch, hanging, status):
    deployment = Misbehaving(*many(hanging + 60, 100, 400))
    ids = list(deployment.assets)
    deployment.answers = dict.fromkeys(ids[:hanging])
    answer = httpx.Response(status, html=PAGE) if status else None
    for number, each in enumerate(ids[hanging::3]):
        deployment.brief_answers[each] = [(80.0 + number, answer)]
    deployment.troubles = [(0.0, HOUR, "search 500")]
    waiting = wait_for_healthy(deployment, monkeypatch)
    late = {each: at - deployment.assets[each].ends_at for each, at in waiting.noticed.items()}
    assert p95([late[each] for each in deployment.brief_answers]) <= 1.5 * INTERVAL
    assert p95([late[each] for each in late.keys() - deployment.brief_answers]) <= 1.5 * INTERVAL


@pytest.mark.fault("B3")
def test_poller_neighbors_that_fail_together_beside_reads_that_hang_delay_no_wait(monkeypatch):
    deployment = Misbehaving(*many(60, 100, 400))
    deployment.answers = {f"a{number}": None for number in range(8)}
    for number in range(8, 28):
        answer = httpx.Response(502, html=PAGE)
        deployment.brief_answers[f"a{number}"] = [(at, answer) for at in range(65, 400, 30)]
    deployment.troubles = [(0.0, HOUR, "search 500")]
    waiting = wait_for_healthy(deployment, monkeypatch)
    assert p95(waiting.lateness()) <= 1.5 * INTERVAL


@pytest.mark.fault("B3")
def test_poller_reads_that_fail_slowly_delay_no_other(monkeypatch):
    deployment = Misbehaving(*many(100, 100, 400))
    slow = [f"a{number}" for number in range(40)]
    usual = deployment._trouble

    async def trouble(request: httpx.Request, what: str) -> httpx.Response | None:
        if what not in slow:
            return await usual(request, what)
        await asyncio.sleep(4)
        return httpx.Response(504, html=PAGE)

    monkeypatch.setattr(deployment, "_trouble", trouble)
    deployment.answers = dict.fromkeys(slow)
    deployment.troubles = [(0.0, HOUR, "search 500")]
    waiting = wait_for_healthy(deployment, monkeypatch)
    assert p95(waiting.lateness()) <= 1.5 * INTERVAL


@pytest.mark.fault("B3")
@pytest.mark.parametrize("searches", ["work", "fail"])
def test_poller_reads_that_hang_delay_no_other(monkeypatch, searches):
    deployment = Misbehaving(*many(208, 100, 400))
    deployment.answers = {f"a{number}": None for number in range(8)}
    for number in range(8):  # a search must not show them either
        deployment.assets[f"a{number}"].indexed = False
    deployment.troubles = [(0.0, HOUR, "search 500")] if searches == "fail" else []
    waiting = wait_for_healthy(deployment, monkeypatch)
    assert p95(waiting.lateness()) <= 1.5 * INTERVAL


@pytest.mark.fault("B3")
def test_poller_reads_that_fail_at_once_delay_no_other(monkeypatch):
    deployment = Misbehaving(*many(50, 100, 400))
    for number in range(20):
        deployment.answers[f"a{number}"] = httpx.Response(500, json={"message": "broken"})
        deployment.assets[f"a{number}"].indexed = False
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
def test_poller_response_of_a_proxy_ends_no_wait(monkeypatch, status, count):
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
def test_poller_many_waits_for_one_target_cost_constant_work_each(monkeypatch, count):
    deployment = Deployment(Asset("a", 2.0))
    asked = 0

    class Counting(DataAssetWait):
        def interval(self, *args, **kwargs) -> float:
            nonlocal asked
            asked += 1
            return super().interval(*args, **kwargs)

    waits = [Counting("a", poll_interval=INTERVAL, deadline=None) for _ in range(count)]

    async def scene() -> None:
        await asyncio.gather(*(wait_together(each, connect=deployment.connect, name="co") for each in waits))

    run(scene(), monkeypatch)
    assert len(deployment.requests) < 10
    assert asked <= 10 * count  # once on joining, and once a poll


@pytest.mark.parametrize("interval", [2.0, 10.0, 60.0, 300.0])
@pytest.mark.parametrize("duration", [3.0, 45.0, 700.0, 10_000.0])
@pytest.mark.parametrize("kinds", ["a", "c", "aaa", "aca"])
def test_poller_up_to_three_waits_cost_six_requests_more_than_a_fixed_interval(
    monkeypatch, interval, duration, kinds
):
    end = {"state": "completed", "end_status": "succeeded"}
    assets = [
        Asset(f"{kind}{number}", duration, end if kind == "c" else {"state": "ready"})
        for number, kind in enumerate(kinds)
    ]
    deployment = Deployment(*assets)

    async def scene() -> None:
        waits = [
            (ComputationWait if each.id[0] == "c" else DataAssetWait)(
                each.id, poll_interval=interval, deadline=None
            )
            for each in assets
        ]
        await asyncio.gather(*(wait_together(each, connect=deployment.connect, name="co") for each in waits))

    run(scene(), monkeypatch)
    # A peer polls at once, and then at its interval until it has seen the end.
    peer = len(kinds) * (2 + duration // interval)
    assert len(deployment.requests) <= peer + 6


def test_poller_ten_thousand_waits_in_steady_state_share_searches(monkeypatch):
    assets = [Asset(f"a{number}", HOUR, created_at=-600.0) for number in range(10_000)]
    deployment = Deployment(*assets)

    async def scene() -> None:
        async def one(asset: Asset) -> None:
            wait = DataAssetWait(asset.id, poll_interval=60.0, deadline=time.time() + 600)
            try:
                await wait_together(wait, connect=deployment.connect, name="co")
            except Exception:  # noqa: BLE001 - its deadline passes
                return

        await asyncio.gather(*map(one, assets))

    run(scene(), monkeypatch)
    steady = [what for at, what in deployment.requests if 300 < at < 540]
    # Each page holds a thousand; reads verify the searches twice a second, ten times at first.
    assert steady.count("search") <= 240 / 60 * 10 * 3
    assert len(steady) - steady.count("search") <= 240 * 2.2
