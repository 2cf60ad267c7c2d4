"""Request and connection counters, and rate limiters."""

import math
import time
from collections import Counter
from typing import Any

from airflow_provider_codeocean.emulator.domain.config import RateLimit, RequestKind

SUBMIT_PATHS = frozenset({"/api/v1/data_assets", "/api/v1/computations"})

CLOSED_STATUS = "closed"
"""Key of the status counter for connections closed without a response."""


class TrafficStats:
    """Counters since the start or the last reset. Requests to `/_emulator/` are not counted."""

    def __init__(self) -> None:
        self.open_connections = 0
        self.reset()

    def reset(self) -> None:
        """Reset all counters to zero, except the number of open connections."""
        self.requests: Counter[str] = Counter()
        self.statuses: Counter[str] = Counter()
        self.connections = 0
        self.api_connections = 0
        self.runs: Counter[str] = Counter()
        self.processes: Counter[str] = Counter()

    def record_run(self, processes: list[str], *, is_resumed: bool) -> None:
        """Count a run of a capsule or pipeline.

        :param processes: names of the processes that a pipeline executes.
        :param is_resumed: whether it resumes another run.
        """
        self.runs["resumed" if is_resumed else "fresh"] += 1
        self.processes.update(processes)

    def record_request(self, endpoint: str, status: int | None) -> None:
        """Count one request.

        :param endpoint: method and path template.
        :param status: status of the response; None if there was none.
        """
        self.requests[endpoint] += 1
        self.statuses[CLOSED_STATUS if status is None else str(status)] += 1

    def to_dict(self) -> dict[str, Any]:
        """Return all counters.

        :returns: `runs` (`fresh` and `resumed`), `processes` (executions by name), `requests`,
            `endpoints`, `statuses`, `rate_limited` (429 responses), `connections`
            (accepted), `api_connections` (those with requests to the API), and `open_connections`.
        """
        return {
            "runs": dict(self.runs),
            "processes": dict(self.processes),
            "requests": self.requests.total(),
            "endpoints": dict(self.requests),
            "statuses": dict(self.statuses),
            "rate_limited": self.statuses["429"],
            "connections": self.connections,
            "api_connections": self.api_connections,
            "open_connections": self.open_connections,
        }


def classify_request(method: str, path: str) -> RequestKind:
    """Return the kind of a request to the API.

    :param method: HTTP method.
    :param path: path.
    :returns: the kind, as in a rate limit.
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
    """A token bucket: each request takes a token, and tokens are refilled at a constant rate.

    :param limit: the rate limit.
    """

    def __init__(self, limit: RateLimit) -> None:
        self.limit = limit
        self._capacity = float(limit.burst or max(1, math.ceil(limit.requests_per_second)))
        self._tokens = self._capacity
        self._refilled_at = time.monotonic()

    def try_acquire(self) -> float | None:
        """Take a token for a request.

        :returns: None if the request is admitted, else the seconds until the next token.
        """
        rate = self.limit.requests_per_second
        if not rate:
            return None
        now = time.monotonic()
        self._tokens = min(self._capacity, self._tokens + (now - self._refilled_at) * rate)
        self._refilled_at = now
        if self._tokens < 1:
            return (1 - self._tokens) / rate
        self._tokens -= 1
        return None

    def retry_after_headers(self, wait_seconds: float) -> dict[str, str]:
        """Return the headers of a rejection.

        :param wait_seconds: seconds until the next request is admitted.
        :returns: `Retry-After`, or no header, depending on the limit.
        """
        retry_after = self.limit.retry_after
        if retry_after is False:
            return {}
        return {"Retry-After": str(math.ceil(wait_seconds) if retry_after is True else retry_after)}
