"""What Airflow's own collector of hook-level lineage is told."""

from __future__ import annotations

import subprocess
import sys

import pytest
from airflow.providers.common.compat.lineage import hook as airflows

from airflow_provider_codeocean.hooks.codeocean import CodeOceanHook
from airflow_provider_codeocean.lineage import hook_lineage
from airflow_provider_codeocean.lineage.hook_lineage import collect
from airflow_provider_codeocean.lineage.model import Flow, Node

FLOW = Flow(
    inputs=(Node("codeocean://co", "capsules/k"), Node("s3://b", "/")),
    outputs=(Node("codeocean://co", "data_assets/a"), Node("s3://b", "p")),
)
#: A plugin that wants to know: what Airflow finds of it, is what tasks find.
READ_BY_A_PLUGIN = """
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
from tests.lineage.test_hook_lineage import FLOW, collect
from airflow.providers.common.compat.lineage.hook import get_hook_lineage_collector

collect(CodeOceanHook(), lambda: FLOW)
told = get_hook_lineage_collector().collected_assets
uris = [[each.asset.uri for each in infos] for infos in (told.inputs, told.outputs)]
assert uris == [
    ["codeocean://co/capsules/k", "s3://b/"],
    ["codeocean://co/data_assets/a", "s3://b/p"],
], uris
"""


def test_a_plugin_is_told_of_assets():
    done = subprocess.run(
        [sys.executable, "-c", READ_BY_A_PLUGIN], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr


def test_where_no_plugin_wants_to_know_nothing_is_asked_and_airflows_collector_is_not_made(monkeypatch):
    """Making it loads the asset handlers of all providers, for a second of each task."""
    monkeypatch.setattr(airflows, "get_hook_lineage_collector", lambda: pytest.fail("it is made"))
    collect(CodeOceanHook(), lambda: pytest.fail("asked though nobody wants to know"))


@pytest.mark.parametrize("error", [ValueError("no such URI"), ImportError("a plugin's own")])
def test_what_goes_wrong_fails_no_task(monkeypatch, caplog, error):
    def broken():
        raise error

    monkeypatch.setattr(hook_lineage, "hook_lineage_collector", broken)
    collect(CodeOceanHook(), lambda: FLOW)
    assert f"could not be told what was read and made: {error}" in caplog.text
