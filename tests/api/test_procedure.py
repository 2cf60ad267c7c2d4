"""Procedures: generators of requests that run with both clients."""

from __future__ import annotations

import pytest

from airflow_provider_codeocean.api.endpoints.data_assets import DataAssets
from airflow_provider_codeocean.api.errors import Forbidden, NotFound
from airflow_provider_codeocean.api.procedure import arun, run
from tests.api.fake_server import CALLERS, FakeServer, reply


def get(data_asset_id):
    return DataAssets.get.build_request(DataAssets.path_prefix, data_asset_id)


def first_existing(*data_asset_ids):
    """Return the name of the first data asset that exists."""
    for data_asset_id in data_asset_ids:
        try:
            asset = yield get(data_asset_id)
        except NotFound:
            continue
        return asset.name
    return None


@pytest.fixture(params=["sync", "async"])
def drive(request):
    """``drive(server, procedure)`` runs a procedure with one of the clients."""
    driver = {"sync": run, "async": arun}[request.param]
    return lambda server, procedure: CALLERS[request.param](
        server, lambda client: driver(procedure, client.send)
    )


def test_procedure_gets_the_responses_and_returns_its_result(drive):
    server = FakeServer(reply(json={"id": "a1", "name": "one"}))
    assert drive(server, first_existing("a1", "a2")) == "one"
    assert len(server.requests) == 1


def test_procedure_can_handle_an_error_of_a_request(drive):
    server = FakeServer(reply(404), reply(json={"id": "a2", "name": "two"}))
    assert drive(server, first_existing("a1", "a2")) == "two"
    assert [request.url.path[-2:] for request in server.requests] == ["a1", "a2"]


def test_procedure_without_requests_sends_nothing(drive):
    server = FakeServer(reply(500))
    assert drive(server, first_existing()) is None
    assert server.requests == []


def test_procedure_that_does_not_handle_an_error_raises_it(drive):
    server = FakeServer(reply(403))
    with pytest.raises(Forbidden):
        drive(server, first_existing("a1", "a2"))
    assert len(server.requests) == 1
