"""The metrics that there are reach Airflow, and the documentation knows them."""

from __future__ import annotations

import os
import re
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import pytest

from airflow_provider_codeocean.api.models.data_asset_params import DataAssetParams
from airflow_provider_codeocean.compat.metrics import metrics_in_worker
from airflow_provider_codeocean.hooks.codeocean import CodeOceanHook
from airflow_provider_codeocean.metrics import ALL, CAPTURES, WAITS, NoMetrics, gauge_name
from airflow_provider_codeocean.polling.stats import PollerStats
from airflow_provider_codeocean.triggers.data_asset import CodeOceanDataAssetTrigger
from tests.operators._submit_once.test_runner import KEY, capturing
from tests.polling.deployment import HOUR, Deployment
from tests.polling.test_poller import Waiting, many
from tests.polling.virtual_time import run

RUNBOOK = Path(__file__).parent.parent / "docs" / "runbook.md"


class Kept(NoMetrics):
    """Keeps what it is told."""

    def __init__(self):
        self.told = []

    def incr(self, stat, count=1, rate=1, *, tags=None):
        self.told.append((stat, tags or {}))

    def gauge(self, stat, value, rate=1, delta=False, *, tags=None):
        self.told.append((stat, tags or {}))

    def timing(self, stat, dt, *, tags=None):
        self.told.append((stat, tags or {}))


@pytest.fixture
def params(code_ocean):
    source = {"computation": {"id": code_ocean.env["CODEOCEAN_COMPUTATION_ID"]}}
    return DataAssetParams.model_validate({"name": "n", "mount": "m", "tags": [], "source": source})


def test_the_runbook_lists_them():
    rows = re.findall(
        r"^\| `(codeocean\.\w+)` \| (\w+) \| (.*?) \| (.*?) \|$", RUNBOOK.read_text(), re.MULTILINE
    )
    assert rows == [
        (
            each.name,
            each.kind,
            each.meaning,
            "; ".join(
                ["`connection`", *(f"`{tag}`: " + ", ".join(f"`{v}`" for v in of) for tag, of in each.tags)]
            ),
        )
        for each in ALL
    ]


def test_each_is_kept_with_the_tags_that_it_is_declared_with(monkeypatch):
    deployment, kept = Deployment(*many(100, 700, 800)), Kept()
    deployment.troubles = [(10.0, 11.0, "429"), (13.0, 14.0, "500"), (20.0, 30.0, "401")]
    run(Waiting(deployment, metrics=kept).all(), monkeypatch)
    declared = {each.name: {"connection", *dict(each.tags)} for each in ALL if each is not CAPTURES}
    declared[gauge_name(WAITS, "co")] = {"connection"}
    assert {stat: set(tags) for stat, tags in kept.told} == declared
    values = {
        (stat.removesuffix(".co"), tag, value) for stat, tags in kept.told for tag, value in tags.items()
    }
    allowed = {(each.name, tag, value) for each in ALL for tag, of in each.tags for value in of}
    assert values - {(each.name, "connection", "co") for each in ALL} <= allowed


@pytest.mark.fault("N11")
def test_gauge_of_waits_without_tags_keeps_connections_apart():
    """Plain StatsD drops tags."""
    told = {}
    kept = SimpleNamespace(gauge=lambda stat, value, tags: told.update({stat: value}))
    PollerStats("lab", kept, 0.0).waits(3)
    PollerStats("clinic", kept, 0.0).waits(5)
    assert told == {"codeocean.waits": 5, "codeocean.waits.lab": 3, "codeocean.waits.clinic": 5}


@pytest.mark.fault("N11")
def test_gauge_names_are_valid_short_and_different():
    ids = ["co.de-ocean_1", "a b", "a_b", "a:b", "é", "x" * 250, "x" * 249 + "y", "x" * 32, "x" * 33]
    names = {gauge_name(WAITS, each) for each in ids}
    assert len(names) == len(ids)
    assert {gauge_name(WAITS, "co.de-ocean_1"), gauge_name(WAITS, "a_b")} <= names
    assert "codeocean.waits.co.de-ocean_1" in names
    for name in names:
        assert re.fullmatch(r"[A-Za-z0-9_.-]+", name)
        assert len(f"airflow.{name}") <= 63


async def test_what_the_triggerer_sets_up_is_what_is_used_there(code_ocean, params, monkeypatch):
    kept = Kept()
    triggerer = import_module("airflow.jobs.triggerer_job_runner")
    stats = getattr(triggerer, "stats", None)
    if stats is not None:  # from 3.3 on
        monkeypatch.setattr(stats, "_backend", kept)
    else:
        monkeypatch.setattr(triggerer.Stats, "instance", kept)
        monkeypatch.setattr(triggerer.Stats, "_instance_pid", os.getpid(), raising=False)
    with CodeOceanHook().get_conn() as client:
        asset = client.data_assets.create(params)
    assert [each async for each in CodeOceanDataAssetTrigger(asset.id, poll_interval=0.01).run()]
    assert ("codeocean.requests", {"connection": "codeocean_default", "kind": "read"}) in kept.told


def test_captures_are_counted(code_ocean, params, monkeypatch):
    kept = Kept()
    monkeypatch.setattr(
        "airflow_provider_codeocean.operators._submit_once.runner.metrics_in_worker", lambda: kept
    )
    capturing(1, asked=params).start()
    capturing(2, asked=params).start()
    tags = {"connection": "codeocean_default", "what": "data_asset"}
    assert kept.told == [(CAPTURES.name, {**tags, "how": how}) for how in ("created", "adopted")]


def test_metrics_that_fail_fail_no_capture(code_ocean, params, monkeypatch, caplog):
    broken = SimpleNamespace(incr=lambda *args, **kwargs: 1 / 0)
    monkeypatch.setattr(
        "airflow_provider_codeocean.operators._submit_once.runner.metrics_in_worker", lambda: broken
    )
    assert capturing(1, asked=params).start().job.id
    assert f"The submission with key {KEY} is not counted" in caplog.text


def test_a_worker_has_somewhere_for_them_to_go():
    metrics_in_worker().incr(CAPTURES.name, tags={"connection": "co"})


def test_a_wrong_token_counts_to_its_end(monkeypatch):
    deployment, kept = Deployment(*many(5, HOUR, HOUR)), Kept()
    deployment.known_token = "wrong"
    run(Waiting(deployment, metrics=kept).all(), monkeypatch)
    refused = [stat for stat, _ in kept.told if stat == "codeocean.token_refused"]
    assert len(refused) == len(deployment.requests)
