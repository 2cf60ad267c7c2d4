"""Fault injection: rules for requests that fail or get unusual responses.

A fault of the first table replaces or corrupts the response to a request. The first rule that matches a
request is applied.

| kind | work done | response |
| --- | --- | --- |
| `status` | no | `status` (default 503) with `body`, or a `message`; optional `retry_after` |
| `html` | no | a proxy's HTML page with `status` (default 502); a redirect leads to `location` |
| `close_before` | no | the connection is closed |
| `hold_before` | when released | none until then |
| `read_lag` | no | 404 with a `message` for each GET of a new data asset or computation, see below |
| `slow` | after `delay` | the response, late |
| `slow_headers` | yes | the headers in `pieces` over `delay`, then the body |
| `slow_body` | yes | the headers at once, the body in `pieces` over `delay` |
| `half_body` | yes | half of the body, then the connection is closed |
| `invalid_json` | yes | half of the body as if it were all |
| `wrong_shape` | yes | the status with `body` (default `["unexpected"]`): JSON of another kind |
| `empty` | yes | the status with an empty body |
| `close_after` | yes | the connection is closed without a response |
| `hold` | yes | none until released, then the response |

A quirk of the second table changes stored data or responses. Quirks of different kinds are combined,
also with a fault; of several rules with the same kind, the first that matches a request is applied.

| kind | effect |
| --- | --- |
| `truncate_tags` | tags are cut to `length` characters |
| `lowercase_tags`, `prefix_tags`, `drop_tags` | tags are lower-cased; get `text` in front; are lost |
| `truncate_names` | names of data assets and computations are cut to `length` characters |
| `drop_fields` | the objects in a response lack `fields`, such as `tags` in search results |
| `uppercase_ids` | the ids in a response are in upper case |
| `overlap_pages` | each page of a search repeats the last `count` results of the page before |
| `repeat_token` | each later page of a search has the page token that led to it |
| `endless_pages` | `has_more` stays true; empty pages follow the last result |
| `folder_markers` | listings contain zero-byte entries for folders (`raw/`) and for the listed folder |
| `unsafe_names` | files with `names` are among the results |
| `drop_headers` | the response lacks the headers in `fields`; without `Content-Length`, it is chunked |
| `change_file` | each request gets other bytes of a file (as many), `ETag`, and `Last-Modified` |
| `opaque_etag` | the `ETag` of a file is not its MD5, as with encryption by KMS |
| `report_defaults` | a new computation also reports the App Panel's defaults and the parameters in `body` |
| `clear_omitted` | an update of a data asset empties name, description, tags, and mount if they are omitted |
| `drop_users` | unknown users in permissions are dropped silently, as unknown groups always are |

A held request continues after `release` or after `timeout` seconds; if the rule is removed, its connection is
closed and work that is not done yet stays undone. A client that disconnects does not end the hold: servers do
not notice. `read_lag` concerns objects that were created after the rule was added: each is hidden for `delay`
seconds after its creation or, if `reads` is set, from that number of requests.
"""

import asyncio
import random
import re
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Container, Iterable
from typing import Any, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator

API_PREFIX = "/api/v1/"

ResponseFaultKind = Literal[
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
QuirkKind = Literal[
    "truncate_tags",
    "lowercase_tags",
    "prefix_tags",
    "drop_tags",
    "truncate_names",
    "drop_fields",
    "uppercase_ids",
    "overlap_pages",
    "repeat_token",
    "endless_pages",
    "folder_markers",
    "unsafe_names",
    "drop_headers",
    "change_file",
    "opaque_etag",
    "report_defaults",
    "clear_omitted",
    "drop_users",
]
FaultKind = Literal[ResponseFaultKind, "read_lag", QuirkKind]

RESPONSE_FAULT_KINDS: frozenset[str] = frozenset(get_args(ResponseFaultKind))
QUIRK_KINDS: frozenset[str] = frozenset(get_args(QuirkKind))
FILE_QUIRK_KINDS = frozenset({"change_file", "opaque_etag"})
"""Kinds that apply only to the file host."""

SIGN_IN_URL = "https://sign-in.emulator.test/"
UNSAFE_FILE_NAMES = ("Icon\r", "raw\\x.csv", "1:30.csv", "...")


class FaultRule(BaseModel):
    """A fault or quirk, and the requests that it applies to.

    :param method: HTTP method, `*` for all.
    :param path: pattern for the path below `/api/v1/`, or, with a leading slash, for the whole path: `*`
        matches any text without a slash, `**` any text. The default is `/storage/**` for `change_file` and
        `opaque_etag`.
    :param kind: kind of the fault or quirk; see the module's documentation.
    :param times: number of requests; None for no limit. The default is 1, but None for `read_lag`, for
        quirks, and if `seconds` is set.
    :param seconds: how long the rule applies, in seconds after the first hit.
    :param probability: fraction of the matching requests that the rule applies to.
    :param status: status of the response, for `status` and `html`.
    :param body: body of the response: for `status`, a string is sent as text, anything else as JSON; for
        `wrong_shape`, JSON; for `report_defaults`, additional parameters, value by name.
    :param retry_after: `Retry-After` for `status` and `html`: `date` for an HTTP date 2 s ahead; any other
        value is sent unchanged.
    :param location: target of a redirect, for `html` with a status of 3xx.
    :param delay: seconds, for `slow`, `slow_headers`, `slow_body`, and `read_lag`.
    :param reads: number of GET requests for one object that `read_lag` answers with 404, instead of `delay`.
    :param pieces: number of pieces, for `slow_headers` and `slow_body`.
    :param timeout: seconds after which a hold ends by itself.
    :param stored: whether tags and names are changed when they are stored, or only in responses.
    :param length: number of characters that remain of tags and names.
    :param text: prefix, for `prefix_tags`.
    :param fields: names of fields or headers, for `drop_fields` and `drop_headers`.
    :param count: number of repeated results, for `overlap_pages`.
    :param names: file names, for `unsafe_names`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    method: str = "*"
    path: str = "**"
    kind: FaultKind
    times: int | None = Field(default=1, ge=1)
    seconds: float | None = Field(default=None, gt=0)
    probability: float = Field(default=1.0, ge=0, le=1)
    status: int | None = Field(default=None, ge=200, le=599)
    body: Any = None
    retry_after: int | str | None = None
    location: str = SIGN_IN_URL
    delay: float = Field(default=1.0, ge=0)
    reads: int | None = Field(default=None, ge=1)
    pieces: int = Field(default=4, ge=1, le=1000)
    timeout: float = Field(default=30.0, ge=0)
    stored: bool = True
    length: int = Field(default=20, ge=0)
    text: str = "cop:"
    fields: tuple[str, ...] = ()
    count: int = Field(default=1, ge=1)
    names: tuple[str, ...] = UNSAFE_FILE_NAMES

    @model_validator(mode="before")
    @classmethod
    def _fill_defaults(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        kind = values.get("kind")
        lasting = kind in QUIRK_KINDS or kind == "read_lag" or values.get("seconds") is not None
        path = "/storage/**" if kind in FILE_QUIRK_KINDS else "**"
        return {"times": None if lasting else 1, "path": path, **values}

    @model_validator(mode="after")
    def _require_fields(self) -> Self:
        if self.kind in {"drop_fields", "drop_headers"} and not self.fields:
            raise ValueError(f"fields: is required for the kind {self.kind}")
        if self.kind == "report_defaults" and not isinstance(self.body, dict | None):
            raise ValueError("body: must be an object, value by parameter name, for the kind report_defaults")
        return self


class Fault:
    """An active rule. Tests can read it and release held requests from any thread.

    :param rule: the rule.
    :param now: returns the time as Unix seconds.
    """

    def __init__(self, rule: FaultRule, now: Callable[[], float] = time.time) -> None:
        self.id = uuid.uuid4().hex[:8]
        self.rule = rule
        self.hits = 0
        self.is_removed = False
        self.added_at = now()
        self._now = now
        self._ends_at: float | None = None
        self._read_counts: Counter[str] = Counter()
        self._path_pattern = _compile_path_pattern(rule.path)
        self._held_requests: dict[asyncio.Event, asyncio.AbstractEventLoop] = {}
        self._condition = threading.Condition()

    @property
    def held(self) -> int:
        """Number of held requests."""
        return len(self._held_requests)

    def matches(self, method: str, path: str) -> bool:
        """Return whether the rule applies to a request, disregarding its probability.

        :param method: HTTP method of the request.
        :param path: path of the request.
        :returns: whether method and path match and the rule is not used up.
        """
        if self.rule.times is not None and self.hits >= self.rule.times:
            return False
        if self._ends_at is not None and self._now() >= self._ends_at:
            return False
        if self.rule.method.upper() not in {"*", method}:
            return False
        return self._path_pattern.fullmatch(path) is not None

    def record_hit(self) -> None:
        """Count a request."""
        with self._condition:
            if self.rule.seconds is not None and self._ends_at is None:
                self._ends_at = self._now() + self.rule.seconds
            self.hits += 1
            self._condition.notify_all()

    def hides_object(self, object_id: str, created_at: float) -> bool:
        """Return whether `read_lag` hides an object from a GET request, and count the request.

        :param object_id: the object's id.
        :param created_at: its creation time, Unix seconds.
        :returns: whether the object is not visible yet.
        """
        if created_at < self.added_at:
            return False
        if self.rule.reads is None:
            return self._now() < created_at + self.rule.delay
        self._read_counts[object_id] += 1
        return self._read_counts[object_id] <= self.rule.reads

    async def hold_request(self) -> bool:
        """Hold a request until it is released, the rule's timeout expires, or the rule is removed.

        :returns: whether to continue with the request.
        """
        released = asyncio.Event()
        with self._condition:
            self._held_requests[released] = asyncio.get_running_loop()
            self._condition.notify_all()
        try:
            if not self.is_removed:
                await asyncio.wait_for(released.wait(), self.rule.timeout)
        except TimeoutError:
            pass
        finally:
            with self._condition:
                del self._held_requests[released]
        return not self.is_removed

    def release_requests(self) -> None:
        """Continue all requests that are held now."""
        with self._condition:
            for released, loop in self._held_requests.items():
                loop.call_soon_threadsafe(released.set)

    def remove(self) -> None:
        """Disable the rule, and close the connections of held requests."""
        self.is_removed = True
        self.release_requests()
        with self._condition:
            self._condition.notify_all()

    def wait(self, *, hits: int = 0, held: int = 0, timeout: float = 10.0) -> bool:
        """Wait for hits and held requests. Do not call it in the server's thread.

        :param hits: minimum number of hits.
        :param held: minimum number of held requests.
        :param timeout: seconds to wait.
        :returns: whether the numbers were reached before the timeout and before the rule was removed.
        """

        def reached() -> bool:
            return self.hits >= hits and self.held >= held

        with self._condition:
            self._condition.wait_for(lambda: reached() or self.is_removed, timeout)
            return reached()

    def to_dict(self) -> dict[str, Any]:
        """Return the rule and its number of hits.

        :returns: the rule's fields, `id`, `hits`, and `held`.
        """
        return {"id": self.id, **self.rule.model_dump(), "hits": self.hits, "held": self.held}


class FaultRegistry:
    """The active rules.

    :param rules: the initial rules.
    :param rng: source of random numbers for probabilities.
    :param now: returns the time as Unix seconds.
    """

    def __init__(
        self, rules: Iterable[FaultRule], rng: random.Random, now: Callable[[], float] = time.time
    ) -> None:
        self._rng = rng
        self._now = now
        self._lock = threading.Lock()
        self._faults: dict[str, Fault] = {}
        for rule in rules:
            self.add(rule)

    def add(self, rule: FaultRule) -> Fault:
        """Add a rule after the existing ones.

        :param rule: the rule.
        :returns: the fault, which counts its hits.
        """
        fault = Fault(rule, self._now)
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
        """List the faults in the order in which they are matched.

        :returns: all faults, including used-up ones.
        """
        with self._lock:
            return list(self._faults.values())

    def remove(self, fault_id: str) -> bool:
        """Remove a fault, and close the connections of its held requests.

        :param fault_id: its id.
        :returns: whether the fault existed.
        """
        with self._lock:
            fault = self._faults.pop(fault_id, None)
        if fault is None:
            return False
        fault.remove()
        return True

    def clear(self) -> None:
        """Remove all faults, and close the connections of their held requests."""
        for fault in self.all():
            self.remove(fault.id)

    def find(self, method: str, path: str, kinds: Container[str] = RESPONSE_FAULT_KINDS) -> Fault | None:
        """Find the rule for a request without counting a hit.

        :param method: HTTP method.
        :param path: path.
        :param kinds: kinds to consider.
        :returns: the first rule that matches, or None.
        """
        if not self._faults:
            return None
        for fault in self.all():
            matches = fault.rule.kind in kinds and fault.matches(method, path)
            if matches and self._rng.random() < fault.rule.probability:
                return fault
        return None

    def match(self, method: str, path: str, kinds: Container[str] = RESPONSE_FAULT_KINDS) -> Fault | None:
        """Find the rule for a request and count the hit.

        :param method: HTTP method.
        :param path: path.
        :param kinds: kinds to consider.
        :returns: the first rule that matches, or None.
        """
        fault = self.find(method, path, kinds)
        if fault is not None:
            fault.record_hit()
        return fault


def _compile_path_pattern(pattern: str) -> re.Pattern[str]:
    whole = pattern if pattern.startswith("/") else API_PREFIX + pattern
    pieces = re.split(r"(\*\*|\*)", whole)
    wild = {"**": ".*", "*": "[^/]*"}
    return re.compile("".join(wild.get(piece, re.escape(piece)) for piece in pieces))
