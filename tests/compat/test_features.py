"""What is declared of Airflow is true of the one that is running, and nobody else asks which one that is."""

from __future__ import annotations

import inspect
import re
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

import pytest

import airflow_provider_codeocean
from airflow_provider_codeocean.compat.features import RUNNING, Feature

PACKAGE = Path(airflow_provider_codeocean.__file__).parent
ASKS = re.compile(
    r"AIRFLOW_V_|version_compat|airflow\.version|airflow\.__version__|airflow import __version__"
    r"|[\"']apache-airflow[\"']"
)

#: Where Airflow's own code shows each feature: a module, what in it, and for some a word in its source.
PLACES = {
    Feature.ASSET_WATCHERS: ("airflow.sdk", "AssetWatcher"),
    Feature.ASSET_REFERENCES: ("airflow.sdk.definitions.asset", "AssetRef"),
    Feature.TASK_API: ("airflow.sdk.execution_time.comms", "GetTaskStates"),
    Feature.LATE_TRIES_REFUSED: ("airflow.sdk.execution_time.supervisor", "SERVER_TERMINATED"),
    Feature.LINEAGE_READERS_IN_SDK: ("airflow.sdk.plugins_manager", "get_hook_lineage_readers_plugins"),
    Feature.STATS_OF_TASKS_APART: ("airflow.observability.stats", "Stats"),
    Feature.TASK_STATE: ("airflow.sdk.execution_time.context", "TaskStateStoreAccessor"),
    Feature.ASSET_STATE: ("airflow.sdk.execution_time.context", "AssetStateStoreAccessors"),
    Feature.SHARED_STREAMS: ("airflow.triggers.base", "BaseEventTrigger.shared_stream_key"),
    Feature.TRIGGER_ON_KILL: ("airflow.triggers.base", "BaseTrigger.on_kill"),
}


def has(module: str, path: str) -> bool:
    """Whether Airflow has something, such as a method of a class in a module."""
    try:
        found = import_module(module)
    except ModuleNotFoundError:
        return False
    for name in path.split("."):
        found = getattr(found, name, None)
    return found is not None


def alias_events_hold_json() -> bool:
    """Whether no set of what is told is made on the way to the database."""
    from airflow.models.taskinstance import TaskInstance

    names = ("register_asset_changes_in_db", "_register_dataset_changes")
    register = next(getattr(TaskInstance, name) for name in names if hasattr(TaskInstance, name))
    return re.search(r"frozenset\(.*extra.*\.items\(\)\)", inspect.getsource(register)) is None


def starts_in_triggerer() -> bool:
    """Whether the triggerer renders the templates of a task that starts there."""
    source = inspect.getsource(import_module("airflow.jobs.triggerer_job_runner"))
    return "start_from_trigger" in source and has("airflow.sdk.execution_time.xcom", "XCom.aset")


BEHAVIOURS = {
    Feature.ALIAS_EVENTS_HOLD_JSON: alias_events_hold_json,
    Feature.STARTS_IN_TRIGGERER: starts_in_triggerer,
}


def test_the_release_that_is_running_is_known():
    assert tuple(map(int, version("apache-airflow").split(".")[:2])) == RUNNING


@pytest.mark.parametrize("feature", Feature, ids=lambda feature: feature.name)
def test_airflow_has_what_is_declared_from_that_release_on_and_not_before(feature):
    look = BEHAVIOURS.get(feature)
    there = look() if look else has(*PLACES[feature])
    assert there is feature.is_there


def test_no_other_module_asks_which_airflow_is_running():
    asking = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        if ASKS.search(path.read_text(encoding="utf-8"))
    }
    assert asking == {"compat/features.py"}


@pytest.mark.parametrize(
    "word", ["airflow.version import version", "AIRFLOW_V_3_0_PLUS", "version('apache-airflow')"]
)
def test_the_words_by_which_one_asks_are_known(word):
    assert ASKS.search(word)
