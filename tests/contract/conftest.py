"""The official SDK with an emulator, over a real connection."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from codeocean import CodeOcean
from codeocean.data_asset import ComputationSource, DataAsset, DataAssetParams, Source

from airflow_provider_codeocean.emulator import EmulatorConfig, EmulatorServer, Policy, Transitions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture(scope="session")
def server() -> Iterator[EmulatorServer]:
    """The first read of each job shows it pending, so that the SDK has to wait."""
    with EmulatorServer(EmulatorConfig(transitions=Transitions.all(Policy(reads=1)))) as server:
        yield server


@pytest.fixture
def env(server: EmulatorServer) -> dict[str, str]:
    return server.env


@pytest.fixture
def admin(env: dict[str, str]) -> CodeOcean:
    return CodeOcean(env["CODEOCEAN_URL"], env["CODEOCEAN_TOKEN"])


@pytest.fixture
def user(env: dict[str, str]) -> CodeOcean:
    return CodeOcean(env["CODEOCEAN_URL"], env["CODEOCEAN_USER_TOKEN"], agent_id="contract-test")


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Record the SDK's pauses, of at least 5 s, and skip them."""
    made: list[float] = []
    for module in ("capsule", "computation", "data_asset"):
        monkeypatch.setattr(f"codeocean.{module}.sleep", made.append)
    return made


@pytest.fixture
def captured(user: CodeOcean, env: dict[str, str]) -> Callable[..., DataAsset]:
    """``captured(**params)`` captures the finished computation and waits for the data asset."""

    def capture(**params: object) -> DataAsset:
        source = Source(computation=ComputationSource(id=env["CODEOCEAN_COMPUTATION_ID"]))
        defaults = {"name": "captured", "tags": ["contract"], "mount": "captured", "source": source}
        draft = user.data_assets.create_data_asset(DataAssetParams(**{**defaults, **params}))
        return user.data_assets.wait_until_ready(draft)

    return capture
