"""Deployments for tests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_codeocean.emulator import EmulatorConfig
from tests.emulator.in_process import INSTANT, InProcessEmulator

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from airflow_provider_codeocean.api._http.library import httpx


@pytest.fixture
async def deploy() -> AsyncIterator[Callable[..., InProcessEmulator]]:
    """``deploy(**config)`` makes a deployment in which work is done at once, unless told otherwise."""
    deployments: list[InProcessEmulator] = []

    def make(**config: Any) -> InProcessEmulator:
        deployment = InProcessEmulator(EmulatorConfig(**{"transitions": INSTANT, **config}))
        deployments.append(deployment)
        return deployment

    yield make
    for deployment in deployments:
        for client in deployment.clients:
            await client.aclose()
        deployment.store.close()


@pytest.fixture
def deployment(deploy: Callable[..., InProcessEmulator]) -> InProcessEmulator:
    """A deployment in which work is done at once."""
    return deploy()


@pytest.fixture
def colleague(deploy: Callable[..., InProcessEmulator]) -> tuple[InProcessEmulator, httpx.AsyncClient]:
    """A deployment, and a client of somebody to whom nothing has been given yet."""
    deployment = deploy(users=[{"email": "colleague@emulator.test", "groups": ["imaging-lab"]}])
    return deployment, deployment.add_client_for("colleague@emulator.test")
