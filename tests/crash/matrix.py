"""All points on one Airflow release."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from scripts.real_airflow import RealAirflow
from tests.crash.emulators import RestartableEmulator, ThreadedEmulator
from tests.crash.points import POINTS
from tests.crash.scene import Scene

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.crash.points import Point
    from tests.crash.scene import Outcome

HERE = Path(__file__).parent
#: How many runs at once. Most of the time they wait.
AT_ONCE = 8
# Airflow takes a task for dead whose supervisor is silent for so long (by default 5 minutes), and a triggerer
# whose heartbeat is.
CONFIG = {
    "scheduler.task_instance_heartbeat_timeout": "30",
    "scheduler.task_instance_heartbeat_timeout_detection_interval": "3",
    "scheduler.scheduler_zombie_task_threshold": "30",
    # Airflow 2 reports a zombie each time until it has failed it, and then fails its retry for that.
    "scheduler.zombie_detection_interval": "15",
    "triggerer.job_heartbeat_sec": "2",
    "triggerer.triggerer_health_check_threshold": "10",
}


def play(
    folder: Path,
    *,
    python: str,
    dags: Sequence[Path] = (HERE / "dags",),
    prefix: str = "capture",
    points: Sequence[Point] = POINTS,
    only: str = "",
) -> Iterator[Outcome]:
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
                    if point.restarts
                    else ThreadedEmulator(slow=point.slow)
                )
                stack.enter_context(emulator)
                scenes.append(Scene(point, mode, emulator, prefix=prefix, pids=pids))
        airflow = stack.enter_context(
            RealAirflow(
                folder / "airflow",
                dags_folder=dags_folder,
                python=python,
                connections={scene.conn_id: scene.emulator.connection for scene in scenes},
                env={"CRASH_PIDS": str(pids)},
                config=CONFIG,
                parallelism=16,
            )
        )
        for scene in scenes:
            scene.airflow = airflow
        yield from _play_all(scenes)


def _play_all(scenes: list[Scene]) -> Iterator[Outcome]:
    with ThreadPoolExecutor(AT_ONCE) as pool:
        together = [pool.submit(scene.play) for scene in scenes if not scene.point.shakes_all]
        for done in as_completed(together):
            yield done.result()
    for scene in scenes:
        if scene.point.shakes_all:
            yield scene.play()
