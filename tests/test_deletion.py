"""Removing a data asset, against the emulator: for a worker, and for the triggerer."""

from __future__ import annotations

import asyncio
import time

import pytest

from airflow_provider_codeocean.api.client import CodeOceanAsyncClient, CodeOceanClient
from airflow_provider_codeocean.api.errors import CodeOceanApiError, Forbidden, NotFound, UnexpectedAnswer
from airflow_provider_codeocean.api.models.data_asset_params import DataAssetParams
from airflow_provider_codeocean.deletion import (
    Fate,
    removal_of_data_asset,
    remove_async,
    remove_data_asset,
)
from airflow_provider_codeocean.emulator import FaultRule, Policy, Transitions


@pytest.fixture
def client(code_ocean):
    with CodeOceanClient(code_ocean.url, code_ocean.env["CODEOCEAN_TOKEN"], retry_budget=0) as client:
        yield client


@pytest.fixture
def make(code_ocean, client):
    def make(seconds):
        code_ocean.emulator.transitions = Transitions(assets=Policy(seconds=seconds))
        source = {"computation": {"id": code_ocean.env["CODEOCEAN_COMPUTATION_ID"]}}
        params = {"name": "n", "mount": "m", "tags": [], "source": source}
        return client.data_assets.create(DataAssetParams.model_validate(params)).id

    return make


@pytest.fixture
def draft(make):
    return make(3600)


@pytest.fixture
def ready(make):
    return make(0)


@pytest.fixture(params=["worker", "triggerer"])
def remove(request, code_ocean, client):
    async def in_a_loop(data_asset_id, **options):
        token = code_ocean.env["CODEOCEAN_TOKEN"]
        async with CodeOceanAsyncClient(code_ocean.url, token, retry_budget=0) as other:
            return await remove_async(other, removal_of_data_asset(data_asset_id, **options))

    def remove(data_asset_id, **options):
        options = {"even_if_ready": False} | options
        if request.param == "worker":
            return remove_data_asset(client, data_asset_id, **options)
        return asyncio.run(in_a_loop(data_asset_id, **options))

    return remove


def is_there(client, data_asset_id):
    try:
        client.data_assets.get(data_asset_id)
    except NotFound:
        return False
    return True


def test_what_is_not_ready_is_deleted(remove, client, draft):
    removed = remove(draft)
    assert removed.fate is Fate.DELETED
    assert str(removed) == f"Data asset {draft} was deleted"
    assert not is_there(client, draft)


def test_what_is_ready_by_now_is_left(remove, client, ready):
    removed = remove(ready)
    assert removed.fate is Fate.LEFT
    assert str(removed) == f"Data asset {ready} is ready by now, and is left as it is"
    assert is_there(client, ready)


def test_what_is_ready_is_deleted_where_that_is_meant(remove, client, ready):
    assert remove(ready, even_if_ready=True).fate is Fate.DELETED
    assert not is_there(client, ready)


@pytest.mark.parametrize("even_if_ready", [False, True])
def test_what_is_gone_already_is_no_error(remove, client, draft, even_if_ready):
    client.data_assets.delete(draft)
    removed = remove(draft, even_if_ready=even_if_ready)
    assert removed.fate is Fate.GONE
    assert str(removed) == f"Data asset {draft} was not there any more"


@pytest.mark.fault("A8")
@pytest.mark.parametrize("status", [403, 404])
@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_remove_with_page_of_a_proxy_raises_and_reports_nothing(
    remove, code_ocean, client, draft, method, status
):
    code_ocean.faults.add(FaultRule(method=method, kind="html", status=status))
    with pytest.raises(UnexpectedAnswer) as raised:
        remove(draft)
    assert raised.value.transient
    assert is_there(client, draft)


@pytest.mark.fault("B5")
def test_remove_of_new_object_that_is_not_visible_yet_reports_it_hidden(remove, code_ocean, draft):
    code_ocean.faults.add(FaultRule(method="GET", kind="status", status=404, body={"message": "no"}))
    removed = remove(draft, submitted_at=time.time())
    assert removed.fate is Fate.HIDDEN
    assert "may not be visible yet: if it appears later, delete it" in str(removed)
    code_ocean.faults.add(FaultRule(method="GET", kind="status", status=404, body={"message": "no"}))
    assert remove(draft, submitted_at=time.time() - 301).fate is Fate.GONE


@pytest.mark.parametrize("status", [400, 409])
def test_what_the_server_wants_archived_first_is_archived(remove, code_ocean, client, draft, status):
    refusal = code_ocean.faults.add(FaultRule(method="DELETE", kind="status", status=status))
    archival = code_ocean.faults.add(FaultRule(method="PATCH", kind="slow", delay=0))
    assert remove(draft).fate is Fate.DELETED
    assert (refusal.hits, archival.hits) == (1, 1)
    assert not is_there(client, draft)


def test_what_is_refused_after_that_is_an_error(remove, code_ocean, client, draft):
    refusal = code_ocean.faults.add(FaultRule(method="DELETE", kind="status", status=409, times=None))
    with pytest.raises(CodeOceanApiError) as error:
        remove(draft)
    assert (error.value.status, refusal.hits) == (409, 2)
    assert is_there(client, draft)


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_another_refusal_is_an_error_at_once(remove, code_ocean, client, draft, method):
    refusal = code_ocean.faults.add(FaultRule(method=method, kind="status", status=403, times=None))
    with pytest.raises(Forbidden):
        remove(draft)
    assert refusal.hits == 1
    code_ocean.faults.clear()
    assert is_there(client, draft)
