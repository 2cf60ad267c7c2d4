"""Fixtures for tests against a real Airflow: the one of the environment that pytest runs in.

``airflow``
    A :class:`scripts.real_airflow.RealAirflow`, started once per session, with the connection
    ``codeocean_default`` to the emulator. ``airflow.run(dag_id, conf={...}, timeout=60)`` triggers a DAG and
    waits for its end; ``trigger``, ``wait_for_task(..., "deferred")``, ``wait_for`` do it in steps; ``xcom``,
    ``task_log``, ``tasks``, ``database`` look at what came of it; ``kill`` and ``start`` are for components.
    A test that kills must start again what it killed, and ``wait_healthy``.
``emulator``
    The :class:`scripts.emulator_process.EmulatorProcess` behind it, started once per session: ``url``,
    ``token``, ``computation_id`` (a computation whose results can be captured), ``variables``, ``get(path)``
    and ``call(method, path, body)``.
``dags_folder``
    Airflow's DAGs folder: a copy of ``dags_examples/`` and of ``tests/e2e/dags/``. A file there is named
    after its DAG, so that an import error of it is reported at once.
``dags_of``
    ``dags_of("lineage")``: a DAGs folder with these files of ``tests/e2e/dags/`` alone, for an Airflow of a
    module's own; to parse all takes longer than to start.
``own_airflow``
    Makes another Airflow for one test, with settings of its own: ``own_airflow(config={...}, ...)``.
``processes_in``
    ``processes_in(folder)``: all living processes that work in a folder or below, or have their AIRFLOW_HOME
    there: every process of an Airflow that lives there, however far it strayed.

``searched``
    ``with searched(airflow, emulator, *folders):`` runs an Airflow, and at the end searches what it runs with
    and leaves, there and in further folders, for the emulator's tokens and for signatures of URLs; where
    there are any, the last test that used it ends with an error. The fixtures above do so, and each module
    that has an Airflow of its own is to.

All tests below this directory are marked ``e2e`` and may take five minutes unless they say otherwise.
"""

from __future__ import annotations

import shutil
from collections import Counter
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from scripts.emulator_process import EmulatorProcess
from scripts.leaks import LeakSearch
from scripts.real_airflow import RealAirflow

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

HERE = Path(__file__).parent
CHECKOUT = HERE.parent.parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    ours = [item for item in items if HERE in item.path.parents]
    on_the_shared_airflow = set()
    for item in ours:
        item.add_marker(pytest.mark.e2e)
        if item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(300))
        if "airflow" in item.fixturenames and not hasattr(item.module, "airflow"):
            on_the_shared_airflow.add(item.path)
    # At the end, so that the shared Airflow is not there, doing nothing, while others have one of their own;
    # files with many tests first, so that two processes end at about the same time.
    number = Counter(item.path for item in ours)
    ours.sort(key=lambda item: (item.path in on_the_shared_airflow, -number[item.path], item.path))
    items[:] = [item for item in items if HERE not in item.path.parents] + ours


@pytest.fixture(scope="session")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmulatorProcess]:
    with EmulatorProcess(tmp_path_factory.mktemp("emulator")) as running:
        yield running


@contextmanager
def _check_for_leaks(
    airflow: RealAirflow, emulator: EmulatorProcess, *folders: Path
) -> Iterator[RealAirflow]:
    tokens = {value for name, value in emulator.variables.items() if name.endswith("TOKEN")}
    leaks = LeakSearch(tokens, airflow.env["AIRFLOW__CORE__FERNET_KEY"])
    with airflow as running:
        yield running
        found = leaks.search_arguments(
            each for name in running.components for each in running.living_processes(name)
        )
    found += leaks.search_database(airflow.database.path)
    for folder in (airflow.home, *folders):
        found += leaks.search_files(folder)
    if found:
        pytest.fail("\n".join(["A secret got out:", *found]), pytrace=False)


@pytest.fixture(scope="session")
def searched() -> Callable[..., AbstractContextManager[RealAirflow]]:
    return _check_for_leaks


@pytest.fixture(scope="session")
def dags_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dags")
    for source in (CHECKOUT / "dags_examples", HERE / "dags"):
        for path in source.glob("*.py"):
            shutil.copy(path, folder)
    return folder


@pytest.fixture(scope="session")
def dags_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    def copy(*names: str) -> Path:
        folder = tmp_path_factory.mktemp("some-dags")
        for name in names:
            shutil.copy(HERE / "dags" / f"{name}.py", folder)
        return folder

    return copy


@pytest.fixture(scope="session")
def airflow(
    emulator: EmulatorProcess,
    dags_folder: Path,
    tmp_path_factory: pytest.TempPathFactory,
    searched: Callable[..., AbstractContextManager[RealAirflow]],
) -> Iterator[RealAirflow]:
    airflow = RealAirflow(
        tmp_path_factory.mktemp("airflow"),
        dags_folder=dags_folder,
        connections={"codeocean_default": emulator.connection},
    )
    with searched(airflow, emulator) as running:
        yield running


@pytest.fixture
def own_airflow(
    emulator: EmulatorProcess,
    dags_folder: Path,
    tmp_path: Path,
    searched: Callable[..., AbstractContextManager[RealAirflow]],
) -> Iterator[Callable[..., RealAirflow]]:
    with ExitStack() as running:

        def start(**settings: Any) -> RealAirflow:
            defaults = {
                "dags_folder": dags_folder,
                "connections": {"codeocean_default": emulator.connection},
            }
            airflow = RealAirflow(tmp_path / "airflow", **(defaults | settings))
            return running.enter_context(searched(airflow, emulator))

        yield start


@pytest.fixture(scope="session")
def processes_in() -> Callable[[Path], list[psutil.Process]]:
    def find(folder: Path) -> list[psutil.Process]:
        found = []
        for process in psutil.process_iter():
            try:
                places = {process.cwd(), process.environ().get("AIRFLOW_HOME", "")}
                alive = process.status() != psutil.STATUS_ZOMBIE
            except psutil.Error:
                continue
            if alive and any(Path(place).is_relative_to(folder) for place in places if place):
                found.append(process)
        return found

    return find
