"""A fake deployment behind httpx's mock transport, for tests in virtual time."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_codeocean.api._http.library import httpx
from airflow_provider_codeocean.api.client import CodeOceanAsyncClient

SECONDS_PER_HOUR = 3600.0


@dataclass(slots=True)
class FakeAsset:
    """A data asset or computation. Times are those of the event loop's clock.

    :param id: its id.
    :param ends_at: when it becomes terminal; until then, it is a draft.
    :param final_fields: its fields when it is terminal.
    :param is_indexed: whether searches show it.
    :param is_updated_in_index: whether searches show its end.
    """

    id: str
    ends_at: float
    final_fields: dict[str, Any] = field(default_factory=lambda: {"state": "ready"})
    created_at: float = 0.0
    is_indexed: bool = True
    is_updated_in_index: bool = True

    def payload_at(self, loop_time: float) -> dict[str, Any]:
        """Return the payload at a time."""
        created = {"id": self.id, "created": time.time() - _now() + self.created_at, "name": "n"}
        return {**created, "state": "draft", **(self.final_fields if loop_time >= self.ends_at else {})}


def _now() -> float:
    return asyncio.get_running_loop().time()


class FakeDeployment:
    """Answers requests from its assets.

    :ivar search_lag: seconds by which searches lag.
    :ivar extra_results: additional search results.
    :ivar index_frozen_at: time after which searches show nothing new.
    :ivar requests_per_second: limit beyond which requests get a 429.
    :ivar faults: periods (from, to, kind). A kind is ``outage``, ``hang``, ``html``, or a status; the prefix
        ``search`` limits it to searches.
    :ivar token: the valid token.
    :ivar connection_token: the token in the connection.
    :ivar connection_url: the address in the connection.
    :ivar connection_reads: times at which the connection was read.
    :ivar requests: time and target of each request.
    """

    def __init__(self, *assets: FakeAsset) -> None:
        self.assets = {asset.id: asset for asset in assets}
        self.search_lag = 0.0
        self.extra_results: list[Any] = []
        self.index_frozen_at = float("inf")
        self.requests_per_second = float("inf")
        self.retry_after: str | None = "1"
        self.latency = 0.02
        self.faults: list[tuple[float, float, str]] = []
        self.token = self.connection_token = "token"
        self.connection_url = "https://co.test"
        self.connection_reads: list[float] = []
        self._options: dict[str, str] = {}
        self.requests: list[tuple[float, str]] = []
        self.rejected = 0
        self.in_flight = self.max_in_flight = 0
        self.clients: list[CodeOceanAsyncClient] = []
        self._requests_by_second: Counter[int] = Counter()

    async def connect(self, current: CodeOceanAsyncClient | None = None) -> CodeOceanAsyncClient:
        """Read the connection, and create a client if it has changed."""
        self.connection_reads.append(_now())
        options = {"url": self.connection_url, "token": self.connection_token}
        if current is not None and options == self._options:
            return current
        self._options = options
        client = CodeOceanAsyncClient(**options, retry_budget=0, transport=httpx.MockTransport(self._handle))
        self.clients.append(client)
        return client

    def count(self, target: str) -> int:
        """Return the number of requests for a target: ``search``, or an id."""
        return sum(requested == target for _, requested in self.requests)

    @property
    def search_count(self) -> int:
        """Number of requested search pages."""
        return self.count("search")

    @property
    def read_count(self) -> int:
        """Number of single reads."""
        return len(self.requests) - self.search_count

    async def _handle(self, request: httpx.Request) -> httpx.Response:
        target = request.url.path.rsplit("/", 1)[-1]
        self.requests.append((_now(), target))
        self.in_flight += 1
        self.max_in_flight = max(self.max_in_flight, self.in_flight)
        try:
            await asyncio.sleep(self.latency)
            fault = await self._apply_faults(request, target)
            if fault is not None:
                return fault
            return self._search(request) if target == "search" else self._read(target)
        finally:
            self.in_flight -= 1

    async def _apply_faults(self, request: httpx.Request, target: str) -> httpx.Response | None:
        now = _now()
        for begin, end, kind in self.faults:
            if not begin <= now < end or (kind.startswith("search") and target != "search"):
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
                    self.rejected += 1
                    return httpx.Response(int(status), headers=self._retry_after(), json={"message": "busy"})
                case status:
                    return httpx.Response(int(status), json={"message": "trouble"})
        self._requests_by_second[int(now)] += 1
        if self._requests_by_second[int(now)] > self.requests_per_second:
            self.rejected += 1
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
        return httpx.Response(200, json=asset.payload_at(_now()))

    def _search(self, request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content)
        moment = min(_now() - self.search_lag, self.index_frozen_at)
        found = [
            asset for asset in self.assets.values() if asset.is_indexed and asset.created_at <= max(moment, 0)
        ]
        found.sort(key=lambda asset: asset.created_at, reverse=True)
        begin = int(body.get("next_token") or 0)
        end = begin + body["limit"]
        results = [
            asset.payload_at(moment if asset.is_updated_in_index else -SECONDS_PER_HOUR)
            for asset in found[begin:end]
        ] + self.extra_results
        page = {"has_more": end < len(found), "next_token": str(end), "results": results}
        return httpx.Response(200, json=page)
