"""What all tests share: an Airflow home of their own, and an emulator to talk to."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from coverage import Coverage

from tests.sampling import load_hypothesis_profile, sample_cases

# Airflow reads these when it is imported: no test may touch the home of the person who runs it.
os.environ["AIRFLOW_HOME"] = tempfile.mkdtemp(prefix="airflow-home-")
os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"
os.environ["AIRFLOW__CORE__DAGS_FOLDER"] = str(Path(__file__).parent / "dag_runs" / "dags")
os.environ["AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST"] = json.dumps(
    [
        {
            "name": folder.name,
            "classpath": "airflow.dag_processing.bundles.local.LocalDagBundle",
            "kwargs": {"path": str(folder)},
        }
        for folder in (
            Path(__file__).parent / "dag_runs" / "dags",
            Path(__file__).parent.parent / "dags_examples",
        )
    ]
)
# Each client would load the certificates of these variables, which takes 30 ms.
for variable in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
    os.environ.pop(variable, None)
os.environ["AIRFLOW__API_AUTH__JWT_SECRET"] = "the-secret-of-a-test-that-nobody-needs-to-keep"

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from airflow_provider_codeocean.emulator import EmulatorServer


#: Tests of whole DAGs, and of each fault in each operation. Other tests cover the same code.
LONG_TEST_FOLDERS = [Path(__file__).parent / "dag_runs", Path(__file__).parent / "faults"]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--quick``."""
    parser.addoption(
        "--quick",
        action="store_true",
        help="run fewer examples, and each value of each parameter once instead of all combinations",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Set the number of examples."""
    load_hypothesis_profile(quick=config.getoption("--quick"))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark the tests whose coverage is not measured, and choose those of a quick run."""
    for item in items:
        if any(folder in item.path.parents for folder in LONG_TEST_FOLDERS):
            item.add_marker(pytest.mark.long)
    if config.getoption("--quick"):
        chosen, left_out = sample_cases(items)
        config.hook.pytest_deselected(items=left_out)
        items[:] = chosen


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Do not measure what a long test covers: that would triple its time."""
    measured = Coverage.current() if item.get_closest_marker("long") else None
    if measured is None:
        return (yield)
    measured.stop()
    try:
        return (yield)
    finally:
        measured.start()


@pytest.fixture
def code_ocean(connect: Callable[..., None]) -> Iterator[EmulatorServer]:
    """An emulator of this test's own, with ``codeocean_default`` leading to it.

    A data asset is ready (or failed) at the second look, a computation at once.
    """
    from airflow_provider_codeocean.emulator import EmulatorConfig, EmulatorServer, Policy, Transitions

    transitions = Transitions(assets=Policy(reads=1), computations=Policy(), transfers=Policy())
    with EmulatorServer(EmulatorConfig(transitions=transitions)) as server:
        connect(server.url, server.env["CODEOCEAN_TOKEN"])
        yield server


@pytest.fixture
def slow_creation(code_ocean: EmulatorServer) -> None:
    """Data assets that are created after this stay drafts."""
    from airflow_provider_codeocean.emulator import Policy, Transitions

    code_ocean.emulator.transitions = Transitions(assets=Policy(seconds=3600))


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """``connect(host, token, **extra)`` makes the connection ``codeocean_default`` lead there."""

    def make(host: str, token: str, **extra: object) -> None:
        connection = {"conn_type": "codeocean", "host": host, "password": token, "extra": extra}
        monkeypatch.setenv("AIRFLOW_CONN_CODEOCEAN_DEFAULT", json.dumps(connection))

    return make


@pytest.fixture
def short_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients of hooks retry for a second only."""
    from airflow_provider_codeocean.hooks import codeocean

    parse = codeocean.parse_client_options
    monkeypatch.setattr(codeocean, "parse_client_options", lambda *args: parse(*args) | {"retry_budget": 1.0})
