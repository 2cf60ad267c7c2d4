from __future__ import annotations

import pytest
import requests
from codeocean import Error
from codeocean.computation import (
    ComputationEndStatus,
    Computations,
    ComputationState,
    DataAssetsRunParam,
    NamedRunParam,
    PipelineProcessParams,
    RunParams,
)
from codeocean.data_asset import DataAssetAttachParams

from tests.contract.sdk_coverage import covers


@covers(Computations, "run_capsule", "get_computation", "wait_until_completed")
def test_run_capsule_completes_with_its_parameters(user, env, pauses):
    params = RunParams(
        capsule_id=env["CODEOCEAN_CAPSULE_ID"],
        version=1,
        resume_run_id=env["CODEOCEAN_COMPUTATION_ID"],
        data_assets=[DataAssetsRunParam(id=env["CODEOCEAN_DATA_ASSET_ID"], mount="in")],
        parameters=["3"],
        named_parameters=[NamedRunParam(param_name="probe", value="A")],
    )
    started = user.computations.run_capsule(params)
    assert started.state is ComputationState.Initializing
    ended = user.computations.wait_until_completed(started, timeout=60)
    assert (ended.state, ended.end_status, ended.exit_code) == (
        ComputationState.Completed,
        ComputationEndStatus.Succeeded,
        0,
    )
    assert pauses == [5]
    assert ended.has_results
    assert [parameter.value for parameter in ended.parameters] == ["3", "A"]
    assert ended.data_assets[0].mount == "in"
    assert user.computations.get_computation(started.id) == ended


@covers(Computations, "run_pipeline")
def test_run_pipeline_completes_with_its_processes(user, env):
    process = PipelineProcessParams(
        name="sort", named_parameters=[NamedRunParam(param_name="threshold", value="2")]
    )
    params = RunParams(pipeline_id=env["CODEOCEAN_PIPELINE_ID"], processes=[process], nextflow_profile="fast")
    ended = user.computations.wait_until_completed(user.computations.run_pipeline(params))
    assert ended.processes[0].capsule_id == env["CODEOCEAN_CAPSULE_ID"]
    assert ended.processes[0].parameters[0].value == "2"
    assert ended.nextflow_profile == "fast"


def test_run_that_fails_has_state_completed(user, env):
    started = user.computations.run_capsule(RunParams(capsule_id=env["CODEOCEAN_FAILING_CAPSULE_ID"]))
    ended = user.computations.wait_until_completed(started)
    assert (ended.state, ended.end_status, ended.exit_code) == (
        ComputationState.Completed,
        ComputationEndStatus.Failed,
        1,
    )


@covers(Computations, "list_computation_results", "get_result_file_urls", "get_result_file_download_url")
def test_results_are_listed_and_downloaded(user, env):
    computation = env["CODEOCEAN_COMPUTATION_ID"]
    root = user.computations.list_computation_results(computation)
    assert [item.name for item in root.items] == ["figures", "tables", "output", "summary.json"]
    [figure] = user.computations.list_computation_results(computation, "figures").items
    urls = user.computations.get_result_file_urls(computation, figure.path)
    with pytest.warns(DeprecationWarning, match="deprecated"):
        deprecated = user.computations.get_result_file_download_url(computation, figure.path)
    for url in (urls.download_url, urls.view_url, deprecated.url):
        assert len(requests.get(url, timeout=10).content) == figure.size


@covers(Computations, "attach_data_assets", "detach_data_assets")
def test_workstation_data_assets_are_attached_and_detached(user, env):
    workstation, asset = env["CODEOCEAN_WORKSTATION_ID"], env["CODEOCEAN_DATA_ASSET_ID"]
    [attached] = user.computations.attach_data_assets(
        workstation, [DataAssetAttachParams(id=asset, mount="here")]
    )
    assert (attached.id, attached.mount, attached.ready, attached.external) == (asset, "here", True, False)
    user.computations.detach_data_assets(workstation, [asset])
    assert user.computations.get_computation(workstation).data_assets is None


@covers(Computations, "rename_computation", "delete_computation")
def test_computation_rename_and_delete_succeed(user, env):
    started = user.computations.run_capsule(RunParams(capsule_id=env["CODEOCEAN_SLOW_CAPSULE_ID"]))
    user.computations.rename_computation(started.id, "called off")
    assert user.computations.get_computation(started.id).name == "called off"
    user.computations.delete_computation(started.id)
    with pytest.raises(Error) as caught:
        user.computations.get_computation(started.id)
    assert caught.value.status_code == 404
