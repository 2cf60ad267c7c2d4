"""What a page of 1,000 data assets costs an event loop: ``python -m tests.benchmarks.search_page``.

Decoded as the poller does, as the whole model, and as the SDK does; and the poller's work on it, where all
1,000 are waited for.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import time
from typing import TYPE_CHECKING

from codeocean.data_asset import DataAssetSearchResults

from airflow_provider_codeocean.api.endpoints.data_assets import DataAssets
from airflow_provider_codeocean.api.models.data_asset_params import DataAssetSearchParams
from airflow_provider_codeocean.api.models.data_asset_summary import DataAssetSummaryPage
from airflow_provider_codeocean.polling.poller import Poller
from airflow_provider_codeocean.polling.waits import DataAssetWait, TargetKind
from tests.benchmarks.waits.server import Server

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_codeocean.api.client import CodeOceanAsyncClient


def median_milliseconds(action: Callable[[], object], rounds: int = 20) -> float:
    """Return the median time that something takes."""
    taken = []
    for _ in range(rounds):
        begin = time.perf_counter()
        action()
        taken.append(time.perf_counter() - begin)
    return statistics.median(taken) * 1000


async def measure_poller(content: bytes) -> float:
    """Return how long the poller is at one page, decoded."""

    async def never(_client) -> CodeOceanAsyncClient:
        await asyncio.Event().wait()
        raise AssertionError("unreachable")

    poller = Poller(never, name="benchmark")
    glances = DataAssetSummaryPage.from_bytes(content).results
    waits = [
        asyncio.create_task(poller.wait(DataAssetWait(glance.id, poll_interval=5.0, deadline=None)))
        for glance in glances
    ]
    await asyncio.sleep(0)

    def work() -> None:
        for glance in glances:
            watched = poller._registry.by_id[TargetKind.DATA_ASSET][glance.id]
            poller._bulk_reader._apply(watched, glance, poller._now(), 0.9)

    taken = median_milliseconds(work)
    for wait in waits:
        wait.cancel()
    await asyncio.gather(*waits, return_exceptions=True)
    return taken


def main() -> None:
    """Measure, and print."""
    server = Server(0)
    server.respond("POST", "/bench/assets", b'{"count": 1000, "seed": 1, "first": 5, "last": 35}')
    _, content, _ = server.respond("POST", "/api/v1/data_assets/search", b'{"limit": 1000}')
    whole = DataAssets.search.build_request(DataAssets.path_prefix, DataAssetSearchParams())
    print(f"a page of 1,000 data assets, {len(content) / 1e6:.2f} MB, median ms:")
    print(
        "  decoded for the poller    "
        f"{median_milliseconds(lambda: DataAssetSummaryPage.from_bytes(content)):7.2f}"
    )
    print(f"  taken by the poller       {asyncio.run(measure_poller(content)):7.2f}")
    print(f"  decoded as whole models   {median_milliseconds(lambda: whole.parse_json(content), 5):7.2f}")
    sdk = median_milliseconds(lambda: DataAssetSearchResults.from_dict(json.loads(content)), 3)
    print(f"  decoded by the SDK        {sdk:7.2f}")


if __name__ == "__main__":
    main()
