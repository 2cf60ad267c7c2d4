"""Complete runs of listing and downloading against the emulator, with and without faults."""

from __future__ import annotations

import pytest

from airflow_provider_codeocean.emulator import FaultRule


@pytest.fixture(params=["in peace", "in trouble"])
def weather(code_ocean, request):
    """``in trouble`` answers a third of all requests with 429 or 503, including those for files."""
    if request.param == "in trouble":
        for status in (429, 503):
            for path in ("**", "/storage/**"):
                code_ocean.faults.add(
                    FaultRule(
                        path=path,
                        kind="status",
                        status=status,
                        probability=1 / 6,
                        times=None,
                        retry_after=0,
                    )
                )


@pytest.fixture(params=["data_asset_id", "computation_id"])
def run(request, run_dag, code_ocean):
    """Run an operation on the files of a data asset, and on results."""
    its_id = code_ocean.env[f"CODEOCEAN_{request.param.upper()}"]

    def run(operation, state="success", **params):
        finished = run_dag(f"{operation}_{request.param}", **{"id": its_id} | params)
        assert finished.states == {"act": state}
        return finished.xcom("act") if state == "success" else finished

    run.id = its_id
    return run


def test_file_operators_list_and_download_files_once(weather, run, code_ocean, tmp_path):
    listed = run("list", pattern=["**/*.csv"])
    assert listed
    for path, name, size in ((file["path"], file["name"], file["size"]) for file in listed):
        assert path.endswith(name)
        assert size > 0
    result = run("download", pattern=["**/*.csv"], target=str(tmp_path))
    assert result == {
        "target": str(tmp_path),
        "files": len(listed),
        "bytes": sum(file["size"] for file in listed),
        "downloaded": len(listed),
        "skipped": 0,
    }
    assert {file["path"]: file["size"] for file in listed} == {
        str(path.relative_to(tmp_path)): path.stat().st_size for path in tmp_path.rglob("*.csv")
    }
    assert run("download", pattern=["**/*.csv"], target=str(tmp_path))["downloaded"] == 0


def test_list_files_with_unknown_path_fails_permanently(run, code_ocean):
    run("list", "failed", path="nowhere")
    requests = code_ocean.emulator.traffic.requests
    listings = sum(count for endpoint, count in requests.items() if endpoint.startswith("POST"))
    assert listings == 2  # the path, and the folder that would contain it


def test_download_with_relative_target_fails_permanently(run, code_ocean):
    run("download", "failed", target="relative")
    assert sum(code_ocean.emulator.traffic.requests.values()) == 0


@pytest.mark.parametrize(
    ("on_empty", "state"), [("return", "success"), ("skip", "skipped"), ("fail", "failed")]
)
def test_list_files_without_match_follows_on_empty(run_dag, code_ocean, on_empty, state):
    run = run_dag(f"list_nothing_{on_empty}", id=code_ocean.env["CODEOCEAN_COMPUTATION_ID"])
    assert run.states == {"act": state}
