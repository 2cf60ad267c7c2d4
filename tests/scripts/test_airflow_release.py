from __future__ import annotations

import pytest

from scripts.airflow_release import Airflow2, Airflow3, Settings


@pytest.fixture
def settings(tmp_path):
    return Settings(tmp_path, tmp_path / "dags", 20001, (20002, 20003), parallelism=4)


def test_components_use_the_assigned_ports(settings):
    for release in (Airflow2(settings, print), Airflow3(settings)):
        env = release.environment()
        assert env["AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT"] == "20002"
        assert env["AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT"] == "20003"
        for ui in (False, True):
            web = [args for args in release.components(ui=ui).values() if "--port" in args]
            assert all("20001" in arguments for arguments in web)


def test_airflow_2_runs_a_webserver_only_for_the_ui(settings):
    release = Airflow2(settings, print)
    assert list(release.components(ui=False)) == ["scheduler", "triggerer"]
    assert list(release.components(ui=True)) == ["scheduler", "triggerer", "webserver"]


def test_airflow_3_tasks_find_the_api_server(settings):
    env = Airflow3(settings).environment()
    assert env["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"] == "http://127.0.0.1:20001/execution/"
    assert "api-server" in Airflow3(settings).components(ui=False)


def test_environment_secrets_differ_between_runs(settings):
    first, second = Airflow3(settings).environment(), Airflow3(settings).environment()
    for name in ("AIRFLOW__CORE__FERNET_KEY", "AIRFLOW__API__SECRET_KEY", "AIRFLOW__API_AUTH__JWT_SECRET"):
        assert first[name] != second[name]
