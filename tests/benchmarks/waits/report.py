"""The results as a table and as plots."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pygal
from pygal.style import Style

_COLUMNS = (
    "N",
    "Server",
    "Way to wait",
    "CPU s",
    "Peak memory MB",
    "Requests",
    "Connections",
    "429",
    "Failed waits",
    "Noticed late, p50 / p95 / max s",
    "Longest loop block s",
)
STYLE = Style(
    background="white",
    plot_background="white",
    guide_stroke_color="#dddddd",
    major_guide_stroke_color="#dddddd",
    guide_stroke_dasharray="1,0",
    major_guide_stroke_dasharray="1,0",
    colors=("#1b6ac9", "#d9480f", "#868e96", "#5f3dc4"),
)
#: What the plots' axis shows.
_Y_LABELS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500)


@dataclass(frozen=True)
class Result:
    """What came of one run.

    :param name: the contestant.
    :param asset_count: how many data assets.
    :param requests_per_second: requests a second that the server allowed; 0 for all.
    :param uses_tls: over TLS.
    :param figures: what was measured; nothing where it did not end.
    """

    name: str
    asset_count: int
    requests_per_second: int
    uses_tls: bool
    figures: dict[str, Any]

    def __str__(self) -> str:
        return " | ".join(self.cells())

    def cells(self) -> list[str]:
        """Return it as the cells of a row."""
        figures, server = self.figures, self.figures["server"]
        latency = figures.get("latency", [None] * 3)
        way = ", ".join(
            [
                *([f"{self.requests_per_second} requests/s allowed"] if self.requests_per_second else []),
                *(["TLS"] if self.uses_tls else []),
            ]
        )
        return [
            f"{self.asset_count:,}",
            way or "open",
            f"**{self.name}**" if self.name == "this provider" else self.name,
            _number(figures.get("cpu")),
            _number(figures.get("memory"), digits=0),
            f"{server['searches'] + server['readings']:,}",
            f"{server['connections']:,}",
            f"{server['refused']:,}",
            f"{figures['failed']:,}" if "cpu" in figures else "all: killed after 5 minutes",
            " / ".join(map(_number, latency)),
            _number(figures.get("lag"), digits=2),
        ]


def table(results: list[Result]) -> str:
    """Return the results as a Markdown table."""
    rows = [list(_COLUMNS), ["---"] * len(_COLUMNS), *(result.cells() for result in results)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def plots(results: list[Result]) -> dict[str, str]:
    """Return plots as SVG, by name: CPU seconds, and how late an end is noticed, by number of waits."""
    open_ones = [result for result in results if not result.requests_per_second and not result.uses_tls]
    return {
        "waits_cpu": _plot(open_ones, "CPU seconds to wait for N data assets", lambda each: each.get("cpu")),
        "waits_latency": _plot(
            open_ones,
            "How late an end is noticed, seconds (p95)",
            lambda each: each.get("latency", [None] * 3)[1],
        ),
    }


def _plot(results: list[Result], title: str, value: Any) -> str:
    counts = sorted({result.asset_count for result in results})
    chart = pygal.Line(
        style=STYLE,
        js=(),
        title=title,
        x_title="data assets that are waited for",
        logarithmic=True,
        legend_at_bottom=True,
        width=900,
        height=500,
        dots_size=5,
        margin_right=40,
        y_labels=_Y_LABELS,
        formatter=lambda number: "" if number is None else f"{number:.3g}",
    )
    chart.x_labels = [f"{count:,}" for count in counts]
    for name in dict.fromkeys(result.name for result in results):
        by_count = {result.asset_count: value(result.figures) for result in results if result.name == name}
        chart.add(name, [by_count.get(count) for count in counts])
    return str(chart.render(is_unicode=True, disable_xml_declaration=True))


def _number(value: float | None, digits: int = 1) -> str:
    return "-" if value is None else f"{value:,.{digits}f}"
