"""Counting requests and connections, and limiting their rate."""

import math
import time
from collections import Counter
from typing import Any

from airflow_provider_codeocean.emulator.domain.config import RateLimit, RequestKind

SUBMIT_PATHS = frozenset({"/api/v1/data_assets", "/api/v1/computations"})

CLOSED = "closed"
"""Counted instead of a status where the connection was closed without an answer."""


class Traffic:
    """Counters since the start, or since the last reset. Requests to `/_emulator/` are not counted."""

    def __init__(self) -> None:
        self.open_connections = 0
        self.reset()

    def reset(self) -> None:
        """Begin at zero; open connections stay open."""
        self.requests: Counter[str] = Counter()
        self.statuses: Counter[str] = Counter()
        self.connections = 0
        self.api_connections = 0

    def count(self, endpoint: str, status: int | None) -> None:
        """Count one request.

        :param endpoint: method and path template.
        :param status: what it was answered with; None if it was not.
        """
        self.requests[endpoint] += 1
        self.statuses[CLOSED if status is None else str(status)] += 1

    def describe(self) -> dict[str, Any]:
        """Return all counters.

        :returns: `requests`, `endpoints`, `statuses`, `rate_limited` (answers with 429), `connections`
            (accepted), `api_connections` (those not only used for `/_emulator/`) and `open_connections`.
        """
        return {
            "requests": self.requests.total(),
            "endpoints": dict(self.requests),
            "statuses": dict(self.statuses),
            "rate_limited": self.statuses["429"],
            "connections": self.connections,
            "api_connections": self.api_connections,
            "open_connections": self.open_connections,
        }


def request_kind(method: str, path: str) -> RequestKind:
    """Return the kind of a request to the API.

    :param method: HTTP method.
    :param path: path.
    :returns: the kind that rate limits name.
    """
    if method == "POST":
        last = path.rstrip("/").rpartition("/")[2]
        if last == "search":
            return "search"
        if path in SUBMIT_PATHS:
            return "submit"
        return "read" if last in {"results", "files"} else "change"
    return "read" if method in {"GET", "HEAD"} else "change"


class RateLimiter:
    """A bucket of tokens: each request takes one, and they come back evenly.

    :param limit: how many and how fast.
    """

    def __init__(self, limit: RateLimit) -> None:
        self.limit = limit
        self._capacity = float(limit.burst or max(1, math.ceil(limit.requests_per_second)))
        self._tokens = self._capacity
        self._filled = time.monotonic()

    def admit(self) -> float | None:
        """Let a request in, or not.

        :returns: None if it may go on, else after how many seconds the next one may.
        """
        rate = self.limit.requests_per_second
        if not rate:
            return None
        now = time.monotonic()
        self._tokens = min(self._capacity, self._tokens + (now - self._filled) * rate)
        self._filled = now
        if self._tokens < 1:
            return (1 - self._tokens) / rate
        self._tokens -= 1
        return None

    def retry_after(self, wait: float) -> dict[str, str]:
        """Return the headers of a rejection.

        :param wait: seconds until the next request is admitted.
        :returns: `Retry-After`, or no header, as the limit says.
        """
        announced = self.limit.retry_after
        if announced is False:
            return {}
        return {"Retry-After": str(math.ceil(wait) if announced is True else announced)}
