"""What is found of the captures at the end."""

from __future__ import annotations

import pytest

from airflow_provider_codeocean.api.client import CodeOceanClient
from airflow_provider_codeocean.api.models.data_asset_params import DataAssetParams
from tests.cluster.code_ocean import run_emulator
from tests.cluster.report import CaptureSummary, summarize


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A Code Ocean with three computations, nothing of which is captured yet."""
    with run_emulator(tmp_path_factory.mktemp("code_ocean"), captures=3, ready_seconds=0.0) as server:
        server.find_captured_assets()  # ends the faults
        yield server


def test_find_captured_assets_finds_duplicates_and_losses(server):
    twice, once, never = server.computations
    with CodeOceanClient(server.connection["host"], server.connection["password"]) as client:
        made = []
        for computation in (twice, twice, once):
            source = {"computation": {"id": computation}}
            params = {"name": "captured", "mount": "m", "tags": [], "source": source}
            made.append(client.data_assets.create(DataAssetParams.model_validate(params)).id)
            client.data_assets.get(made[-1])
        client.data_assets.archive(made[1])
    found = {
        name: [(each.id, each.state) for each in of] for name, of in server.find_captured_assets().items()
    }
    verdict = summarize(
        server.computations, found, {twice: made[0], once: made[2], never: ""}, ["success"] * 4
    )
    assert verdict == CaptureSummary(requested=3, created=3, duplicated=1, lost=1, failed=0)
    assert not verdict.is_exactly_once
