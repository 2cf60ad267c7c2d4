"""What the components and the emulator carry meanwhile: CPU, memory, waits, connections."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import psutil

if TYPE_CHECKING:
    from tests.cluster.code_ocean import EmulatedCodeOcean
    from tests.cluster.deployment import Cluster
    from tests.cluster.progress import Progress

#: Seconds between two looks at the memory, which takes the kernel its time.
_SAMPLE_INTERVAL_SECONDS = 10.0


class ResourceUsage:
    """Watches the cluster during a run.

    :param cluster: the components.
    :param code_ocean: the emulator.
    :ivar max_memory_mb: most megabytes of each component's processes; shared memory counts in parts.
    :ivar max_waits: how many waits each triggerer had at most, by its host.
    :ivar max_connections: how many connections to Code Ocean were open at most, of all components together.
    :ivar stats: the emulator's counters.
    """

    def __init__(self, cluster: Cluster, code_ocean: EmulatedCodeOcean) -> None:
        self._cluster = cluster
        self._code_ocean = code_ocean
        self._next_sample_at = 0.0
        self._cpu_before_restart: dict[str, float] = {}
        self._cpu_since_start: dict[str, float] = {}
        self.max_memory_mb: dict[str, float] = {}
        self.max_waits: dict[str, int] = {}
        self.max_connections = 0
        self.stats: dict[str, Any] = {}

    @property
    def cpu_seconds(self) -> dict[str, float]:
        """CPU seconds of each component over all its lives, as measured last."""
        return {
            name: seconds + self._cpu_before_restart.get(name, 0.0)
            for name, seconds in self._cpu_since_start.items()
        }

    def update(self, progress: Progress) -> None:
        """Take note of what there is now.

        :param progress: how far the run is.
        """
        for host, count in progress.waits.items():
            self.max_waits[host] = max(self.max_waits.get(host, 0), count)
        self.stats = self._code_ocean.get_stats()
        # One of them is that of the question.
        self.max_connections = max(self.max_connections, self.stats["open_connections"] - 1)
        if time.monotonic() >= self._next_sample_at:
            self._next_sample_at = time.monotonic() + _SAMPLE_INTERVAL_SECONDS
            self.measure()

    def measure(self) -> None:
        """Measure all processes of all components."""
        for name in self._cluster.components:
            cpu, memory = self._measure_component(name)
            if cpu < self._cpu_since_start.get(name, 0.0):  # it was killed since, and has begun at nothing
                self._cpu_before_restart[name] = (
                    self._cpu_before_restart.get(name, 0.0) + self._cpu_since_start[name]
                )
            self._cpu_since_start[name] = cpu
            self.max_memory_mb[name] = max(self.max_memory_mb.get(name, 0.0), memory)

    def _measure_component(self, name: str) -> tuple[float, float]:
        cpu = memory = 0.0
        for process in self._cluster.living_processes(name):
            try:
                cpu += sum(process.cpu_times()[:4])  # with that of its children that have ended
                memory += process.memory_full_info().pss / 2**20
            except psutil.Error:
                continue
        return cpu, memory
