"""Many waits on one deployment, in virtual time."""

from __future__ import annotations

import asyncio
import gc
import logging
import random
import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_codeocean.api._http.library import httpx
from airflow_provider_codeocean.api.errors import (
    CodeOceanError,
    ComputationFailed,
    DataAssetFailed,
    NotFound,
    TransferFailed,
    Unauthorized,
    WaitTimeout,
)
from airflow_provider_codeocean.polling import bulk_reader
from airflow_provider_codeocean.polling import poller as polling
from airflow_provider_codeocean.polling.poller import wait_on_shared_poller
from airflow_provider_codeocean.polling.single_reader import SingleReader
from airflow_provider_codeocean.polling.waits import ComputationWait, DataAssetWait, TransferWait
from tests.polling.fake_deployment import SECONDS_PER_HOUR, FakeAsset, FakeDeployment
from tests.polling.virtual_time import run
from tests.sampling import examples

pytestmark = pytest.mark.timeout(600)  # the longest takes half a minute on an idle machine

INTERVAL = 10.0


class Waiting:
    """Waits for all assets of a deployment, and records when each wait ended."""

    def __init__(self, deployment: FakeDeployment, *, interval: float = INTERVAL, metrics=None) -> None:
        self.deployment = deployment
        self.metrics = metrics
        self.interval = interval
        self.noticed: dict[str, float] = {}
        self.errors: dict[str, Exception] = {}
        self.failed_at: dict[str, float] = {}

    async def wait(self, asset_id: str, *, seconds: float | None = None, wait=None) -> None:
        loop = asyncio.get_running_loop()
        wait = wait or DataAssetWait(
            asset_id,
            poll_interval=self.interval,
            deadline=None if seconds is None else time.time() + seconds,
        )
        try:
            await wait_on_shared_poller(
                wait, connect=self.deployment.connect, name="co", stats_logger=self.metrics
            )
        except Exception as error:  # noqa: BLE001 - tests check it
            self.errors[asset_id] = error
            self.failed_at[asset_id] = loop.time()
        else:
            self.noticed[asset_id] = loop.time()

    async def all(self) -> None:
        await asyncio.gather(*map(self.wait, self.deployment.assets))

    def lateness(self) -> list[float]:
        assets = self.deployment.assets
        return sorted(at - assets[asset_id].ends_at for asset_id, at in self.noticed.items())


def many(count: int, begin: float = 5.0, until: float = 35.0, **fields) -> list[FakeAsset]:
    chance = random.Random(count)
    return [FakeAsset(f"a{number}", chance.uniform(begin, until), **fields) for number in range(count)]


def wait_for(*assets: FakeAsset, monkeypatch, interval: float = INTERVAL, **settings) -> Waiting:
    deployment = FakeDeployment(*assets)
    for name, value in settings.items():
        setattr(deployment, name, value)
    waiting = Waiting(deployment, interval=interval)
    run(waiting.all(), monkeypatch)
    assert not any(polling._pollers.values())
    assert all(client._http.is_closed for client in deployment.clients)
    return waiting


def test_poller_with_few_waits_reads_each(monkeypatch):
    waiting = wait_for(*many(5), monkeypatch=monkeypatch)
    assert len(waiting.noticed) == 5
    assert waiting.deployment.search_count == 0
    assert max(waiting.lateness()) < INTERVAL + 0.1


def test_poller_with_1000_waits_searches(monkeypatch):
    waiting = wait_for(*many(1000), monkeypatch=monkeypatch)
    assert len(waiting.noticed) == 1000
    assert waiting.deployment.search_count < 40
    assert waiting.deployment.read_count < 150
    assert max(waiting.lateness()) < 0.1 * 35 + 2
    assert len(waiting.deployment.clients) == 1


def test_poller_with_full_reads_returns_read_result(monkeypatch):
    deployment = FakeDeployment(*many(200, 65, 95))
    waiting = Waiting(deployment)

    async def scene() -> list[DataAssetWait]:
        waits = [
            DataAssetWait(asset_id, poll_interval=INTERVAL, deadline=None) for asset_id in deployment.assets
        ]
        for wait in waits[::2]:
            wait.needs_full_read = True
        await asyncio.sleep(60)  # young waits poll more often
        await asyncio.gather(*(waiting.wait(wait.id, wait=wait) for wait in waits))
        return waits

    waits = run(scene(), monkeypatch)
    assert len(waiting.noticed) == 200
    assert [(wait.result.id, wait.result.state) for wait in waits[::2]] == [
        (wait.id, "ready") for wait in waits[::2]
    ]
    assert deployment.search_count > 0
    assert deployment.read_count < 100 + 0.2 * 200  # one per wait, and verification of the searches
    assert max(waiting.lateness()) < INTERVAL


def test_poller_polls_young_waits_often_and_old_waits_rarely(monkeypatch):
    young = wait_for(FakeAsset("a", 3.0), monkeypatch=monkeypatch, interval=60)
    assert max(young.lateness()) < 0.8 * 3 + 0.1  # six additional polls
    old = wait_for(FakeAsset("a", 6 * SECONDS_PER_HOUR), monkeypatch=monkeypatch, interval=60)
    assert max(old.lateness()) < 61
    assert len(old.deployment.requests) < 500


@pytest.mark.long
def test_poller_with_waits_starting_one_by_one_shares_searches(monkeypatch):
    assets = [FakeAsset(f"a{number}", SECONDS_PER_HOUR, created_at=-600.0) for number in range(1000)]
    deployment = FakeDeployment(*assets)
    waiting = Waiting(deployment)

    async def scene() -> None:
        waits = []
        for asset in assets:
            waits.append(asyncio.create_task(waiting.wait(asset.id)))
            await asyncio.sleep(0.5)
        await asyncio.gather(*waits)

    run(scene(), monkeypatch)
    assert len(waiting.noticed) == 1000
    settled = [target for at, target in deployment.requests if 600 < at < 3600]
    assert settled.count("search") > 250
    assert len(settled) < 3000 / INTERVAL * 1.2 + 3000 * 2.2  # shared searches, and their verification


def test_poller_with_unrelated_data_assets_stays_cheap(monkeypatch):
    others = [FakeAsset(f"other{number}", 0.0, created_at=-number / 10) for number in range(5000)]
    ours = [FakeAsset(f"a{number}", 30.0, created_at=-number / 2) for number in range(500)]
    deployment = FakeDeployment(*others, *ours)
    waiting = Waiting(deployment)
    run(_gather(waiting.wait(asset.id) for asset in ours), monkeypatch)
    assert len(waiting.noticed) == 500
    assert len(deployment.requests) < 500


async def _gather(coroutines) -> None:
    await asyncio.gather(*coroutines)


INDEXES = {
    "lags behind": {"search_lag": 30.0},
    "stands still from the start": {"index_frozen_at": 0.0},
    "stands still later": {"index_frozen_at": 40.0},
    "is down": {"faults": [(0.0, SECONDS_PER_HOUR, "search 500")]},
    "is forbidden": {"faults": [(0.0, SECONDS_PER_HOUR, "search 403")]},
    "hangs": {"faults": [(0.0, SECONDS_PER_HOUR, "search hang")]},
    "is a page to sign in at": {"faults": [(0.0, SECONDS_PER_HOUR, "search html")]},
}


@pytest.mark.long
@pytest.mark.parametrize("index", INDEXES)
def test_poller_with_unusable_search_delays_by_few_intervals(monkeypatch, index):
    waiting = wait_for(*many(300, 5, 200), monkeypatch=monkeypatch, **INDEXES[index])
    assert len(waiting.noticed) == 300
    assert max(waiting.lateness()) < 4 * INTERVAL


@pytest.mark.parametrize("flaw", ["is_indexed", "is_updated_in_index"])
def test_poller_with_incomplete_search_notices_all(monkeypatch, flaw):
    assets = many(300, 5, 200)
    for asset in assets[::20]:
        setattr(asset, flaw, False)
    waiting = wait_for(*assets, monkeypatch=monkeypatch)
    assert len(waiting.noticed) == 300
    assert max(waiting.lateness()) < 5 * INTERVAL


def test_poller_after_outage_resumes_polling(monkeypatch):
    outage = (20.0, 620.0, "outage")
    waiting = wait_for(*many(1000, 5, 900), monkeypatch=monkeypatch, faults=[outage])
    assert len(waiting.noticed) == 1000
    assets = waiting.deployment.assets
    assert all(at < max(assets[asset_id].ends_at, 620) + 45 for asset_id, at in waiting.noticed.items())
    during = [at for at, _ in waiting.deployment.requests if 20 < at < 620]
    assert len(during) < 60
    afterwards = [at for at, _ in waiting.deployment.requests if at > 620]
    assert len(afterwards) < 2000  # searches are used as before


def test_poller_with_rejected_requests_slows_down_and_recovers(monkeypatch):
    waiting = wait_for(
        *many(200, 5, 60),
        monkeypatch=monkeypatch,
        requests_per_second=20,
        faults=[(0.0, SECONDS_PER_HOUR, "search 403")],
    )
    assert len(waiting.noticed) == 200
    assert waiting.deployment.rejected < 0.1 * len(waiting.deployment.requests)
    last = max(at for at, _ in waiting.deployment.requests)
    assert len(waiting.deployment.requests) > 0.3 * 20 * last


@pytest.mark.parametrize(("kind", "until", "probes"), [("429", 40.0, 3), ("503", 11.5, 0)])
def test_poller_with_retry_after_pauses(monkeypatch, kind, until, probes):
    deployment = FakeDeployment(*many(200, 100, 200))
    deployment.faults = [(10.0, until, kind)]
    deployment.retry_after = "30"
    waiting = Waiting(deployment)
    run(waiting.all(), monkeypatch)
    assert len(waiting.noticed) == 200
    first = min(at for at, _ in deployment.requests if at > 10)
    # The probes show whether a 429 is the limit of one path or of the client.
    assert len([at for at, _ in deployment.requests if first + 1 < at < first + 30]) <= probes


def test_poller_limits_concurrent_requests(monkeypatch):
    waiting = wait_for(
        *many(500),
        monkeypatch=monkeypatch,
        latency=2.0,
        faults=[(0.0, SECONDS_PER_HOUR, "search 403")],
    )
    assert len(waiting.noticed) == 500
    assert waiting.deployment.max_in_flight <= 9  # eight reads and a search


def test_poller_with_one_failed_wait_continues_others(monkeypatch):
    deployment = FakeDeployment(
        FakeAsset("a", 20.0), FakeAsset("b", 20.0, {"state": "failed", "failure_reason": "r"})
    )
    waiting = Waiting(deployment)

    async def scene() -> None:
        cancelled = asyncio.create_task(waiting.wait("a"))
        others = _gather(
            [waiting.wait("a"), waiting.wait("b"), waiting.wait("none"), waiting.wait("a", seconds=5)]
        )
        rest = asyncio.create_task(others)
        await asyncio.sleep(3)
        cancelled.cancel()
        await rest

    run(scene(), monkeypatch)
    assert isinstance(waiting.errors["none"], NotFound)
    assert isinstance(waiting.errors["b"], DataAssetFailed)
    assert isinstance(waiting.errors["a"], WaitTimeout)
    assert "last state was draft" in str(waiting.errors["a"])
    assert set(waiting.noticed) == {"a"}


def test_poller_with_job_not_visible_yet_polls_it_at_intervals(monkeypatch):
    deployment = FakeDeployment(FakeAsset("a", 0.0))
    respond = deployment._read
    deployment._read = lambda asset_id: respond(
        asset_id if asyncio.get_running_loop().time() > 60 else "none"
    )
    waiting = Waiting(deployment)

    async def scene() -> None:
        wait = DataAssetWait("a", poll_interval=INTERVAL, deadline=None, submitted_at=time.time())
        await waiting.wait("a", wait=wait)

    run(scene(), monkeypatch)
    assert set(waiting.noticed) == {"a"}
    assert max(waiting.lateness()) <= 60 + INTERVAL + 1
    assert deployment.count("a") < 20


def test_poller_with_failure_in_search_reads_reason(monkeypatch):
    waiting = wait_for(
        *many(100, final_fields={"state": "failed", "failure_reason": "no such bucket"}),
        monkeypatch=monkeypatch,
    )
    assert len(waiting.errors) == 100
    assert all("no such bucket" in str(error) for error in waiting.errors.values())
    assert waiting.deployment.search_count
    assets = waiting.deployment.assets
    assert max(at - assets[asset_id].ends_at for asset_id, at in waiting.failed_at.items()) < 0.1 * 35 + 2


def test_poller_with_waits_for_same_target_shares_polls(monkeypatch):
    deployment = FakeDeployment(FakeAsset("a", 30.0))
    waiting = Waiting(deployment)
    alone = wait_for(FakeAsset("a", 30.0), monkeypatch=monkeypatch)
    run(_gather(waiting.wait("a") for _ in range(50)), monkeypatch)
    assert deployment.count("a") <= 1.5 * alone.deployment.count("a")


def test_poller_with_waits_joining_one_by_one_keeps_polling(monkeypatch):
    deployment = FakeDeployment(FakeAsset("a", 10.0))
    waiting = Waiting(deployment)

    async def scene() -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(100):
                group.create_task(waiting.wait("a"))
                await asyncio.sleep(0.2)

    run(scene(), monkeypatch)
    assert deployment.count("a") > 5
    assert not waiting.errors


@pytest.mark.parametrize("count", [3, 200])
def test_poller_with_expired_wait_polls_once(monkeypatch, count):
    deployment = FakeDeployment(
        *many(count, 0.0, 0.0), *(FakeAsset(f"late{n}", SECONDS_PER_HOUR) for n in range(count))
    )
    waiting = Waiting(deployment)
    run(_gather(waiting.wait(asset_id, seconds=-60) for asset_id in deployment.assets), monkeypatch)
    assert len(waiting.noticed) == len(waiting.errors) == count
    assert {type(error) for error in waiting.errors.values()} == {WaitTimeout}
    assert all("last state was draft" in str(error) for error in waiting.errors.values())
    assert len(deployment.requests) <= 2 * count
    assert max(waiting.failed_at.values()) < 5


def test_poller_with_expired_wait_in_outage_reports_error(monkeypatch):
    deployment = FakeDeployment(FakeAsset("a", SECONDS_PER_HOUR))
    deployment.faults = [(0, SECONDS_PER_HOUR, "outage")]
    waiting = Waiting(deployment)
    run(waiting.wait("a", seconds=-60), monkeypatch)
    assert re.search("unknown .*no route", str(waiting.errors["a"]))
    assert waiting.failed_at["a"] == pytest.approx(5, abs=0.5)


def test_poller_with_different_intervals_polls_each_at_its_own(monkeypatch):
    deployment = FakeDeployment(FakeAsset("quick", SECONDS_PER_HOUR), FakeAsset("slow", SECONDS_PER_HOUR))
    quick, slow = Waiting(deployment, interval=2), Waiting(deployment, interval=300)
    run(_gather([quick.wait("quick"), slow.wait("slow")]), monkeypatch)
    assert deployment.count("quick") > 1700
    assert deployment.count("slow") < 80


def test_poller_with_computations_and_transfers_notices_both(monkeypatch):
    succeeded = {"state": "completed", "end_status": "succeeded"}
    moved = {"state": "ready", "last_transferred": 1_800_000_020}
    deployment = FakeDeployment(
        FakeAsset("well", 20.0, succeeded),
        FakeAsset("badly", 20.0, {"state": "completed", "end_status": "failed", "exit_code": 2}),
        FakeAsset("moved", 20.0, moved),
        FakeAsset("stuck", 20.0, {"state": "ready", "transfer_error": "no such bucket"}),
    )
    waiting = Waiting(deployment)
    before = {"last_transferred": 1_700_000_000.0}

    async def scene() -> None:
        limits = {"poll_interval": INTERVAL, "deadline": None}
        await asyncio.gather(
            waiting.wait("well", wait=ComputationWait("well", **limits)),
            waiting.wait("badly", wait=ComputationWait("badly", **limits)),
            waiting.wait("moved", wait=TransferWait("moved", **before, **limits)),
            waiting.wait("stuck", wait=TransferWait("stuck", **before, **limits)),
        )

    run(scene(), monkeypatch)
    assert set(waiting.noticed) == {"well", "moved"}
    assert isinstance(waiting.errors["badly"], ComputationFailed)
    assert "exit code 2" in str(waiting.errors["badly"])
    assert isinstance(waiting.errors["stuck"], TransferFailed)
    assert "no such bucket" in str(waiting.errors["stuck"])


@pytest.mark.parametrize("count", [2, 500])
@pytest.mark.parametrize("late", [0, 5, 300])
def test_poller_with_replaced_token_continues(monkeypatch, caplog, count, late):
    deployment = FakeDeployment(*many(count, 500, 600))
    waiting = Waiting(deployment)
    searches = []

    async def scene() -> None:
        waits = asyncio.create_task(waiting.all())
        await asyncio.sleep(50)
        deployment.token = "new"
        await asyncio.sleep(late)
        deployment.connection_token = "new"
        await asyncio.sleep(60)
        searches.append(deployment.search_count)
        await waits

    run(scene(), monkeypatch)
    assert not waiting.errors
    assert len(waiting.noticed) == count
    assert max(waiting.lateness()) < INTERVAL + 1
    assert len(deployment.clients) == 2
    refused = [at for at, _ in deployment.requests if 50 <= at < 50 + late]
    assert len(refused) <= 10 + late / 5 * min(count, 3)
    assert len([at for at in deployment.connection_reads if 50 <= at < 50 + late + 60]) <= 3 + late / 5
    assert not [line for line in caplog.messages if "token" in line.replace("access token", "")]
    assert deployment.search_count > searches[0] or count < 100
    if late > 60:
        assert "Code Ocean refuses the access token of connection co" in caplog.text
        assert "accepts the access token again" in caplog.text


@pytest.mark.parametrize("count", [2, 500])
def test_poller_with_refused_token_fails_all_waits_after_grace_period(monkeypatch, count):
    deployment = FakeDeployment(*many(count, SECONDS_PER_HOUR, 2 * SECONDS_PER_HOUR))
    deployment.connection_token = "wrong"
    waiting = Waiting(deployment)
    run(waiting.all(), monkeypatch)
    assert {type(error) for error in waiting.errors.values()} == {Unauthorized}
    assert len(waiting.errors) == count
    assert min(waiting.failed_at.values()) >= 600
    assert max(waiting.failed_at.values()) < 600 + 60
    assert all(
        "The access token of connection co has been refused" in str(e) for e in waiting.errors.values()
    )


def test_poller_with_refused_token_times_out_at_deadline(monkeypatch):
    deployment = FakeDeployment(*many(50, SECONDS_PER_HOUR, 2 * SECONDS_PER_HOUR))
    deployment.connection_token = "wrong"
    waiting = Waiting(deployment)
    run(_gather(waiting.wait(asset_id, seconds=100) for asset_id in deployment.assets), monkeypatch)
    assert {type(error) for error in waiting.errors.values()} == {WaitTimeout}
    assert all("answered 401" in str(error) for error in waiting.errors.values())
    assert max(waiting.failed_at.values()) < 101


def before_it_connects(deployment, times, happens):
    """Call a function before the connection is read, the first few times."""
    right, calls = deployment.connect, []

    async def connect(current):
        calls.append(1)
        if len(calls) <= times:
            await happens()
        return await right(current)

    deployment.connect = connect


def test_poller_with_connection_unavailable_at_first_continues(monkeypatch):
    deployment = FakeDeployment(*many(3))
    waiting = Waiting(deployment)

    async def fails():
        raise OSError("the secrets backend is away")

    before_it_connects(deployment, 3, fails)
    run(waiting.all(), monkeypatch)
    assert len(waiting.noticed) == 3


def test_poller_with_hanging_connection_read_repeats_it(monkeypatch):
    deployment = FakeDeployment(*many(3))
    waiting = Waiting(deployment)
    before_it_connects(deployment, 1, lambda: asyncio.Event().wait())

    async def scene():
        await waiting.wait("a0", seconds=70)
        await waiting.all()

    run(scene(), monkeypatch)
    assert len(waiting.noticed) == 3
    assert waiting.errors == {}


def test_poller_with_invalid_connection_fails_all_waits(monkeypatch):
    deployment = FakeDeployment(*many(3))
    waiting = Waiting(deployment)

    async def wrong(_):
        raise ValueError("no host")

    deployment.connect = wrong
    run(waiting.all(), monkeypatch)
    assert [str(error) for error in waiting.errors.values()] == ["no host"] * 3
    assert not any(polling._pollers.values())


@pytest.mark.parametrize("odd_id", [{"x": 1}, ["a0"], 7, None])
def test_poller_with_search_result_without_id_ignores_it(monkeypatch, caplog, odd_id):
    waiting = wait_for(*many(200), monkeypatch=monkeypatch, extra_results=[{"id": odd_id, "state": "ready"}])
    assert len(waiting.noticed) == 200
    assert waiting.deployment.search_count > 0
    assert "search failed" not in caplog.text


def test_poller_with_bug_in_search_logs_it_and_ends_no_wait(monkeypatch, caplog):
    planned = []

    def wrong(positions):
        planned.append(positions)
        raise KeyError("a mistake")

    monkeypatch.setattr(bulk_reader, "plan_search", wrong)
    waiting = wait_for(*many(50), monkeypatch=monkeypatch)
    assert len(waiting.noticed) == 50
    assert 1 < len(planned) < 5
    assert "search failed, reading data assets one by one for 5 s: 'a mistake'" in caplog.text
    assert "Traceback" in caplog.text


def test_poller_with_invalid_time_in_search_ends_no_wait(monkeypatch):
    odd = [{"id": "a0", "state": "draft", "created": 10**400}]
    waiting = wait_for(*many(200), monkeypatch=monkeypatch, extra_results=odd)
    assert len(waiting.noticed) == 200


def test_poller_with_bug_fails_all_waits(monkeypatch):
    def wrong(_):
        raise KeyError("a mistake")

    monkeypatch.setattr(SingleReader, "pick_for_verification", wrong)
    deployment = FakeDeployment(*many(3))
    waiting = Waiting(deployment)
    run(waiting.all(), monkeypatch)
    assert {type(error) for error in waiting.errors.values()} == {KeyError}
    assert all(client._http.is_closed for client in deployment.clients)


def test_poller_with_invalid_id_fails_that_wait_only(monkeypatch):
    waiting = Waiting(FakeDeployment(FakeAsset("a", 20.0)))
    run(_gather([waiting.wait(".."), waiting.wait("a")]), monkeypatch)
    assert isinstance(waiting.errors[".."], ValueError)
    assert set(waiting.noticed) == {"a"}


def test_poller_with_only_invalid_wait_leaks_nothing(monkeypatch):
    waiting = Waiting(FakeDeployment())

    async def scene() -> int:
        await waiting.wait("..")
        return len(asyncio.all_tasks())

    assert run(scene(), monkeypatch) == 1
    assert isinstance(waiting.errors[".."], ValueError)
    assert not any(polling._pollers.values())


def test_poller_with_wait_after_all_others_ended_restarts(monkeypatch):
    deployment = FakeDeployment(FakeAsset("a", 5.0), FakeAsset("b", 100.0))
    waiting = Waiting(deployment)

    async def scene() -> None:
        await waiting.wait("a")
        assert len(asyncio.all_tasks()) == 1
        await waiting.wait("b")
        assert len(asyncio.all_tasks()) == 1

    run(scene(), monkeypatch)
    assert set(waiting.noticed) == {"a", "b"}
    assert len(deployment.clients) == 2


def test_poller_logs_statistics_once_a_minute(monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    wait_for(*many(100, 100, 200), monkeypatch=monkeypatch)
    lines = [record.getMessage() for record in caplog.records if "waits; in the last" in record.getMessage()]
    assert 2 <= len(lines) <= 4
    assert lines[0].startswith("Code Ocean connection co: 100 waits; in the last 6")
    assert len(caplog.records) < 10


def test_poller_with_error_of_one_target_detects_no_outage(monkeypatch):
    deployment = FakeDeployment(*many(4, 100, 110))
    well = deployment._read
    deployment._read = lambda asset_id: httpx.Response(500) if asset_id == "a0" else well(asset_id)
    waiting = Waiting(deployment)
    run(_gather(waiting.wait(asset_id, seconds=300) for asset_id in deployment.assets), monkeypatch)
    assert set(waiting.noticed) == {"a1", "a2", "a3"}
    assert max(waiting.lateness()) <= INTERVAL + 1
    assert isinstance(waiting.errors["a0"], WaitTimeout)
    assert isinstance(waiting.errors["a0"], CodeOceanError)
    assert "500" in str(waiting.errors["a0"])


FAULTS = st.lists(
    st.tuples(
        st.floats(0, 300),
        st.floats(1, 200),
        st.sampled_from(["outage", "500", "502", "503", "429", "hang", "html"]),
        st.sampled_from(["", "search "]),
    ),
    max_size=4,
)


@pytest.mark.long
@settings(max_examples=examples(60), deadline=None, derandomize=True)
@given(
    count=st.sampled_from([1, 5, 30, 150]),
    faults=FAULTS,
    index=st.tuples(st.sampled_from([0.0, 5.0, 60.0]), st.sampled_from([0.0, 100.0, float("inf")])),
    limit=st.sampled_from([5.0, 50.0, float("inf")]),
    retry_after=st.sampled_from([None, "0", "7", "soon"]),
)
def test_poller_with_any_faults_notices_all(count, faults, index, limit, retry_after):
    deployment = FakeDeployment(*many(count, 1, 300))
    deployment.faults = [(begin, begin + length, prefix + kind) for begin, length, kind, prefix in faults]
    deployment.search_lag, deployment.index_frozen_at = index
    deployment.requests_per_second, deployment.retry_after = limit, retry_after
    waiting = Waiting(deployment)
    with pytest.MonkeyPatch.context() as monkeypatch:
        run(waiting.all(), monkeypatch)
    assert not waiting.errors
    assert len(waiting.noticed) == count
    well_again = max([300.0, *(end for _, end, _ in deployment.faults)])
    # Reading all targets once takes long if few requests are allowed.
    assert max(waiting.noticed.values()) < well_again + 90 + 5 * INTERVAL + 2 * count / min(limit, 50)


@pytest.mark.long
def test_poller_after_100_000_waits_leaks_nothing(monkeypatch):
    deployment = FakeDeployment(*many(2000, 0.5, 5))
    waiting = Waiting(deployment)

    async def scene() -> list[tuple[int, int]]:
        used = []
        for _ in range(50):
            now = asyncio.get_running_loop().time()
            for asset in deployment.assets.values():
                asset.created_at, asset.ends_at = now, now + 1 + hash(asset.id) % 3
            await waiting.all()
            deployment.requests.clear()
            deployment.clients.clear()
            gc.collect()
            used.append((len(gc.get_objects()), len(asyncio.all_tasks())))
        return used

    used = run(scene(), monkeypatch)
    assert not waiting.errors
    assert used[-1][0] < used[5][0] + 1000
    assert {tasks for _, tasks in used} == {1}


class Metrics:
    """Records the metrics, or fails."""

    def __init__(self, *, fails: bool = False) -> None:
        self.calls: list[tuple[str, object, dict[str, str]]] = []
        self.fails = fails

    def _record(self, stat, value=1, *, tags) -> None:
        if self.fails:
            raise OSError("no metrics today")
        self.calls.append((stat, value, tags))

    incr = gauge = timing = _record

    def of(self, stat: str) -> list[object]:
        return [value for name, value, _ in self.calls if name == stat]


def test_poller_reports_metrics(monkeypatch):
    deployment, metrics = FakeDeployment(*many(100)), Metrics()
    deployment.faults = [(10.0, 11.0, "429"), (13.0, 14.0, "500")]
    waiting = Waiting(deployment, metrics=metrics)
    run(waiting.all(), monkeypatch)
    assert len(metrics.of("codeocean.requests")) == len(deployment.requests)
    kinds = [tags["kind"] for stat, _, tags in metrics.calls if stat == "codeocean.requests"]
    assert (kinds.count("search"), kinds.count("read")) == (deployment.search_count, deployment.read_count)
    assert len(metrics.of("codeocean.throttled")) == deployment.rejected > 0
    assert metrics.of("codeocean.request_errors")
    assert metrics.of("codeocean.waits")[0] == 100
    latencies = [latency.total_seconds() for latency in metrics.of("codeocean.detection_latency")]
    assert len(latencies) == 100
    assert max(latencies) >= max(waiting.lateness()) - 1
    assert metrics.of("codeocean.poll_cycle_duration")
    assert {tags["connection"] for _, _, tags in metrics.calls} == {"co"}


def test_poller_with_failing_metrics_ends_no_wait(monkeypatch, caplog):
    waiting = Waiting(FakeDeployment(*many(20)), metrics=Metrics(fails=True))
    run(waiting.all(), monkeypatch)
    assert len(waiting.noticed) == 20
    assert len([line for line in caplog.messages if "sending no more" in line]) == 1


def test_poller_with_timeout_in_outage_reports_error(monkeypatch):
    deployment = FakeDeployment(*many(50, 500, 600))
    deployment.faults = [(20.0, SECONDS_PER_HOUR, "outage")]
    waiting = Waiting(deployment)
    run(_gather(waiting.wait(asset_id, seconds=300) for asset_id in deployment.assets), monkeypatch)
    assert len(waiting.errors) == 50
    assert all("draft (" in str(error) and "no route" in str(error) for error in waiting.errors.values())


@pytest.mark.long
def test_pollers_of_many_triggerers_spread_their_requests(monkeypatch):
    deployment = FakeDeployment(*(FakeAsset(f"a{number}", SECONDS_PER_HOUR) for number in range(50)))

    async def scene() -> None:
        waits = [
            wait_on_shared_poller(
                DataAssetWait(asset_id, poll_interval=60, deadline=None),
                connect=deployment.connect,
                name=f"triggerer {asset_id}",
            )
            for asset_id in deployment.assets
        ]
        await asyncio.gather(*waits)

    run(scene(), monkeypatch)
    late = [at for at, _ in deployment.requests if 2000 < at < 2060]
    busiest = max(sum(at <= other < at + 1 for other in late) for at in late)
    assert len(late) > 40
    assert busiest < 8
