from __future__ import annotations

import pytest
import requests
from codeocean import CodeOcean, Error
from codeocean.components import (
    EveryoneRole,
    GroupPermissions,
    GroupRole,
    Permissions,
    SearchFilter,
    SearchFilterRange,
    SortOrder,
    UserPermissions,
    UserRole,
)
from codeocean.data_asset import (
    AWSS3Source,
    AWSS3Target,
    CloudWorkstationSource,
    ComputationSource,
    DataAssetOrigin,
    DataAssetParams,
    DataAssets,
    DataAssetSearchOrigin,
    DataAssetSearchParams,
    DataAssetSortBy,
    DataAssetState,
    DataAssetType,
    DataAssetUpdateParams,
    GCPCloudStorageSource,
    ResultsInfo,
    Source,
    Target,
    TransferDataParams,
)

from tests.contract.sdk_coverage import covers


def params(source: Source | None = None, **fields: object) -> DataAssetParams:
    return DataAssetParams(
        **{"name": "asset_ids", "tags": ["contract"], "mount": "asset_ids", "source": source, **fields}
    )


@covers(DataAssets, "create_data_asset", "get_data_asset", "wait_until_ready")
def test_capture_becomes_ready_with_provenance(user, env, pauses):
    source = Source(computation=ComputationSource(id=env["CODEOCEAN_COMPUTATION_ID"], path=""))
    draft = user.data_assets.create_data_asset(params(source))
    assert draft.state is DataAssetState.Draft
    assert draft.type is DataAssetType.Result
    ready = user.data_assets.wait_until_ready(draft, timeout=60)
    assert ready.state is DataAssetState.Ready
    assert pauses == [5]
    assert ready.provenance.computation == env["CODEOCEAN_COMPUTATION_ID"]
    assert ready.files == 4
    assert ready.source_bucket is None
    assert user.data_assets.get_data_asset(draft.id) == ready


@pytest.mark.parametrize(
    ("source", "origin"),
    [
        (
            Source(aws=AWSS3Source(bucket="codeocean-public-data", prefix="example_datasets", public=True)),
            "aws",
        ),
        (
            Source(
                gcp=GCPCloudStorageSource("codeocean-gcp-data", "id", "secret", prefix="example_datasets")
            ),
            "gcp",
        ),
    ],
)
def test_import_from_a_bucket_becomes_ready(user, source, origin):
    ready = user.data_assets.wait_until_ready(user.data_assets.create_data_asset(params(source)))
    assert ready.state is DataAssetState.Ready
    assert ready.type is DataAssetType.Dataset
    assert ready.source_bucket.origin is DataAssetOrigin(origin)
    assert ready.size > 0


def test_import_from_unknown_bucket_fails_with_a_reason(user):
    source = Source(aws=AWSS3Source(bucket="no-such-bucket", prefix="x"))
    failed = user.data_assets.wait_until_ready(user.data_assets.create_data_asset(params(source)))
    assert failed.state is DataAssetState.Failed
    assert "no-such-bucket" in failed.failure_reason


def test_external_capture_is_imported_with_lineage_and_combined(user, env, captured):
    external = captured(
        target=Target(aws=AWSS3Target(bucket=env["CODEOCEAN_RESULTS_BUCKET"], prefix="contract"))
    )
    assert external.source_bucket.external
    source = Source(
        aws=AWSS3Source(
            bucket=env["CODEOCEAN_RESULTS_BUCKET"], prefix="contract", keep_on_external_storage=True
        )
    )
    info = ResultsInfo(capsule_id=env["CODEOCEAN_CAPSULE_ID"], commit="abc", run_script="code/run")
    imported = captured(source=source, results_info=info)
    assert imported.type is DataAssetType.Result
    assert imported.provenance.capsule == env["CODEOCEAN_CAPSULE_ID"]
    combined = captured(source=None, data_asset_ids=[external.id, imported.id])
    assert combined.type is DataAssetType.Combined
    assert [contained.id for contained in combined.contained_data_assets] == [external.id, imported.id]


def test_capture_of_a_workstation_is_a_result(user, env, captured):
    workstation = CloudWorkstationSource(
        env["CODEOCEAN_WORKSTATION_ID"], "results/curated", run_script="code/x"
    )
    assert captured(source=Source(cloud_workstation=workstation)).type is DataAssetType.Result


@covers(DataAssets, "update_metadata")
def test_update_changes_only_the_given_metadata(user, captured):
    asset = captured(description="before", custom_metadata={"score": 1})
    after = user.data_assets.update_metadata(
        asset.id, DataAssetUpdateParams(description="after", tags=["new"])
    )
    assert (after.name, after.description, after.tags) == (asset.name, "after", ["new"])
    assert after.custom_metadata == {"score": 1}


@covers(DataAssets, "delete_data_asset", "archive_data_asset")
def test_archive_and_delete_remove_the_data_asset(user, captured):
    asset = captured(name="to be deleted")
    search = DataAssetSearchParams(query='name:"to be deleted"', archived=True)
    user.data_assets.archive_data_asset(asset.id, archive=True)
    assert [found.id for found in user.data_assets.search_data_assets(search).results] == [asset.id]
    user.data_assets.archive_data_asset(asset.id, archive=False)
    assert user.data_assets.search_data_assets(search).results == []
    assert user.data_assets.delete_data_asset(asset.id) is None
    with pytest.raises(Error) as caught:
        user.data_assets.get_data_asset(asset.id)
    assert caught.value.status_code == 404
    assert asset.id in caught.value.message


@covers(DataAssets, "update_permissions", "get_permissions")
def test_permissions_update_is_shown(user, admin, env, captured):
    asset = captured()
    permissions = Permissions(
        users=[UserPermissions(email="admin@emulator.test", role=UserRole.Editor)],
        groups=[GroupPermissions(group=env["CODEOCEAN_GROUP"], role=GroupRole.Discoverable)],
        everyone=EveryoneRole.Viewer,
        share_assets=True,
    )
    user.data_assets.update_permissions(asset.id, permissions)
    shown = admin.data_assets.get_permissions(asset.id)
    assert {user.email: user.role for user in shown.users} == {
        "admin@emulator.test": UserRole.Editor,
        env["CODEOCEAN_USER_EMAIL"]: UserRole.Owner,
    }
    assert [(group.group, group.role) for group in shown.groups] == [(env["CODEOCEAN_GROUP"], "discoverable")]
    assert shown.everyone == EveryoneRole.Viewer


@covers(DataAssets, "search_data_assets", "search_data_assets_iterator")
def test_search_returns_assets_page_by_page(user, captured):
    asset_ids = {
        captured(name=f"found {number}", tags=["pages"], custom_metadata={"score": number}).id
        for number in range(5)
    }
    search = DataAssetSearchParams(
        query="tag:pages",
        limit=2,
        offset=0,
        sort_field=DataAssetSortBy.Name,
        sort_order=SortOrder.Ascending,
        type=DataAssetType.Result,
        origin=DataAssetSearchOrigin.Internal,
        favorite=False,
        archived=False,
    )
    page = user.data_assets.search_data_assets(search)
    assert page.has_more
    assert [asset.name for asset in page.results] == ["found 0", "found 1"]
    # The iterator sends the offset of the first page along with every token.
    assert {asset.id for asset in user.data_assets.search_data_assets_iterator(search)} == asset_ids
    filters = [
        SearchFilter(key="tags", value="pages"),
        SearchFilter(key="score", range=SearchFilterRange(min=2, max=None)),
        SearchFilter(key="name", values=["3"], exclude=True),
    ]
    page = user.data_assets.search_data_assets(DataAssetSearchParams(filters=filters))
    assert sorted(asset.name for asset in page.results) == ["found 2", "found 4"]


def test_search_iterator_starts_at_the_offset(user):
    everything = [
        asset.id for asset in user.data_assets.search_data_assets_iterator(DataAssetSearchParams(limit=1))
    ]
    later = DataAssetSearchParams(limit=1, offset=1)
    assert [asset.id for asset in user.data_assets.search_data_assets_iterator(later)] == everything[1:]


@covers(DataAssets, "list_data_asset_files", "get_data_asset_file_urls", "get_data_asset_file_download_url")
def test_files_are_listed_and_downloaded(user, captured):
    asset = captured()
    root = user.data_assets.list_data_asset_files(asset.id)
    assert {item.name: item.type for item in root.items} == {
        "figures": "folder",
        "tables": "folder",
        "output": "file",
        "summary.json": "file",
    }
    [table] = user.data_assets.list_data_asset_files(asset.id, "tables").items
    urls = user.data_assets.get_data_asset_file_urls(asset.id, table.path)
    with pytest.warns(DeprecationWarning, match="deprecated"):
        deprecated = user.data_assets.get_data_asset_file_download_url(asset.id, table.path)
    for url in (urls.download_url, urls.view_url, deprecated.url):
        assert len(requests.get(url, timeout=10).content) == table.size


@covers(DataAssets, "transfer_data_asset")
def test_transfer_by_admin_moves_the_data_asset(user, admin, env, captured):
    asset = captured()
    target = TransferDataParams(
        target=Target(aws=AWSS3Target(bucket=env["CODEOCEAN_ARCHIVE_BUCKET"], prefix="old"))
    )
    with pytest.raises(Error) as caught:
        user.data_assets.transfer_data_asset(asset.id, target)
    assert caught.value.status_code == 403
    admin.data_assets.transfer_data_asset(asset.id, target)
    assert user.data_assets.get_data_asset(asset.id).last_transferred is None
    moved = user.data_assets.get_data_asset(asset.id)
    assert moved.last_transferred
    assert moved.source_bucket.bucket == env["CODEOCEAN_ARCHIVE_BUCKET"]
    assert moved.provenance == asset.provenance


def test_transfer_to_unknown_bucket_shows_the_error(admin, captured):
    asset = captured()
    target = TransferDataParams(target=Target(aws=AWSS3Target(bucket="nowhere")), force=True)
    admin.data_assets.transfer_data_asset(asset.id, target)
    admin.data_assets.get_data_asset(asset.id)
    assert "nowhere" in admin.data_assets.get_data_asset(asset.id).transfer_error


def test_request_with_wrong_token_raises_sdk_error(env):
    stranger = CodeOcean(env["CODEOCEAN_URL"], "cop_wrong")
    with pytest.raises(Error) as caught:
        stranger.data_assets.get_data_asset("x")
    assert caught.value.status_code == 401
    assert "token" in caught.value.message


def test_request_that_needs_newer_server_is_rejected(user, monkeypatch):
    monkeypatch.setitem(user.session.headers, "Min-Server-Version", "99.0.0")
    with pytest.raises(Error) as caught:
        user.data_assets.get_data_asset("x")
    assert "99.0.0" in caught.value.message
