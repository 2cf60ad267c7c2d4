"""What the runbook gives to be typed can be typed."""

from __future__ import annotations

import os
import re
import sqlite3
import sys
from contextlib import closing
from importlib.metadata import version
from pathlib import Path

import pytest

from airflow_provider_codeocean.api.models.data_asset_params import DataAssetParams
from airflow_provider_codeocean.hooks.codeocean import CodeOceanHook
from scripts.airflow_database import create_database

PAGE = (Path(__file__).parent.parent / "docs" / "runbook.md").read_text()
KEY = "airflow0123456789abcdef0123456789abcdef"  # that of the page


def snippets(language):
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture
def doubled(code_ocean):
    """Two data assets with one key."""
    source = {"computation": {"id": code_ocean.env["CODEOCEAN_COMPUTATION_ID"]}}
    params = DataAssetParams.model_validate({"name": "n", "mount": "m", "tags": [KEY], "source": source})
    with CodeOceanHook().get_conn() as client:
        return [client.data_assets.create(params).id for _ in range(2)]


def test_runbook_snippets_find_jobs_by_key_and_duplicates(doubled, capsys):
    by_key, duplicates = snippets("python")
    exec(by_key, {})
    told = capsys.readouterr().out
    assert all(asset in told for asset in doubled)
    exec(duplicates, {})
    told = capsys.readouterr().out
    (line,) = (each for each in told.splitlines() if each.startswith(KEY))  # Airflow 2 logs to stdout
    assert all(asset in line for asset in doubled)


def test_runbook_sql_statements_run_on_airflow_database(tmp_path):
    path = tmp_path / "airflow.db"
    create_database(path, python=sys.executable, env=os.environ, airflow_version=version("apache-airflow"))
    (text,) = snippets("sql")
    statements = re.sub(r"^--.*\n", "", text, flags=re.MULTILINE).split(";")[:-1]
    with closing(sqlite3.connect(path)) as database:
        assert [database.execute(each).fetchall() for each in statements] == [[], []]
