"""A server that is no bottleneck: the endpoints that waiting needs, with answers made beforehand.

``python -m tests.benchmarks.waits.server PORT [RATE [CERTIFICATE KEY]]``. Beside the API's endpoints it has
``GET ready/{id}``, 404 until the data asset is ready, for those who can wait for a status only; ``POST
bench/assets`` makes data assets (where ``begun`` is false each begins with its first reading), ``POST
bench/start`` starts their clocks, ``GET bench/stats`` tells what was asked.
"""

from __future__ import annotations

import json
import random
import resource
import sys
import time
import uuid
from collections import Counter
from dataclasses import dataclass
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

NEVER = float("inf")
#: Status, body, and further headers.
Response = tuple[int, bytes, list[tuple[bytes, bytes]]]


@dataclass(slots=True)
class Asset:
    """A data asset: when it is ready, and what is answered before and after.

    :ivar is_indexed: whether searches show it.
    """

    ready_in: float
    ready_at: float
    draft: bytes
    ready: bytes
    is_indexed: bool = True

    def payload_at(self, now: float) -> bytes:
        """Return what is answered now."""
        return self.ready if now >= self.ready_at else self.draft

    def read(self, now: float) -> bytes:
        """Return what is answered now. One that no search shows yet begins with its first reading."""
        if not self.is_indexed:
            self.is_indexed, self.ready_at = True, now + self.ready_in
        return self.payload_at(now)


class Server:
    """The server, an ASGI application.

    :param requests_per_second: allowed requests per second, with a burst of as many; 0 allows all.
    """

    def __init__(self, requests_per_second: float) -> None:
        self.requests_per_second = requests_per_second
        self.assets: dict[str, Asset] = {}
        self.newest_assets: list[Asset] = []
        self.reset_counters()

    def reset_counters(self) -> None:
        """Count from here."""
        self.requests: Counter[str] = Counter()
        self.rejected = self.connections = 0
        self._tokens, self._refilled_at = self.requests_per_second, time.monotonic()
        self._cpu = time.process_time()

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """Answer one request."""
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        status, answer, extra = self.respond(scope["method"], scope["path"], body)
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(answer)), *extra]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": answer})

    def respond(self, method: str, path: str, body: bytes) -> Response:
        """Return status, body and further headers."""
        match path.strip("/").split("/"):
            case ["bench", "assets"]:
                answer: Response = 200, self._create_assets(**json.loads(body)), []
            case ["bench", "start"]:
                answer = 200, self._start(), []
            case ["bench", "stats"]:
                answer = 200, self._stats(), []
            case ["api", "v1", "data_assets", "search"] if method == "POST":
                answer = self._apply_rate_limit("search") or (200, self._search(json.loads(body)), [])
            case ["api", "v1", "data_assets", asset_id] if asset_id in self.assets:
                answer = self._apply_rate_limit("read") or (
                    200,
                    self.assets[asset_id].read(time.monotonic()),
                    [],
                )
            case ["ready", asset_id] if asset_id in self.assets:
                ready = time.monotonic() >= self.assets[asset_id].ready_at
                answer = self._apply_rate_limit("read") or (200 if ready else 404, b"{}", [])
            case _:
                answer = 404, b'{"message":"not found"}', []
        return answer

    def _apply_rate_limit(self, kind: str) -> Response | None:
        self.requests[kind] += 1
        if not self.requests_per_second:
            return None
        now = time.monotonic()
        self._tokens = min(
            self.requests_per_second, self._tokens + (now - self._refilled_at) * self.requests_per_second
        )
        self._refilled_at = now
        if self._tokens >= 1:
            self._tokens -= 1
            return None
        self.rejected += 1
        return 429, b'{"message":"too many requests"}', [(b"retry-after", b"1")]

    def _create_assets(
        self, count: int, seed: int, first: float, last: float, starts_at_once: bool = True
    ) -> bytes:
        chance = random.Random(seed)
        made = {}
        for number in range(count):
            asset_id, ready_in = str(uuid.UUID(int=chance.getrandbits(128))), chance.uniform(first, last)
            fields = _asset_fields(asset_id, number, chance)
            asset = Asset(
                ready_in,
                NEVER,
                draft=json.dumps({**fields, "state": "draft"}).encode(),
                ready=json.dumps({**fields, "state": "ready", "files": 12, "size": 34567}).encode(),
                is_indexed=starts_at_once,
            )
            self.assets[asset_id] = asset
            self.newest_assets.insert(0, asset)
            made[asset_id] = ready_in
        return json.dumps(made).encode()

    def _start(self) -> bytes:
        self.reset_counters()
        now = time.monotonic()
        for asset in self.newest_assets:
            if asset.ready_at == NEVER:
                asset.ready_at = now + asset.ready_in
        return json.dumps(now).encode()

    def _search(self, params: dict[str, Any]) -> bytes:
        now = time.monotonic()
        begin = int(params.get("next_token") or 0)
        end = begin + (params.get("limit") or 100)
        more = end < len(self.newest_assets)
        results = b",".join(
            [asset.payload_at(now) for asset in self.newest_assets[begin:end] if asset.is_indexed]
        )
        head = {"has_more": more, "next_token": str(end) if more else ""}
        return json.dumps(head).encode()[:-1] + b',"results":[' + results + b"]}"

    def _stats(self) -> bytes:
        return json.dumps(
            {
                "searches": self.requests["search"],
                "readings": self.requests["read"],
                "refused": self.rejected,
                "connections": self.connections,
                "cpu": time.process_time() - self._cpu,
            }
        ).encode()


def _asset_fields(asset_id: str, number: int, rng: random.Random) -> dict[str, Any]:
    """Return what a captured result of a lab looks like: about 900 bytes."""
    ids = [str(uuid.UUID(int=rng.getrandbits(128))) for _ in range(5)]
    return {
        "id": asset_id,
        "created": int(time.time()),
        "name": f"session {number}",
        "mount": f"session-{number}",
        "owner": ids[0],
        "type": "result",
        "description": "Spike sorting of one session: sorted units, quality metrics and figures. " * 3,
        "tags": ["sorting", "nightly", f"subject-{number % 100}"],
        "last_used": 0,
        "provenance": {
            "commit": f"{rng.getrandbits(160):040x}",
            "run_script": "code/run",
            "docker_image": ids[1],
            "capsule": ids[2],
            "data_assets": [ids[3]],
            "computation": ids[4],
        },
        "custom_metadata": {"subject": number % 100, "modality": "ecephys", "project": "atlas"},
    }


def main() -> None:
    """Serve."""
    port, rate, *tls = [*sys.argv[1:], "0"][:2] + sys.argv[3:]
    _, most_files = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most_files, most_files))
    server = Server(float(rate))

    class Counting(HttpToolsProtocol):
        def connection_made(self, transport: Any) -> None:
            server.connections += 1
            super().connection_made(transport)

    uvicorn.run(
        server,
        host="127.0.0.1",
        port=int(port),
        http=Counting,
        lifespan="off",
        access_log=False,
        log_level="warning",
        backlog=4096,
        timeout_keep_alive=75,
        ssl_certfile=tls[0] if tls else None,
        ssl_keyfile=tls[1] if tls else None,
    )


if __name__ == "__main__":
    main()
