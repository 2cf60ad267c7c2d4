"""What came of a soak, as a page and as a plot."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pygal

from tests.benchmarks.waits.report import STYLE
from tests.soak.flat import COUNTS, MEMORY, growth, highest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.soak.samples import Sample

_NAMES = {
    "runner_uss": "Runner's memory, MB",
    "supervisor_uss": "Supervisor's memory, MB",
    "runner_fds": "Runner's descriptors",
    "runner_threads": "Runner's threads",
    "supervisor_fds": "Supervisor's descriptors",
    "supervisor_threads": "Supervisor's threads",
}
_LABELS = 12
_HEADING = """# Benchmark: a triggerer that is busy for long

`make soak` keeps one triggerer of a real Airflow 3.3.2 busy, and fails where it grows, or where anything is
lost, made twice, or told twice. Twenty waits begin every ten seconds, while no more than 300 stand, and stand
for one to four minutes, in the triggerer alone (`start_from_trigger`); a capture begins every ten seconds and
waits deferred; two asset watchers tell of all that finishes and all that is captured. Of all requests 3 of a
hundred go wrong: 429, 503, and connections closed before and after the work. `tests/soak/flat.py` says what
counts as flat. This was measured by `python -m tests.soak --docs`, on a machine of two cores that others used
as well:

![One triggerer under a steady load](soak.svg)

"""
_FOOTER = """Memory is what a process shares with no other. The supervisor talks to Airflow and writes the log
of each trigger, for which it keeps a descriptor; in the runner is the event loop, with all triggers in it.
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
    for name in (*MEMORY, *COUNTS):
        middle, last = highest(samples, name)
        values = (getattr(before, name), middle, last, growth(samples, name), getattr(after, name))
        digits = 1 if name in MEMORY else 0
        cells = [f"{value:.{digits}f}" for value in values]
        lines.append(f"| {_NAMES[name]} | {' | '.join(cells)} |".replace("| -0 |", "| 0 |"))
    return "\n".join(lines)


def page(summary: str, figures: str) -> str:
    """Return the page of the documentation.

    :param summary: what there was, in a sentence without its full stop.
    :param figures: the table.
    :returns: the page.
    """
    well = "all captures were made once, no task failed, all was told once"
    return f"{_HEADING}{summary}; {well}.\n\n{figures}\n\n{_FOOTER}"


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
    chart.x_labels = [f"{each.seconds / 60:.0f}" for each in samples]
    chart.x_labels_major = chart.x_labels[:: max(1, len(samples) // _LABELS)]
    chart.add("runner's memory, MB", [each.runner_uss for each in samples])
    chart.add("waits", [each.waits for each in samples])
    chart.add("supervisor's memory, MB", [each.supervisor_uss for each in samples])
    chart.add(
        "descriptors of both", [each.runner_fds + each.supervisor_fds for each in samples], secondary=False
    )
    return str(chart.render(is_unicode=True, disable_xml_declaration=True))
