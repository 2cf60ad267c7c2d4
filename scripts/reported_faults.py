"""Declare faults that users and experiments reported, with their expected results.

``python -m scripts.fault_table`` writes them into ``docs/faults.md``. Tests that reproduce row A1 are marked
with ``@pytest.mark.fault("A1")``.
"""

from __future__ import annotations

import re
from pathlib import Path

TEST_FOLDER = Path(__file__).parent.parent / "tests"

_FAULT_MARK = re.compile(r"pytest\.mark\.fault\(([^)]*)\)")

REPORTED_FAULTS: dict[str, tuple[str, str]] = {
    "A1": (
        "a file host responds with a proxy's page: 200, no length",
        "only a response of the expected size is accepted; otherwise, the download restarts",
    ),
    "A2": (
        "the `ETag` or `Last-Modified` of a file changes between two parts, also between attempts",
        "the download restarts",
    ),
    "A3": (
        "two runs write results of the same names and sizes into one folder",
        "a finished file is kept only if it comes from the same source",
    ),
    "A4": (
        "native rendering converts text to a number, such as `782149`",
        "text arguments accept it as text",
    ),
    "A5": ("native rendering converts text to a float, such as `1e5`", "rejected, with how to quote it"),
    "A6": (
        "a group that the server does not know and drops silently",
        "an error names the missing permissions",
    ),
    "A7": ("overlapping search pages, a page token that repeats", "each result is returned once"),
    "A8": (
        "a proxy responds with 404 and a web page",
        "transient: nothing counts as gone, nothing is submitted twice",
    ),
    "A9": ("a search has more matches than `limit`", "a warning, or an error if you ask for one"),
    "A10": ("the name of a capture is read from a file", "`target.prefix` can contain it"),
    "A11": ("positional parameters for a pipeline, which ignores them", "a warning"),
    "A12": ("`retries` is edited between two attempts", "the retry is recognized as a retry"),
    "A13": (
        "the server changes or drops tags, truncates names, omits `tags`, or changes the case of ids",
        "the key is verified after the submission; ids are compared without case",
    ),
    "A14": ("the first poll of an event watcher is empty", "earlier computations are not reported as new"),
    "A15": (
        "the emulator accepts a request that real servers reject, or the reverse",
        "documented requirements are enforced",
    ),
    "A16": (
        "an update clears the fields that it omits",
        "name, description, tags, and mount are all sent",
    ),
    "B1": ("429 for searches only", "searching pauses; reads keep their interval"),
    "B2": ("503 with `Retry-After` for one data asset", "only its wait is delayed"),
    "B3": ("some reads hang, some return 500", "the other waits keep their interval"),
    "B4": (
        "408, 425, a redirect, or a 403 page during a wait",
        "tolerated like 502, in a worker and deferred",
    ),
    "B5": ("404 with a message right after a submission", "not yet visible, for five minutes"),
    "B6": ("the connection is edited while waits use it", "all waits notice within a minute"),
    "B7": ("a number of 400 digits, a field nested 300 deep", "bounded; that wait ends with the reason"),
    "B8": ("4,000 waits for one job", "constant cost per wait"),
    "C1": ("a computation reports App Panel defaults that were not requested", "recognized as the same run"),
    "C2": ("a timeout without retries", "the computation is stopped if you ask for it"),
    "C3": ("a finished run is cleared", "a warning names the adopted job"),
    "D1": ("zero-byte folder markers in a listing", "skipped"),
    "D2": (
        "one unsafe file name among good ones",
        "rejected or skipped, as you choose, with the right reason",
    ),
    "D3": ("connection extras of a wrong kind", "an error names the connection and the field"),
    "D4": ("a template of an optional argument renders blank", "counts as omitted"),
    "D5": ("a response repeats the token, literally or in Base64", "the token is redacted"),
    "D6": ("control characters from the server", "escaped in logs and errors"),
    "D7": ("a signed URL or redirect leads to a link-local address", "refused"),
    "D8": ("the state of an asset watcher exceeds 64 KiB", "it stays below"),
    "D9": ("power fails after a download", "files are synced before they are renamed"),
    "D10": ("a search for capsules by the id of a data asset", "finds those that it is attached to"),
    "N1": ("short deferrals on a busy machine, without retries", "none fails"),
    "N2": ("`airflow dags test` with a connection in the database", "no stalls"),
    "N3": (
        "an id argument gets the result of a task, or text that is not an id",
        "accepted, or rejected early",
    ),
    "N4": ("a wrong host", "the error names the host, the connection, and the remedy"),
    "N5": ("invalid nested values", "the error names your argument and key"),
    "N6": ("unknown connection extras", "a warning names them and the known ones"),
    "N7": ("an invalid mount, name, boolean, or path", "rejected, by the provider and by the emulator"),
    "N8": ("`. ./code-ocean.env`", "exports its variables"),
    "N9": ("`capture_on_completion` next to DAGs that capture by themselves", "their runs are skipped"),
    "N10": ("an id of another kind, a URL, an empty template", "the error names the argument and the remedy"),
    "N11": ("StatsD", "two connections have two gauges"),
}


def render_table() -> str:
    """Return the table of reported faults as Markdown."""
    rows = (f"| {row} | {fault} | {result} |" for row, (fault, result) in REPORTED_FAULTS.items())
    return "\n".join(["| Row | Fault | Result |", "| --- | --- | --- |", *rows])


def find_marked_rows() -> set[str]:
    """Return all rows that tests are marked with."""
    marks = (
        mark for path in TEST_FOLDER.rglob("test_*.py") for mark in _FAULT_MARK.findall(path.read_text())
    )
    return {row for arguments in marks for row in re.findall(r'"([^"]+)"', arguments)}
