"""Fixtures of the operators' tests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_codeocean.operators import _data_asset_base
from tests.operators.answering import AnsweringServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class TaskInstance:
    """A task instance that keeps nothing."""

    start_date = None

    def xcom_push(self, key: str, value: Any) -> None:
        """Drop an XCom."""


@pytest.fixture
def serve(connect: Callable[..., None]) -> Iterator[Callable[..., AnsweringServer]]:
    """``serve(answer)`` starts a server, and makes ``codeocean_default`` lead there."""
    servers = []

    def start(answer: Callable[[str, Any], tuple[int, Any]]) -> AnsweringServer:
        server = AnsweringServer(answer).__enter__()
        servers.append(server)
        connect(server.url, "cop_token")
        return server

    yield start
    for server in servers:
        server.__exit__()


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds for which operators wait for an effect, which pass at once."""
    slept: list[float] = []
    monkeypatch.setattr(_data_asset_base, "sleep", slept.append, raising=False)
    return slept


@pytest.fixture
def execute() -> Callable[..., Any]:
    """``execute(operator, **arguments)`` runs a task to its end."""
    return lambda operator, **arguments: operator(task_id="t", **arguments).execute({"ti": TaskInstance()})
