"""Removing a data asset, against the emulator: for a worker, and for the triggerer."""

from __future__ import annotations

import asyncio
import time

import pytest

from airflow_provider_codeocean.api import procedure
from airflow_provider_codeocean.api.client import CodeOceanAsyncClient, CodeOceanClient
from airflow_provider_codeocean.api.errors import CodeOceanApiError, Forbidden, NotFound, UnexpectedResponse
from airflow_provider_codeocean.api.models.data_asset_params import DataAssetParams
from airflow_provider_codeocean.deletion import (
    DeletionStatus,
    data_asset_deletion,
    delete_data_asset,
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
            return await procedure.arun(data_asset_deletion(data_asset_id, **options), other.send)

    def remove(data_asset_id, **options):
        options = {"only_if_pending": True} | options
        if request.param == "worker":
            return delete_data_asset(client, data_asset_id, **options)
        return asyncio.run(in_a_loop(data_asset_id, **options))

    return remove


def is_there(client, data_asset_id):
    try:
        client.data_assets.get(data_asset_id)
    except NotFound:
        return False
    return True


def test_delete_of_pending_data_asset_deletes_it(remove, client, draft):
    removed = remove(draft)
    assert removed.status is DeletionStatus.DELETED
    assert str(removed) == f"Data asset {draft} was deleted"
    assert not is_there(client, draft)


def test_delete_of_ready_data_asset_keeps_it(remove, client, ready):
    removed = remove(ready)
    assert removed.status is DeletionStatus.KEPT_READY
    assert str(removed) == f"Data asset {ready} is ready and was kept"
    assert is_there(client, ready)


def test_delete_of_ready_data_asset_deletes_it_if_requested(remove, client, ready):
    assert remove(ready, only_if_pending=False).status is DeletionStatus.DELETED
    assert not is_there(client, ready)


@pytest.mark.parametrize("only_if_pending", [True, False])
def test_delete_of_deleted_data_asset_returns_not_found(remove, client, draft, only_if_pending):
    client.data_assets.delete(draft)
    removed = remove(draft, only_if_pending=only_if_pending)
    assert removed.status is DeletionStatus.NOT_FOUND
    assert str(removed) == f"Data asset {draft} was already gone"


@pytest.mark.fault("A8")
@pytest.mark.parametrize("status", [403, 404])
@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_delete_with_proxy_page_raises(remove, code_ocean, client, draft, method, status):
    code_ocean.faults.add(FaultRule(method=method, kind="html", status=status))
    with pytest.raises(UnexpectedResponse) as raised:
        remove(draft)
    assert raised.value.is_transient
    assert is_there(client, draft)


@pytest.mark.fault("B5")
def test_delete_of_invisible_new_data_asset_returns_not_visible_yet(remove, code_ocean, draft):
    code_ocean.faults.add(FaultRule(method="GET", kind="status", status=404, body={"message": "no"}))
    removed = remove(draft, submitted_at=time.time())
    assert removed.status is DeletionStatus.NOT_VISIBLE_YET
    assert "may not be visible yet: if it appears later, delete it" in str(removed)
    code_ocean.faults.add(FaultRule(method="GET", kind="status", status=404, body={"message": "no"}))
    assert remove(draft, submitted_at=time.time() - 301).status is DeletionStatus.NOT_FOUND


@pytest.mark.parametrize("status", [400, 409])
def test_delete_with_conflict_archives_first(remove, code_ocean, client, draft, status):
    refusal = code_ocean.faults.add(FaultRule(method="DELETE", kind="status", status=status))
    archival = code_ocean.faults.add(FaultRule(method="PATCH", kind="slow", delay=0))
    assert remove(draft).status is DeletionStatus.DELETED
    assert (refusal.hits, archival.hits) == (1, 1)
    assert not is_there(client, draft)


def test_delete_with_repeated_conflict_raises(remove, code_ocean, client, draft):
    refusal = code_ocean.faults.add(FaultRule(method="DELETE", kind="status", status=409, times=None))
    with pytest.raises(CodeOceanApiError) as error:
        remove(draft)
    assert (error.value.status, refusal.hits) == (409, 2)
    assert is_there(client, draft)


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_delete_with_other_error_raises_at_once(remove, code_ocean, client, draft, method):
    refusal = code_ocean.faults.add(FaultRule(method=method, kind="status", status=403, times=None))
    with pytest.raises(Forbidden):
        remove(draft)
    assert refusal.hits == 1
    code_ocean.faults.clear()
    assert is_there(client, draft)
