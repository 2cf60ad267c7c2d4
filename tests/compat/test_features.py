"""Declared features match the running Airflow, and no other module checks its version."""

from __future__ import annotations

import inspect
import re
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

import pytest

import airflow_provider_codeocean
from airflow_provider_codeocean.compat.features import AIRFLOW_VERSION, Feature

PACKAGE = Path(airflow_provider_codeocean.__file__).parent
VERSION_CHECK = re.compile(
    r"AIRFLOW_V_|version_compat|airflow\.version|airflow\.__version__|airflow import __version__"
    r"|[\"']apache-airflow[\"']"
)

#: Features that an object in Airflow shows: its module and path.
PLACES = {
    Feature.ASSET_WATCHERS: ("airflow.sdk", "AssetWatcher"),
    Feature.ASSET_REFERENCES: ("airflow.sdk.definitions.asset", "AssetRef"),
    Feature.TASK_EXECUTION_API: ("airflow.sdk.execution_time.comms", "GetTaskStates"),
    Feature.SUPERSEDED_ATTEMPTS_REJECTED: ("airflow.sdk.execution_time.supervisor", "SERVER_TERMINATED"),
    Feature.LINEAGE_READERS_IN_SDK: ("airflow.sdk.plugins_manager", "get_hook_lineage_readers_plugins"),
    Feature.SEPARATE_TASK_STATS: ("airflow.observability.stats", "Stats"),
    Feature.TASK_STATE_STORE: ("airflow.sdk.execution_time.context", "TaskStateStoreAccessor"),
    Feature.ASSET_STATE_STORE: ("airflow.sdk.execution_time.context", "AssetStateStoreAccessors"),
    Feature.SHARED_STREAMS: ("airflow.triggers.base", "BaseEventTrigger.shared_stream_key"),
    Feature.RETRY_POLICY: ("airflow.sdk", "ExceptionRetryPolicy"),
    Feature.TRIGGER_ON_KILL: ("airflow.triggers.base", "BaseTrigger.on_kill"),
}


def has(module: str, path: str) -> bool:
    """Return whether a module of Airflow has an object, such as a method of a class."""
    try:
        found = import_module(module)
    except ModuleNotFoundError:
        return False
    for name in path.split("."):
        found = getattr(found, name, None)
    return found is not None


def alias_events_hold_json() -> bool:
    """Return whether Airflow adds no extras of events to a set."""
    from airflow.models.taskinstance import TaskInstance

    names = ("register_asset_changes_in_db", "_register_dataset_changes")
    register = next(getattr(TaskInstance, name) for name in names if hasattr(TaskInstance, name))
    return re.search(r"frozenset\(.*extra.*\.items\(\)\)", inspect.getsource(register)) is None


def starts_in_triggerer() -> bool:
    """Return whether the triggerer renders the templates of a task that starts there."""
    source = inspect.getsource(import_module("airflow.jobs.triggerer_job_runner"))
    return "start_from_trigger" in source and has("airflow.sdk.execution_time.xcom", "XCom.aset")


BEHAVIORS = {
    Feature.ALIAS_EVENTS_HOLD_JSON: alias_events_hold_json,
    Feature.START_FROM_TRIGGER: starts_in_triggerer,
}


def test_airflow_version_matches_the_installed_release():
    assert tuple(map(int, version("apache-airflow").split(".")[:2])) == AIRFLOW_VERSION


@pytest.mark.parametrize("feature", Feature, ids=lambda feature: feature.name)
def test_feature_availability_matches_installed_airflow(feature):
    check = BEHAVIORS.get(feature)
    is_present = check() if check else has(*PLACES[feature])
    assert is_present is feature.is_available


def test_airflow_version_is_checked_only_in_features():
    checking_modules = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        if VERSION_CHECK.search(path.read_text(encoding="utf-8"))
    }
    assert checking_modules == {"compat/features.py"}


@pytest.mark.parametrize(
    "word", ["airflow.version import version", "AIRFLOW_V_3_0_PLUS", "version('apache-airflow')"]
)
def test_version_check_pattern_matches_each_spelling(word):
    assert VERSION_CHECK.search(word)
