"""The emulator on a real socket."""

from __future__ import annotations

import socket
import threading
import time

import pytest

from airflow_provider_codeocean.api._http.library import httpx
from airflow_provider_codeocean.emulator import EmulatorConfig, FaultRule, Transitions
from airflow_provider_codeocean.emulator.domain.clock import ManualClock, Policy
from airflow_provider_codeocean.emulator.server import server as server_module
from airflow_provider_codeocean.emulator.server.server import EmulatorServer, listener_url, open_listener


def test_server_accepts_requests_until_stopped():
    with EmulatorServer(clock=ManualClock(1000)) as server:
        auth = (server.env["CODEOCEAN_USER_TOKEN"], "")
        url = f"{server.url}/api/v1/data_assets/{server.env['CODEOCEAN_DATA_ASSET_ID']}"
        assert httpx.get(url, auth=auth).json()["state"] == "ready"
        assert server.env["CODEOCEAN_URL"] == server.url
        assert server.clock.now() == 1000
        assert len(server.store.data_assets) == 2
    with pytest.raises(httpx.ConnectError):
        httpx.get(url, auth=auth)


def test_server_by_default_listens_only_on_loopback():
    with EmulatorServer() as server:
        assert server._listener.getsockname()[0] == "127.0.0.1"
    with open_listener("0.0.0.0", 0) as everywhere:
        port = everywhere.getsockname()[1]
        assert listener_url("0.0.0.0", everywhere) == f"http://127.0.0.1:{port}"
        assert listener_url("localhost", everywhere) == f"http://localhost:{port}"


def test_server_restarted_with_same_state_continues(tmp_path):
    config = EmulatorConfig(transitions=Transitions.all(Policy(reads=1)))
    with EmulatorServer(config, state=tmp_path / "state") as first:
        port, env = int(first.url.rpartition(":")[2]), first.env
        auth = (env["CODEOCEAN_TOKEN"], "")
        source = {"computation": {"id": env["CODEOCEAN_COMPUTATION_ID"]}}
        body = {"name": "n", "tags": [], "mount": "m", "source": source}
        asset = httpx.post(f"{first.url}/api/v1/data_assets", json=body, auth=auth).json()
        assert (
            httpx.get(f"{first.url}/api/v1/data_assets/{asset['id']}", auth=auth).json()["state"] == "draft"
        )
    with EmulatorServer(config, state=tmp_path / "state", port=port) as second:
        assert second.env == env
        assert (
            httpx.get(f"{second.url}/api/v1/data_assets/{asset['id']}", auth=auth).json()["state"] == "ready"
        )


def test_server_counts_connections():
    with EmulatorServer() as server:
        with httpx.Client() as client:
            for _ in range(3):
                client.get(f"{server.url}/")
            for _ in range(2):
                httpx.get(f"{server.url}/_emulator/stats")
            counted = client.get(f"{server.url}/_emulator/stats").json()
        assert (counted["connections"], counted["api_connections"]) == (3, 1)
        deadline = time.monotonic() + 10
        while server.emulator.traffic.open_connections and time.monotonic() < deadline:
            threading.Event().wait(0.005)
        assert server.emulator.traffic.open_connections == 0


def test_server_keep_alive_outlasts_that_of_clients():
    with EmulatorServer() as server:
        assert server._server.config.timeout_keep_alive >= 75


def test_server_stop_with_open_connections_returns_soon():
    server = EmulatorServer().start()
    held = server.faults.add(FaultRule(kind="hold_before", path="/", timeout=60))
    errors = []

    def get() -> None:
        try:
            httpx.get(f"{server.url}/")
        except httpx.TransportError as error:
            errors.append(error)

    thread = threading.Thread(target=get)
    thread.start()
    assert held.wait(held=1)
    address = server.url.removeprefix("http://").split(":")
    with socket.create_connection((address[0], int(address[1]))):
        started = time.monotonic()
        server.stop()
        assert time.monotonic() - started < 5
    thread.join(10)
    assert len(errors) == 1


def test_server_with_port_in_use_raises_os_error():
    with open_listener("127.0.0.1", 0) as taken, pytest.raises(OSError, match="in use"):
        EmulatorServer(port=taken.getsockname()[1])


def test_server_that_does_not_start_raises_runtime_error(monkeypatch):
    monkeypatch.setattr(server_module, "START_TIMEOUT_SECONDS", 0.01)
    monkeypatch.setattr(EmulatorServer, "_serve", lambda self: None)
    server = EmulatorServer()
    with pytest.raises(RuntimeError, match="did not listen"):
        server.start()
    server.stop()
