"""What is found of the captures at the end."""

from __future__ import annotations

import pytest

from airflow_provider_codeocean.api.client import CodeOceanClient
from airflow_provider_codeocean.api.models.data_asset_params import DataAssetParams
from tests.cluster.code_ocean import code_ocean
from tests.cluster.report import Verdict, judge


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A Code Ocean with three computations, nothing of which is captured yet."""
    with code_ocean(tmp_path_factory.mktemp("code_ocean"), captures=3, wait=0.0) as server:
        server.captured()  # ends the faults
        yield server


def test_a_second_one_and_one_that_is_missing_are_found(server):
    twice, once, never = server.computations
    with CodeOceanClient(server.connection["host"], server.connection["password"]) as client:
        made = []
        for computation in (twice, twice, once):
            source = {"computation": {"id": computation}}
            params = {"name": "captured", "mount": "m", "tags": [], "source": source}
            made.append(client.data_assets.create(DataAssetParams.model_validate(params)).id)
            client.data_assets.get(made[-1])
        client.data_assets.archive(made[1])
    found = {name: [(each.id, each.state) for each in of] for name, of in server.captured().items()}
    verdict = judge(server.computations, found, {twice: made[0], once: made[2], never: ""}, ["success"] * 4)
    assert verdict == Verdict(asked=3, made=3, doubled=1, lost=1, failed=0)
    assert not verdict.good
