"""No token and no signature of a URL is found in what a talkative Airflow keeps, shows and runs with.

What the other Airflows here leave is searched too, by the fixtures in ``conftest.py``, but for those of the
demo and of a runner that is killed.
"""

from __future__ import annotations

import re
import secrets
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from scripts.environment import airflow_version
from scripts.http_json import HttpError
from scripts.leaks import LeakSearch, iter_rest_api_paths
from scripts.real_airflow import RealAirflow
from tests.api.certificates import CertificateAuthority
from tests.api.loopback import LoopbackServer

pytestmark = [
    pytest.mark.skipif(airflow_version(sys.executable) < (3,), reason="it asks the REST API of Airflow 3"),
    pytest.mark.timeout(540),
]
DAG = "says_nothing"
BAD = ("codeocean_wrong_token", "codeocean_untrusted", "codeocean_repeats_headers", "codeocean_redirects")
GOOD = {"capture_sync", "capture_deferred", "start_in_triggerer", "run", "list", "download", "renders_it"}


def test_airflows_of_all_modules_are_searched_for_secrets():
    runs_one_itself = {
        path.name
        for path in Path(__file__).parent.glob("test_*.py")
        if re.search(r"RealAirflow\(", source := path.read_text())
        and not re.search(r"with searched\(", source)
    }
    assert runs_one_itself == {Path(__file__).name, "test_real_airflow.py"}


class Talkative:
    """A run of the DAG in an Airflow that logs all it can, and what was found meanwhile."""

    def __init__(self, airflow: RealAirflow, emulator, tokens, tmp_path):
        self.airflow = airflow
        self.leaks = LeakSearch(tokens, airflow.env["AIRFLOW__CORE__FERNET_KEY"])
        self.marker = f"marker-{secrets.token_hex(8)}"
        #: Finds what is no secret: shows that each place is really looked at.
        self.markers = LeakSearch([self.marker], airflow.env["AIRFLOW__CORE__FERNET_KEY"])
        self.found: set[str] = set()
        self.triggers: set[str] = set()
        airflow.add_connection("codeocean_in_database", emulator.connection)
        asset = {"name": self.marker, "mount": "m", "tags": [], "source": _results_of(emulator)}
        emulator.call_api("PUT", "/_emulator/transitions", {"assets": {"seconds": 3600}})
        try:
            never_ready = emulator.call_api("POST", "/api/v1/data_assets", asset)["id"]
        finally:
            emulator.call_api("PUT", "/_emulator/transitions", {"assets": {"seconds": 2}})
        self.waited_for = LeakSearch([never_ready], airflow.env["AIRFLOW__CORE__FERNET_KEY"])
        conf = {
            "computation_id": emulator.computation_id,
            "capsule_id": emulator.variables["CODEOCEAN_CAPSULE_ID"],
            "data_asset_id": emulator.call_api("POST", "/api/v1/data_assets", asset)["id"],
            "never_ready": never_ready,
            "target": str(tmp_path / "downloaded"),
            "marker": self.marker,
        }
        self.run = airflow.run(DAG, conf=conf, timeout=420, on_change=self.look)

    def look(self, change):
        """Look at what is there only while tasks run: their processes, and the rows of triggers."""
        processes = [each for name in self.airflow.components for each in self.airflow.living_processes(name)]
        self.found.update(self.leaks.search_arguments(processes))
        if change.state == "deferred":
            self.found.update(self.leaks.search_database(self.airflow.database.path))
            seen = self.waited_for.search_database(self.airflow.database.path)
            self.triggers.update(each for each in seen if "table trigger" in each)

    def answers(self):
        """What the REST API says of the run, and of all else."""
        answers = {path: self.ask(path) for path in iter_rest_api_paths([DAG])}
        run = f"/api/v2/dags/{DAG}/dagRuns/{self.run.run_id}"
        for task in self.run.tasks:
            of_task = f"{run}/taskInstances/{task}"
            entries = self.ask(f"{of_task}/xcomEntries")
            paths = [f"{of_task}/xcomEntries/{each['key']}" for each in entries["xcom_entries"]]
            for path in (of_task, f"{of_task}/tries", f"{of_task}/logs/1?full_content=true", *paths):
                answers[path] = self.ask(path)
        return answers

    def ask(self, path):
        try:
            return self.airflow.release.call_api("GET", path)
        except HttpError as error:
            return error.body


def _results_of(emulator):
    return {"computation": {"id": emulator.computation_id}}


@pytest.fixture(scope="module")
def talkative(emulator, dags_of, tmp_path_factory):
    tmp_path = tmp_path_factory.mktemp("talkative")
    wrong = f"cop_{secrets.token_hex(16)}"
    with ExitStack() as servers:
        untrusted = servers.enter_context(
            LoopbackServer(CertificateAuthority().write_with_key(tmp_path / "untrusted.pem"))
        )
        repeats, redirects = (servers.enter_context(LoopbackServer()) for _ in range(2))
        repeats.echoes_headers = True
        redirects.response = (307, {"Location": "http://sign-in.test/?state=of-a-session"}, b"")
        hosts = dict(zip(BAD, (emulator, untrusted, repeats, redirects), strict=True))
        connections = {
            conn_id: {**emulator.connection, "host": host.url} for conn_id, host in hosts.items()
        } | {"codeocean_default": emulator.connection}
        connections["codeocean_wrong_token"]["password"] = wrong
        with RealAirflow(
            tmp_path / "airflow",
            dags_folder=dags_of(DAG),
            connections=connections,
            parallelism=2,
            # On a busy machine, so much to log takes the API server longer than tasks wait by default.
            config={"logging.logging_level": "DEBUG", "workers.execution_api_timeout": "60"},
        ) as airflow:
            yield Talkative(airflow, emulator, [emulator.token, wrong], tmp_path)


def test_tasks_end_in_expected_states(talkative):
    tasks = talkative.run.tasks
    assert {task: tasks[task] for task in GOOD} == dict.fromkeys(GOOD, "success")
    bad = {f"{how}_{conn_id}" for conn_id in BAD for how in ("sync", "deferred")} | {"waits_in_vain"}
    assert {task: tasks[task] for task in bad} == dict.fromkeys(bad, "failed")


def test_processes_and_trigger_rows_contain_no_secret(talkative):
    assert talkative.found == set()
    assert talkative.triggers  # there were rows of triggers, and they were looked into


def test_database_contains_no_secret(talkative):
    path = talkative.airflow.database.path
    assert talkative.leaks.search_database(path) == []
    (rendered,) = talkative.airflow.database.query(
        "SELECT rendered_fields FROM rendered_task_instance_fields WHERE task_id = 'renders_it'"
    )[0]
    assert "***" in rendered
    tables = {each.split(": table ")[1].split(",")[0] for each in talkative.markers.search_database(path)}
    assert {"dag_run", "rendered_task_instance_fields", "xcom"} <= tables


def test_files_contain_no_secret(talkative):
    assert talkative.leaks.search_files(talkative.airflow.home) == []
    names = " ".join(talkative.markers.search_files(talkative.airflow.home))
    assert "airflow.db" in names
    assert "task_id=capture_sync/attempt=1.log" in names


@pytest.mark.parametrize(
    ("task", "text"),
    [
        ("sync_codeocean_repeats_headers", "***"),
        ("sync_codeocean_redirects", "a redirect to http://sign-in.test"),
        ("sync_codeocean_untrusted", "CERTIFICATE_VERIFY_FAILED"),
    ],
)
def test_task_logs_with_secret_removed_explain_error(talkative, task, text):
    assert text in talkative.airflow.task_log(DAG, talkative.run.run_id, task)


def test_debug_log_contains_debug_lines(talkative):
    log = talkative.airflow.task_log(DAG, talkative.run.run_id, "download")
    assert "debug" in log.lower()


def test_rest_api_contains_no_secret(talkative):
    answers = talkative.answers()
    assert talkative.leaks.search_responses(answers) == []
    shown = " ".join(talkative.markers.search_responses(answers))
    for part in ("/logs/1", "/xcomEntries/", "/dagRuns?", "/taskInstances/capture_sync"):
        assert part in shown
    connections = {
        each["connection_id"]: each for each in answers["/api/v2/connections?limit=100"]["connections"]
    }
    assert connections["codeocean_in_database"]["password"] == "***"
