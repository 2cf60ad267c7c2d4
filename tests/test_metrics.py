"""Metrics reach Airflow, and the documentation lists them."""

from __future__ import annotations

import os
import re
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import pytest

from airflow_provider_codeocean.api.models.data_asset_params import DataAssetParams
from airflow_provider_codeocean.compat.metrics import worker_stats
from airflow_provider_codeocean.hooks.codeocean import CodeOceanHook
from airflow_provider_codeocean.metrics import (
    ALL_METRICS,
    SUBMISSIONS,
    WAITS,
    connection_gauge_name,
)
from airflow_provider_codeocean.polling.poller import PollerStats
from airflow_provider_codeocean.triggers.data_asset import CodeOceanDataAssetTrigger
from tests.operators._submit_once.test_runner import capturing
from tests.polling.fake_deployment import SECONDS_PER_HOUR, FakeDeployment
from tests.polling.test_poller import Waiting, many
from tests.polling.virtual_time import run

RUNBOOK = Path(__file__).parent.parent / "docs" / "runbook.md"


class RecordingStats:
    """Records metrics."""

    def __init__(self):
        self.calls = []

    def incr(self, stat, count=1, rate=1, *, tags=None):
        self.calls.append((stat, tags or {}))

    def gauge(self, stat, value, rate=1, delta=False, *, tags=None):
        self.calls.append((stat, tags or {}))

    def timing(self, stat, dt, *, tags=None):
        self.calls.append((stat, tags or {}))


@pytest.fixture
def params(code_ocean):
    source = {"computation": {"id": code_ocean.env["CODEOCEAN_COMPUTATION_ID"]}}
    return DataAssetParams.model_validate({"name": "n", "mount": "m", "tags": [], "source": source})


def test_runbook_lists_all_metrics():
    rows = re.findall(
        r"^\| `(codeocean\.\w+)` \| (\w+) \| (.*?) \| (.*?) \|$", RUNBOOK.read_text(), re.MULTILINE
    )
    assert rows == [
        (
            metric.name,
            metric.kind,
            metric.description,
            "; ".join(
                ["`connection`", *(f"`{tag}`: " + ", ".join(f"`{v}`" for v in of) for tag, of in metric.tags)]
            ),
        )
        for metric in ALL_METRICS
    ]


def test_poller_reports_metrics_with_declared_tags(monkeypatch):
    deployment, stats_logger = FakeDeployment(*many(100, 700, 800)), RecordingStats()
    deployment.faults = [(10.0, 11.0, "429"), (13.0, 14.0, "500"), (20.0, 30.0, "401")]
    run(Waiting(deployment, metrics=stats_logger).all(), monkeypatch)
    declared = {
        metric.name: {"connection", *dict(metric.tags)} for metric in ALL_METRICS if metric is not SUBMISSIONS
    }
    declared[connection_gauge_name(WAITS, "co")] = {"connection"}
    assert {stat: set(tags) for stat, tags in stats_logger.calls} == declared
    values = {
        (stat.removesuffix(".co"), tag, value)
        for stat, tags in stats_logger.calls
        for tag, value in tags.items()
    }
    allowed = {(metric.name, tag, value) for metric in ALL_METRICS for tag, of in metric.tags for value in of}
    assert values - {(metric.name, "connection", "co") for metric in ALL_METRICS} <= allowed


@pytest.mark.fault("N11")
def test_wait_count_gauge_has_separate_name_per_connection():
    """Plain StatsD drops tags."""
    gauges = {}
    stats_logger = SimpleNamespace(gauge=lambda stat, value, tags: gauges.update({stat: value}))
    PollerStats("lab", stats_logger, 0.0).record_wait_count(3)
    PollerStats("clinic", stats_logger, 0.0).record_wait_count(5)
    assert gauges == {"codeocean.waits": 5, "codeocean.waits.lab": 3, "codeocean.waits.clinic": 5}


@pytest.mark.fault("N11")
def test_connection_gauge_names_are_valid_short_and_distinct():
    ids = ["co.de-ocean_1", "a b", "a_b", "a:b", "é", "x" * 250, "x" * 249 + "y", "x" * 32, "x" * 33]
    names = {connection_gauge_name(WAITS, conn_id) for conn_id in ids}
    assert len(names) == len(ids)
    assert {connection_gauge_name(WAITS, "co.de-ocean_1"), connection_gauge_name(WAITS, "a_b")} <= names
    assert "codeocean.waits.co.de-ocean_1" in names
    for name in names:
        assert re.fullmatch(r"[A-Za-z0-9_.-]+", name)
        assert len(f"airflow.{name}") <= 63


async def test_trigger_reports_metrics_to_backend_of_triggerer(code_ocean, params, monkeypatch):
    stats_logger = RecordingStats()
    triggerer = import_module("airflow.jobs.triggerer_job_runner")
    stats = getattr(triggerer, "stats", None)
    if stats is not None:  # from 3.3 on
        monkeypatch.setattr(stats, "_backend", stats_logger)
    else:
        monkeypatch.setattr(triggerer.Stats, "instance", stats_logger)
        monkeypatch.setattr(triggerer.Stats, "_instance_pid", os.getpid(), raising=False)
    with CodeOceanHook().get_conn() as client:
        asset = client.data_assets.create(params)
    assert [event async for event in CodeOceanDataAssetTrigger(asset.id, poll_interval=0.01).run()]
    assert ("codeocean.requests", {"connection": "codeocean_default", "kind": "read"}) in stats_logger.calls


def test_captures_are_counted_by_outcome(code_ocean, params, monkeypatch):
    stats_logger = RecordingStats()
    monkeypatch.setattr(
        "airflow_provider_codeocean.operators._submit_once.runner.worker_stats", lambda: stats_logger
    )
    capturing(1, asked=params).start()
    capturing(2, asked=params).start()
    tags = {"connection": "codeocean_default", "job_type": "data_asset"}
    assert stats_logger.calls == [
        (SUBMISSIONS.name, {**tags, "action": action}) for action in ("created", "adopted")
    ]


def test_failing_metrics_do_not_fail_capture(code_ocean, params, monkeypatch, caplog):
    broken = SimpleNamespace(incr=lambda *args, **kwargs: 1 / 0)
    monkeypatch.setattr(
        "airflow_provider_codeocean.operators._submit_once.runner.worker_stats", lambda: broken
    )
    assert capturing(1, asked=params).start().job.id
    assert "Could not send the metrics of connection codeocean_default" in caplog.text


def test_worker_stats_accept_metrics():
    worker_stats().incr(SUBMISSIONS.name, tags={"connection": "co"})


def test_refused_token_is_counted_per_request(monkeypatch):
    deployment, stats_logger = FakeDeployment(*many(5, SECONDS_PER_HOUR, SECONDS_PER_HOUR)), RecordingStats()
    deployment.connection_token = "wrong"
    run(Waiting(deployment, metrics=stats_logger).all(), monkeypatch)
    refused = [stat for stat, _ in stats_logger.calls if stat == "codeocean.token_refused"]
    assert len(refused) == len(deployment.requests)
