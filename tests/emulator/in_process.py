"""A deployment in the test's own loop, without a socket, and what most tests do with it."""

from __future__ import annotations

from typing import Any

from airflow_provider_codeocean.api._http.library import httpx
from airflow_provider_codeocean.emulator import EmulatorConfig, Transitions
from airflow_provider_codeocean.emulator.domain.clock import ManualClock, Policy
from airflow_provider_codeocean.emulator.seeding.env_file import env_variables
from airflow_provider_codeocean.emulator.server.app import create_app

URL = "http://emulator.test"
START_TIME = 1_700_000_000.0
INSTANT = Transitions.all(Policy())


class InProcessEmulator:
    """An emulator with a clock that stands still, and clients that talk to it."""

    def __init__(self, config: EmulatorConfig) -> None:
        self.clock = ManualClock(START_TIME)
        self.app = create_app(config, clock=self.clock)
        self.emulator = self.app.state.emulator
        self.store = self.emulator.store
        self.env = env_variables(self.emulator, URL)
        self.clients: list[httpx.AsyncClient] = []
        self.admin = self.add_client(self.env["CODEOCEAN_TOKEN"])
        self.user = self.add_client(self.env["CODEOCEAN_USER_TOKEN"])
        self.control = self.add_client(None, "/_emulator/")
        self.web = self.add_client(None, "/")

    def add_client(self, token: str | None, base: str = "/api/v1/", **headers: str) -> httpx.AsyncClient:
        client = httpx.AsyncClient(
            transport=httpx.ASGITransport(self.app),
            base_url=URL + base,
            auth=(token, "") if token else None,
            headers=headers,
        )
        self.clients.append(client)
        return client

    def add_client_for(self, email: str, **headers: str) -> httpx.AsyncClient:
        user = self.emulator.user_directory.find_by_email(email)
        return self.add_client(next(iter(user.tokens)), **headers)

    async def create_data_asset(
        self, client: httpx.AsyncClient | None = None, **params: Any
    ) -> dict[str, Any]:
        """Create a data asset, by default from the public bucket."""
        source = {"aws": {"bucket": self.env["CODEOCEAN_PUBLIC_BUCKET"], "prefix": "example_datasets"}}
        body = {"name": "made", "tags": ["test"], "mount": "made", "source": source, **params}
        return expect_status(await (client or self.user).post("data_assets", json=body), 200)

    async def capture_results(self, client: httpx.AsyncClient | None = None, **params: Any) -> dict[str, Any]:
        """Create a data asset from the finished computation."""
        source = {
            "computation": {"id": self.env["CODEOCEAN_COMPUTATION_ID"], "path": params.pop("path", None)}
        }
        return await self.create_data_asset(client, source=source, **params)

    async def read_data_asset(self, asset_id: str) -> dict[str, Any]:
        return expect_status(await self.admin.get(f"data_assets/{asset_id}"), 200)

    async def search_names(self, client: httpx.AsyncClient | None = None, **params: Any) -> list[str]:
        """Search for data assets and return their names."""
        answer = await (client or self.admin).post("data_assets/search", json=params)
        return [asset["name"] for asset in expect_status(answer, 200)["results"]]


def expect_status(response: httpx.Response, status: int) -> Any:
    """Check the status and return the body."""
    assert response.status_code == status, response.text
    return response.json() if response.content else None


def expect_error(response: httpx.Response, status: int) -> str:
    """Check that a request was refused as the API refuses, and return the message."""
    body = expect_status(response, status)
    assert "detail" not in body
    return body["message"]
