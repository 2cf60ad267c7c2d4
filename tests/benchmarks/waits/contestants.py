"""The ways to wait. Each has a process of its own."""

from __future__ import annotations

import asyncio
import json
import os
import threading
import time
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from codeocean.data_asset import DataAsset

    #: Takes the id of what was noticed, and an error where the wait failed.
    Notice = Callable[[str, str | None], None]
    #: Waits for all these ids.
    Run = Callable[[list[str], Notice], list[float]]

TOKEN = "cop_benchmark"
#: Seconds between two looks, and for all waits together.
POLL_INTERVAL_SECONDS, TIMEOUT_SECONDS = 5.0, 180.0
_LOOP_PROBE_SECONDS = 0.1


def provider_trigger(url: str) -> Run:
    """Return this provider's trigger."""
    extra = {"verify": os.environ.get("SSL_CERT_FILE", "true")}
    os.environ["AIRFLOW_CONN_CODEOCEAN_DEFAULT"] = json.dumps(
        {"conn_type": "codeocean", "host": url, "password": TOKEN, "extra": extra}
    )
    from airflow_provider_codeocean.triggers.data_asset import CodeOceanDataAssetTrigger

    return _run_triggers(
        lambda asset_id: CodeOceanDataAssetTrigger(asset_id, poll_interval=POLL_INTERVAL_SECONDS)
    )


def http_trigger(url: str) -> Run:
    """Return the trigger of apache-airflow-providers-http that polls and checks the answer."""
    os.environ["AIRFLOW_CONN_CODEOCEAN_HTTP"] = json.dumps(
        {"conn_type": "http", "host": url, "login": TOKEN, "password": ""}
    )
    from airflow.providers.http.triggers.http import HttpEventTrigger

    def make(asset_id: str) -> Any:
        return HttpEventTrigger(
            response_check_path="tests.benchmarks.waits.response_check.is_over",
            http_conn_id="codeocean_http",
            auth_type="aiohttp.BasicAuth",
            method="GET",
            endpoint=f"api/v1/data_assets/{asset_id}",
            poll_interval=POLL_INTERVAL_SECONDS,
        )

    return _run_triggers(make)


def client_per_trigger(url: str) -> Run:
    """Return a trigger as it is often written: its own httpx client, a GET, a sleep."""
    import httpx
    from airflow.triggers.base import BaseTrigger, TriggerEvent

    class Trigger(BaseTrigger):
        def __init__(self, asset_id: str) -> None:
            super().__init__()  # type: ignore[no-untyped-call]
            self.asset_id = asset_id

        def serialize(self) -> tuple[str, dict[str, Any]]:
            return "", {}

        async def run(self) -> Any:
            async with httpx.AsyncClient(base_url=f"{url}/api/v1/", auth=(TOKEN, "")) as client:
                while True:
                    answer = await client.get(f"data_assets/{self.asset_id}")
                    answer.raise_for_status()
                    if answer.json()["state"] in ("ready", "failed"):
                        yield TriggerEvent({"status": "success"})
                        return
                    await asyncio.sleep(POLL_INTERVAL_SECONDS)

    return _run_triggers(Trigger)


def sdk_threads(url: str) -> Run:
    """Return the official SDK's wait, in a thread for each data asset: in Airflow, a worker for each."""
    import airflow.sdk
    from codeocean import CodeOcean

    del airflow

    def run(ids: list[str], notice: Notice) -> list[float]:
        def wait(asset_id: str) -> None:
            asset = cast("DataAsset", type("_", (), {"id": asset_id}))
            try:
                CodeOcean(url, TOKEN).data_assets.wait_until_ready(
                    asset, polling_interval=POLL_INTERVAL_SECONDS
                )
            except Exception as error:  # noqa: BLE001 - it is counted
                notice(asset_id, type(error).__name__)
            else:
                notice(asset_id, None)

        threads = [threading.Thread(target=wait, args=(asset_id,), daemon=True) for asset_id in ids]
        until = time.monotonic() + TIMEOUT_SECONDS
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(max(0.0, until - time.monotonic()))
        return []

    return run


CONTESTANTS: dict[str, Callable[[str], Run]] = {
    "this provider": provider_trigger,
    "HttpTrigger": http_trigger,
    "a client per trigger": client_per_trigger,
    "SDK in threads": sdk_threads,
}


def _run_triggers(make: Callable[[str], Any]) -> Run:
    """Run triggers as a triggerer does: a task for each, in one event loop."""

    async def wait(trigger: Any, asset_id: str, notice: Notice) -> None:
        try:
            async for event in trigger.run():
                text = json.dumps(event.payload)
                well = '"success"' in text or "ready" in text
                notice(asset_id, None if well else text[:80])
                break
        except Exception as error:  # noqa: BLE001 - it is counted
            notice(asset_id, type(error).__name__)

    async def watch_the_loop(late: list[float]) -> None:
        while True:
            begin = time.monotonic()
            await asyncio.sleep(_LOOP_PROBE_SECONDS)
            late.append(time.monotonic() - begin - _LOOP_PROBE_SECONDS)

    async def all_of(waits: list[Coroutine[Any, Any, None]]) -> list[float]:
        late: list[float] = []
        watching = asyncio.create_task(watch_the_loop(late))
        tasks = [asyncio.create_task(each) for each in waits]
        _, left = await asyncio.wait(tasks, timeout=TIMEOUT_SECONDS)
        for task in [*left, watching]:
            task.cancel()
        await asyncio.gather(*left, watching, return_exceptions=True)
        return late

    def run(ids: list[str], notice: Notice) -> list[float]:
        return asyncio.run(all_of([wait(make(asset_id), asset_id, notice) for asset_id in ids]))

    return run
