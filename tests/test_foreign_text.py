"""Text that a server sends reaches log lines and errors without control characters, in linear time."""

from __future__ import annotations

import importlib
import json
import logging
import pkgutil
import re
import time
import unicodedata
from collections import defaultdict
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import airflow_provider_codeocean
from airflow_provider_codeocean.api import errors
from airflow_provider_codeocean.api.errors import CodeOceanApiError, CodeOceanError
from airflow_provider_codeocean.api.models.computation import Computation
from airflow_provider_codeocean.api.models.data_asset import DataAsset
from airflow_provider_codeocean.api.models.data_asset_summary import DataAssetSummaryPage
from airflow_provider_codeocean.api.text import to_printable
from airflow_provider_codeocean.hooks.codeocean import CodeOceanHook
from airflow_provider_codeocean.operators._submit_once import computation as computation_job
from airflow_provider_codeocean.operators.computation import (
    CodeOceanDeleteComputationOperator,
    CodeOceanRenameComputationOperator,
    CodeOceanRunCapsuleOperator,
)
from airflow_provider_codeocean.operators.data_asset import (
    CodeOceanCaptureResultOperator,
    CodeOceanDeleteDataAssetOperator,
    CodeOceanUpdateDataAssetOperator,
)
from airflow_provider_codeocean.operators.files import CodeOceanListFilesOperator
from airflow_provider_codeocean.operators.permissions import CodeOceanSetDataAssetPermissionsOperator
from airflow_provider_codeocean.operators.search import CodeOceanSearchDataAssetsOperator
from airflow_provider_codeocean.operators.transfer import CodeOceanTransferDataAssetOperator
from airflow_provider_codeocean.polling.waits import ComputationWait, DataAssetWait
from airflow_provider_codeocean.sensors.computation import CodeOceanComputationSensor
from airflow_provider_codeocean.sensors.data_asset import CodeOceanDataAssetSensor
from airflow_provider_codeocean.submission import protocol
from airflow_provider_codeocean.triggers.computation import CodeOceanComputationTrigger
from airflow_provider_codeocean.triggers.data_asset import CodeOceanDataAssetTrigger
from tests.api.loopback import LoopbackServer

PACKAGE = Path(airflow_provider_codeocean.__file__).parent
EVIL = "a\n[2026-01-01] INFO - forged\r\x1b[2J\x9b31m\u2028\u202ez\x00"


def controls(text: str) -> list[str]:
    """Find the characters of a text that no log line may hold."""
    return [
        each
        for each in text
        if unicodedata.category(each) in {"Cc", "Zl", "Zp"} or unicodedata.bidirectional(each) in BIDI
    ]


BIDI = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}


@given(st.text())
def test_printable_escapes_control_characters_only(text):
    shown = to_printable(text)
    assert controls(shown) == []
    if not controls(text):
        assert shown == text


def test_printable_shows_escaped_characters():
    assert to_printable("a\nb\x1b\x9b\u2028é\xa0🙂") == "a\\nb\\x1b\\x9b\\u2028é\xa0🙂"


@pytest.mark.fault("D6")
@pytest.mark.parametrize(
    "kind",
    [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, CodeOceanError)],
)
def test_error_escapes_control_characters(kind):
    error = kind(400, EVIL) if issubclass(kind, CodeOceanApiError) else kind(EVIL)
    assert controls(str(error)) == []
    assert "forged" in str(error)


@pytest.mark.fault("D6")
@given(st.text())
def test_ids_and_unknown_states_are_read_without_control_characters(text):
    fields = {"id": text, "state": text}
    page = (
        DataAssetSummaryPage.from_bytes(json.dumps({"results": [fields], "has_more": False}).encode())
        if text.isascii()
        else None
    )
    for seen in (DataAsset(**fields), Computation(**fields), *(page.results if page else ())):
        assert controls(f"{seen.id}{seen.state}") == []


class Task:
    """A task instance, and the rest of a context."""

    dag_id, run_id, task_id, map_index, try_number, max_tries, start_date = "d", "r", "t", -1, 1, 0, None

    def xcom_push(self, key, value):
        pass


class Hostile(dict):
    """Answers every request with an object all of whose texts are hostile."""

    def __init__(self, state):
        texts = ("name", "description", "mount", "failure_reason", "transfer_error", "slug", "owner")
        asset = dict.fromkeys(texts, EVIL) | {"id": "a1", "tags": [EVIL], "state": state, "end_status": EVIL}
        self |= asset | {
            "results": [asset],
            "items": [{"name": EVIL, "path": EVIL, "type": "file", "size": 1}],
            "users": [{"email": EVIL, "role": EVIL}],
            "groups": [{"group": EVIL, "role": EVIL}],
            "source_bucket": {"bucket": EVIL, "prefix": EVIL, "origin": EVIL, "external": False},
            "parameters": [{"name": EVIL, "value": EVIL}],
            "custom_metadata": {EVIL: EVIL},
            "fields": [{"name": EVIL, "type": "string", "allowed_values": [EVIL], "required": True}],
            "has_more": False,
        }


class HostileServer(LoopbackServer):
    """Answers like ``response``, except that a list of computations is a list."""

    @property
    def response(self):
        is_list = "/computations " in self.request_lines[-1] and self.request_lines[-1].startswith("GET")
        status, headers, body = self._answer
        return status, headers, b"[%s]" % body if is_list and status == 200 else body

    @response.setter
    def response(self, answer):
        self._answer = answer


@pytest.fixture(params=["ready", "completed", "failed", EVIL])
def hostile(request, connect):
    """A server that sends hostile texts."""
    with HostileServer() as server:
        server.response = (200, {}, json.dumps(Hostile(request.param)).encode())
        connect(server.url, "cop_s3cret")
        yield server


WAIT = {"deferrable": False, "timeout": 1, "poll_interval": 0.1}
TASKS = {
    "capture": CodeOceanCaptureResultOperator(
        task_id="t", computation_id="c1", name="n", mount="m", on_kill="leave", **WAIT
    ),
    "run": CodeOceanRunCapsuleOperator(task_id="t", capsule_id="c1", **WAIT),
    "rename": CodeOceanRenameComputationOperator(task_id="t", computation_id="c1", name=EVIL),
    "delete computation": CodeOceanDeleteComputationOperator(task_id="t", computation_id="c1"),
    "delete": CodeOceanDeleteDataAssetOperator(task_id="t", data_asset_id="a1"),
    "update": CodeOceanUpdateDataAssetOperator(
        task_id="t", data_asset_id="a1", name="n", custom_metadata={"x": "y"}
    ),
    "list": CodeOceanListFilesOperator(task_id="t", data_asset_id="a1"),
    "permissions": CodeOceanSetDataAssetPermissionsOperator(
        task_id="t", data_asset_id="a1", everyone="viewer", mode="ensure"
    ),
    "search": CodeOceanSearchDataAssetsOperator(task_id="t"),
    "transfer": CodeOceanTransferDataAssetOperator(
        task_id="t", data_asset_id="a1", target={"bucket": "b", "prefix": "p"}, **WAIT
    ),
    "data asset sensor": CodeOceanDataAssetSensor(task_id="t", data_asset_id="a1"),
    "computation sensor": CodeOceanComputationSensor(task_id="t", computation_id="c1"),
}


class Shown:
    """What was logged and raised."""

    def __init__(self, caplog):
        self._caplog = caplog
        caplog.set_level(logging.INFO)
        self.raised: list[BaseException] = []

    def texts(self) -> list[str]:
        logged = [
            record.getMessage()
            for record in self._caplog.records
            if record.name.startswith(("airflow_provider_codeocean", "airflow.task"))
        ]
        return logged + list(map(str, self.raised))

    def run(self, act):
        try:
            return act()
        except Exception as error:  # noqa: BLE001 - whatever it is, it is shown
            self.raised.append(error)


@pytest.fixture
def shown(caplog):
    return Shown(caplog)


REFUSAL = json.dumps({"message": EVIL, "data": EVIL}).encode()


@pytest.mark.fault("D6")
@pytest.mark.parametrize("status", [200, 400, 404])
@pytest.mark.parametrize("name", TASKS)
def test_task_logs_and_raises_without_control_characters(
    hostile, short_retries, shown, name, status, monkeypatch
):
    monkeypatch.setattr(protocol, "MAX_SEARCH_LAG_SECONDS", 0.2)
    monkeypatch.setattr(protocol, "_INITIAL_DELAY_SECONDS", 0.05)
    monkeypatch.setattr(computation_job, "NAMING_RETRY_SECONDS", 0.2)
    if status != 200:
        hostile.response = (status, {}, REFUSAL)
    task = TASKS[name]
    act = task.poke if hasattr(task, "poke") else task.execute
    shown.run(lambda: act({"ti": Task(), "outlet_events": defaultdict(dict)}))
    texts = shown.texts()
    assert [text for text in texts if controls(text)] == []


@pytest.mark.fault("D6")
@pytest.mark.parametrize("wait", [DataAssetWait, ComputationWait])
def test_wait_in_worker_logs_and_raises_without_control_characters(hostile, shown, wait):
    shown.run(lambda: CodeOceanHook().wait_for(wait("x1", poll_interval=0.1, deadline=time.time() + 0.3)))
    assert shown.texts()
    assert [text for text in shown.texts() if controls(text)] == []


@pytest.mark.fault("D6")
@pytest.mark.parametrize("trigger", [CodeOceanDataAssetTrigger, CodeOceanComputationTrigger])
async def test_trigger_event_contains_no_control_characters(hostile, shown, trigger):
    waiting = trigger("x1", poll_interval=0.1, deadline=time.time() + 0.3)
    (event,) = [each async for each in waiting.run()]
    assert controls("".join(map(str, event.payload.values()))) == []
    assert [text for text in shown.texts() if controls(text)] == []


def patterns() -> list[re.Pattern]:
    """Find the patterns of all modules but the emulator's, which read text from servers and files."""
    found = []
    for module in pkgutil.walk_packages([str(PACKAGE)], "airflow_provider_codeocean."):
        if ".emulator" not in module.name:
            with suppress(ImportError):  # of an optional dependency
                found += vars(importlib.import_module(module.name)).values()
    return [each for each in found if isinstance(each, re.Pattern)]


@pytest.mark.fault("D6")
@pytest.mark.parametrize("pattern", patterns(), ids=lambda pattern: str(pattern.pattern)[:30])
def test_pattern_searches_long_text_in_linear_time(pattern):
    """Quadratic time for so many characters exceeds the time limit of a test."""
    source = pattern.pattern if isinstance(pattern.pattern, str) else pattern.pattern.decode("latin-1")
    literals = {*source, *re.findall(r"[\w<>/:=. -]+", source), " ", "a", "0", ":", "/", "<"}
    for literal in literals:
        for text in (literal * (300_000 // len(literal)), literal * (300_000 // len(literal)) + "\0!"):
            subject = text if isinstance(pattern.pattern, str) else text.encode("latin-1")
            pattern.search(subject)
            pattern.fullmatch(subject)


def test_package_contains_no_inline_patterns():
    inline = re.compile(r"\bre\.(search|match|fullmatch|sub|split|findall|finditer)\(")
    with_some = [
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        if "emulator" not in path.parts and inline.search(path.read_text())
    ]
    assert with_some == []
