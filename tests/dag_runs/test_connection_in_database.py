"""``dag.test()`` with the connection only in Airflow's metadata database."""

from __future__ import annotations

import json
import os
import time

import pytest
from airflow.models import Connection
from airflow.utils.session import create_session

from airflow_provider_codeocean.emulator import Policy
from airflow_provider_codeocean.emulator.seeding.bulk import DataAssetSeed, seed_data_assets

NAME = "AIRFLOW_CONN_CODEOCEAN_DEFAULT"


@pytest.fixture
def _in_database(code_ocean, airflow_database, monkeypatch):
    """Move the connection from the environment to the database."""
    fields = json.loads(os.environ[NAME])
    monkeypatch.delenv(NAME)
    fields["extra"] = json.dumps(fields["extra"])
    with create_session() as session:
        session.add(Connection(conn_id="codeocean_default", **fields))
    yield
    with create_session() as session:
        session.query(Connection).filter_by(conn_id="codeocean_default").delete()


@pytest.mark.fault("N2")
@pytest.mark.usefixtures("_in_database")
def test_dag_test_with_connection_in_database_does_not_stall(run_dag, code_ocean, capsys):
    [asset] = seed_data_assets(code_ocean.emulator, DataAssetSeed(policy=Policy(seconds=20)))
    started = time.monotonic()
    assert run_dag("sense_deferred", data_asset_id=asset.id).states == {"sense": "success"}
    assert time.monotonic() - started < 60
    output = "".join(capsys.readouterr())
    assert "deferred" in output.lower()
    assert "Could not re" not in output
