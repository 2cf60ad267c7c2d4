from __future__ import annotations

import os
import socket
import sys

import pytest

from scripts import environment
from scripts.environment import airflow_version, build_component_environment, create_home, find_free_ports


def test_find_free_ports_returns_distinct_bindable_ports():
    ports = find_free_ports(5)
    assert len(set(ports)) == 5
    for port in ports:
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", port))


@pytest.mark.parametrize("address", ["127.0.0.1", ""])
def test_find_free_ports_omits_ports_in_use(monkeypatch, address):
    with socket.socket() as listener:
        listener.bind((address, 0))
        listener.listen()
        taken = listener.getsockname()[1]
        monkeypatch.setattr(environment, "_PORT_RANGE", range(taken, taken + 1))
        monkeypatch.setattr(environment.random, "sample", lambda ports, k: list(ports))
        with pytest.raises(RuntimeError, match="fewer than 1 of 500 tested ports are free"):
            find_free_ports(1)


def test_component_environment_omits_the_callers_airflow_settings(tmp_path, monkeypatch):
    monkeypatch.setenv("AIRFLOW_HOME", "/home/me/airflow")
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", "CeleryExecutor")
    monkeypatch.setenv("AIRFLOW_CONN_MINE", "http://x")
    monkeypatch.setenv("_AIRFLOW__AS_LIBRARY", "1")
    monkeypatch.setenv("NO_PROXY", "example.com")
    monkeypatch.setenv("MY_OWN", "kept")

    env = build_component_environment(tmp_path, sys.executable, {"AIRFLOW__CORE__LOAD_EXAMPLES": "False"})

    airflow = {name: value for name, value in env.items() if "AIRFLOW" in name}
    assert airflow == {"AIRFLOW_HOME": str(tmp_path), "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
    assert env["MY_OWN"] == "kept"
    assert env["NO_PROXY"] == env["no_proxy"] == "example.com,127.0.0.1,localhost"
    assert env["PATH"].split(os.pathsep)[0] == os.path.dirname(sys.executable)  # noqa: PTH120


def test_create_home_replaces_an_earlier_home(tmp_path):
    home = tmp_path / "deep" / "home"
    create_home(home)
    (home / "airflow.db").touch()
    create_home(home)
    assert not (home / "airflow.db").exists()
    assert (home / "logs").is_dir()


def test_create_home_foreign_directory_is_rejected(tmp_path):
    (tmp_path / "airflow.cfg").write_text("mine")
    with pytest.raises(RuntimeError, match="choose an empty folder"):
        create_home(tmp_path)
    assert (tmp_path / "airflow.cfg").read_text() == "mine"


def test_airflow_version_without_airflow_raises_runtime_error(tmp_path):
    own = airflow_version(sys.executable)
    assert len(own) == 3
    assert own >= (2, 11)
    other = tmp_path / "python"
    other.symlink_to(sys.executable)
    with pytest.raises(RuntimeError, match="has no Airflow"):
        airflow_version(str(other))  # outside the environment's directory it has no packages
