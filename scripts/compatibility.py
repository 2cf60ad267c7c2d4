"""Write the tables of ``docs/compatibility.md``: the tested releases, and the features of each.

``python -m scripts.compatibility``. The data comes from the lock files, ``scripts/matrix.py``, and the
declarations in ``airflow_provider_codeocean/compat/features.py``.
"""

from __future__ import annotations

from airflow_provider_codeocean.compat.features import Feature
from scripts.matrix import (
    CHECKOUT,
    LOWEST,
    PYTHONS,
    all_rows,
    is_pre_release,
    pinned_version,
    supported_releases,
)

PAGE_PATH = CHECKOUT / "docs" / "compatibility.md"


def render_table(header: list[str], rows: list[list[str]]) -> str:
    """Return a table in Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def build_tables() -> dict[str, str]:
    """Return the tables by their names in the page."""
    known = supported_releases()
    tested: dict[str, list[str]] = {}
    for row in all_rows():
        # CI runs the other rows on the oldest Python.
        tested.setdefault(row.release, []).append(row.python or PYTHONS[0])
    return {
        "releases": render_table(
            ["Airflow", "Tested release", "Tested on Python", "HTTP library", "Lock file"],
            [
                [
                    _row_title(each),
                    str(pinned_version(each, "apache-airflow")),
                    ", ".join(pythons),
                    "httpx2" if pinned_version(each, "httpx2") else "httpx",
                    f"`locks/airflow-{each}.txt`",
                ]
                for each, pythons in tested.items()
            ],
        ),
        "features": render_table(
            ["Feature", *known],
            [
                [each.title, *("yes" if has_feature(each, release) else "-" for release in known)]
                for each in Feature
            ],
        ),
        "differences": render_table(
            ["Feature", "Since", "With it", "Without it"],
            [[each.title, ".".join(map(str, each.since)), each.behavior, each.fallback] for each in Feature],
        ),
    }


def _row_title(release: str) -> str:
    if release == LOWEST:
        return f"{release.partition('-')[0]}, lowest versions"
    return f"{release} (pre-release)" if is_pre_release(release) else release


def has_feature(feature: Feature, release: str) -> bool:
    """Return whether a release has a feature."""
    major, minor = map(int, release.split("."))
    return feature.since <= (major, minor)


def render_page(text: str) -> str:
    """Return the page with current tables.

    :param text: the page: each table is between ``<!-- NAME -->`` and ``<!-- end -->``.
    """
    for name, made in build_tables().items():
        before, begin, rest = text.partition(f"<!-- {name} -->")
        _, end, after = rest.partition("<!-- end -->")
        text = f"{before}{begin}\n\n{made}\n\n{end}{after}"
    return text


if __name__ == "__main__":
    PAGE_PATH.write_text(render_page(PAGE_PATH.read_text()))
