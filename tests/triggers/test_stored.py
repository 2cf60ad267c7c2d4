"""What an earlier version has stored of triggers is read by this one.

A trigger stands in Airflow's database for as long as its wait does, over an upgrade of this package too. So a
form that has been released stays here for ever: a constructor may get further arguments, with defaults that
mean what was done before, and none may go or change its name or its meaning.
"""

from __future__ import annotations

import inspect
import re
from importlib import import_module, metadata
from pathlib import Path

import pytest

import airflow_provider_codeocean
from airflow_provider_codeocean.operators._submit_once.operator import CodeOceanMakeOnceBase
from airflow_provider_codeocean.operators.transfer import CodeOceanTransferDataAssetOperator
from airflow_provider_codeocean.sensors._base import CodeOceanWaitSensorBase

WAIT = {"codeocean_conn_id": "lab", "poll_interval": 60.0, "deadline": 1_800_000_000.5}
END = {**WAIT, "completion": {"push_result": True, "url": None}}
WATCH = {"codeocean_conn_id": "lab", "poll_interval": 60.0, "since": None, "watcher": None}
COMPUTATIONS = {"capsule_id": "c1", "pipeline_id": None, "status": "succeeded", "include_own": True}
SENSOR = {
    "sensor": "airflow_provider_codeocean.sensors.data_asset.CodeOceanDataAssetSensor",
    "arguments": {"data_asset_id": "{{ params.id }}"},
    "xcoms": {"codeocean_conn_id": ["up", "return_value"]},
    "poll_interval": 60.0,
    "timeout": 3600.0,
    "mapped_over": [],
}
#: Module and class below ``airflow_provider_codeocean.triggers``, and the arguments as they are stored.
STORED = [
    ("data_asset.CodeOceanDataAssetTrigger", {"data_asset_id": "a1", "on_kill": None, **WAIT}),
    ("data_asset.CodeOceanDataAssetTrigger", {"data_asset_id": "a1", "on_kill": "delete", **WAIT}),
    (
        "data_asset.CodeOceanDataAssetTrigger",
        {"data_asset_id": "a1", "on_kill": "delete", "submitted_at": 1.5, **END},
    ),
    ("computation.CodeOceanComputationTrigger", {"computation_id": "r1", "on_kill": "leave", **WAIT}),
    (
        "computation.CodeOceanComputationTrigger",
        {"computation_id": "r1", "on_kill": "leave", "submitted_at": 1.5, **END},
    ),
    (
        "transfer.CodeOceanTransferTrigger",
        {"data_asset_id": "a1", "last_transferred": 1.5, "transfer_error": "none", **WAIT},
    ),
    (
        "transfer.CodeOceanTransferTrigger",
        {"data_asset_id": "a1", "last_transferred": 1.5, "transfer_error": "none", **END},
    ),
    ("search.CodeOceanDataAssetSearchTrigger", {"params": {"query": "tag:x"}, **WAIT}),
    ("search.CodeOceanDataAssetSearchTrigger", {"params": {"query": "tag:x"}, **END}),
    ("sensor.CodeOceanSensorTrigger", SENSOR),
    ("events.CodeOceanComputationsFinishedTrigger", {**COMPUTATIONS, **WATCH}),
    ("events.CodeOceanDataAssetsReadyTrigger", {"params": {"query": "tag:x"}, **WATCH}),
]
AIRFLOW_2 = metadata.version("apache-airflow").startswith("2.")
TRIGGERS = Path(airflow_provider_codeocean.__file__).parent / "triggers"


def load(name):
    if AIRFLOW_2 and name.startswith("events."):
        pytest.skip("Airflow 2 has no asset watchers")
    module, _, of = f"airflow_provider_codeocean.triggers.{name}".rpartition(".")
    return getattr(import_module(module), of)


@pytest.mark.parametrize(("name", "arguments"), STORED)
def test_it_is_read(name, arguments):
    trigger_class = load(name)
    trigger = trigger_class(**arguments)
    assert trigger.serialize()[0] == f"airflow_provider_codeocean.triggers.{name}"
    again = trigger.serialize()[1]
    assert {key: again[key] for key in arguments} == arguments


@pytest.mark.parametrize(("name", "arguments"), STORED)
def test_what_is_stored_today_is_among_them(name, arguments):
    """A form that this version has made longer is to be added, beside those that there are."""
    stored_today = load(name)(**arguments).serialize()[1]
    assert any(stored_today.keys() == known.keys() for each, known in STORED if each == name)


def test_no_trigger_is_missing():
    there = {
        f"{path.stem}.{name}"
        for path in TRIGGERS.glob("*.py")
        for name in re.findall(r"^class (CodeOcean\w+Trigger)\(", path.read_text(), re.MULTILINE)
    }
    assert there == {name for name, _ in STORED}


@pytest.mark.parametrize(
    ("operator", "kwargs"),
    [
        (CodeOceanMakeOnceBase, {"key": "airflow0123", "recheck_at": 80.0}),
        (CodeOceanMakeOnceBase, {"key": "airflow0123", "recheck_at": 80.0, "adopted": True}),
        (CodeOceanWaitSensorBase, {}),
        (CodeOceanTransferDataAssetOperator, {"came_from": {}}),
    ],
)
def test_a_task_that_was_deferred_by_an_earlier_version_is_resumed(operator, kwargs):
    """What ``defer`` was given is stored, too: the method's name, and its arguments."""
    event = {"status": "success", "state": "ready", "message": "m", "data_asset_id": "a1"}
    inspect.signature(operator.execute_complete).bind(None, {}, event, **kwargs)
