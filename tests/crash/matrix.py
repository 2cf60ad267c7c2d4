"""All points on one Airflow release."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from scripts.real_airflow import RealAirflow
from tests.crash.crash_points import POINTS
from tests.crash.crash_run import CrashRun
from tests.crash.emulators import RestartableEmulator, ThreadedEmulator

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.crash.crash_points import CrashPoint
    from tests.crash.crash_run import CrashResult

HERE = Path(__file__).parent
#: How many runs at once. Most of the time they wait.
MAX_PARALLEL_RUNS = 8
# Airflow takes a task for dead whose supervisor is silent for so long (by default 5 minutes), and a triggerer
# whose heartbeat is.
AIRFLOW_CONFIG = {
    "scheduler.task_instance_heartbeat_timeout": "30",
    "scheduler.task_instance_heartbeat_timeout_detection_interval": "3",
    "scheduler.scheduler_zombie_task_threshold": "30",
    # Airflow 2 reports a zombie each time until it has failed it, and then fails its retry for that.
    "scheduler.zombie_detection_interval": "15",
    "triggerer.job_heartbeat_sec": "2",
    "triggerer.triggerer_health_check_threshold": "10",
}


def run_matrix(
    folder: Path,
    *,
    python: str,
    dags: Sequence[Path] = (HERE / "dags",),
    prefix: str = "capture",
    points: Sequence[CrashPoint] = POINTS,
    only: str = "",
) -> Iterator[CrashResult]:
    """Let captures crash at all points.

    :param folder: where everything goes; made.
    :param python: the interpreter that has the Airflow to run.
    :param dags: folders with the DAG files.
    :param prefix: first part of the names of the DAGs that capture; the mode is the second.
    :param points: the points.
    :param only: a part of the names of the points to play.
    :yields: what came of each point.
    """
    dags_folder, pids = folder / "dags", folder / "pids"
    for each in (dags_folder, pids):
        each.mkdir(parents=True)
    for path in (path for source in dags for path in source.glob("*.py")):
        shutil.copy(path, dags_folder)
    with ExitStack() as stack:
        scenes = []
        for point in points:
            for mode in point.modes if only in point.name else ():
                emulator = (
                    RestartableEmulator(folder / f"emulator-{mode}")
                    if point.restarts_code_ocean
                    else ThreadedEmulator(slow=point.slow_jobs)
                )
                stack.enter_context(emulator)
                scenes.append(CrashRun(point, mode, emulator, prefix=prefix, pid_folder=pids))
        airflow = stack.enter_context(
            RealAirflow(
                folder / "airflow",
                dags_folder=dags_folder,
                python=python,
                connections={scene.conn_id: scene.emulator.connection for scene in scenes},
                env={"CRASH_PIDS": str(pids)},
                config=AIRFLOW_CONFIG,
                parallelism=16,
            )
        )
        for scene in scenes:
            scene.airflow = airflow
        yield from _run_all(scenes)


def _run_all(scenes: list[CrashRun]) -> Iterator[CrashResult]:
    with ThreadPoolExecutor(MAX_PARALLEL_RUNS) as pool:
        together = [pool.submit(scene.execute) for scene in scenes if not scene.point.affects_all_runs]
        for done in as_completed(together):
            yield done.result()
    for scene in scenes:
        if scene.point.affects_all_runs:
            yield scene.execute()
