"""The emulator as a program, also one that is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest

from airflow_provider_codeocean.api._http.library import httpx
from airflow_provider_codeocean.emulator.__main__ import main
from scripts.emulator_process import read_env_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


def wait_for(path: Path, seconds: float = 30) -> dict[str, str]:
    deadline = time.monotonic() + seconds
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} was not written"
        threading.Event().wait(0.005)
    return read_env_file(path)


@pytest.fixture
def launch(tmp_path: Path) -> Iterator[Callable[..., tuple[subprocess.Popen[bytes], dict[str, str]]]]:
    processes: list[subprocess.Popen[bytes]] = []

    def start(*arguments: str) -> tuple[subprocess.Popen[bytes], dict[str, str]]:
        env_file = tmp_path / f"env{len(processes)}"
        command = [sys.executable, "-m", "airflow_provider_codeocean.emulator", "--port", "0"]
        process = subprocess.Popen(
            [*command, "--env-file", str(env_file), *arguments], stderr=subprocess.DEVNULL
        )
        processes.append(process)
        return process, wait_for(env_file)

    yield start
    for process in processes:
        process.kill()
        process.wait()


def create(env: dict[str, str], name: str) -> str:
    source = {"computation": {"id": env["CODEOCEAN_COMPUTATION_ID"]}}
    body = {"name": name, "tags": ["kept"], "mount": "m", "source": source}
    response = httpx.post(
        f"{env['CODEOCEAN_URL']}/api/v1/data_assets", json=body, auth=(env["CODEOCEAN_TOKEN"], "")
    )
    return response.json()["id"]


def test_main_after_kill_keeps_acknowledged_writes(launch, tmp_path):
    state = str(tmp_path / "state")
    process, env = launch("--state", state)
    assets = [create(env, f"asset {number}") for number in range(5)]
    process.send_signal(signal.SIGKILL)
    process.wait()

    _, again = launch("--state", state)
    assert again["CODEOCEAN_URL"] != env["CODEOCEAN_URL"]
    assert {**again, "CODEOCEAN_URL": ""} == {**env, "CODEOCEAN_URL": ""}
    auth = (env["CODEOCEAN_TOKEN"], "")
    url = f"{again['CODEOCEAN_URL']}/api/v1/data_assets"
    found = httpx.post(f"{url}/search", json={"query": "tag:kept"}, auth=auth).json()["results"]
    assert {asset["id"] for asset in found} == set(assets)
    assert httpx.get(f"{url}/{assets[-1]}", auth=auth).json()["name"] == "asset 4"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_main_on_signal_exits_with_code_0(launch, number):
    process, env = launch()
    with httpx.Client() as client:
        assert client.get(env["CODEOCEAN_URL"]).status_code == 200
        process.send_signal(number)
        assert process.wait(timeout=5) == 0


@pytest.fixture
def survivor() -> Iterator[None]:
    """A process that outlives a SIGTERM nobody waits for."""
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.mark.usefixtures("survivor")
def test_main_in_process_serves_until_signal(tmp_path, capsys):
    env_file, config = tmp_path / "env", tmp_path / "config.json"
    config.write_text('{"server_version": "4.1.0"}')
    seen = {}

    def visit() -> None:
        try:
            seen.update(wait_for(env_file))
            seen["page"] = httpx.get(seen["CODEOCEAN_URL"]).status_code
        finally:
            os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=visit)
    thread.start()
    assert main(["--port", "0", "--env-file", str(env_file), "--config", str(config)]) == 0
    thread.join(10)
    assert seen["page"] == 200
    assert seen["CODEOCEAN_URL"] in capsys.readouterr().err
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN


def test_main_with_invalid_config_removes_old_env_file(tmp_path):
    env_file = tmp_path / "env"
    env_file.write_text("old")
    assert main(["--port", "0", "--env-file", str(env_file), "--config", str(tmp_path / "none")]) == 2
    assert not env_file.exists()


@pytest.mark.parametrize(
    ("config", "named"),
    [
        ('{"sarch_lag": 1}', "sarch_lag"),
        ("{", "config.json"),
        ('{"capsules": [{"name": "x", "owner": "y"}]}', "'y'"),
    ],
)
def test_main_with_invalid_config_reports_the_problem(tmp_path, capsys, config, named):
    (tmp_path / "config.json").write_text(config)
    env_file = tmp_path / "env"
    assert main(["--port", "0", "--env-file", str(env_file), "--config", str(tmp_path / "config.json")]) == 2
    assert named in capsys.readouterr().err
    assert not env_file.exists()


def test_main_with_port_in_use_reports_it(tmp_path, capsys):
    from airflow_provider_codeocean.emulator.server.server import open_listener

    with open_listener("127.0.0.1", 0) as taken:
        arguments = ["--port", str(taken.getsockname()[1]), "--env-file", str(tmp_path / "env")]
        assert main(arguments) == 2
    assert "in use" in capsys.readouterr().err


def test_main_with_invalid_state_file_reports_it(tmp_path, capsys):
    (tmp_path / "state").write_text("not a database, but long enough to be looked at as one" * 10)
    arguments = ["--port", "0", "--env-file", str(tmp_path / "env"), "--state", str(tmp_path / "state")]
    assert main(arguments) == 2
    assert "not a database" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["--port", "0"], ["--port", "x", "--env-file", "e"], ["--what"]])
def test_main_with_invalid_arguments_prints_usage(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert "usage" in capsys.readouterr().err


def test_main_help_lists_all_arguments(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    assert caught.value.code == 0
    shown = capsys.readouterr().out
    assert all(argument in shown for argument in ("--port", "--host", "--env-file", "--state", "--config"))
