"""Each fault happens to each operation: it ends as declared, in time, and nothing is made twice."""

from __future__ import annotations

import time
from contextlib import nullcontext
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, AirflowSensorTimeout

from airflow_provider_codeocean.api import errors
from airflow_provider_codeocean.emulator import EmulatorConfig, EmulatorServer, FaultRule, Policy, Transitions
from airflow_provider_codeocean.emulator.seeding.bulk import DataAssetSeed, seed_data_assets
from airflow_provider_codeocean.hooks import codeocean as hooks
from airflow_provider_codeocean.operators._submit_once import runner
from airflow_provider_codeocean.polling import poller, registry, shared_client, waits
from airflow_provider_codeocean.submission import protocol as capture_once
from airflow_provider_codeocean.triggers.data_asset import CodeOceanDataAssetTrigger
from scripts.fault_table import (
    FAULTS,
    NO_RESPONSE_NEEDED,
    PAGE_PATH,
    ExpectedResult,
    Fault,
    FaultKind,
    OperationGroup,
    expected_result,
    render_page,
)
from tests.faults.operations import OPERATIONS, POLL_INTERVAL_SECONDS, Operation, Scenario

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.quick

#: Seconds that are allowed for an attempt: where a fault is one of slowness, and else.
SHORT, LONG = 0.2, 20.0
#: Seconds of no clock within which a client sends again, so that a few attempts are made.
BUDGET = 10.0
#: Seconds for a wait that ends in time, and for one that does not.
IN_TIME, IN_VAIN = 30.0, 0.5
#: Seconds after which a cell has hung, on a slow machine.
HANGS = 30.0


#: Of each group one operation, which meets every fault; the others meet one of each kind.
IN_FULL = {operation.group: name for name, operation in reversed(OPERATIONS.items())}.values()
ONE_OF_A_KIND = {"reset-after", *{fault.kind: name for name, fault in reversed(FAULTS.items())}.values()}


@dataclass(frozen=True)
class Cell:
    """One cell of the matrix."""

    name: str
    fault_name: str
    for_good: bool
    deferrable: bool

    @property
    def operation(self) -> Operation:
        return OPERATIONS[self.name]

    @property
    def fault(self) -> Fault:
        return FAULTS[self.fault_name]

    @property
    def ending(self) -> ExpectedResult | None:
        return expected_result(self.operation.group, self.fault, is_permanent=self.for_good)

    @property
    def is_wanted(self) -> bool:
        """Whether there is such a case, and no other one that shows as much."""
        if self.ending is None or (self.operation.is_second_request and self.fault.rule is None):
            return False
        in_full = self.name in IN_FULL and (
            not self.deferrable or self.operation.group is OperationGroup.WAIT
        )
        return in_full or self.fault_name in ONE_OF_A_KIND

    def __str__(self) -> str:
        often = "for good" if self.for_good else "once"
        return f"{self.name}-{self.fault_name}-{often}-{'deferred' if self.deferrable else 'in worker'}"


CELLS = [
    cell
    for name, operation in OPERATIONS.items()
    for fault_name in FAULTS
    for for_good in (False, True)
    for deferrable in ((False, True) if operation.can_defer else (False,))
    if (cell := Cell(name, fault_name, for_good, deferrable)).is_wanted
]


@pytest.fixture(scope="module")
def emulator() -> Iterator[EmulatorServer]:
    with EmulatorServer(EmulatorConfig(transitions=Transitions.all(Policy()))) as server:
        yield server


@pytest.fixture
def server(emulator: EmulatorServer) -> Iterator[EmulatorServer]:
    emulator.emulator.traffic.reset()
    yield emulator
    emulator.faults.clear()


@pytest.fixture
def hurry(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """No pause lasts but those of waits, which are short; ``waited`` is what a client's pauses add up to."""
    clock = SimpleNamespace(waited=0.0, budget=BUDGET)

    def sleep(seconds: float) -> None:
        clock.waited += seconds

    monkeypatch.setattr("tenacity.time", SimpleNamespace(monotonic=lambda: clock.waited))
    monkeypatch.setattr("tenacity.nap.time", SimpleNamespace(sleep=sleep))
    options = hooks.parse_client_options
    monkeypatch.setattr(
        hooks, "parse_client_options", lambda *a: options(*a) | {"retry_budget": clock.budget}
    )
    monkeypatch.setattr(hooks, "RESULT_RETRY_SECONDS", IN_VAIN)
    monkeypatch.setattr(capture_once, "MAX_SEARCH_LAG_SECONDS", 0.1)
    monkeypatch.setattr(capture_once, "_INITIAL_DELAY_SECONDS", 0.02)
    monkeypatch.setattr(runner, "is_superseded", lambda context: False)  # there is no task to ask for
    monkeypatch.setattr(poller, "_MIN_WAIT_SECONDS", IN_VAIN)
    monkeypatch.setattr(shared_client, "_DEFAULT_PAUSE_SECONDS", 0.02)
    for module in (shared_client, waits, registry):
        monkeypatch.setattr(module, "MAX_RETRY_AFTER_SECONDS", 0.05)
    monkeypatch.setattr("airflow_provider_codeocean.files.download._FIRST_DELAY_SECONDS", 0.02)
    monkeypatch.setattr(
        "airflow_provider_codeocean.operators._submit_once.computation.MAX_NAMING_SECONDS", 0.0
    )
    return clock


@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_operation_with_fault_ends_as_declared(cell, server, hurry, connect, request):
    expected = cell.ending
    in_vain = expected.error_class in {"WaitTimeout", "TimeoutError"}
    where = _where(cell, server, request)
    timeout = SHORT if cell.fault.is_slow and expected != NO_RESPONSE_NEEDED else LONG
    connect(token=server.env["CODEOCEAN_TOKEN"], timeout=timeout, **where)
    scene = Scenario(server, IN_VAIN if in_vain else IN_TIME, cell.deferrable)
    fault = _arrange(cell, server)
    if cell.operation.group is OperationGroup.DOWNLOAD and cell.for_good:
        hurry.budget = 1.0  # by a clock that cannot be hurried
    began = time.monotonic()
    try:
        cell.operation.run(scene)
    except Exception as error:  # noqa: BLE001 - what it is, is what is asked here
        _is_as_declared(error, expected, server.env["CODEOCEAN_TOKEN"])
    else:
        assert expected.error_class is None
    assert time.monotonic() - began < HANGS
    assert hurry.waited < BUDGET
    if fault is not None:
        assert fault.hits >= 1
        assert cell.for_good or fault.hits == fault.rule.times
    _nothing_is_made_twice(cell, scene, expected)


#: Faults that concern other requests than the operation's own, "{other}" being another data asset.
ELSEWHERE = {
    "429 on searches only": {"path": "**/search", "kind": "status", "status": 429, "retry_after": 60},
    "503 with Retry-After on one path": {
        "path": "data_assets/{other}",
        "kind": "status",
        "status": 503,
        "retry_after": 600,
    },
    "hang on one path": {"path": "data_assets/{other}", "kind": "hold", "timeout": 60.0},
}


#: A data asset that a task creates is searched for by its key: nobody else may have been faster.
NEED_SEARCHES = {"capture", "create", "wait for what was captured"}


@pytest.mark.parametrize("elsewhere", ELSEWHERE)
@pytest.mark.parametrize(
    ("name", "deferrable"),
    [
        (name, deferrable)
        for name, operation in OPERATIONS.items()
        if not operation.request.endswith("/search")
        for deferrable in ((False, True) if operation.can_defer else (False,))
    ],
)
def test_operation_beside_a_permanent_fault_succeeds(name, deferrable, elsewhere, server, connect, hurry):
    connect(token=server.env["CODEOCEAN_TOKEN"], host=server.url, timeout=LONG)
    (other,) = seed_data_assets(server.emulator, DataAssetSeed(name="other", policy=Policy(seconds=3600)))
    rule = {**ELSEWHERE[elsewhere], "path": ELSEWHERE[elsewhere]["path"].format(other=other.id)}
    server.faults.add(FaultRule(times=None, **rule))
    scene = Scenario(
        server,
        IN_TIME,
        deferrable,
        [CodeOceanDataAssetTrigger(data_asset_id=other.id, poll_interval=POLL_INTERVAL_SECONDS)],
    )
    needs_searches = name in NEED_SEARCHES and elsewhere == "429 on searches only"
    began = time.monotonic()
    with pytest.raises(errors.RateLimited) if needs_searches else nullcontext():
        OPERATIONS[name].run(scene)
    assert time.monotonic() - began < HANGS
    assert scene.count_created() <= 1


def test_matrix_covers_each_operation_group_and_fault_kind():
    assert {cell.operation.group for cell in CELLS} == {*OperationGroup}
    assert {cell.fault.kind for cell in CELLS} == {*FaultKind}


def test_fault_table_page_is_up_to_date():
    assert PAGE_PATH.read_text() == render_page(), "run python -m scripts.fault_table"


def _where(cell: Cell, server: EmulatorServer, request: pytest.FixtureRequest) -> dict[str, str]:
    match cell.fault_name:
        case "refused":
            return {"host": request.getfixturevalue("nobody")}
        case "dns":
            return {"host": "http://codeocean.invalid"}
        case "expired":
            expired = request.getfixturevalue("expired")
            return {"host": expired.url, "verify": str(expired.certificate)}
    return {"host": server.url}


def _arrange(cell: Cell, server: EmulatorServer) -> Any:
    if cell.fault.rule is None:
        return None
    method, path = cell.operation.request.split()
    looks = 2 if cell.operation.group is OperationGroup.WAIT and cell.deferrable else 1
    times = None if cell.for_good else looks
    return server.faults.add(FaultRule(method=method, path=path, times=times, **cell.fault.rule))


def _is_as_declared(error: Exception, expected: ExpectedResult, token: str) -> None:
    if expected.error_class is None:
        raise error
    if expected.error_class == "WaitTimeout":
        assert isinstance(error, errors.WaitTimeout | AirflowSensorTimeout), error
    elif expected.error_class == "TimeoutError":  # of a watcher, which reports nothing
        assert isinstance(error, TimeoutError), error
    else:
        assert isinstance(error, getattr(errors, expected.error_class)), error
        assert isinstance(error, AirflowFailException) is not expected.keeps_retries
    assert 0 < len(str(error)) < 2000
    assert token not in str(error)


def _nothing_is_made_twice(cell: Cell, scene: Scenario, expected: ExpectedResult) -> None:
    group, method = cell.operation.group, cell.operation.request
    made = scene.count_created()
    assert made <= 1
    assert made == 1 or group is not OperationGroup.SUBMIT or expected.error_class
    if (
        group in {OperationGroup.ATTACH, OperationGroup.TRANSFER}
        and cell.fault.kind is not FaultKind.THROTTLED
    ):
        assert scene.server.faults.all() == [] or scene.server.faults.all()[0].hits == 1, method
