"""Machines that die in the middle of the run: which, at which moment, and when they come back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.cluster.deployment import Cluster
    from tests.cluster.progress import Progress


@dataclass(frozen=True)
class PlannedFailure:
    """A machine that is to die.

    :param component: what runs on it.
    :param progress_share: how much of the captures is to have begun before.
    :param is_busy: tells whether the component has work in hand, which is then lost with it.
    """

    component: str
    progress_share: float
    is_busy: Callable[[Progress], bool]


PLANNED_FAILURES = (
    PlannedFailure("worker-1", 0.15, lambda seen: seen.running.get("worker-1", 0) > 0),
    PlannedFailure("triggerer-1", 0.4, lambda seen: seen.waits.get("triggerer-1", 0) > 0),
    PlannedFailure("scheduler-1", 0.65, lambda seen: seen.states.get("deferred", 0) > 0),
)
#: How much of the captures the others are to have got on before a dead machine comes back.
_MIN_PROGRESS_WITHOUT = 0.05


class FailureDrill:
    """Lets machines die, one after the other, and come back when the others have shown that they go on.

    :param cluster: what they belong to.
    :param capture_count: how many captures there are.
    :param report: is told what happens, in a line.
    :param failures: in their order.
    """

    def __init__(
        self,
        cluster: Cluster,
        capture_count: int,
        report: Callable[[str], None],
        failures: Sequence[PlannedFailure] = PLANNED_FAILURES,
    ) -> None:
        self._cluster = cluster
        self._capture_count = capture_count
        self._report = report
        self._remaining = list(failures)
        self._stopped_component: str | None = None
        self._starting_component: str | None = None
        self._required_steps = 0
        self.killed_components: list[str] = []

    @property
    def is_finished(self) -> bool:
        """Whether all have died and are back."""
        return not (self._remaining or self._stopped_component or self._starting_component)

    @property
    def needs_more_progress(self) -> bool:
        """Whether machines are to die for which the run has to go on."""
        return bool(self._remaining) and not (self._stopped_component or self._starting_component)

    def advance(self, progress: Progress, *, run_ended: bool = False) -> None:
        """Do what is to be done at this moment.

        :param progress: how far the run is.
        :param run_ended: whether the run has ended, so that nothing gets on any more.
        """
        if self._starting_component:
            if self._cluster.is_healthy(self._starting_component):
                self._report(f"{self._starting_component} is back")
                self._starting_component = None
        elif self._stopped_component:
            if run_ended or self._others_progressed(progress):
                self._cluster.start(self._stopped_component)
                self._starting_component, self._stopped_component = self._stopped_component, None
        elif self._remaining:
            death = self._remaining[0]
            if progress.submitted >= death.progress_share * self._capture_count and death.is_busy(progress):
                self._kill(death.component, progress)

    def _kill(self, component: str, progress: Progress) -> None:
        held = progress.waits.get(component) or progress.running.get(component)
        holding = f", with {held} of them in hand" if held else ""
        self._report(
            f"{component} is killed at {progress.submitted} begun, {progress.succeeded} ended{holding}"
        )
        self._cluster.kill_all(component)
        self._remaining.pop(0)
        self.killed_components.append(component)
        self._stopped_component = component
        self._required_steps = _count_steps(progress) + max(
            1, round(_MIN_PROGRESS_WITHOUT * self._capture_count)
        )

    def _others_progressed(self, progress: Progress) -> bool:
        return (
            _count_steps(progress) >= self._required_steps and self._stopped_component not in progress.waits
        )


def _count_steps(progress: Progress) -> int:
    """Count what captures have behind them: to have begun, and to have ended."""
    return progress.submitted + progress.succeeded
