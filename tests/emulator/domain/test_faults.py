"""Which request goes wrong. How it goes wrong is tested on the wire, in `test_injection`."""

from __future__ import annotations

import asyncio
import random
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_codeocean.emulator.domain.faults import FaultRegistry, FaultRule

PATH = "/api/v1/data_assets/abc"


def book(*rules: dict) -> FaultRegistry:
    return FaultRegistry(
        [FaultRule(**{"kind": "status", "times": None, **rule}) for rule in rules], random.Random(1)
    )


def drawn(faults: FaultRegistry, method: str = "GET", path: str = PATH) -> int | None:
    fault = faults.match(method, path)
    return None if fault is None else faults.all().index(fault)


@pytest.mark.parametrize(
    ("rule", "method", "path", "matches"),
    [
        ({}, "GET", PATH, True),
        ({}, "GET", "/storage/x/y", False),
        ({"method": "POST"}, "GET", PATH, False),
        ({"method": "get"}, "GET", PATH, True),
        ({"path": "data_assets/*"}, "GET", PATH, True),
        ({"path": "data_assets/*"}, "GET", PATH + "/files", False),
        ({"path": "data_assets/**"}, "GET", PATH + "/files/urls", True),
        ({"path": "data_assets"}, "POST", "/api/v1/data_assets", True),
        ({"path": "data_assets"}, "POST", "/api/v1/data_assets/search", False),
        ({"path": "/**"}, "GET", "/storage/x/y", True),
        ({"path": "**/search"}, "POST", "/api/v1/data_assets/search", True),
        ({"path": "/storage/**"}, "GET", "/storage/run-1/output", True),
        ({"path": "data.assets/*"}, "GET", PATH, False),
        ({"path": "data_assets/[a]bc"}, "GET", PATH, False),
    ],
)
def test_rule_matches_by_method_and_path(rule, method, path, matches):
    assert (drawn(book(rule), method, path) == 0) is matches


def test_first_matching_rule_applies_until_it_is_used_up():
    faults = book({"path": "computations/*"}, {"times": 2}, {})
    assert [drawn(faults) for _ in range(4)] == [1, 1, 2, 2]
    assert [fault.hits for fault in faults.all()] == [0, 2, 2]


@given(probability=st.floats(0, 1))
def test_rule_with_probability_hits_a_share_of_requests(probability):
    faults = book({"probability": probability})
    hits = sum(drawn(faults) is not None for _ in range(400))
    assert abs(hits / 400 - probability) < 0.15
    if probability in {0, 1}:
        assert hits == 400 * probability


def test_rule_with_same_seed_hits_the_same_requests():
    first, second = book({"probability": 0.5}), book({"probability": 0.5})
    assert [drawn(first) for _ in range(50)] == [drawn(second) for _ in range(50)]


def test_fault_book_adds_finds_and_removes_rules():
    faults = book({})
    added = faults.add(FaultRule(kind="html"))
    assert faults.get(added.id) is added
    assert added.to_dict()["kind"] == "html"
    assert faults.remove(added.id)
    assert not faults.remove(added.id)
    faults.clear()
    assert faults.all() == []
    assert drawn(faults) is None


async def test_held_request_continues_when_released():
    fault = book({"kind": "hold"}).all()[0]
    first, second = asyncio.ensure_future(fault.hold_request()), asyncio.ensure_future(fault.hold_request())
    await asyncio.to_thread(fault.wait, held=2)
    assert fault.held == 2
    fault.release_requests()
    assert await asyncio.gather(first, second) == [True, True]
    assert fault.held == 0


async def test_held_request_continues_after_its_timeout():
    fault = book({"kind": "hold", "timeout": 0.01}).all()[0]
    assert await fault.hold_request()


async def test_held_request_is_rejected_when_its_rule_is_removed():
    faults = book({"kind": "hold"})
    fault = faults.all()[0]
    held = asyncio.ensure_future(fault.hold_request())
    await asyncio.to_thread(fault.wait, held=1)
    faults.clear()
    assert not await held
    assert not await fault.hold_request()


def test_fault_wait_returns_true_on_the_hit():
    faults = book({})
    fault = faults.all()[0]
    assert not fault.wait(hits=1, timeout=0.01)
    timer = threading.Timer(0.01, lambda: faults.match("GET", PATH))
    timer.start()
    assert fault.wait(hits=1, timeout=10)
    timer.join()


def test_fault_wait_returns_false_when_its_rule_is_removed():
    faults = book({})
    fault = faults.all()[0]
    timer = threading.Timer(0.01, faults.clear)
    timer.start()
    assert not fault.wait(hits=1, timeout=10)
    timer.join()
