"""Declare the faults of requests, and the expected result of each kind of operation.

``python -m scripts.fault_table`` writes ``docs/faults.md`` from it. ``tests/faults`` injects each fault into
each operation and compares the results.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scripts import reported_faults

PAGE_PATH = Path(__file__).parent.parent / "docs" / "faults.md"


class FaultKind(enum.Enum):
    """The knowledge that a fault leaves to the client."""

    THROTTLED = enum.auto()
    """The server did not apply the request, and asks for a later retry."""
    THROTTLED_TOO_LONG = enum.auto()
    """The same, but the retry would be too late."""
    SERVER_ERROR = enum.auto()
    """A server error that may be permanent."""
    TRANSIENT_SERVER_ERROR = enum.auto()
    """A server error that is usually transient. The server may have applied the request."""
    NO_RESPONSE = enum.auto()
    """There is no response. The server may have applied the request."""
    TRUNCATED_RESPONSE = enum.auto()
    """The response is incomplete. The server has applied the request."""
    FOREIGN_RESPONSE = enum.auto()
    """Another server responded. Code Ocean has not applied the request, but the client cannot know that."""
    INVALID_RESPONSE = enum.auto()
    """The server has applied the request, but its response is not usable."""
    EMPTY_RESPONSE = enum.auto()
    """The server has applied the request, but its response is empty."""
    NOT_CONNECTED = enum.auto()
    """The request was not sent."""
    UNTRUSTED_CERTIFICATE = enum.auto()
    """The request was not sent, and a retry cannot help."""


@dataclass(frozen=True)
class Fault:
    """A fault of a request.

    :param description: its name in the docs.
    :param kind: the knowledge that it leaves to the client.
    :param rule: fields of the emulator's rule; None if the emulator is not reached.
    :param is_slow: whether the client notices it only by its timeout.
    """

    description: str
    kind: FaultKind
    rule: dict[str, Any] | None = field(default=None, hash=False)
    is_slow: bool = False


def _status_rule(status: int, **rule: Any) -> dict[str, Any]:
    return {"kind": "status", "status": status, **rule}


def _html_rule(status: int) -> dict[str, Any]:
    return {"kind": "html", "status": status}


#: Longer than any test: a slow response ends only with the client's timeout.
_NEVER_COMPLETES = {"delay": 60.0, "pieces": 1000}

FAULTS = {
    "429": Fault("429", FaultKind.THROTTLED, _status_rule(429)),
    "429-seconds": Fault("429, `Retry-After: 1`", FaultKind.THROTTLED, _status_rule(429, retry_after=1)),
    "429-date": Fault(
        "429, `Retry-After` as a date", FaultKind.THROTTLED, _status_rule(429, retry_after="date")
    ),
    "429-negative": Fault("429, `Retry-After: -5`", FaultKind.THROTTLED, _status_rule(429, retry_after=-5)),
    "429-nonsense": Fault(
        "429, `Retry-After: soon`", FaultKind.THROTTLED, _status_rule(429, retry_after="soon")
    ),
    "429-absurd": Fault(
        "429, `Retry-After: 1000000000`", FaultKind.THROTTLED_TOO_LONG, _status_rule(429, retry_after=10**9)
    ),
    "500": Fault("500", FaultKind.SERVER_ERROR, _status_rule(500)),
    "502": Fault(
        "502, with a proxy's page", FaultKind.TRANSIENT_SERVER_ERROR, {"kind": "html", "status": 502}
    ),
    "503": Fault("503", FaultKind.TRANSIENT_SERVER_ERROR, _status_rule(503)),
    "503-seconds": Fault(
        "503, `Retry-After: 1`", FaultKind.TRANSIENT_SERVER_ERROR, _status_rule(503, retry_after=1)
    ),
    "504": Fault("504", FaultKind.TRANSIENT_SERVER_ERROR, _status_rule(504)),
    "reset-before": Fault(
        "connection closed before the request is applied", FaultKind.NO_RESPONSE, {"kind": "close_before"}
    ),
    "reset-after": Fault(
        "connection closed after the request is applied", FaultKind.NO_RESPONSE, {"kind": "close_after"}
    ),
    "no-answer": Fault("no response", FaultKind.NO_RESPONSE, {"kind": "hold", "timeout": 60.0}, is_slow=True),
    "slow-headers": Fault(
        "headers byte by byte",
        FaultKind.NO_RESPONSE,
        {"kind": "slow_headers", **_NEVER_COMPLETES},
        is_slow=True,
    ),
    "slow-body": Fault(
        "body byte by byte",
        FaultKind.TRUNCATED_RESPONSE,
        {"kind": "slow_body", **_NEVER_COMPLETES},
        is_slow=True,
    ),
    "half-body": Fault("incomplete body", FaultKind.TRUNCATED_RESPONSE, {"kind": "half_body"}),
    "html": Fault("200 with a web page", FaultKind.FOREIGN_RESPONSE, _html_rule(200)),
    "302": Fault("302 to a sign-in page", FaultKind.FOREIGN_RESPONSE, _html_rule(302)),
    "401-html": Fault("401 with a web page", FaultKind.FOREIGN_RESPONSE, _html_rule(401)),
    "403-html": Fault("403 with a web page", FaultKind.FOREIGN_RESPONSE, _html_rule(403)),
    "404-html": Fault("404 with a web page", FaultKind.FOREIGN_RESPONSE, _html_rule(404)),
    "408": Fault("408", FaultKind.FOREIGN_RESPONSE, _html_rule(408)),
    "421": Fault("421", FaultKind.FOREIGN_RESPONSE, _html_rule(421)),
    "425": Fault("425", FaultKind.FOREIGN_RESPONSE, _html_rule(425)),
    "not-json": Fault("200, but not JSON", FaultKind.INVALID_RESPONSE, {"kind": "invalid_json"}),
    "wrong-json": Fault("200 with other JSON", FaultKind.INVALID_RESPONSE, {"kind": "wrong_shape"}),
    "empty": Fault("200 without a body", FaultKind.EMPTY_RESPONSE, {"kind": "empty"}),
    "refused": Fault("connection refused", FaultKind.NOT_CONNECTED),
    "dns": Fault("no such host", FaultKind.NOT_CONNECTED),
    "expired": Fault("expired certificate", FaultKind.UNTRUSTED_CERTIFICATE),
}


class OperationGroup(enum.Enum):
    """Operations with the same results; the value is their name in the docs."""

    READ = "read, search, list files, update"
    SET_STATE = "archive, delete, rename, set permissions"
    DETACH = "detach"
    SUBMIT = "capture, create, run"
    ATTACH = "attach"
    TRANSFER = "transfer"
    WAIT = "wait (sensors, operators)"
    WATCH = "watch (asset watchers)"
    DOWNLOAD = "download"


@dataclass(frozen=True)
class ExpectedResult:
    """The result of an operation.

    :param description: its name in the docs.
    :param error_class: name of the error class; None for success.
    :param keeps_retries: whether the task keeps Airflow's retries.
    """

    description: str
    error_class: str | None = None
    keeps_retries: bool = True


_RESENT = ExpectedResult("resent")
_RESUBMITTED = ExpectedResult("searched, submitted again")
_ADOPTED = ExpectedResult("searched, adopted")
_WAIT_CONTINUED = ExpectedResult("keeps waiting")
_WATCH_CONTINUED = ExpectedResult("keeps watching")
NO_RESPONSE_NEEDED = ExpectedResult("succeeds")
_DOWNLOAD_RESUMED = ExpectedResult("resumed")
NO_EVENT = ExpectedResult("no event", "TimeoutError")

_ERRORS_BY_KIND = {
    FaultKind.THROTTLED: "RateLimited",
    FaultKind.THROTTLED_TOO_LONG: "RateLimited",
    FaultKind.SERVER_ERROR: "ServerError",
    FaultKind.TRANSIENT_SERVER_ERROR: "ServerError",
    FaultKind.NO_RESPONSE: "CodeOceanTransportError",
    FaultKind.TRUNCATED_RESPONSE: "CodeOceanTransportError",
    FaultKind.FOREIGN_RESPONSE: "UnexpectedResponse",
    FaultKind.INVALID_RESPONSE: "UnexpectedResponse",
    FaultKind.EMPTY_RESPONSE: "UnexpectedResponse",
    FaultKind.NOT_CONNECTED: "CodeOceanTransportError",
    FaultKind.UNTRUSTED_CERTIFICATE: "CodeOceanTransportError",
}


#: Errors of operations that tolerate every fault for some time.
_FINAL_ERRORS = {OperationGroup.WAIT: "WaitTimeout", OperationGroup.DOWNLOAD: "DownloadFailed"}


def expected_result(group: OperationGroup, fault: Fault, *, is_permanent: bool) -> ExpectedResult | None:
    """Return the expected result of an operation whose request fails.

    :param group: the group of the operation.
    :param fault: the fault.
    :param is_permanent: whether every request fails, not only the first.
    :returns: the result; None if the case does not exist.
    """
    # A server that cannot be reached once cannot be simulated, and a download needs one that lists its files.
    if fault.rule is None and (not is_permanent or group is OperationGroup.DOWNLOAD):
        return None
    if group is OperationGroup.WATCH:
        return NO_EVENT if is_permanent else _WATCH_CONTINUED
    if fault.kind is FaultKind.UNTRUSTED_CERTIFICATE:
        return _expect_error("CodeOceanTransportError", keeps_retries=False)
    is_unknown = fault.kind in {FaultKind.NO_RESPONSE, FaultKind.INVALID_RESPONSE} and _was_applied(fault)
    if group is OperationGroup.DETACH and is_unknown and not is_permanent:
        return _expect_error("BadRequest", keeps_retries=False)  # nothing is attached any more
    return _expected_success(group, fault, is_permanent=is_permanent) or _expect_error(
        _FINAL_ERRORS.get(group) or _ERRORS_BY_KIND[fault.kind]
    )


def _expected_success(group: OperationGroup, fault: Fault, *, is_permanent: bool) -> ExpectedResult | None:
    """Return the result of a successful operation; None if it fails."""
    kind = fault.kind
    if group in _FINAL_ERRORS:
        gives_up = is_permanent or (kind is FaultKind.THROTTLED_TOO_LONG and group is OperationGroup.DOWNLOAD)
        continued = _WAIT_CONTINUED if group is OperationGroup.WAIT else _DOWNLOAD_RESUMED
        return None if gives_up else continued
    if group in {OperationGroup.SET_STATE, OperationGroup.DETACH, OperationGroup.TRANSFER} and kind in {
        FaultKind.TRUNCATED_RESPONSE,
        FaultKind.EMPTY_RESPONSE,
    }:
        return NO_RESPONSE_NEEDED
    in_doubt = kind not in {FaultKind.THROTTLED, FaultKind.THROTTLED_TOO_LONG, FaultKind.NOT_CONNECTED}
    if group is OperationGroup.SUBMIT and in_doubt:
        if _was_applied(fault):
            return _ADOPTED
        return None if is_permanent else _RESUBMITTED
    is_sent_once = in_doubt and group in {OperationGroup.ATTACH, OperationGroup.TRANSFER}
    gives_up = is_permanent or is_sent_once or kind in {FaultKind.THROTTLED_TOO_LONG, FaultKind.SERVER_ERROR}
    return None if gives_up else _RESENT


def _was_applied(fault: Fault) -> bool:
    was_lost = fault.kind is FaultKind.NO_RESPONSE and fault.rule != {"kind": "close_before"}
    return was_lost or fault.kind in {
        FaultKind.TRUNCATED_RESPONSE,
        FaultKind.INVALID_RESPONSE,
        FaultKind.EMPTY_RESPONSE,
    }


def _expect_error(error: str, *, keeps_retries: bool = True) -> ExpectedResult:
    return ExpectedResult(f"`{error}`" + ("" if keeps_retries else ", permanent"), error, keeps_retries)


_HEADER = """# Faults: expected results

How each kind of operation ends if a request fails. In every case, at most one data asset or computation is
created.

- **resent**: the client [resends the request](errors.md#which-requests-are-resent), for up to a minute, and
  logs a warning.
- **searched, adopted**: the response was lost. The task [searches by its idempotency key](capture_once.md),
  and adopts the job.
- **searched, submitted again**: the same, but there is no job, so the task submits it again.
- **keeps waiting**: the poll is repeated until the task's `timeout`. A `Retry-After` is honored for at most
  ten minutes.
- **keeps watching**: the poll is repeated after the interval. Each event is sent once. A watcher never ends:
  while every poll fails, there is **no event**.
- **succeeds**: the API responds to such requests with an empty body, so the response is not needed.
- **resumed**: the rest of the file is requested with a new signed URL, or the whole file if it may have
  changed.
- **an error**: the task fails with it, and keeps its `retries`. A sensor reports `WaitTimeout` as Airflow's
  `AirflowSensorTimeout`.
- **an error, permanent**: the task raises `AirflowFailException`. For *detach*, the first request has
  succeeded, and the second one finds nothing to detach; the message says so.

## Time limits

| Step | Limit |
| --- | --- |
| request with its response | twice the connection's [`timeout`](connection.md): a minute by default |
| retries of a request | the last one starts within a minute |
| wait | the task's `timeout` |
| search for a job after a lost response | 40 s (computations: 150 s), up to three times |
| file | a minute per MiB; the last MiB may take ten times the connection's `timeout` |

All limits are durations, so changes of the system clock do not affect them. A slow secrets backend or DNS
resolver can block a task in a worker until its `execution_timeout`; in a triggerer, this is limited, too.
"""
_REPORTED_FAULTS_INTRO = """Users and experiments reported these faults. At least one test reproduces each
row: `grep -rn 'mark.fault("A1")' tests` finds the tests of row A1. The
[emulator](emulator.md#faults-and-quirks) can reproduce the faults of servers."""


def _render_table(*, is_permanent: bool) -> str:
    faults = [fault for fault in FAULTS.values() if is_permanent or fault.rule is not None]
    rows = [
        "| Fault | " + " | ".join(group.value for group in OperationGroup) + " |",
        "| --- |" + " --- |" * len(OperationGroup),
    ]
    for fault in faults:
        results = (expected_result(group, fault, is_permanent=is_permanent) for group in OperationGroup)
        cells = (result.description if result else "" for result in results)
        rows.append(f"| {fault.description} | {' | '.join(cells)} |")
    return "\n".join(rows)


def render_page() -> str:
    """Return the page."""
    return (
        f"{_HEADER}\n## One request fails\n\n{_render_table(is_permanent=False)}\n"
        f"\n## Every request fails\n\n{_render_table(is_permanent=True)}\n"
        f"\n## Reported faults\n\n{_REPORTED_FAULTS_INTRO}\n\n{reported_faults.render_table()}\n"
    )


if __name__ == "__main__":
    PAGE_PATH.write_text(render_page())
