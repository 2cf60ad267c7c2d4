"""Reports to Airflow's collector of hook-level lineage."""

from __future__ import annotations

import subprocess
import sys

import pytest
from airflow.providers.common.compat.lineage import hook as airflows

from airflow_provider_codeocean.hooks.codeocean import CodeOceanHook
from airflow_provider_codeocean.lineage import mixins
from airflow_provider_codeocean.lineage.mixins import emit_hook_lineage
from airflow_provider_codeocean.lineage.model import LineageDataset, TaskLineage

FLOW = TaskLineage(
    inputs=(LineageDataset("codeocean://co", "capsules/k"), LineageDataset("s3://b", "/")),
    outputs=(LineageDataset("codeocean://co", "data_assets/a"), LineageDataset("s3://b", "p")),
)
#: A program with a plugin that reads hook-level lineage.
PLUGIN_PROGRAM = """
from airflow import plugins_manager
from airflow.providers.common.compat.sdk import AirflowPlugin, HookLineageReader


class Reads(AirflowPlugin):
    name = "reads"
    hook_lineage_readers = [HookLineageReader]


try:
    from airflow.sdk import plugins_manager as of_tasks

    of_tasks._get_plugins = lambda: ([Reads], {})
except (ImportError, AttributeError):
    pass
plugins_manager.plugins = [Reads]

from airflow_provider_codeocean.hooks.codeocean import CodeOceanHook
from airflow_provider_codeocean.lineage.mixins import emit_hook_lineage
from tests.lineage.test_hook_lineage import FLOW
from airflow.providers.common.compat.lineage.hook import get_hook_lineage_collector

emit_hook_lineage(CodeOceanHook(), lambda: FLOW)
collected = get_hook_lineage_collector().collected_assets
uris = [[info.asset.uri for info in infos] for infos in (collected.inputs, collected.outputs)]
assert uris == [
    ["codeocean://co/capsules/k", "s3://b/"],
    ["codeocean://co/data_assets/a", "s3://b/p"],
], uris
"""


def test_emit_hook_lineage_with_plugin_adds_assets():
    process = subprocess.run(
        [sys.executable, "-c", PLUGIN_PROGRAM], capture_output=True, text=True, timeout=120, check=False
    )
    assert process.returncode == 0, process.stderr


def test_emit_hook_lineage_without_plugin_does_not_create_collector(monkeypatch):
    """Creating the collector loads the asset handlers of all providers, which takes a second."""
    monkeypatch.setattr(
        airflows, "get_hook_lineage_collector", lambda: pytest.fail("the collector was created")
    )
    emit_hook_lineage(CodeOceanHook(), lambda: pytest.fail("lineage was built without a reader"))


@pytest.mark.parametrize("error", [ValueError("no such URI"), ImportError("a plugin's own")])
def test_emit_hook_lineage_with_error_logs_it(monkeypatch, caplog, error):
    def broken():
        raise error

    monkeypatch.setattr(mixins, "hook_lineage_collector", broken)
    emit_hook_lineage(CodeOceanHook(), lambda: FLOW)
    assert f"Could not report hook-level lineage to Airflow: {error}" in caplog.text
