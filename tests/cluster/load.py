"""What the components and the emulator carry meanwhile: CPU, memory, waits, connections."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import psutil

if TYPE_CHECKING:
    from tests.cluster.code_ocean import CodeOcean
    from tests.cluster.deployment import Cluster
    from tests.cluster.progress import Progress

#: Seconds between two looks at the memory, which takes the kernel its time.
_EVERY = 10.0


class Load:
    """Watches the cluster during a run.

    :param cluster: the components.
    :param code_ocean: the emulator.
    :ivar memory: megabytes of each component's processes together, at most; what they share counts in parts.
    :ivar waits: how many waits each triggerer had at most, by its host.
    :ivar connections: how many connections to Code Ocean were open at most, of all components together.
    :ivar stats: the emulator's counters.
    """

    def __init__(self, cluster: Cluster, code_ocean: CodeOcean) -> None:
        self._cluster = cluster
        self._code_ocean = code_ocean
        self._next = 0.0
        self._cpu_of_the_dead: dict[str, float] = {}
        self._cpu: dict[str, float] = {}
        self.memory: dict[str, float] = {}
        self.waits: dict[str, int] = {}
        self.connections = 0
        self.stats: dict[str, Any] = {}

    @property
    def cpu(self) -> dict[str, float]:
        """CPU seconds of each component over all its lives, as measured last."""
        return {name: seconds + self._cpu_of_the_dead.get(name, 0.0) for name, seconds in self._cpu.items()}

    def look(self, seen: Progress) -> None:
        """Take note of what there is now.

        :param seen: how far the run is.
        """
        for host, count in seen.waits.items():
            self.waits[host] = max(self.waits.get(host, 0), count)
        self.stats = self._code_ocean.stats()
        # One of them is that of the question.
        self.connections = max(self.connections, self.stats["open_connections"] - 1)
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + _EVERY
            self.measure()

    def measure(self) -> None:
        """Measure all processes of all components."""
        for name in self._cluster.components:
            cpu, memory = self._measured(name)
            if cpu < self._cpu.get(name, 0.0):  # it was killed since, and has begun at nothing
                self._cpu_of_the_dead[name] = self._cpu_of_the_dead.get(name, 0.0) + self._cpu[name]
            self._cpu[name] = cpu
            self.memory[name] = max(self.memory.get(name, 0.0), memory)

    def _measured(self, name: str) -> tuple[float, float]:
        cpu = memory = 0.0
        for process in self._cluster.tree(name):
            try:
                cpu += sum(process.cpu_times()[:4])  # with that of its children that have ended
                memory += process.memory_full_info().pss / 2**20
            except psutil.Error:
                continue
        return cpu, memory
