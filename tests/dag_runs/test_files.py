"""Whole runs of listing and downloading, against the emulator, in peace and in trouble."""

from __future__ import annotations

import pytest

from airflow_provider_codeocean.emulator import FaultRule


@pytest.fixture(params=["in peace", "in trouble"])
def weather(code_ocean, request):
    """In trouble, a third of all requests is answered with 429 or 503, of files too."""
    if request.param == "in trouble":
        for status in (429, 503):
            for path in ("**", "/storage/**"):
                code_ocean.faults.add(
                    FaultRule(
                        path=path, kind="status", status=status, probability=1 / 6, times=None, retry_after=0
                    )
                )


@pytest.fixture(params=["data_asset_id", "computation_id"])
def run(request, run_dag, code_ocean):
    """Runs what is done with the files of a data asset, and with results."""
    its_id = code_ocean.env[f"CODEOCEAN_{request.param.upper()}"]

    def run(what, state="success", **params):
        finished = run_dag(f"{what}_{request.param}", **{"id": its_id} | params)
        assert finished.states == {"act": state}
        return finished.xcom("act") if state == "success" else finished

    run.id = its_id
    return run


def test_files_are_listed_and_downloaded_once(weather, run, code_ocean, tmp_path):
    listed = run("list", pattern=["**/*.csv"])
    assert listed
    for path, name, size in ((file["path"], file["name"], file["size"]) for file in listed):
        assert path.endswith(name)
        assert size > 0
    done = run("download", pattern=["**/*.csv"], target=str(tmp_path))
    assert done == {
        "target": str(tmp_path),
        "files": len(listed),
        "bytes": sum(file["size"] for file in listed),
        "fetched": len(listed),
        "skipped": 0,
    }
    assert {file["path"]: file["size"] for file in listed} == {
        str(path.relative_to(tmp_path)): path.stat().st_size for path in tmp_path.rglob("*.csv")
    }
    assert run("download", pattern=["**/*.csv"], target=str(tmp_path))["fetched"] == 0


def test_what_is_not_there_fails_for_good(run, code_ocean):
    run("list", "failed", path="nowhere")
    requests = code_ocean.emulator.traffic.requests
    listings = sum(count for endpoint, count in requests.items() if endpoint.startswith("POST"))
    assert listings == 2  # the path, and the folder that it would be in


def test_no_target_fails_for_good(run, code_ocean):
    run("download", "failed", target="relative")
    assert sum(code_ocean.emulator.traffic.requests.values()) == 0


@pytest.mark.parametrize(
    ("on_empty", "state"), [("return", "success"), ("skip", "skipped"), ("fail", "failed")]
)
def test_where_there_is_nothing_it_ends_as_asked_for(run_dag, code_ocean, on_empty, state):
    run = run_dag(f"list_nothing_{on_empty}", id=code_ocean.env["CODEOCEAN_COMPUTATION_ID"])
    assert run.states == {"act": state}
