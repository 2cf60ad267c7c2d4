"""The points at which something is killed, each reached by faults and signals, never by sleeping."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.crash.crash_run import CrashRun

SYNC, DEFERRED = "sync", "deferred"


@dataclass(frozen=True)
class CrashPoint:
    """One point.

    :param name: what happens, as a phrase.
    :param reach: brings a run to that point, and kills.
    :param modes: how the task may wait there.
    :param affects_all_runs: what is killed serves all runs, so that it cannot go on beside others.
    :param slow_jobs: the data asset takes longer than the way to the point.
    :param restarts_code_ocean: needs an emulator that can be killed, too.
    :param job_kind: what the task does: ``capture`` makes a data asset, ``run`` a computation.
    """

    name: str
    reach: Callable[[CrashRun], None]
    modes: tuple[str, ...] = (SYNC, DEFERRED)
    affects_all_runs: bool = False
    slow_jobs: bool = False
    restarts_code_ocean: bool = False
    job_kind: str = "capture"


def _kill_before_record(scene: CrashRun) -> None:
    held = scene.add_fault("hold_before", "GET", "computations/*")
    scene.start()
    held.wait()
    scene.kill_task()
    held.drop()


def _kill_before_request(scene: CrashRun) -> None:
    held = scene.add_fault("hold_before", "POST", "data_assets")
    scene.start()
    held.wait()
    scene.kill_task()
    held.drop()


def _kill_before_response(scene: CrashRun) -> None:
    held = scene.add_fault("hold", "POST", "data_assets")
    scene.start()
    held.wait()
    scene.kill_task()
    held.drop()


def _kill_before_id_is_stored(scene: CrashRun) -> None:
    held = scene.add_fault("hold", "POST", "data_assets")
    scene.start()
    held.wait()
    scene.kill_task(signal.SIGSTOP)
    held.release()
    scene.wait_for_requests("POST /api/v1/data_assets", 1)
    scene.kill_task()


def _kill_after_id_is_stored(scene: CrashRun) -> None:
    # The next that the task asks for is the data asset; or, on its way to deferring, what Observed asks.
    path = "data_assets/*" if scene.mode == SYNC else "custom_metadata"
    held = scene.add_fault("hold_before", "GET", path)
    scene.start()
    held.wait()
    scene.kill_task()
    held.drop()


def _kill_while_waiting(scene: CrashRun) -> None:
    scene.start()
    scene.wait_for_requests("GET /api/v1/data_assets/{data_asset_id}", 2)
    scene.kill_task()
    scene.finish_jobs()


def _kill_triggerer_while_deferred(scene: CrashRun) -> None:
    scene.start()
    scene.wait_for_state("deferred")
    scene.wait_for_requests("GET /api/v1/data_assets/{data_asset_id}", 1)
    scene.kill_component("triggerer")
    scene.start_component("triggerer")
    scene.finish_jobs()


def _kill_scheduler_before_resume(scene: CrashRun) -> None:
    scene.start()
    scene.wait_for_state("deferred")
    scene.wait_for_requests("GET /api/v1/data_assets/{data_asset_id}", 1)
    scene.kill_component("scheduler")
    scene.finish_jobs()
    scene.wait_for_state("scheduled")
    scene.start_component("scheduler")


def _restart_code_ocean(scene: CrashRun) -> None:
    scene.start()
    scene.wait_for_requests("GET /api/v1/data_assets/{data_asset_id}", 1)
    scene.restart_code_ocean()


def _lose_response(scene: CrashRun) -> None:
    scene.add_fault("close_after", "POST", "data_assets")
    scene.start()
    scene.wait_for_requests("POST /api/v1/data_assets", 1)
    scene.start_recovery_clock()


def _truncate_response(scene: CrashRun) -> None:
    scene.add_fault("half_body", "POST", "data_assets")
    scene.start()
    scene.wait_for_requests("POST /api/v1/data_assets", 1)
    scene.start_recovery_clock()


def _kill_supervisor(scene: CrashRun) -> None:
    held = scene.add_fault("hold_before", "POST", "data_assets")
    scene.start()
    held.wait()
    scene.kill_supervisor()  # the task's process lives on
    scene.wait_for_assets(1)  # Airflow has given it up, and the next try has created
    held.release()
    scene.wait_for_requests("POST /api/v1/data_assets", 2)


def _run_kill_before_response(scene: CrashRun) -> None:
    held = scene.add_fault("hold", "POST", "computations")
    scene.start()
    held.wait()
    scene.kill_task()
    held.drop()


def _run_kill_before_rename(scene: CrashRun) -> None:
    held = scene.add_fault("hold_before", "PATCH", "computations/*")
    scene.start()
    held.wait()
    scene.kill_task()
    held.drop()


def _run_kill_before_id_is_stored(scene: CrashRun) -> None:
    held = scene.add_fault("hold", "PATCH", "computations/*")
    scene.start()
    held.wait()
    scene.kill_task(signal.SIGSTOP)
    held.release()
    scene.wait_for_requests("PATCH /api/v1/computations/{computation_id}", 1)
    scene.kill_task()


def _run_kill_while_waiting(scene: CrashRun) -> None:
    scene.start()
    scene.wait_for_requests("GET /api/v1/computations/{computation_id}", 2)
    scene.kill_task()
    scene.finish_jobs()


def _run_lose_response(scene: CrashRun) -> None:
    scene.add_fault("close_after", "POST", "computations")
    scene.start()
    scene.wait_for_requests("POST /api/v1/computations", 1)
    scene.start_recovery_clock()


#: Those that take longest come first, so that the others fill in.
POINTS = (
    CrashPoint("the supervisor: two tries alive", _kill_supervisor, modes=(SYNC,)),
    CrashPoint("before the intent", _kill_before_record),
    CrashPoint("after the intent, before the request", _kill_before_request),
    CrashPoint("after the server created, before its answer", _kill_before_response),
    CrashPoint("after the answer, before it was remembered", _kill_before_id_is_stored),
    CrashPoint("after it was remembered", _kill_after_id_is_stored),
    CrashPoint("while waiting in the worker", _kill_while_waiting, modes=(SYNC,), slow_jobs=True),
    CrashPoint("the answer is lost, nothing killed", _lose_response),
    CrashPoint("half an answer, nothing killed", _truncate_response, modes=(SYNC,)),
    CrashPoint(
        "Code Ocean killed and started again", _restart_code_ocean, restarts_code_ocean=True, slow_jobs=True
    ),
    CrashPoint(
        "while deferred: the triggerer",
        _kill_triggerer_while_deferred,
        modes=(DEFERRED,),
        affects_all_runs=True,
        slow_jobs=True,
    ),
    CrashPoint(
        "after the event, before the resume: the scheduler",
        _kill_scheduler_before_resume,
        modes=(DEFERRED,),
        affects_all_runs=True,
        slow_jobs=True,
    ),
)

#: The same for runs of capsules, as far as they differ: a computation has its key only after it was started.
RUN_POINTS = (
    CrashPoint("a run: started, before its answer", _run_kill_before_response, job_kind="run"),
    CrashPoint("a run: started, before it has its name", _run_kill_before_rename, job_kind="run"),
    CrashPoint(
        "a run: named, before it was remembered", _run_kill_before_id_is_stored, modes=(SYNC,), job_kind="run"
    ),
    CrashPoint(
        "a run: while waiting in the worker",
        _run_kill_while_waiting,
        modes=(SYNC,),
        slow_jobs=True,
        job_kind="run",
    ),
    CrashPoint("a run: the answer is lost", _run_lose_response, modes=(SYNC,), job_kind="run"),
)
