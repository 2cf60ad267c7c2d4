"""Fixtures of the operators' tests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_codeocean.operators import _base
from tests.operators.stub_server import StubServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class TaskInstance:
    """A task instance that drops XComs."""

    start_date = None

    def xcom_push(self, key: str, value: Any) -> None:
        """Drop an XCom."""


@pytest.fixture
def serve(connect: Callable[..., None]) -> Iterator[Callable[..., StubServer]]:
    """``serve(answer)`` starts a server, and points ``codeocean_default`` to it."""
    servers = []

    def start(answer: Callable[[str, Any], tuple[int, Any]]) -> StubServer:
        server = StubServer(answer).__enter__()
        servers.append(server)
        connect(server.url, "cop_token")
        return server

    yield start
    for server in servers:
        server.__exit__()


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses between reads that verify a change, in seconds. They end immediately."""
    slept: list[float] = []
    monkeypatch.setattr(_base, "sleep", slept.append, raising=False)
    return slept


@pytest.fixture
def execute() -> Callable[..., Any]:
    """``execute(operator, **arguments)`` runs a task to its end."""
    return lambda operator, **arguments: operator(task_id="t", **arguments).execute({"ti": TaskInstance()})
