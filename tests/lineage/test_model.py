"""Lineage built from responses of the API."""

from __future__ import annotations

import pytest

from airflow_provider_codeocean.api.models.computation import Computation, RunParams
from airflow_provider_codeocean.api.models.data_asset import DataAsset, SourceBucket
from airflow_provider_codeocean.lineage.model import creation_lineage, run_lineage, transfer_lineage

HERE = "codeocean://co.example.com"
DEPLOYMENT = "https://co.example.com"
LIES_IN = {"origin": "aws", "bucket": "b", "prefix": "/p/", "external": True}


def created(capsule_id=None, **fields):
    return creation_lineage(DEPLOYMENT, DataAsset.model_validate({"id": "made", **fields}), capsule_id)


def uris(nodes):
    return [node.uri for node in nodes]


def test_lineage_of_results_names_computation_code_and_data_assets():
    flow = created(
        capsule_id="k", provenance={"computation": "c", "commit": "abc", "data_assets": ["x", "y", "x", ""]}
    )
    read = ["capsules/k", "computations/c", "data_assets/x", "data_assets/y"]
    assert uris(flow.inputs) == [f"{HERE}/{name}" for name in read]
    assert uris(flow.outputs) == [f"{HERE}/data_assets/made"]
    assert (flow.code, flow.code.version, flow.commit, flow.computation_id) == (
        flow.inputs[0],
        "abc",
        "abc",
        "c",
    )


def test_lineage_of_external_results_adds_bucket_as_output():
    flow = created(provenance={"computation": "c"}, source_bucket=LIES_IN)
    assert uris(flow.inputs) == [f"{HERE}/computations/c"]
    assert uris(flow.outputs) == [f"{HERE}/data_assets/made", "s3://b/p"]
    assert flow.outputs[0].location == flow.outputs[1]
    assert flow.code is None


@pytest.mark.parametrize("stays", [True, False, None])
def test_lineage_of_imported_files_has_bucket_as_input_only(stays):
    flow = created(source_bucket={"origin": "gcp", "bucket": "b", "external": stays})
    assert [(node.namespace, node.name) for node in flow.inputs] == [("gs://b", "/")]
    assert uris(flow.inputs) == ["gs://b/"]
    assert uris(flow.outputs) == [f"{HERE}/data_assets/made"]
    assert flow.outputs[0].location is None


def test_lineage_of_imported_results_has_bucket_and_code_as_inputs():
    info = {"capsule": "k", "commit": "abc", "data_assets": ["x"]}
    flow = created(provenance=info, source_bucket=LIES_IN)
    assert uris(flow.inputs) == [f"{HERE}/capsules/k", f"{HERE}/data_assets/x", "s3://b/p"]
    assert flow.commit == "abc"


def test_lineage_of_combined_data_asset_names_contained_ones():
    flow = created(type="combined", contained_data_assets=[{"id": "x"}, {"mount": "without an id"}])
    assert uris(flow.inputs) == [f"{HERE}/data_assets/x"]


@pytest.mark.parametrize("bucket", [None, {"origin": "local", "bucket": "", "prefix": ""}, {"bucket": "b"}])
def test_lineage_without_provenance_has_no_inputs(bucket):
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
def test_lineage_of_transfer_names_previous_and_new_location(came_from, read):
    moved = DataAsset.model_validate({"id": "made", "source_bucket": LIES_IN, "last_transferred": 7})
    flow = transfer_lineage(DEPLOYMENT, moved, SourceBucket.model_validate(came_from))
    assert uris(flow.inputs) == [read]
    assert uris(flow.outputs) == [f"{HERE}/data_assets/made", "s3://b/p"]
    assert flow.outputs[0].version == "7"
    assert not flow.is_new


def ran(state="completed", **fields):
    computation = Computation.model_validate(
        {"id": "c", "state": state, "data_assets": [{"id": "x"}, {"id": ""}], **fields}
    )
    return run_lineage(DEPLOYMENT, computation, RunParams(pipeline_id="p", version=3), code_url="page")


def test_lineage_of_run_names_code_data_assets_and_computation():
    flow = ran(has_results=True)
    assert uris(flow.inputs) == [f"{HERE}/capsules/p", f"{HERE}/data_assets/x"]
    assert uris(flow.outputs) == [f"{HERE}/computations/c"]
    assert (flow.code, flow.release, flow.code_url, flow.computation_id) == (flow.inputs[0], "3", "page", "c")


@pytest.mark.parametrize("fields", [{"has_results": False}, {"state": "running"}, {"end_status": "failed"}])
def test_lineage_of_run_without_results_has_no_outputs(fields):
    assert ran(**fields).outputs == ()
