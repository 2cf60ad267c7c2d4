"""Faults on demand: which request goes wrong, and how.

| kind | work done | what the client gets |
| --- | --- | --- |
| `status` | no | `status` (default 503) with `body`, or a `message`; `retry_after` if given |
| `html` | no | a proxy's HTML page with `status` (default 502) |
| `close_before` | no | the connection closed |
| `hold_before` | when released | nothing until then |
| `slow` | after `delay` | the answer, late |
| `slow_headers` | yes | the headers in `pieces` over `delay`, then the body |
| `slow_body` | yes | the headers at once, the body in `pieces` over `delay` |
| `half_body` | yes | half of the body, then the connection closed |
| `invalid_json` | yes | half of the body as if it were all |
| `wrong_shape` | yes | the status with `body` (default `["unexpected"]`): JSON, but not what belongs there |
| `empty` | yes | the status with an empty body |
| `close_after` | yes | the connection closed without an answer |
| `hold` | yes | nothing until released, then the answer |

A hold ends by `release`, after `timeout` seconds (both go on), or when the rule is removed (the connection is
closed and work not yet done stays undone). A client that goes away does not end it: servers do not notice.
"""

import asyncio
import random
import re
import threading
import uuid
from collections.abc import Iterable
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

API_PREFIX = "/api/v1/"

FaultKind = Literal[
    "status",
    "html",
    "close_before",
    "hold_before",
    "slow",
    "slow_headers",
    "slow_body",
    "half_body",
    "invalid_json",
    "wrong_shape",
    "empty",
    "close_after",
    "hold",
]


class FaultRule(BaseModel):
    """Which requests go wrong, and how.

    :param method: HTTP method, `*` for all.
    :param path: pattern for the path below `/api/v1/`, or, with a leading slash, for the whole path: `*` is
        any text without a slash, `**` any text at all.
    :param kind: what goes wrong, see above.
    :param times: how many requests; None for ever.
    :param probability: the share of matching requests that are hit.
    :param status: status of the answer, for `status` and `html`.
    :param body: body of the answer: for `status`, a string is sent as text, all else as JSON; for
        `wrong_shape` all is sent as JSON.
    :param retry_after: `Retry-After` for `status` and `html`: `date` for an HTTP date 2 s ahead, all else as
        it stands.
    :param delay: seconds, for `slow`, `slow_headers` and `slow_body`.
    :param pieces: how many, for `slow_headers` and `slow_body`.
    :param timeout: seconds after which a hold ends by itself.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    method: str = "*"
    path: str = "**"
    kind: FaultKind
    times: int | None = Field(default=1, ge=1)
    probability: float = Field(default=1.0, ge=0, le=1)
    status: int | None = Field(default=None, ge=200, le=599)
    body: Any = None
    retry_after: int | str | None = None
    delay: float = Field(default=1.0, ge=0)
    pieces: int = Field(default=4, ge=1, le=1000)
    timeout: float = Field(default=30.0, ge=0)


class Fault:
    """A rule in use. Tests look at it, and release what it holds, from other threads than the server's.

    :param rule: the rule.
    """

    def __init__(self, rule: FaultRule) -> None:
        self.id = uuid.uuid4().hex[:8]
        self.rule = rule
        self.hits = 0
        self.removed = False
        self._path = _compile(rule.path)
        self._holding: dict[asyncio.Event, asyncio.AbstractEventLoop] = {}
        self._changed = threading.Condition()

    @property
    def held(self) -> int:
        """How many requests it holds."""
        return len(self._holding)

    def matches(self, method: str, path: str) -> bool:
        """Tell whether a request is meant, and the rule not used up.

        :param method: its HTTP method.
        :param path: its path.
        :returns: whether the rule applies, probability aside.
        """
        if self.rule.times is not None and self.hits >= self.rule.times:
            return False
        if self.rule.method.upper() not in {"*", method}:
            return False
        return self._path.fullmatch(path) is not None

    def hit(self) -> None:
        """Count a request."""
        with self._changed:
            self.hits += 1
            self._changed.notify_all()

    async def hold(self) -> bool:
        """Keep a request until it is released, its time is up or the rule is removed.

        :returns: whether the request may go on.
        """
        released = asyncio.Event()
        with self._changed:
            self._holding[released] = asyncio.get_running_loop()
            self._changed.notify_all()
        try:
            if not self.removed:
                await asyncio.wait_for(released.wait(), self.rule.timeout)
        except TimeoutError:
            pass
        finally:
            with self._changed:
                del self._holding[released]
        return not self.removed

    def release(self) -> None:
        """Let all requests go on that are held now."""
        with self._changed:
            for released, loop in self._holding.items():
                loop.call_soon_threadsafe(released.set)

    def remove(self) -> None:
        """Close what is held; the rule is out of use."""
        self.removed = True
        self.release()
        with self._changed:
            self._changed.notify_all()

    def wait(self, *, hits: int = 0, held: int = 0, timeout: float = 10.0) -> bool:
        """Wait, in another thread than the server's, for hits and held requests.

        :param hits: at least so many hits.
        :param held: at least so many requests held.
        :param timeout: seconds to wait.
        :returns: whether it came to that before the time was up or the rule was removed.
        """

        def reached() -> bool:
            return self.hits >= hits and self.held >= held

        with self._changed:
            self._changed.wait_for(lambda: reached() or self.removed, timeout)
            return reached()

    def describe(self) -> dict[str, Any]:
        """Return the rule and how often it has been used.

        :returns: the rule's fields, `id`, `hits` and `held`.
        """
        return {"id": self.id, **self.rule.model_dump(), "hits": self.hits, "held": self.held}


class FaultBook:
    """The faults in use; the first that matches a request is applied.

    :param rules: rules from the start.
    :param rng: where probability comes from.
    """

    def __init__(self, rules: Iterable[FaultRule], rng: random.Random) -> None:
        self._rng = rng
        self._lock = threading.Lock()
        self._faults: dict[str, Fault] = {}
        for rule in rules:
            self.add(rule)

    def add(self, rule: FaultRule) -> Fault:
        """Put a rule to use, behind those there are.

        :param rule: the rule.
        :returns: the fault, which counts its hits.
        """
        fault = Fault(rule)
        with self._lock:
            self._faults[fault.id] = fault
        return fault

    def get(self, fault_id: str) -> Fault | None:
        """Find a fault.

        :param fault_id: its id.
        :returns: the fault, or None.
        """
        return self._faults.get(fault_id)

    def all(self) -> list[Fault]:
        """List the faults in the order in which they are tried.

        :returns: used-up ones too.
        """
        with self._lock:
            return list(self._faults.values())

    def remove(self, fault_id: str) -> bool:
        """Take a fault out of use and close what it holds.

        :param fault_id: its id.
        :returns: whether it was there.
        """
        with self._lock:
            fault = self._faults.pop(fault_id, None)
        if fault is None:
            return False
        fault.remove()
        return True

    def clear(self) -> None:
        """Take all faults out of use and close what they hold."""
        for fault in self.all():
            self.remove(fault.id)

    def draw(self, method: str, path: str) -> Fault | None:
        """Find the fault for a request and count the hit.

        :param method: HTTP method.
        :param path: path.
        :returns: the first fault that matches, or None.
        """
        if not self._faults:
            return None
        for fault in self.all():
            if fault.matches(method, path) and self._rng.random() < fault.rule.probability:
                fault.hit()
                return fault
        return None


def _compile(pattern: str) -> re.Pattern[str]:
    whole = pattern if pattern.startswith("/") else API_PREFIX + pattern
    pieces = re.split(r"(\*\*|\*)", whole)
    wild = {"**": ".*", "*": "[^/]*"}
    return re.compile("".join(wild.get(piece, re.escape(piece)) for piece in pieces))
