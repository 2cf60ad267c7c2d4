"""Capsules and pipelines have the same methods under different names."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from codeocean import CodeOcean, Error
from codeocean.capsule import (
    CapsuleReleaseJobStatus,
    CapsuleReleaseValidationIssues,
    Capsules,
    CapsuleSearchParams,
    CapsuleStatus,
)
from codeocean.components import Ownership, Permissions, SearchFilter, SortOrder, UserPermissions, UserRole
from codeocean.data_asset import DataAssetAttachParams
from codeocean.models.capsule import CapsuleSortBy
from codeocean.pipeline import Pipelines

from airflow_provider_codeocean.emulator import EmulatorServer
from airflow_provider_codeocean.emulator.domain.config import CapsuleConfig, EmulatorConfig
from tests.contract.sdk_coverage import covers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def capsule(env):
    return env["CODEOCEAN_CAPSULE_ID"]


@pytest.fixture
def pipeline(env):
    return env["CODEOCEAN_PIPELINE_ID"]


@pytest.fixture
def fresh() -> Iterator[CodeOcean]:
    """An admin of a deployment that allows deleting and releasing."""
    with EmulatorServer(
        EmulatorConfig(
            transitions={"releases": {"reads": 1}}, capsules=[CapsuleConfig(name="Draft", kind="pipeline")]
        )
    ) as server:
        client = CodeOcean(server.url, server.env["CODEOCEAN_TOKEN"])
        client.landmarks = server.env
        yield client


@covers(Capsules, "get_capsule", "list_computations", "get_capsule_app_panel")
def test_capsule_read_returns_release_runs_and_app_panel(user, env, capsule):
    read = user.capsules.get_capsule(capsule)
    assert (read.name, read.status) == ("Spike sorting", CapsuleStatus.NonRelease)
    assert read.versions[0].major_version == 1
    release = user.capsules.get_capsule(read.release_capsule)
    assert release.status is CapsuleStatus.Release
    assert release.original_capsule.id == capsule
    assert env["CODEOCEAN_COMPUTATION_ID"] in {run.id for run in user.capsules.list_computations(capsule)}
    panel = user.capsules.get_capsule_app_panel(capsule, version=1)
    assert [parameter.param_name for parameter in panel.parameters] == ["threshold", "probe"]


@covers(Pipelines, "get_pipeline", "list_computations", "get_pipeline_app_panel")
def test_pipeline_read_returns_runs_and_app_panel(user, env, pipeline):
    read = user.pipelines.get_pipeline(pipeline)
    assert read.name == "Ecephys pipeline"
    assert user.pipelines.list_computations(pipeline)
    panel = user.pipelines.get_pipeline_app_panel(pipeline)
    assert [asset.id for asset in panel.data_assets] == [env["CODEOCEAN_RELEASED_DATA_ASSET_ID"]]


SEARCH = CapsuleSearchParams(
    query="tag:emulator",
    limit=1,
    offset=0,
    sort_field=CapsuleSortBy.LastAccessed,
    sort_order=SortOrder.Descending,
    ownership=Ownership.Shared,
    status=CapsuleStatus.NonRelease,
    favorite=False,
    archived=False,
    filters=[SearchFilter(key="tags", value="ecephys")],
)


@covers(Capsules, "search_capsules", "search_capsules_iterator", "archive_capsule")
def test_capsule_search_omits_archived_capsules(user, admin, capsule):
    names = ["Bound to fail", "Out of machines", "Slow motion", "Sorting with metadata", "Spike sorting"]
    assert sorted(found.name for found in user.capsules.search_capsules_iterator(SEARCH)) == names
    admin.capsules.archive_capsule(capsule, archive=True)
    assert user.capsules.search_capsules(CapsuleSearchParams(query=f"id:{capsule}")).results == []
    admin.capsules.archive_capsule(capsule, archive=False)
    assert len(user.capsules.search_capsules(CapsuleSearchParams(query=f"id:{capsule}")).results) == 1


@covers(Pipelines, "search_pipelines", "search_pipelines_iterator", "archive_pipeline")
def test_pipeline_search_omits_archived_pipelines(user, admin, env, pipeline):
    found = [found.id for found in user.pipelines.search_pipelines_iterator(SEARCH)]
    assert sorted(found) == sorted([pipeline, env["CODEOCEAN_FAILING_PIPELINE_ID"]])
    admin.pipelines.archive_pipeline(pipeline, archive=True)
    assert pipeline not in [found.id for found in user.pipelines.search_pipelines(SEARCH).results]
    admin.pipelines.archive_pipeline(pipeline, archive=False)
    assert pipeline in [found.id for found in user.pipelines.search_pipelines_iterator(SEARCH)]


def check_permissions(
    get: Callable[[], Permissions], update: Callable[[Permissions], None], email: str
) -> None:
    update(Permissions(users=[UserPermissions(email=email, role=UserRole.Viewer)]))
    assert {user.email: user.role for user in get().users}[email] == UserRole.Viewer


@covers(Capsules, "get_permissions", "update_permissions")
def test_capsule_permissions_are_updated(admin, env, capsule):
    shared = admin.capsules
    check_permissions(
        lambda: shared.get_permissions(capsule),
        lambda given: shared.update_permissions(capsule, given),
        env["CODEOCEAN_USER_EMAIL"],
    )


@covers(Pipelines, "get_permissions", "update_permissions")
def test_pipeline_permissions_are_updated(admin, env, pipeline):
    shared = admin.pipelines
    check_permissions(
        lambda: shared.get_permissions(pipeline),
        lambda given: shared.update_permissions(pipeline, given),
        env["CODEOCEAN_USER_EMAIL"],
    )


@covers(Capsules, "attach_data_assets", "detach_data_assets")
def test_capsule_data_assets_are_attached_and_detached(admin, env, capsule):
    asset = env["CODEOCEAN_DATA_ASSET_ID"]
    [attached] = admin.capsules.attach_data_assets(capsule, [DataAssetAttachParams(id=asset)])
    assert attached.mount_state == "mounted"
    assert [one.id for one in admin.capsules.get_capsule_app_panel(capsule).data_assets] == [asset]
    admin.capsules.detach_data_assets(capsule, [asset])
    assert admin.capsules.get_capsule_app_panel(capsule).data_assets == []


@covers(Pipelines, "attach_data_assets", "detach_data_assets")
def test_pipeline_data_assets_are_attached_and_detached(admin, env, pipeline):
    asset = env["CODEOCEAN_DATA_ASSET_ID"]
    assert (
        admin.pipelines.attach_data_assets(pipeline, [DataAssetAttachParams(id=asset, mount="x")])[0].mount
        == "x"
    )
    admin.pipelines.detach_data_assets(pipeline, [asset])


@covers(
    Capsules,
    "sync_capsule",
    "release_capsule",
    "get_release_job",
    "wait_until_release_completed",
    "delete_capsule",
)
def test_capsule_sync_release_and_delete_succeed(fresh, pauses):
    capsule = fresh.landmarks["CODEOCEAN_CAPSULE_ID"]
    assert (fresh.capsules.sync_capsule(capsule).pulled, fresh.capsules.sync_capsule(capsule).pulled) == (
        2,
        0,
    )
    job = fresh.capsules.release_capsule(capsule)
    assert job.status is CapsuleReleaseJobStatus.Created
    done = fresh.capsules.wait_until_release_completed(capsule, job)
    assert pauses == [5]
    assert done.status is CapsuleReleaseJobStatus.Completed
    assert done.release_version.major_version == 2
    assert fresh.capsules.get_capsule(done.release_capsule).versions[-1] == done.release_version
    fresh.capsules.archive_capsule(capsule, archive=True)
    with pytest.raises(Error) as caught:
        fresh.capsules.delete_capsule(capsule)
    assert caught.value.status_code == 403
    unreleased = fresh.landmarks["CODEOCEAN_SLOW_CAPSULE_ID"]
    fresh.capsules.archive_capsule(unreleased, archive=True)
    fresh.capsules.delete_capsule(unreleased)
    with pytest.raises(Error) as caught:
        fresh.capsules.get_capsule(unreleased)
    assert caught.value.status_code == 404


@covers(
    Pipelines,
    "release_pipeline",
    "get_release_job",
    "wait_until_release_completed",
    "delete_pipeline",
    "sync_pipeline",
)
def test_pipeline_release_and_delete_succeed(fresh):
    pipeline = fresh.landmarks["CODEOCEAN_PIPELINE_ID"]
    job = fresh.pipelines.release_pipeline(pipeline)
    assert fresh.pipelines.get_release_job(pipeline, job.job_id).status is CapsuleReleaseJobStatus.Started
    done = fresh.pipelines.wait_until_release_completed(pipeline, job)
    assert done.status is CapsuleReleaseJobStatus.Completed
    with pytest.raises(Error) as caught:
        fresh.pipelines.sync_pipeline(pipeline)
    assert caught.value.status_code == 400
    [draft] = fresh.pipelines.search_pipelines(CapsuleSearchParams(query="name:Draft")).results
    fresh.pipelines.archive_pipeline(draft.id, archive=True)
    fresh.pipelines.delete_pipeline(draft.id)


def test_release_with_missing_requirements_returns_issues(fresh):
    fresh.computations.delete_computation(fresh.landmarks["CODEOCEAN_COMPUTATION_ID"])
    with pytest.raises(Error) as caught:
        fresh.capsules.release_capsule(fresh.landmarks["CODEOCEAN_CAPSULE_ID"])
    assert caught.value.status_code == 403
    assert CapsuleReleaseValidationIssues.from_dict(caught.value.data).missing_reproducible_run
    with pytest.raises(Error) as caught:
        fresh.capsules.release_capsule(fresh.landmarks["CODEOCEAN_SLOW_CAPSULE_ID"])
    assert caught.value.status_code == 400
