"""The names of fields and values are those of the official SDK."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pytest
from codeocean import custom_metadata as sdk_custom_metadata
from codeocean.models import capsule as sdk_capsule
from codeocean.models import components as sdk_components
from codeocean.models import computation as sdk_computation
from codeocean.models import data_asset as sdk_data_asset
from codeocean.models import folder as sdk_folder

from airflow_provider_codeocean.api.models import (
    capsule,
    computation,
    custom_metadata,
    data_asset,
    data_asset_params,
    folder,
    permissions,
    search,
)

if TYPE_CHECKING:
    from enum import StrEnum

    from pydantic import BaseModel

FIELDS = [
    (data_asset.DataAsset, sdk_data_asset.DataAsset),
    (data_asset.Provenance, sdk_data_asset.Provenance),
    (data_asset.SourceBucket, sdk_data_asset.SourceBucket),
    (data_asset.AppParameter, sdk_data_asset.AppParameter),
    (data_asset.ContainedDataAsset, sdk_data_asset.ContainedDataAsset),
    (data_asset.DataAssetAttachment, sdk_data_asset.DataAssetAttachResults),
    (data_asset_params.DataAssetParams, sdk_data_asset.DataAssetParams),
    (data_asset_params.DataAssetUpdateParams, sdk_data_asset.DataAssetUpdateParams),
    (data_asset_params.Source, sdk_data_asset.Source),
    (data_asset_params.AWSSource, sdk_data_asset.AWSS3Source),
    (data_asset_params.GCPSource, sdk_data_asset.GCPCloudStorageSource),
    (data_asset_params.ComputationSource, sdk_data_asset.ComputationSource),
    (data_asset_params.CloudWorkstationSource, sdk_data_asset.CloudWorkstationSource),
    (data_asset_params.Target, sdk_data_asset.Target),
    (data_asset_params.AWSTarget, sdk_data_asset.AWSS3Target),
    (data_asset_params.ResultsInfo, sdk_data_asset.ResultsInfo),
    (data_asset_params.ResultParameter, sdk_computation.Param),
    (data_asset_params.ResultProcess, sdk_computation.PipelineProcess),
    (data_asset_params.TransferParams, sdk_data_asset.TransferDataParams),
    (data_asset_params.AttachParams, sdk_data_asset.DataAssetAttachParams),
    (data_asset_params.DataAssetSearchParams, sdk_data_asset.DataAssetSearchParams),
    (search.Page, sdk_data_asset.DataAssetSearchResults),
    (search.SearchFilter, sdk_components.SearchFilter),
    (search.FilterRange, sdk_components.SearchFilterRange),
    (computation.Computation, sdk_computation.Computation),
    (computation.Parameter, sdk_computation.Param),
    (computation.Process, sdk_computation.PipelineProcess),
    (computation.InputDataAsset, sdk_computation.InputDataAsset),
    (computation.RunParams, sdk_computation.RunParams),
    (computation.RunDataAsset, sdk_computation.DataAssetsRunParam),
    (computation.NamedParameter, sdk_computation.NamedRunParam),
    (computation.ProcessParams, sdk_computation.PipelineProcessParams),
    (capsule.Capsule, sdk_capsule.Capsule),
    (capsule.OriginalCapsule, sdk_capsule.OriginalCapsuleInfo),
    (capsule.Version, sdk_capsule.Version),
    (capsule.CapsuleSearchParams, sdk_capsule.CapsuleSearchParams),
    (capsule.GitSync, sdk_capsule.GitSyncResults),
    (capsule.ReleaseJob, sdk_capsule.CapsuleReleaseJob),
    (capsule.AppPanel, sdk_capsule.AppPanel),
    (capsule.AppPanelCategory, sdk_capsule.AppPanelCategories),
    (capsule.AppPanelDataAsset, sdk_capsule.AppPanelDataAsset),
    (capsule.AppPanelParameter, sdk_capsule.AppPanelParameters),
    (capsule.AppPanelProcess, sdk_capsule.AppPanelProcess),
    (capsule.AppPanelResult, sdk_capsule.AppPanelResult),
    (custom_metadata.CustomMetadata, sdk_custom_metadata.CustomMetadata),
    (custom_metadata.CustomMetadataField, sdk_custom_metadata.CustomMetadataField),
    (custom_metadata.CustomMetadataRange, sdk_custom_metadata.CustomMetadataFieldRange),
    (folder.Folder, sdk_folder.Folder),
    (folder.FolderItem, sdk_folder.FolderItem),
    (folder.FolderParams, sdk_folder.ListFolderParams),
    (folder.FileURLs, sdk_folder.FileURLs),
    (folder.DownloadURL, sdk_folder.DownloadFileURL),
    (permissions.Permissions, sdk_components.Permissions),
    (permissions.PermissionsParams, sdk_components.Permissions),
    (permissions.UserPermission, sdk_components.UserPermissions),
    (permissions.UserGrant, sdk_components.UserPermissions),
    (permissions.GroupPermission, sdk_components.GroupPermissions),
    (permissions.GroupGrant, sdk_components.GroupPermissions),
]
VALUES = [
    (data_asset.DataAssetState, sdk_data_asset.DataAssetState),
    (data_asset.DataAssetType, sdk_data_asset.DataAssetType),
    (data_asset.DataAssetOrigin, sdk_data_asset.DataAssetOrigin),
    (data_asset_params.DataAssetSortField, sdk_data_asset.DataAssetSortBy),
    (data_asset_params.DataAssetSearchOrigin, sdk_data_asset.DataAssetSearchOrigin),
    (computation.ComputationState, sdk_computation.ComputationState),
    (computation.ComputationEndStatus, sdk_computation.ComputationEndStatus),
    (capsule.CapsuleStatus, sdk_capsule.CapsuleStatus),
    (capsule.CapsuleSortField, sdk_capsule.CapsuleSortBy),
    (custom_metadata.CustomMetadataFieldType, sdk_custom_metadata.CustomMetadataFieldType),
    (permissions.UserRole, sdk_components.UserRole),
    (permissions.GroupRole, sdk_components.GroupRole),
    (permissions.EveryoneRole, sdk_components.EveryoneRole),
    (search.SortOrder, sdk_components.SortOrder),
]


@pytest.mark.parametrize(("ours", "theirs"), FIELDS, ids=lambda model: model.__name__)
def test_model_fields_match_the_sdk(ours: type[BaseModel], theirs: type):
    assert set(ours.model_fields) == {field.name for field in dataclasses.fields(theirs)}


@pytest.mark.parametrize(("ours", "theirs"), VALUES, ids=lambda enum: enum.__name__)
def test_enum_values_match_the_sdk(ours: type[StrEnum], theirs: type[StrEnum]):
    assert {str(value) for value in ours} == {value.value for value in theirs}


def test_ownership_omits_the_deprecated_sdk_value():
    assert {str(value) for value in search.Ownership} == {"created", "shared"}
    assert {value.value for value in sdk_components.Ownership} == {"private", "created", "shared"}
