"""What data came from what, told from what the API answers."""

from __future__ import annotations

import pytest

from airflow_provider_codeocean.api.models.computation import Computation, RunParams
from airflow_provider_codeocean.api.models.data_asset import DataAsset, SourceBucket
from airflow_provider_codeocean.lineage.model import of_creation, of_run, of_transfer

HERE = "codeocean://co.example.com"
DEPLOYMENT = "https://co.example.com"
LIES_IN = {"origin": "aws", "bucket": "b", "prefix": "/p/", "external": True}


def created(capsule_id=None, **fields):
    return of_creation(DEPLOYMENT, DataAsset.model_validate({"id": "made", **fields}), capsule_id)


def uris(nodes):
    return [node.uri for node in nodes]


def test_results_come_from_a_computation_its_code_and_what_that_has_read():
    flow = created(
        capsule_id="k", provenance={"computation": "c", "commit": "abc", "data_assets": ["x", "y", "x", ""]}
    )
    read = ["capsules/k", "computations/c", "data_assets/x", "data_assets/y"]
    assert uris(flow.inputs) == [f"{HERE}/{name}" for name in read]
    assert uris(flow.outputs) == [f"{HERE}/data_assets/made"]
    assert (flow.code, flow.code.version, flow.commit, flow.computation) == (
        flow.inputs[0],
        "abc",
        "abc",
        "c",
    )


def test_results_that_are_stored_in_a_bucket_are_made_there_as_well():
    flow = created(provenance={"computation": "c"}, source_bucket=LIES_IN)
    assert uris(flow.inputs) == [f"{HERE}/computations/c"]
    assert uris(flow.outputs) == [f"{HERE}/data_assets/made", "s3://b/p"]
    assert flow.outputs[0].place == flow.outputs[1]
    assert flow.code is None


@pytest.mark.parametrize("stays", [True, False, None])
def test_files_in_a_bucket_become_a_data_asset_and_never_the_bucket_again(stays):
    flow = created(source_bucket={"origin": "gcp", "bucket": "b", "external": stays})
    assert [(node.namespace, node.name) for node in flow.inputs] == [("gs://b", "/")]
    assert uris(flow.inputs) == ["gs://b/"]
    assert uris(flow.outputs) == [f"{HERE}/data_assets/made"]
    assert flow.outputs[0].place is None


def test_results_that_are_imported_come_from_a_bucket_and_from_code():
    info = {"capsule": "k", "commit": "abc", "data_assets": ["x"]}
    flow = created(provenance=info, source_bucket=LIES_IN)
    assert uris(flow.inputs) == [f"{HERE}/capsules/k", f"{HERE}/data_assets/x", "s3://b/p"]
    assert flow.commit == "abc"


def test_a_combined_data_asset_comes_from_others():
    flow = created(type="combined", contained_data_assets=[{"id": "x"}, {"mount": "without an id"}])
    assert uris(flow.inputs) == [f"{HERE}/data_assets/x"]


@pytest.mark.parametrize("bucket", [None, {"origin": "local", "bucket": "", "prefix": ""}, {"bucket": "b"}])
def test_where_nothing_is_told_nothing_is_made_up(bucket):
    flow = created(source_bucket=bucket)
    assert flow.inputs == ()
    assert uris(flow.outputs) == [f"{HERE}/data_assets/made"]


@pytest.mark.parametrize(
    ("came_from", "read"),
    [
        ({}, f"{HERE}/data_assets/made"),
        ({"origin": "aws", "bucket": "imported-from", "external": False}, f"{HERE}/data_assets/made"),
        ({"origin": "aws", "bucket": "before", "prefix": "q", "external": True}, "s3://before/q"),
    ],
)
def test_a_transfer_moves_files_from_where_they_lay(came_from, read):
    moved = DataAsset.model_validate({"id": "made", "source_bucket": LIES_IN, "last_transferred": 7})
    flow = of_transfer(DEPLOYMENT, moved, SourceBucket.model_validate(came_from))
    assert uris(flow.inputs) == [read]
    assert uris(flow.outputs) == [f"{HERE}/data_assets/made", "s3://b/p"]
    assert flow.outputs[0].version == "7"
    assert not flow.is_new


def ran(state="completed", **fields):
    computation = Computation.model_validate(
        {"id": "c", "state": state, "data_assets": [{"id": "x"}, {"id": ""}], **fields}
    )
    return of_run(DEPLOYMENT, computation, RunParams(pipeline_id="p", version=3), page="page")


def test_a_run_reads_its_code_and_data_assets_and_leaves_results():
    flow = ran(has_results=True)
    assert uris(flow.inputs) == [f"{HERE}/capsules/p", f"{HERE}/data_assets/x"]
    assert uris(flow.outputs) == [f"{HERE}/computations/c"]
    assert (flow.code, flow.release, flow.page, flow.computation) == (flow.inputs[0], "3", "page", "c")


@pytest.mark.parametrize("fields", [{"has_results": False}, {"state": "running"}, {"end_status": "failed"}])
def test_a_run_without_results_leaves_none(fields):
    assert ran(**fields).outputs == ()
