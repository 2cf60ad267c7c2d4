"""Operators on data assets reject invalid arguments when a DAG is parsed, but not templates."""

from __future__ import annotations

from collections import UserList

import pytest

from airflow_provider_codeocean.operators.attachment import (
    CodeOceanAttachDataAssetsOperator,
    CodeOceanDetachDataAssetsOperator,
)
from airflow_provider_codeocean.operators.data_asset import (
    CodeOceanArchiveDataAssetOperator,
    CodeOceanCreateDataAssetOperator,
    CodeOceanDeleteDataAssetOperator,
    CodeOceanUpdateDataAssetOperator,
)
from airflow_provider_codeocean.operators.permissions import (
    CodeOceanGetDataAssetPermissionsOperator,
    CodeOceanSetDataAssetPermissionsOperator,
)
from airflow_provider_codeocean.operators.search import CodeOceanSearchDataAssetsOperator
from airflow_provider_codeocean.operators.transfer import CodeOceanTransferDataAssetOperator

CREATE = (CodeOceanCreateDataAssetOperator, {"name": "n", "source": {"aws": {"bucket": "b"}}})
UPDATE = (CodeOceanUpdateDataAssetOperator, {"data_asset_id": "a1"})
SHARE = (CodeOceanSetDataAssetPermissionsOperator, {"data_asset_id": "a1", "everyone": "viewer"})
TRANSFER = (CodeOceanTransferDataAssetOperator, {"data_asset_id": "a1", "target": {"bucket": "b"}})
SEARCH = (CodeOceanSearchDataAssetsOperator, {})
ATTACH = (CodeOceanAttachDataAssetsOperator, {"capsule_id": "c1", "data_assets": ["a1"]})
DETACH = (CodeOceanDetachDataAssetsOperator, {"capsule_id": "c1", "data_asset_ids": ["a1"]})


def make(kind, **arguments):
    operator, usual = kind
    return operator(**{"task_id": "t"} | usual | arguments)


@pytest.mark.parametrize(
    ("kind", "arguments", "message"),
    [
        (CREATE, {"name": ""}, "name: "),
        (CREATE, {"source": None}, "exactly one of source and data_asset_ids"),
        (CREATE, {"data_asset_ids": ["a1"]}, "exactly one of source and data_asset_ids"),
        (CREATE, {"source": None, "data_asset_ids": []}, "data_asset_ids: "),
        (
            CREATE,
            {"source": {}},
            "source requires exactly one of aws, gcp, computation and cloud_workstation",
        ),
        (CREATE, {"source": {"aws": {"bucket": "s3://b"}}}, r"source\.aws\.bucket: "),
        (
            CREATE,
            {"source": {"aws": {"key": "x", "bucket": "b"}}},
            r"source\.aws: does not take 'key'; it takes bucket, prefix, ",
        ),
        (CREATE, {"source": {"gcp": {"bucket": "b", "client_id": "i"}}}, "client_id and client_secret"),
        (CREATE, {"results_info": {}}, "results_info requires exactly one of capsule_id and pipeline_id"),
        (CREATE, {"timeout": 0}, "timeout must be a number of seconds"),
        (UPDATE, {}, "an update needs at least one of name, "),
        (UPDATE, {"name": " "}, "an update needs at least one of name, "),
        (UPDATE, {"name": 1.5}, "name: must be text, got 1.5"),
        (UPDATE, {"tags": ["a"], "add_tags": ["b"]}, "either tags, or add_tags and remove_tags"),
        (UPDATE, {"add_tags": "a"}, "add_tags: "),
        (UPDATE, {"remove_tags": [""]}, r"remove_tags\.0: "),
        (UPDATE, {"custom_metadata": {"x": True}}, "custom_metadata"),
        (SHARE, {"everyone": None}, "at least one of users, groups and everyone"),
        (SHARE, {"everyone": "owner"}, "everyone: "),
        (SHARE, {"users": [{"email": "ana", "role": "viewer"}]}, r"users\.0\.email: "),
        (SHARE, {"users": [{"email": "ana@lab.test", "role": "boss"}]}, r"users\.0\.role: "),
        (SHARE, {"groups": [{"group": "g"}]}, r"groups\.0\.role: "),
        (SHARE, {"mode": "replace"}, "mode must be one of 'merge', 'ensure', got 'replace'"),
        (TRANSFER, {"target": {}}, r"target\.bucket: "),
        (TRANSFER, {"target": None}, "target"),
        (TRANSFER, {"target": {"bucket": "b/c"}}, r"target\.bucket: "),
        (TRANSFER, {"poll_interval": 0}, "poll_interval must be a number of seconds"),
        (SEARCH, {"limit": 0}, "limit must be a whole number from 1, or None for all, got 0"),
        (SEARCH, {"limit": True}, "limit must be "),
        (SEARCH, {"on_empty": "wait"}, "on_empty must be one of "),
        (SEARCH, {"sort_field": "name"}, "sort_field and sort_order belong together"),
        (SEARCH, {"type": "notebook"}, "type: "),
        (SEARCH, {"filters": [{"key": "name"}]}, "exactly one of value, values and range"),
        (ATTACH, {"capsule_id": None}, "exactly one of capsule_id, pipeline_id, computation_id, got none"),
        (ATTACH, {"pipeline_id": "p1"}, "got capsule_id and pipeline_id"),
        (ATTACH, {"capsule_id": ""}, "exactly one of capsule_id, pipeline_id, computation_id, got none"),
        (ATTACH, {"data_assets": []}, "data_assets must be a list that is not empty"),
        (ATTACH, {"data_assets": "a1"}, "data_assets must be a list that is not empty"),
        (ATTACH, {"data_assets": ["a1", ""]}, r"data_assets\.1\.id: "),
        (
            ATTACH,
            {"data_assets": [{"id": "a1", "folder": "x"}]},
            r"data_assets\.0: does not take 'folder'; it takes id, mount",
        ),
        (DETACH, {"data_asset_ids": ["a b"]}, r"data_asset_ids\.0: must be an id, .* got 'a b'"),
        (DETACH, {"data_asset_ids": []}, "data_asset_ids must be a list that is not empty"),
    ],
)
def test_data_asset_operators_with_invalid_arguments_raise_at_parse_time(kind, arguments, message):
    with pytest.raises(ValueError, match=message):
        make(kind, **arguments)


@pytest.mark.parametrize(
    "operator",
    [
        CodeOceanArchiveDataAssetOperator,
        CodeOceanDeleteDataAssetOperator,
        CodeOceanGetDataAssetPermissionsOperator,
    ],
)
@pytest.mark.parametrize(("wrong", "message"), [("", "empty"), (None, "None"), (7.5, "text, got 7.5")])
def test_data_asset_operators_with_invalid_id_raise_at_parse_time(operator, wrong, message):
    with pytest.raises(ValueError, match=f"data_asset_id: must (not )?be {message}"):
        operator(task_id="t", data_asset_id=wrong)


@pytest.mark.parametrize(
    ("kind", "arguments"),
    [
        (CREATE, {"source": "{{ params.source }}"}),
        (CREATE, {"source": {"aws": {"bucket": "{{ params.bucket }}", "public": "{{ params.public }}"}}}),
        (CREATE, {"source": None, "data_asset_ids": "{{ params.ids }}"}),
        (CREATE, {"tags": "{{ params.tags }}", "custom_metadata": "{{ params.metadata }}"}),
        (UPDATE, {"add_tags": "{{ params.tags }}"}),
        (UPDATE, {"remove_tags": ["{{ ds }}"]}),
        (UPDATE, {"name": "{{ ds }}", "data_asset_id": "{{ params.id }}"}),
        (SHARE, {"users": "{{ params.users }}"}),
        (SHARE, {"users": [{"email": "{{ params.email }}", "role": "{{ params.role }}"}]}),
        (SHARE, {"everyone": "{{ params.everyone }}", "share_assets": "{{ params.share }}"}),
        (TRANSFER, {"target": "{{ params.target }}"}),
        (TRANSFER, {"target": {"bucket": "{{ params.bucket }}"}}),
        (SEARCH, {"query": "name:{{ ds }}", "type": "{{ params.type }}", "filters": "{{ params.filters }}"}),
        (SEARCH, {"sort_field": "{{ params.field }}", "sort_order": "asc", "limit": None}),
        (ATTACH, {"data_assets": "{{ params.assets }}", "capsule_id": "{{ params.capsule }}"}),
        (ATTACH, {"data_assets": ["{{ params.asset }}", {"id": "{{ params.asset }}", "mount": "m"}]}),
        (DETACH, {"data_asset_ids": "{{ params.ids }}"}),
    ],
)
def test_data_asset_operators_with_templates_validate_after_rendering(kind, arguments):
    make(kind, **arguments)


def test_attach_with_list_like_sequence_accepts_it():
    operator = make(ATTACH)
    operator.data_assets = UserList(["a1", "a2"])  # a sequence, but no list
    assert [params.id for params in operator.attach_params()] == ["a1", "a2"]


def test_set_permissions_with_template_validates_other_values():
    with pytest.raises(ValueError, match=r"users\.1\.role: "):
        make(SHARE, users=[{"email": "{{ ds }}", "role": "viewer"}, {"email": "a@b.c", "role": "boss"}])
