"""Render the results of a soak test as a page and a plot."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pygal

from tests.benchmarks.waits.report import STYLE
from tests.soak.growth_check import COUNT_FIELDS, MEMORY_FIELDS, growth_per_hour, peaks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.soak.samples import Sample

_FIELD_LABELS = {
    "runner_uss_mb": "Runner's memory, MB",
    "supervisor_uss_mb": "Supervisor's memory, MB",
    "runner_fds": "Runner's descriptors",
    "runner_threads": "Runner's threads",
    "supervisor_fds": "Supervisor's descriptors",
    "supervisor_threads": "Supervisor's threads",
}
_MAX_X_LABELS = 12
_HEADING = """# Benchmark: a busy triggerer

`make soak` keeps one triggerer of a real Airflow 3.3.2 busy for 30 minutes. It fails if the triggerer grows,
if a capture or an event is lost, or if one happens twice. The load:

- Every ten seconds, 20 waits start, up to 300 at a time. Each lasts one to four minutes, in the triggerer
  only (`start_from_trigger`).
- Every ten seconds, a deferred capture starts.
- Two asset watchers report all finished computations and all captured data assets.
- 3 % of all requests fail: 429, 503, and connections that are closed before or after the request is
  processed.

![One triggerer under a steady load](soak.svg)

"""
_FOOTER = """Measured by `python -m tests.soak --docs` on two cores that also had other work. Memory excludes
shared pages. The supervisor communicates with Airflow and writes the log
of each trigger, which takes one descriptor per trigger. The runner contains the event loop with all
triggers. `tests/soak/growth_check.py` defines the limits of growth.
"""


def table(samples: Sequence[Sample], before: Sample, after: Sample) -> str:
    """Return what was measured as a Markdown table.

    :param samples: all samples under load.
    :param before: a sample before the load.
    :param after: a sample after its end.
    :returns: the table.
    """
    lines = [
        "| | Before the load | Highest, middle third | Highest, last third | Growth an hour | After it |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name in (*MEMORY_FIELDS, *COUNT_FIELDS):
        middle, last = peaks(samples, name)
        values = (getattr(before, name), middle, last, growth_per_hour(samples, name), getattr(after, name))
        digits = 1 if name in MEMORY_FIELDS else 0
        cells = [f"{value:.{digits}f}" for value in values]
        lines.append(f"| {_FIELD_LABELS[name]} | {' | '.join(cells)} |".replace("| -0 |", "| 0 |"))
    return "\n".join(lines)


def page(summary: str, results_table: str) -> str:
    """Return the page of the documentation.

    :param summary: what there was, in a sentence without its full stop.
    :param results_table: the table.
    :returns: the page.
    """
    well = "each capture and each event happened once, and no task failed"
    return f"{_HEADING}{summary}; {well}.\n\n{results_table}\n\n{_FOOTER}"


def plot(samples: Sequence[Sample]) -> str:
    """Return the samples as an SVG.

    :param samples: all samples under load.
    :returns: the plot.
    """
    chart = pygal.Line(
        style=STYLE,
        js=(),
        title="One triggerer under a steady load",
        x_title="minutes",
        legend_at_bottom=True,
        legend_at_bottom_columns=2,
        width=900,
        height=500,
        show_dots=False,
        margin_right=40,
        show_minor_x_labels=False,
        range=(0, None),
    )
    chart.x_labels = [f"{each.elapsed_seconds / 60:.0f}" for each in samples]
    chart.x_labels_major = chart.x_labels[:: max(1, len(samples) // _MAX_X_LABELS)]
    chart.add("runner's memory, MB", [each.runner_uss_mb for each in samples])
    chart.add("waits", [each.waits for each in samples])
    chart.add("supervisor's memory, MB", [each.supervisor_uss_mb for each in samples])
    chart.add(
        "descriptors of both", [each.runner_fds + each.supervisor_fds for each in samples], secondary=False
    )
    return str(chart.render(is_unicode=True, disable_xml_declaration=True))
