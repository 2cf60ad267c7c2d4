"""When machines die, and when they come back."""

from __future__ import annotations

from tests.cluster.failure_drill import FailureDrill, PlannedFailure
from tests.cluster.progress import Progress

CAPTURES = 100
DEATHS = (
    PlannedFailure("worker-1", 0.2, lambda seen: seen.running.get("worker-1", 0) > 0),
    PlannedFailure("triggerer-1", 0.5, lambda seen: seen.waits.get("triggerer-1", 0) > 0),
)


class Machines:
    """Keeps a list of what is done to the components."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.healthy = False

    def kill_all(self, name: str) -> None:
        self.done.append(f"kill {name}")

    def start(self, name: str) -> None:
        self.done.append(f"start {name}")

    def is_healthy(self, name: str) -> bool:
        return self.healthy


def seen(begun: int, *, succeeded: int = 0, **others: dict[str, int]) -> Progress:
    return Progress(
        **({"states": {"success": succeeded}, "submitted": begun, "waits": {}, "running": {}} | others)
    )


def test_drill_kills_busy_component_and_restarts_it_after_progress():
    machines = Machines()
    drill = FailureDrill(machines, CAPTURES, lambda line: None, DEATHS)
    drill.advance(seen(10, running={"worker-1": 3}))
    drill.advance(seen(20, running={"worker-2": 3}))
    assert machines.done == []
    assert drill.needs_more_progress

    drill.advance(seen(20, running={"worker-1": 1}))
    assert machines.done == ["kill worker-1"]
    assert not drill.needs_more_progress
    drill.advance(seen(23, succeeded=1))
    assert machines.done == ["kill worker-1"]
    drill.advance(seen(23, succeeded=2))
    assert machines.done == ["kill worker-1", "start worker-1"]

    drill.advance(seen(60, waits={"triggerer-1": 9}))
    assert machines.done == ["kill worker-1", "start worker-1"], "the first is not back yet"
    machines.healthy = True
    drill.advance(seen(60, waits={"triggerer-1": 9}))
    drill.advance(seen(60, waits={"triggerer-1": 9}))
    assert machines.done[2:] == ["kill triggerer-1"]
    assert not drill.is_finished


def test_drill_restarts_last_component_after_the_run():
    machines = Machines()
    machines.healthy = True
    drill = FailureDrill(machines, CAPTURES, lambda line: None, DEATHS[:1])
    drill.advance(seen(100, succeeded=99, running={"worker-1": 1}))
    drill.advance(seen(100, succeeded=100))
    assert machines.done == ["kill worker-1"]
    drill.advance(seen(100, succeeded=100), run_ended=True)
    drill.advance(seen(100, succeeded=100), run_ended=True)
    assert machines.done == ["kill worker-1", "start worker-1"]
    assert drill.is_finished


def test_drill_restarts_triggerer_after_others_take_its_waits():
    machines = Machines()
    machines.healthy = True
    drill = FailureDrill(machines, CAPTURES, lambda line: None, DEATHS[1:])
    drill.advance(seen(50, waits={"triggerer-1": 5}))
    drill.advance(seen(70, waits={"triggerer-1": 5, "triggerer-2": 20}))
    assert machines.done == ["kill triggerer-1"]

    drill.advance(seen(70, waits={"triggerer-2": 25}))
    assert machines.done == ["kill triggerer-1", "start triggerer-1"]
    drill.advance(seen(70, waits={"triggerer-2": 25}))
    assert drill.is_finished
    assert drill.killed_components == ["triggerer-1"]
