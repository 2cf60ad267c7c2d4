"""A deployment at the transport, for tests in virtual time: as many assets and as much trouble as wanted."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import httpx

from airflow_provider_codeocean.api.client import CodeOceanAsyncClient

HOUR = 3600.0


@dataclass(slots=True)
class Asset:
    """One thing, by the event loop's clock.

    :param id: its id.
    :param ends_at: when it ends.
    :param end: what it is then; before, a draft.
    :param indexed: whether searches ever show it.
    :param updated: whether searches ever show its end.
    """

    id: str
    ends_at: float
    end: dict[str, Any] = field(default_factory=lambda: {"state": "ready"})
    created_at: float = 0.0
    indexed: bool = True
    updated: bool = True

    def seen_at(self, moment: float) -> dict[str, Any]:
        """Return how it looks at a moment."""
        created = {"id": self.id, "created": time.time() - _now() + self.created_at, "name": "n"}
        return {**created, "state": "draft", **(self.end if moment >= self.ends_at else {})}


def _now() -> float:
    return asyncio.get_running_loop().time()


class Deployment:
    """Answers requests from its assets.

    :ivar lag: seconds that searches lag behind.
    :ivar odd: what searches show beside the assets.
    :ivar stands_still_at: from when on searches show nothing new.
    :ivar limit: requests a second; beyond, 429.
    :ivar troubles: periods (from, to, kind); a kind is ``outage``, ``hang``, ``html`` or a status, and what
        begins with ``search`` befalls searches alone.
    :ivar token: the token that is valid.
    :ivar known_token: the one that is in the connection.
    :ivar known_url: the address that is in the connection.
    :ivar connection_read_at: when the connection was read.
    :ivar requests: when each request came, and what it was for.
    """

    def __init__(self, *assets: Asset) -> None:
        self.assets = {asset.id: asset for asset in assets}
        self.lag = 0.0
        self.odd: list[Any] = []
        self.stands_still_at = float("inf")
        self.limit = float("inf")
        self.retry_after: str | None = "1"
        self.latency = 0.02
        self.troubles: list[tuple[float, float, str]] = []
        self.token = self.known_token = "token"
        self.known_url = "https://co.test"
        self.connection_read_at: list[float] = []
        self._options: dict[str, str] = {}
        self.requests: list[tuple[float, str]] = []
        self.refused = 0
        self.in_flight = self.most_in_flight = 0
        self.clients: list[CodeOceanAsyncClient] = []
        self._second: Counter[int] = Counter()

    async def connect(self, current: CodeOceanAsyncClient | None = None) -> CodeOceanAsyncClient:
        """Read the connection, as a poller is given: make a client if it has changed."""
        self.connection_read_at.append(_now())
        options = {"url": self.known_url, "token": self.known_token}
        if current is not None and options == self._options:
            return current
        self._options = options
        client = CodeOceanAsyncClient(**options, retry_budget=0, transport=httpx.MockTransport(self._handle))
        self.clients.append(client)
        return client

    def count(self, what: str) -> int:
        """Tell how many requests there were for something: ``search``, or an id."""
        return sum(each == what for _, each in self.requests)

    @property
    def searches(self) -> int:
        """How many pages were searched."""
        return self.count("search")

    @property
    def readings(self) -> int:
        """How many single readings there were."""
        return len(self.requests) - self.searches

    async def _handle(self, request: httpx.Request) -> httpx.Response:
        what = request.url.path.rsplit("/", 1)[-1]
        self.requests.append((_now(), what))
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            await asyncio.sleep(self.latency)
            trouble = await self._trouble(request, what)
            if trouble is not None:
                return trouble
            return self._search(request) if what == "search" else self._read(what)
        finally:
            self.in_flight -= 1

    async def _trouble(self, request: httpx.Request, what: str) -> httpx.Response | None:
        now = _now()
        for begin, end, kind in self.troubles:
            if not begin <= now < end or (kind.startswith("search") and what != "search"):
                continue
            match kind.removeprefix("search "):
                case "outage":
                    raise httpx.ConnectError("no route", request=request)
                case "hang":
                    await asyncio.sleep(30)
                    raise httpx.ReadTimeout("too slow", request=request)
                case "html":
                    return httpx.Response(200, html="<html><title>Sign in</title></html>")
                case "429" | "503" as status:
                    self.refused += 1
                    return httpx.Response(int(status), headers=self._retry_after(), json={"message": "busy"})
                case status:
                    return httpx.Response(int(status), json={"message": "trouble"})
        self._second[int(now)] += 1
        if self._second[int(now)] > self.limit:
            self.refused += 1
            return httpx.Response(429, headers=self._retry_after(), json={"message": "slow down"})
        if request.headers["authorization"] != httpx.BasicAuth(self.token, "")._auth_header:
            return httpx.Response(401, json={"message": "who?"})
        return None

    def _retry_after(self) -> dict[str, str]:
        return {} if self.retry_after is None else {"Retry-After": self.retry_after}

    def _read(self, asset_id: str) -> httpx.Response:
        asset = self.assets.get(asset_id)
        if asset is None:
            return httpx.Response(404, json={"message": "no such data asset"})
        return httpx.Response(200, json=asset.seen_at(_now()))

    def _search(self, request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content)
        moment = min(_now() - self.lag, self.stands_still_at)
        found = [
            asset for asset in self.assets.values() if asset.indexed and asset.created_at <= max(moment, 0)
        ]
        found.sort(key=lambda asset: asset.created_at, reverse=True)
        begin = int(body.get("next_token") or 0)
        end = begin + body["limit"]
        results = [asset.seen_at(moment if asset.updated else -HOUR) for asset in found[begin:end]] + self.odd
        page = {"has_more": end < len(found), "next_token": str(end), "results": results}
        return httpx.Response(200, json=page)
