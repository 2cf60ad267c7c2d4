"""Whether what was measured is flat.

A line that goes up and down with the load is flat where it does not rise over time. All is looked at from the
end of the first third on, which is for warming up: what is imported and cached once, and the load itself,
which grows until as many waits end as begin.

- **Memory** (what a process shares with no other): the line through the samples of the last two thirds, by
  least squares, rises by no more than :data:`GROWTH` megabytes an hour, and the highest of the last third is
  above the highest of the middle third by no more than :data:`HIGHEST` of it.
- **Descriptors and threads**: once all waits have ended, there are no more than before the first one began,
  but for :data:`SPARE`.

A run of less than :data:`SHORTEST` minutes tells nothing of memory: Python takes it in pieces of a megabyte.
"""

from __future__ import annotations

from statistics import linear_regression
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.soak.samples import Sample

#: Megabytes an hour: at two waits a second, 3 kB for each wait that has come and gone.
MAX_GROWTH_MB_PER_HOUR = 20.0
#: The part by which the highest of the last third may be above that of the middle third.
MAX_PEAK_INCREASE = 0.05
#: Descriptors, and threads, that may be more at the end: of connections, and of pools of threads.
MAX_LEFT_OPEN = 5
#: Minutes from which on memory is judged.
MIN_MINUTES_FOR_MEMORY = 10.0
#: Samples without which there is nothing to look at: one for each third.
MIN_SAMPLES = 3

MEMORY_FIELDS = ("runner_uss_mb", "supervisor_uss_mb")
COUNT_FIELDS = ("runner_fds", "runner_threads", "supervisor_fds", "supervisor_threads")


def growth_per_hour(samples: Sequence[Sample], name: str) -> float:
    """Return by how much a field grows in an hour.

    :param samples: all samples under load.
    :param name: the field.
    :returns: the slope of the line through the last two thirds.
    """
    late = samples[len(samples) // 3 :]
    times, values = zip(*((each.elapsed_seconds / 3600, getattr(each, name)) for each in late), strict=True)
    return linear_regression(times, values).slope


def peaks(samples: Sequence[Sample], name: str) -> tuple[float, float]:
    """Return the highest values of a field in the middle and in the last third.

    :param samples: all samples under load.
    :param name: the field.
    :returns: both.
    """
    third = len(samples) // 3
    middle, last = samples[third : 2 * third], samples[2 * third :]
    return max(getattr(each, name) for each in middle), max(getattr(each, name) for each in last)


def find_growth(samples: Sequence[Sample], before: Sample, after: Sample) -> list[str]:
    """Say what is not flat.

    :param samples: all samples under load.
    :param before: a sample before the load, when all had been used once.
    :param after: a sample after its end.
    :returns: sentences; none where all is flat.
    """
    wrong = []
    for name in MEMORY_FIELDS if samples[-1].elapsed_seconds >= 60 * MIN_MINUTES_FOR_MEMORY else ():
        slope, (middle, last) = growth_per_hour(samples, name), peaks(samples, name)
        if slope > MAX_GROWTH_MB_PER_HOUR:
            wrong.append(f"{name} grows by {slope:.1f} MB an hour")
        if last > (1 + MAX_PEAK_INCREASE) * middle:
            wrong.append(f"{name} rose from {middle:.1f} to {last:.1f} MB")
    for name in COUNT_FIELDS:
        then, now = getattr(before, name), getattr(after, name)
        if now > then + MAX_LEFT_OPEN:
            wrong.append(f"{name} were {then} before the load, and are {now} after it")
    return wrong
