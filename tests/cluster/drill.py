"""Machines that die in the middle of the run: which, at which moment, and when they come back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.cluster.deployment import Cluster
    from tests.cluster.progress import Progress


@dataclass(frozen=True)
class Death:
    """A machine that is to die.

    :param component: what runs on it.
    :param share: how much of the captures is to have begun before.
    :param busy: tells whether the component has work in hand, which is then lost with it.
    """

    component: str
    share: float
    busy: Callable[[Progress], bool]


DEATHS = (
    Death("worker-1", 0.15, lambda seen: seen.running.get("worker-1", 0) > 0),
    Death("triggerer-1", 0.4, lambda seen: seen.waits.get("triggerer-1", 0) > 0),
    Death("scheduler-1", 0.65, lambda seen: seen.states.get("deferred", 0) > 0),
)
#: How much of the captures the others are to have got on before a dead machine comes back.
_WITHOUT = 0.05


class Drill:
    """Lets machines die, one after the other, and come back when the others have shown that they go on.

    :param cluster: what they belong to.
    :param captures: how many captures there are.
    :param tell: is told what happens, in a line.
    :param deaths: in their order.
    """

    def __init__(
        self, cluster: Cluster, captures: int, tell: Callable[[str], None], deaths: Sequence[Death] = DEATHS
    ) -> None:
        self._cluster = cluster
        self._captures = captures
        self._tell = tell
        self._to_come = list(deaths)
        self._dead: str | None = None
        self._starting: str | None = None
        self._until = 0
        self.died: list[str] = []

    @property
    def over(self) -> bool:
        """Whether all have died and are back."""
        return not (self._to_come or self._dead or self._starting)

    @property
    def cannot_go_on(self) -> bool:
        """Whether machines are to die for which the run has to go on."""
        return bool(self._to_come) and not (self._dead or self._starting)

    def go_on(self, seen: Progress, *, ended: bool = False) -> None:
        """Do what is to be done at this moment.

        :param seen: how far the run is.
        :param ended: whether the run has ended, so that nothing gets on any more.
        """
        if self._starting:
            if self._cluster.is_healthy(self._starting):
                self._tell(f"{self._starting} is back")
                self._starting = None
        elif self._dead:
            if ended or self._gone_without(seen):
                self._cluster.start(self._dead)
                self._starting, self._dead = self._dead, None
        elif self._to_come:
            death = self._to_come[0]
            if seen.begun >= death.share * self._captures and death.busy(seen):
                self._kill(death.component, seen)

    def _kill(self, component: str, seen: Progress) -> None:
        held = seen.waits.get(component) or seen.running.get(component)
        holding = f", with {held} of them in hand" if held else ""
        self._tell(f"{component} is killed at {seen.begun} begun, {seen.succeeded} ended{holding}")
        self._cluster.kill_all(component)
        self._to_come.pop(0)
        self.died.append(component)
        self._dead = component
        self._until = _steps(seen) + max(1, round(_WITHOUT * self._captures))

    def _gone_without(self, seen: Progress) -> bool:
        return _steps(seen) >= self._until and self._dead not in seen.waits


def _steps(seen: Progress) -> int:
    """Count what captures have behind them: to have begun, and to have ended."""
    return seen.begun + seen.succeeded
