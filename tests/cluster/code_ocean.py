"""The Code Ocean of the run: an emulator in a process of its own that refuses and fails as servers do."""

from __future__ import annotations

import json
from collections import defaultdict
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from scripts.emulator_process import EmulatorProcess

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from airflow_provider_codeocean.api.models.data_asset import DataAsset

#: Seconds by which search lags behind writes.
SEARCH_LAG_SECONDS = 3.0
#: What becomes of requests, by probability; the first that applies is applied.
FAULTS: list[dict[str, Any]] = [
    # Made, and the answer lost: what makes naive clients capture twice.
    {"method": "POST", "path": "data_assets", "kind": "close_after", "probability": 0.03},
    {"method": "POST", "path": "data_assets", "kind": "half_body", "probability": 0.02},
    {"kind": "status", "status": 429, "retry_after": 1, "probability": 0.05},
    {"kind": "status", "status": 503, "retry_after": 1, "probability": 0.02},
    {"kind": "html", "status": 502, "probability": 0.02},
    {"kind": "status", "status": 500, "probability": 0.01},
    {"kind": "status", "status": 504, "probability": 0.01},
]


class EmulatedCodeOcean:
    """The emulator, and what is to be captured from it.

    :param emulator: the process.
    :param captures: how many computations to make.
    """

    def __init__(self, emulator: EmulatorProcess, captures: int) -> None:
        self._emulator = emulator
        made = emulator.call_api("POST", "/_emulator/computations", {"count": captures})
        self.computations: list[str] = [each["id"] for each in made["computations"]]

    @property
    def connection(self) -> dict[str, str]:
        """The Airflow connection."""
        return self._emulator.connection

    def get_stats(self) -> dict[str, Any]:
        """Return the counters of requests and connections."""
        return dict(self._emulator.get("/_emulator/stats"))

    def find_captured_assets(self) -> dict[str, list[DataAsset]]:
        """Return the data assets that captures have made and that did not fail, by their computation.

        Ends the faults and the lag of the search.
        """
        from airflow_provider_codeocean.api.client import CodeOceanClient
        from airflow_provider_codeocean.api.models.data_asset_params import DataAssetSearchParams

        self._emulator.call_api("DELETE", "/_emulator/faults")
        self._emulator.call_api("PUT", "/_emulator/search_lag", {"seconds": 0})
        found: dict[str, list[DataAsset]] = defaultdict(list)
        with CodeOceanClient(self._emulator.url, self._emulator.token) as client:
            for archived in (False, True):
                params = DataAssetSearchParams(query="name:captured", archived=archived, limit=1000)
                for asset in client.data_assets.search_all(params):
                    if asset.state != "failed":
                        found[asset.provenance.computation].append(asset)
        return found


@contextmanager
def run_emulator(folder: Path, captures: int, ready_seconds: float) -> Iterator[EmulatedCodeOcean]:
    """Run it.

    :param folder: where its files go.
    :param captures: how many computations to make, each with results to capture.
    :param ready_seconds: seconds that a data asset takes to be ready, and up to half of it more.
    :yields: the emulator.
    """
    config = folder / "code_ocean.json"
    config.write_text(
        json.dumps(
            {
                "transitions": {"assets": {"seconds": ready_seconds, "jitter": ready_seconds / 2}},
                "search_lag": SEARCH_LAG_SECONDS,
                "faults": [{"times": None, **fault} for fault in FAULTS],
            }
        )
    )
    with EmulatorProcess(folder, arguments=["--config", str(config)]) as emulator:
        yield EmulatedCodeOcean(emulator, captures)
