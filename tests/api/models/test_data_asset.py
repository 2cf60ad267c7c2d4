"""Data assets: the shapes and values that servers of all ages send."""

from __future__ import annotations

import pytest

from airflow_provider_codeocean.api.models.data_asset import (
    DataAsset,
    DataAssetOrigin,
    DataAssetState,
    DataAssetType,
)
from tests.api.models.samples import DATA_ASSET


def test_data_asset_in_2_x_format_equals_current_format():
    modern = {
        "id": "asset-1",
        "created": 1641420832,
        "name": "recording",
        "description": "first",
        "files": 3,
        "size": 3632927966,
        "state": "ready",
        "type": "dataset",
        "tags": ["ephys"],
        "last_used": 0,
        "source_bucket": {"origin": "aws", "bucket": "lab", "prefix": "run-1"},
        "provenance": {
            "commit": "9f1c2d",
            "run_script": "code/run",
            "docker_image": "5f3a",
            "capsule": "capsule-1",
            "data_assets": ["asset-2"],
        },
    }
    older = {
        "id": "asset-1",
        "created": 1641420832,
        "name": "recording",
        "description": "first",
        "files": 3,
        "sizeInBytes": "3632927966",
        "state": "DATA_ASSET_STATE_READY",
        "type": "DATA_ASSET_TYPE_DATASET",
        "tags": ["ephys"],
        "lastUsed": 0,
        "sourceBucket": {"origin": "aws", "bucket": "lab", "prefix": "run-1"},
        "provenance": {
            "commit": "9f1c2d",
            "runScript": "code/run",
            "DockerImage": "5f3a",
            "Capsule": "capsule-1",
            "DataAssets": ["asset-2"],
        },
    }
    assert DataAsset.model_validate(older) == DataAsset.model_validate(modern)
    assert DataAsset.model_validate(older).model_extra == {}


@pytest.mark.parametrize("state", DataAssetState)
@pytest.mark.parametrize("shape", ["{}", "DATA_ASSET_STATE_{}", "data_asset_state_{}", " {} "])
def test_data_asset_state_in_any_spelling_is_normalized(state, shape):
    for sent in (shape.format(state), shape.format(state.upper()), shape.format(state.title())):
        assert DataAsset.model_validate({"state": sent}).state is state


def test_data_asset_type_and_origin_with_prefix_are_normalized():
    asset = DataAsset.model_validate(
        {"type": "DATA_ASSET_TYPE_RESULT", "source_bucket": {"origin": "DATA_ASSET_ORIGIN_GCP"}}
    )
    assert asset.type is DataAssetType.RESULT
    assert asset.source_bucket is not None
    assert asset.source_bucket.origin is DataAssetOrigin.GCP


@pytest.mark.parametrize("unknown", ["thawing", "DATA_ASSET_STATE_THAWING", "Ready to go", "  "])
def test_data_asset_unknown_state_and_type_are_kept(unknown):
    asset = DataAsset.model_validate({"state": unknown, "type": unknown})
    assert (asset.state, asset.type) == (unknown, unknown)
    assert not isinstance(asset.state, DataAssetState)


@pytest.mark.parametrize("absent", [None, "", {}, [], True])
def test_data_asset_state_that_is_not_text_is_absent(absent):
    assert DataAsset.model_validate({"state": absent}).state is None


def test_data_asset_internal_result_has_empty_bucket():
    bucket = {"origin": "local", "bucket": "", "prefix": ""}
    source = DataAsset.model_validate(
        {**DATA_ASSET, "sourceBucket": bucket, "source_bucket": None}
    ).source_bucket
    assert source is not None
    assert (source.origin, source.bucket, source.prefix, source.external) == ("local", "", "", None)


def test_data_asset_times_keep_fractions_and_sizes_are_whole():
    asset = DataAsset.model_validate({"created": 1718000000.25, "last_used": "1718000000.5", "size": "12.0"})
    assert (asset.created, asset.last_used, asset.size) == (1718000000.25, 1718000000.5, 12)


def test_data_asset_custom_metadata_is_unchanged():
    values = {"sizeInBytes": "12", "Last Used": None, "acquired": 1717000000, "list": [1, "a"]}
    assert DataAsset.model_validate({"custom_metadata": values}).custom_metadata == values
