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

_BYTES_PER_MB = 2**20


@dataclass(frozen=True)
class Sample:
    """What the triggerer takes at one moment.

    The supervisor is the process that talks to Airflow and writes the logs; in the runner, its child, is the
    event loop with all triggers.

    :param elapsed_seconds: since the load began.
    :param waits: tasks that are deferred.
    :param runner_rss_mb: megabytes of the runner that are in memory.
    :param runner_uss_mb: of these, what it shares with no other process.
    :param runner_fds: its open descriptors.
    :param runner_threads: its threads.
    :param supervisor_rss_mb: as above, of the supervisor.
    :param supervisor_uss_mb: as above, of the supervisor.
    :param supervisor_fds: its open descriptors: one for the log of each trigger, beside others.
    :param supervisor_threads: its threads.
    :param cpu_seconds: CPU seconds that both have taken so far.
    """

    elapsed_seconds: float
    waits: int
    runner_rss_mb: float
    runner_uss_mb: float
    runner_fds: int
    runner_threads: int
    supervisor_rss_mb: float
    supervisor_uss_mb: float
    supervisor_fds: int
    supervisor_threads: int
    cpu_seconds: float


class Sampler:
    """Takes samples of an Airflow's triggerer.

    :param airflow: the Airflow.
    :ivar samples: all samples.
    """

    def __init__(self, airflow: RealAirflow) -> None:
        self.samples: list[Sample] = []
        self._airflow = airflow
        self._started_at = time.monotonic()

    def take_sample(self) -> Sample:
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
            elapsed_seconds=time.monotonic() - self._started_at,
            waits=int(waits[0][0]),
            runner_rss_mb=memory["runner"].rss / _BYTES_PER_MB,
            runner_uss_mb=memory["runner"].uss / _BYTES_PER_MB,
            runner_fds=runner.num_fds(),
            runner_threads=runner.num_threads(),
            supervisor_rss_mb=memory["supervisor"].rss / _BYTES_PER_MB,
            supervisor_uss_mb=memory["supervisor"].uss / _BYTES_PER_MB,
            supervisor_fds=supervisor.num_fds(),
            supervisor_threads=supervisor.num_threads(),
            cpu_seconds=sum(sum(each.cpu_times()[:2]) for each in (runner, supervisor)),
        )
        self.samples.append(sample)
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
