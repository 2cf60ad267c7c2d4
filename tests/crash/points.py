"""The points at which something is killed, each reached by faults and signals, never by sleeping."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.crash.scene import Scene

SYNC, DEFERRED = "sync", "deferred"


@dataclass(frozen=True)
class Point:
    """One point.

    :param name: what happens, as a phrase.
    :param reach: brings a run to that point, and kills.
    :param modes: how the task may wait there.
    :param shakes_all: what is killed serves all runs, so that it cannot go on beside others.
    :param slow: the data asset takes longer than the way to the point.
    :param restarts: needs an emulator that can be killed, too.
    :param makes: what the task does: ``capture`` makes a data asset, ``run`` a computation.
    """

    name: str
    reach: Callable[[Scene], None]
    modes: tuple[str, ...] = (SYNC, DEFERRED)
    shakes_all: bool = False
    slow: bool = False
    restarts: bool = False
    makes: str = "capture"


def _before_the_intent(scene: Scene) -> None:
    held = scene.hold("hold_before", "GET", "computations/*")
    scene.trigger()
    held.wait()
    scene.kill_task()
    held.drop()


def _before_the_request(scene: Scene) -> None:
    held = scene.hold("hold_before", "POST", "data_assets")
    scene.trigger()
    held.wait()
    scene.kill_task()
    held.drop()


def _before_the_answer(scene: Scene) -> None:
    held = scene.hold("hold", "POST", "data_assets")
    scene.trigger()
    held.wait()
    scene.kill_task()
    held.drop()


def _before_it_is_remembered(scene: Scene) -> None:
    held = scene.hold("hold", "POST", "data_assets")
    scene.trigger()
    held.wait()
    scene.kill_task(signal.SIGSTOP)
    held.release()
    scene.wait_for_requests("POST /api/v1/data_assets", 1)
    scene.kill_task()


def _after_it_was_remembered(scene: Scene) -> None:
    # The next that the task asks for is the data asset; or, on its way to deferring, what Observed asks.
    path = "data_assets/*" if scene.mode == SYNC else "custom_metadata"
    held = scene.hold("hold_before", "GET", path)
    scene.trigger()
    held.wait()
    scene.kill_task()
    held.drop()


def _while_waiting(scene: Scene) -> None:
    scene.trigger()
    scene.wait_for_requests("GET /api/v1/data_assets/{data_asset_id}", 2)
    scene.kill_task()
    scene.finish_assets()


def _triggerer_while_deferred(scene: Scene) -> None:
    scene.trigger()
    scene.wait_for_state("deferred")
    scene.wait_for_requests("GET /api/v1/data_assets/{data_asset_id}", 1)
    scene.kill_component("triggerer")
    scene.start_component("triggerer")
    scene.finish_assets()


def _scheduler_before_the_resume(scene: Scene) -> None:
    scene.trigger()
    scene.wait_for_state("deferred")
    scene.wait_for_requests("GET /api/v1/data_assets/{data_asset_id}", 1)
    scene.kill_component("scheduler")
    scene.finish_assets()
    scene.wait_for_state("scheduled")
    scene.start_component("scheduler")


def _code_ocean_restarts(scene: Scene) -> None:
    scene.trigger()
    scene.wait_for_requests("GET /api/v1/data_assets/{data_asset_id}", 1)
    scene.restart_code_ocean()


def _the_answer_is_lost(scene: Scene) -> None:
    scene.hold("close_after", "POST", "data_assets")
    scene.trigger()
    scene.wait_for_requests("POST /api/v1/data_assets", 1)
    scene.mark()


def _half_an_answer(scene: Scene) -> None:
    scene.hold("half_body", "POST", "data_assets")
    scene.trigger()
    scene.wait_for_requests("POST /api/v1/data_assets", 1)
    scene.mark()


def _two_tries_alive(scene: Scene) -> None:
    held = scene.hold("hold_before", "POST", "data_assets")
    scene.trigger()
    held.wait()
    scene.kill_supervisor()  # the task's process lives on
    scene.wait_for_assets(1)  # Airflow has given it up, and the next try has created
    held.release()
    scene.wait_for_requests("POST /api/v1/data_assets", 2)


def _run_before_the_answer(scene: Scene) -> None:
    held = scene.hold("hold", "POST", "computations")
    scene.trigger()
    held.wait()
    scene.kill_task()
    held.drop()


def _run_before_its_name(scene: Scene) -> None:
    held = scene.hold("hold_before", "PATCH", "computations/*")
    scene.trigger()
    held.wait()
    scene.kill_task()
    held.drop()


def _run_before_it_is_remembered(scene: Scene) -> None:
    held = scene.hold("hold", "PATCH", "computations/*")
    scene.trigger()
    held.wait()
    scene.kill_task(signal.SIGSTOP)
    held.release()
    scene.wait_for_requests("PATCH /api/v1/computations/{computation_id}", 1)
    scene.kill_task()


def _run_while_waiting(scene: Scene) -> None:
    scene.trigger()
    scene.wait_for_requests("GET /api/v1/computations/{computation_id}", 2)
    scene.kill_task()
    scene.finish_assets()


def _run_answer_lost(scene: Scene) -> None:
    scene.hold("close_after", "POST", "computations")
    scene.trigger()
    scene.wait_for_requests("POST /api/v1/computations", 1)
    scene.mark()


#: Those that take longest come first, so that the others fill in.
POINTS = (
    Point("the supervisor: two tries alive", _two_tries_alive, modes=(SYNC,)),
    Point("before the intent", _before_the_intent),
    Point("after the intent, before the request", _before_the_request),
    Point("after the server created, before its answer", _before_the_answer),
    Point("after the answer, before it was remembered", _before_it_is_remembered),
    Point("after it was remembered", _after_it_was_remembered),
    Point("while waiting in the worker", _while_waiting, modes=(SYNC,), slow=True),
    Point("the answer is lost, nothing killed", _the_answer_is_lost),
    Point("half an answer, nothing killed", _half_an_answer, modes=(SYNC,)),
    Point("Code Ocean killed and started again", _code_ocean_restarts, restarts=True, slow=True),
    Point(
        "while deferred: the triggerer",
        _triggerer_while_deferred,
        modes=(DEFERRED,),
        shakes_all=True,
        slow=True,
    ),
    Point(
        "after the event, before the resume: the scheduler",
        _scheduler_before_the_resume,
        modes=(DEFERRED,),
        shakes_all=True,
        slow=True,
    ),
)

#: The same for runs of capsules, as far as they differ: a computation has its key only after it was started.
RUN_POINTS = (
    Point("a run: started, before its answer", _run_before_the_answer, makes="run"),
    Point("a run: started, before it has its name", _run_before_its_name, makes="run"),
    Point("a run: named, before it was remembered", _run_before_it_is_remembered, modes=(SYNC,), makes="run"),
    Point("a run: while waiting in the worker", _run_while_waiting, modes=(SYNC,), slow=True, makes="run"),
    Point("a run: the answer is lost", _run_answer_lost, modes=(SYNC,), makes="run"),
)
