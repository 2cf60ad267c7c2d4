"""What can go wrong with a request, and how each kind of operation ends then: the declaration.

``python -m scripts.fault_table`` writes ``docs/faults.md`` from it, and ``tests/faults`` makes each of these
faults happen to each operation and expects what is declared here.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scripts import reported_faults

PAGE = Path(__file__).parent.parent / "docs" / "faults.md"


class Kind(enum.Enum):
    """What a fault leaves a client to know."""

    THROTTLED = enum.auto()
    """The server did not act, and wants to be asked later."""
    THROTTLED_TOO_LONG = enum.auto()
    """The same, but later than there is time for."""
    ERROR = enum.auto()
    """A server error that need not pass."""
    PASSING = enum.auto()
    """A server error that passes, as a rule. The server may have acted."""
    LOST = enum.auto()
    """There is no answer. The server may have acted."""
    CUT = enum.auto()
    """There is half an answer. The server has acted."""
    NOT_THE_API = enum.auto()
    """Something else has answered. The server has not acted, but who could tell."""
    UNREADABLE = enum.auto()
    """The server has acted, and its response is not what belongs there."""
    EMPTY = enum.auto()
    """The server has acted, and its response is empty."""
    NOT_CONNECTED = enum.auto()
    """The request was not sent."""
    NOT_TRUSTED = enum.auto()
    """The request was not sent, and never will be."""


@dataclass(frozen=True)
class Fault:
    """Something that goes wrong.

    :param told: what it is, for the docs.
    :param kind: what a client can know of it.
    :param rule: the emulator's rule for it; None where no server is reached at all.
    :param is_slow: whether it takes a client's timeout.
    """

    told: str
    kind: Kind
    rule: dict[str, Any] | None = field(default=None, hash=False)
    is_slow: bool = False


def _status(status: int, **rule: Any) -> dict[str, Any]:
    return {"kind": "status", "status": status, **rule}


def _page(status: int) -> dict[str, Any]:
    return {"kind": "html", "status": status}


#: More seconds than any test has: what is slow is over only when it is given up.
_FOR_EVER = {"delay": 60.0, "pieces": 1000}

FAULTS = {
    "429": Fault("429", Kind.THROTTLED, _status(429)),
    "429-seconds": Fault("429, `Retry-After: 1`", Kind.THROTTLED, _status(429, retry_after=1)),
    "429-date": Fault("429, `Retry-After` as a date", Kind.THROTTLED, _status(429, retry_after="date")),
    "429-negative": Fault("429, `Retry-After: -5`", Kind.THROTTLED, _status(429, retry_after=-5)),
    "429-nonsense": Fault("429, `Retry-After: soon`", Kind.THROTTLED, _status(429, retry_after="soon")),
    "429-absurd": Fault(
        "429, `Retry-After: 1000000000`", Kind.THROTTLED_TOO_LONG, _status(429, retry_after=10**9)
    ),
    "500": Fault("500", Kind.ERROR, _status(500)),
    "502": Fault("502, with a proxy's page", Kind.PASSING, {"kind": "html", "status": 502}),
    "503": Fault("503", Kind.PASSING, _status(503)),
    "503-seconds": Fault("503, `Retry-After: 1`", Kind.PASSING, _status(503, retry_after=1)),
    "504": Fault("504", Kind.PASSING, _status(504)),
    "reset-before": Fault("connection reset before the work", Kind.LOST, {"kind": "close_before"}),
    "reset-after": Fault("connection reset after the work", Kind.LOST, {"kind": "close_after"}),
    "no-answer": Fault("no answer", Kind.LOST, {"kind": "hold", "timeout": 60.0}, is_slow=True),
    "slow-headers": Fault(
        "headers byte by byte", Kind.LOST, {"kind": "slow_headers", **_FOR_EVER}, is_slow=True
    ),
    "slow-body": Fault("a body byte by byte", Kind.CUT, {"kind": "slow_body", **_FOR_EVER}, is_slow=True),
    "half-body": Fault("half a body", Kind.CUT, {"kind": "half_body"}),
    "html": Fault("200 with a web page", Kind.NOT_THE_API, _page(200)),
    "302": Fault("302 to a sign-in page", Kind.NOT_THE_API, _page(302)),
    "401-html": Fault("401 with a web page", Kind.NOT_THE_API, _page(401)),
    "403-html": Fault("403 with a web page", Kind.NOT_THE_API, _page(403)),
    "404-html": Fault("404 with a web page", Kind.NOT_THE_API, _page(404)),
    "408": Fault("408", Kind.NOT_THE_API, _page(408)),
    "421": Fault("421", Kind.NOT_THE_API, _page(421)),
    "425": Fault("425", Kind.NOT_THE_API, _page(425)),
    "not-json": Fault("200, but not JSON", Kind.UNREADABLE, {"kind": "invalid_json"}),
    "wrong-json": Fault("200 with other JSON", Kind.UNREADABLE, {"kind": "wrong_shape"}),
    "empty": Fault("200 with nothing", Kind.EMPTY, {"kind": "empty"}),
    "refused": Fault("connection refused", Kind.NOT_CONNECTED),
    "dns": Fault("no such host", Kind.NOT_CONNECTED),
    "expired": Fault("an expired certificate", Kind.NOT_TRUSTED),
}


class Group(enum.Enum):
    """Operations that end alike; the value names them for the docs."""

    ASK = "read, search, list files, update"
    TELL = "archive, delete, rename, set permissions"
    DETACH = "detach"
    MAKE = "capture, create, run"
    ATTACH = "attach"
    TRANSFER = "transfer"
    WAIT = "wait: sensors, and operators once they wait"
    WATCH = "watch: triggers of asset watchers"
    FILE = "the content of a file"


@dataclass(frozen=True)
class Ending:
    """How an operation ends.

    :param told: how, for the docs.
    :param error: name of the error class; None for success.
    :param may_retry: whether Airflow's retries are kept.
    """

    told: str
    error: str | None = None
    may_retry: bool = True


_SENT_AGAIN = Ending("sent again")
_LOOKED_FOR = Ending("looked for, made anew where it is not found")
_ADOPTED = Ending("looked for, found")
_WAITED = Ending("waited on")
_WATCHED = Ending("watched on")
FINE = Ending("no answer was needed")
_FETCHED_AGAIN = Ending("fetched on")
NO_EVENT = Ending("no event meanwhile", "TimeoutError")

_ERRORS = {
    Kind.THROTTLED: "RateLimited",
    Kind.THROTTLED_TOO_LONG: "RateLimited",
    Kind.ERROR: "ServerError",
    Kind.PASSING: "ServerError",
    Kind.LOST: "CodeOceanTransportError",
    Kind.CUT: "CodeOceanTransportError",
    Kind.NOT_THE_API: "UnexpectedAnswer",
    Kind.UNREADABLE: "UnexpectedAnswer",
    Kind.EMPTY: "UnexpectedAnswer",
    Kind.NOT_CONNECTED: "CodeOceanTransportError",
    Kind.NOT_TRUSTED: "CodeOceanTransportError",
}


#: What those end with that bear each fault for some time.
_LAST = {Group.WAIT: "WaitTimeout", Group.FILE: "DownloadFailed"}


def ending(group: Group, fault: Fault, *, for_good: bool) -> Ending | None:
    """Return how an operation ends when its request meets a fault.

    :param group: of the operation.
    :param fault: what goes wrong.
    :param for_good: whether it goes wrong each time, and not only once.
    :returns: the ending; None where there is no such case.
    """
    if fault.rule is None and (not for_good or group is Group.FILE):  # a server is there, or it is not
        return None
    if group is Group.WATCH:
        return NO_EVENT if for_good else _WATCHED
    if fault.kind is Kind.NOT_TRUSTED:
        return _raised("CodeOceanTransportError", may_retry=False)
    is_unknown = fault.kind in {Kind.LOST, Kind.UNREADABLE} and _was_carried_out(fault)
    if group is Group.DETACH and is_unknown and not for_good:
        return _raised("BadRequest", may_retry=False)  # the second request finds nothing attached
    return _recovery(group, fault, for_good=for_good) or _raised(_LAST.get(group) or _ERRORS[fault.kind])


def _recovery(group: Group, fault: Fault, *, for_good: bool) -> Ending | None:
    """Return how an operation ends with success; None where it does not."""
    kind = fault.kind
    if group in _LAST:
        gives_up = for_good or (kind is Kind.THROTTLED_TOO_LONG and group is Group.FILE)
        goes_on = _WAITED if group is Group.WAIT else _FETCHED_AGAIN
        return None if gives_up else goes_on
    if group in {Group.TELL, Group.DETACH, Group.TRANSFER} and kind in {Kind.CUT, Kind.EMPTY}:
        return FINE
    in_doubt = kind not in {Kind.THROTTLED, Kind.THROTTLED_TOO_LONG, Kind.NOT_CONNECTED}
    if group is Group.MAKE and in_doubt:
        not_made = None if for_good else _LOOKED_FOR
        return _ADOPTED if _was_carried_out(fault) else not_made
    once_only = in_doubt and group in {Group.ATTACH, Group.TRANSFER}
    gives_up = for_good or once_only or kind in {Kind.THROTTLED_TOO_LONG, Kind.ERROR}
    return None if gives_up else _SENT_AGAIN


def _was_carried_out(fault: Fault) -> bool:
    was_lost = fault.kind is Kind.LOST and fault.rule != {"kind": "close_before"}
    return was_lost or fault.kind in {Kind.CUT, Kind.UNREADABLE, Kind.EMPTY}


def _raised(error: str, *, may_retry: bool = True) -> Ending:
    return Ending(f"`{error}`" + ("" if may_retry else ", for good"), error, may_retry)


_BEGIN = """# Faults: what ends how

`tests/faults` makes these faults happen on real connections to the emulator: all of them to one operation of
each column, and one of each kind to each operation, in a worker and deferred, once and for good. The tables
are made from what those tests expect, by `python -m scripts.fault_table`. In all of them, nothing is made
twice.

What the cells say:

- **sent again**: the client sends the request again, for up to a minute
  ([which, and when](errors.md#what-is-sent-again)). Nobody notices but for a line in the log.
- **looked for**: the answer was lost, so that what may have been made
  [is searched for by its key](capture_once.md), found and gone on with, or made anew where it was not made.
  The task ends with success.
- **waited on**: the look is repeated until the task's `timeout`; a `Retry-After` is heeded for ten minutes at
  most.
- **watched on**: the poll is repeated at the next interval; the event comes once. A watcher never ends: while
  each poll fails, there is **no event**.
- **no answer was needed**: the API responds to such requests with an empty body.
- **fetched on**: the rest of the file is requested with a new signed URL, or all of it if it may have
  changed.
- `BadRequest` of *detach*: the first request has detached, its answer was lost, and the second is refused
  because nothing is attached any more. The message says so.
- an error: the task fails with it. Airflow's `retries` are kept, unless it says *for good*: then it is raised
  as `AirflowFailException`. `WaitTimeout` is told by a sensor as Airflow's `AirflowSensorTimeout`.

How long it may take at most:

| What | How long |
| --- | --- |
| a request and its answer | twice the connection's [`timeout`](connection.md): a minute by default |
| from the first time that it is sent to the beginning of the last | a minute |
| a wait | the task's `timeout` |
| looking for what may have been made | 40 seconds, for a computation 150, up to three times |
| a file | a minute without another MiB; the last MiB may take ten times the connection's `timeout` |

A task reads its connection as every task of Airflow does: a secrets backend that hangs, or a resolver of
host names, holds it until its `execution_timeout`. What waits in a triggerer is bounded there, too.

These are durations: a clock of the machine that is set forward or back changes none of them.
"""


_REPORTED = """Users and experiments reported these faults. For each row, at least one test reproduces it:
`grep -rn 'mark.fault("A1")' tests` finds those of row A1. Those that servers cause can be reproduced on the
[emulator](emulator.md#faults-and-quirks)."""


def _table(*, for_good: bool) -> str:
    faults = [fault for fault in FAULTS.values() if for_good or fault.rule is not None]
    rows = [
        "| Fault | " + " | ".join(group.value for group in Group) + " |",
        "| --- |" + " --- |" * len(Group),
    ]
    for fault in faults:
        endings = (ending(group, fault, for_good=for_good) for group in Group)
        rows.append(f"| {fault.told} | " + " | ".join(each.told if each else "" for each in endings) + " |")
    return "\n".join(rows)


def page() -> str:
    """Return the page."""
    return (
        f"{_BEGIN}\n## Once\n\nOne request goes wrong; the next would not.\n\n{_table(for_good=False)}\n"
        f"\n## For good\n\nEach such request goes wrong.\n\n{_table(for_good=True)}\n"
        f"\n## Reported faults\n\n{_REPORTED}\n\n{reported_faults.table()}\n"
    )


if __name__ == "__main__":
    PAGE.write_text(page())
