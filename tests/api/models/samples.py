"""One complete payload of each kind, as a server of today sends it, and arbitrary JSON in its place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

from airflow_provider_codeocean.api.models.capsule import (
    AppPanel,
    AppPanelCategory,
    AppPanelDataAsset,
    AppPanelParameter,
    AppPanelProcess,
    AppPanelResult,
    Capsule,
    GitSync,
    OriginalCapsule,
    ReleaseJob,
    Version,
)
from airflow_provider_codeocean.api.models.computation import (
    Computation,
    InputDataAsset,
    Parameter,
    Process,
)
from airflow_provider_codeocean.api.models.custom_metadata import (
    CustomMetadata,
    CustomMetadataField,
    CustomMetadataRange,
)
from airflow_provider_codeocean.api.models.data_asset import (
    AppParameter,
    ContainedDataAsset,
    DataAsset,
    DataAssetAttachment,
    Provenance,
    SourceBucket,
)
from airflow_provider_codeocean.api.models.folder import DownloadURL, FileURLs, Folder, FolderItem
from airflow_provider_codeocean.api.models.permissions import GroupPermission, Permissions, UserPermission
from airflow_provider_codeocean.api.models.search import Page

if TYPE_CHECKING:
    from airflow_provider_codeocean.api.models.base import ResponseModel

PROVENANCE = {
    "commit": "9f1c2d",
    "run_script": "code/run",
    "docker_image": "5f3a",
    "capsule": "capsule-1",
    "data_assets": ["asset-2", "asset-3"],
    "computation": "computation-1",
}
SOURCE_BUCKET = {"origin": "aws", "bucket": "lab-results", "prefix": "2024/run-7", "external": True}
APP_PARAMETER = {"name": "threshold", "value": "0.5"}
CONTAINED = {"id": "asset-4", "mount": "first", "size": 1024}
DATA_ASSET = {
    "id": "asset-1",
    "created": 1718000000,
    "name": "sorted spikes",
    "mount": "spikes",
    "description": "sorted by the nightly run",
    "owner": "user-1",
    "owner_email": "ada@example.com",
    "state": "ready",
    "type": "result",
    "files": 12,
    "size": 987654321,
    "tags": ["ephys", "sorted"],
    "last_used": 1718000500,
    "last_transferred": 1718001000,
    "transfer_error": "no such bucket",
    "failure_reason": "no results",
    "source_bucket": SOURCE_BUCKET,
    "provenance": PROVENANCE,
    "app_parameters": [APP_PARAMETER],
    "nextflow_profile": "standard",
    "contained_data_assets": [CONTAINED],
    "custom_metadata": {"Species": "mouse", "weight": 21.5, "acquired": 1717000000},
}
ATTACHMENT = {
    "id": "asset-1",
    "mount": "spikes",
    "mount_state": "mounted",
    "job_id": "job-1",
    "external": False,
    "ready": True,
}
PARAMETER = {"name": "threshold", "param_name": "thr", "value": "0.5"}
PROCESS = {
    "name": "sort",
    "capsule_id": "capsule-2",
    "version": 3,
    "public": False,
    "parameters": [PARAMETER],
}
INPUT = {"id": "asset-2", "mount": "raw"}
COMPUTATION = {
    "id": "computation-1",
    "created": 1718000000,
    "name": "nightly run",
    "owner": "user-1",
    "owner_email": "ada@example.com",
    "run_time": 340,
    "state": "completed",
    "end_status": "succeeded",
    "exit_code": 0,
    "has_results": True,
    "cloud_workstation": False,
    "data_assets": [INPUT],
    "parameters": [PARAMETER],
    "nextflow_profile": "standard",
    "processes": [PROCESS],
}
ORIGINAL = {
    "id": "capsule-0",
    "name": "template",
    "major_version": 1,
    "minor_version": 2,
    "created": 1600000000,
    "public": True,
}
VERSION = {"major_version": 2, "minor_version": 0, "release_time": 1700000000}
CAPSULE = {
    "id": "capsule-1",
    "created": 1650000000,
    "name": "spike sorting",
    "status": "non_release",
    "owner": "user-1",
    "owner_email": "ada@example.com",
    "slug": "1234567",
    "last_accessed": 1718000000,
    "description": "sorts spikes",
    "field": "Neuroscience",
    "tags": ["ephys"],
    "original_capsule": ORIGINAL,
    "release_capsule": "capsule-9",
    "submission": {"timestamp": 1700000000},
    "versions": [VERSION],
    "article": {"url": "https://example.com/article"},
    "cloned_from_url": "https://example.com/repository.git",
}
PANEL_ASSET = {
    "id": "asset-1",
    "mount": "raw",
    "name": "raw data",
    "kind": "internal",
    "accessible": True,
    "description": "a recording",
    "help_text": "any recording will do",
}
CATEGORY = {"id": "category-1", "name": "Filter", "description": "how to filter", "help_text": "see there"}
PANEL_PARAMETER = {
    "name": "Threshold",
    "type": "text",
    "category": "category-1",
    "param_name": "thr",
    "description": "in microvolts",
    "help_text": "50 is usual",
    "value_type": "number",
    "default_value": "50",
    "required": True,
    "hidden": False,
    "minimum": 0.5,
    "maximum": 100.5,
    "pattern": "[0-9]+",
    "value_options": ["50", "60"],
}
PANEL_RESULT = {"file_name": "summary.html"}
PANEL_PROCESS = {"name": "sort", "categories": [CATEGORY], "parameters": [PANEL_PARAMETER]}
METADATA_FIELD = {
    "name": "species",
    "type": "string",
    "range": {"min": 1, "max": 9.5},
    "allowed_values": ["mouse", "rat"],
    "multiple": False,
    "units": "kg",
    "category": "animal",
    "required": True,
}
FOLDER_ITEM = {"name": "summary.csv", "path": "tables/summary.csv", "type": "file", "size": 2048}
USER = {"email": "ada@example.com", "role": "editor"}
GROUP = {"group": "lab", "role": "discoverable"}

#: A complete payload of every model.
SAMPLE_PAYLOADS: dict[type[ResponseModel], dict[str, Any]] = {
    DataAsset: DATA_ASSET,
    Provenance: PROVENANCE,
    SourceBucket: SOURCE_BUCKET,
    AppParameter: APP_PARAMETER,
    ContainedDataAsset: CONTAINED,
    DataAssetAttachment: ATTACHMENT,
    Computation: COMPUTATION,
    Parameter: PARAMETER,
    Process: PROCESS,
    InputDataAsset: INPUT,
    Capsule: CAPSULE,
    OriginalCapsule: ORIGINAL,
    Version: VERSION,
    AppPanel: {
        "general": {"title": "Sorting", "instructions": "choose"},
        "data_assets": [PANEL_ASSET],
        "categories": [CATEGORY],
        "parameters": [PANEL_PARAMETER],
        "results": [PANEL_RESULT],
        "processes": [PANEL_PROCESS],
    },
    AppPanelDataAsset: PANEL_ASSET,
    AppPanelCategory: CATEGORY,
    AppPanelParameter: PANEL_PARAMETER,
    AppPanelResult: PANEL_RESULT,
    AppPanelProcess: PANEL_PROCESS,
    GitSync: {"pushed": 2, "pulled": 0, "new_branch": True},
    ReleaseJob: {
        "job_id": "job-1",
        "status": "completed",
        "started": 1718000000,
        "duration": 65,
        "release_capsule": "capsule-9",
        "release_version": VERSION,
        "error": "not on the default branch",
    },
    CustomMetadata: {"fields": [METADATA_FIELD], "categories": ["animal"]},
    CustomMetadataField: METADATA_FIELD,
    CustomMetadataRange: {"min": 1, "max": 9.5},
    Folder: {"items": [FOLDER_ITEM]},
    FolderItem: FOLDER_ITEM,
    FileURLs: {"download_url": "https://files.test/d?sig=1", "view_url": "https://files.test/v?sig=2"},
    DownloadURL: {"url": "https://files.test/d?sig=3"},
    Permissions: {"users": [USER], "groups": [GROUP], "everyone": "viewer", "share_assets": True},
    UserPermission: USER,
    GroupPermission: GROUP,
    Page[DataAsset]: {"has_more": True, "next_token": "token-2", "results": [DATA_ASSET]},
    Page[Capsule]: {"has_more": False, "next_token": "token-3", "results": [CAPSULE]},
}

#: Text with everything that JSON can carry: NUL, and halves of surrogate pairs.
any_text = st.text(st.characters(exclude_categories=()), max_size=12)
#: Any JSON, but without halves of surrogate pairs in keys that are not a model's own: pydantic cannot write
#: those.
any_json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(min_value=10**300, max_value=10**309)
    | st.floats()
    | any_text
    | st.integers().map(str)
    | st.floats().map(str),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


def payloads_for(model: type[ResponseModel]) -> st.SearchStrategy[dict[str, Any]]:
    """Objects with the fields of a model, under any of their names, holding anything."""
    names = st.sampled_from([*model.model_fields, *model.legacy_names])
    keys = names | names.map(to_camel_case) | any_text
    values = any_json | st.sampled_from(list(SAMPLE_PAYLOADS[model].values()))
    return st.dictionaries(keys, values, max_size=8)


def to_camel_case(name: str) -> str:
    """The name of a field as 2.x servers wrote it: ``sizeInBytes``."""
    first, *others = name.split("_")
    return first + "".join(map(str.title, others))
