"""When machines die, and when they come back."""

from __future__ import annotations

from tests.cluster.drill import Death, Drill
from tests.cluster.progress import Progress

CAPTURES = 100
DEATHS = (
    Death("worker-1", 0.2, lambda seen: seen.running.get("worker-1", 0) > 0),
    Death("triggerer-1", 0.5, lambda seen: seen.waits.get("triggerer-1", 0) > 0),
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
        **({"states": {"success": succeeded}, "begun": begun, "waits": {}, "running": {}} | others)
    )


def test_they_die_with_work_in_hand_and_come_back_when_others_have_got_on():
    machines = Machines()
    drill = Drill(machines, CAPTURES, lambda line: None, DEATHS)
    drill.go_on(seen(10, running={"worker-1": 3}))
    drill.go_on(seen(20, running={"worker-2": 3}))
    assert machines.done == []
    assert drill.cannot_go_on

    drill.go_on(seen(20, running={"worker-1": 1}))
    assert machines.done == ["kill worker-1"]
    assert not drill.cannot_go_on
    drill.go_on(seen(23, succeeded=1))
    assert machines.done == ["kill worker-1"]
    drill.go_on(seen(23, succeeded=2))
    assert machines.done == ["kill worker-1", "start worker-1"]

    drill.go_on(seen(60, waits={"triggerer-1": 9}))
    assert machines.done == ["kill worker-1", "start worker-1"], "the first is not back yet"
    machines.healthy = True
    drill.go_on(seen(60, waits={"triggerer-1": 9}))
    drill.go_on(seen(60, waits={"triggerer-1": 9}))
    assert machines.done[2:] == ["kill triggerer-1"]
    assert not drill.over


def test_what_died_last_comes_back_when_the_run_has_ended():
    machines = Machines()
    machines.healthy = True
    drill = Drill(machines, CAPTURES, lambda line: None, DEATHS[:1])
    drill.go_on(seen(100, succeeded=99, running={"worker-1": 1}))
    drill.go_on(seen(100, succeeded=100))
    assert machines.done == ["kill worker-1"]
    drill.go_on(seen(100, succeeded=100), ended=True)
    drill.go_on(seen(100, succeeded=100), ended=True)
    assert machines.done == ["kill worker-1", "start worker-1"]
    assert drill.over


def test_a_triggerer_comes_back_when_others_have_its_waits():
    machines = Machines()
    machines.healthy = True
    drill = Drill(machines, CAPTURES, lambda line: None, DEATHS[1:])
    drill.go_on(seen(50, waits={"triggerer-1": 5}))
    drill.go_on(seen(70, waits={"triggerer-1": 5, "triggerer-2": 20}))
    assert machines.done == ["kill triggerer-1"]

    drill.go_on(seen(70, waits={"triggerer-2": 25}))
    assert machines.done == ["kill triggerer-1", "start triggerer-1"]
    drill.go_on(seen(70, waits={"triggerer-2": 25}))
    assert drill.over
    assert drill.died == ["triggerer-1"]
