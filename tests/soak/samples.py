"""What a triggerer takes, from time to time."""

from __future__ import annotations

import csv
import dataclasses
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from scripts.real_airflow import RealAirflow

_MB = 2**20


@dataclass(frozen=True)
class Sample:
    """What the triggerer takes at one moment.

    The supervisor is the process that talks to Airflow and writes the logs; in the runner, its child, is the
    event loop with all triggers.

    :param seconds: since the load began.
    :param waits: tasks that are deferred.
    :param runner_rss: megabytes of the runner that are in memory.
    :param runner_uss: of these, what it shares with no other process.
    :param runner_fds: its open descriptors.
    :param runner_threads: its threads.
    :param supervisor_rss: as above, of the supervisor.
    :param supervisor_uss: as above, of the supervisor.
    :param supervisor_fds: its open descriptors: one for the log of each trigger, beside others.
    :param supervisor_threads: its threads.
    :param cpu: CPU seconds that both have taken so far.
    """

    seconds: float
    waits: int
    runner_rss: float
    runner_uss: float
    runner_fds: int
    runner_threads: int
    supervisor_rss: float
    supervisor_uss: float
    supervisor_fds: int
    supervisor_threads: int
    cpu: float


class Sampler:
    """Takes samples of an Airflow's triggerer.

    :param airflow: the Airflow.
    :ivar taken: all samples.
    """

    def __init__(self, airflow: RealAirflow) -> None:
        self.taken: list[Sample] = []
        self._airflow = airflow
        self._began = time.monotonic()

    def take(self) -> Sample:
        """Take a sample.

        :returns: the sample.
        """
        waits = self._airflow.database.query("SELECT COUNT(*) FROM task_instance WHERE state = 'deferred'")
        self._airflow.check_alive()
        supervisor = psutil.Process(self._airflow.pid("triggerer"))
        children = supervisor.children()
        if not children:
            raise RuntimeError(
                f"the triggerer's runner has ended: {self._airflow.component_log('triggerer')}"
            )
        runner = children[0]
        memory = {"runner": runner.memory_full_info(), "supervisor": supervisor.memory_full_info()}
        sample = Sample(
            seconds=time.monotonic() - self._began,
            waits=int(waits[0][0]),
            runner_rss=memory["runner"].rss / _MB,
            runner_uss=memory["runner"].uss / _MB,
            runner_fds=runner.num_fds(),
            runner_threads=runner.num_threads(),
            supervisor_rss=memory["supervisor"].rss / _MB,
            supervisor_uss=memory["supervisor"].uss / _MB,
            supervisor_fds=supervisor.num_fds(),
            supervisor_threads=supervisor.num_threads(),
            cpu=sum(sum(each.cpu_times()[:2]) for each in (runner, supervisor)),
        )
        self.taken.append(sample)
        return sample


def write_csv(samples: Sequence[Sample], path: Path) -> None:
    """Write samples as a table.

    :param samples: the samples.
    :param path: the file.
    """
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(field.name for field in dataclasses.fields(Sample))
        for sample in samples:
            table.writerow(
                f"{value:.1f}" if isinstance(value, float) else value for value in dataclasses.astuple(sample)
            )
