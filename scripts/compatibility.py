"""Write the tables of ``docs/compatibility.md``: the releases, and what each Airflow gives.

``python -m scripts.compatibility``. What is in them comes from the lock files, from ``scripts/matrix.py`` and
from the declarations in ``airflow_provider_codeocean/compat/features.py``.
"""

from __future__ import annotations

import re

from airflow_provider_codeocean.compat.features import Feature
from scripts.matrix import CHECKOUT, all_rows, releases

PAGE = CHECKOUT / "docs" / "compatibility.md"


def airflow_of(release: str) -> str:
    """Return the version of Airflow that a lock file pins.

    :param release: the release, such as ``3.0``.
    :raises LookupError: when it pins none.
    """
    lock = (CHECKOUT / "locks" / f"airflow-{release}.txt").read_text()
    pin = re.search(r"^apache-airflow==(\S+)", lock, re.MULTILINE)
    if pin is None:
        raise LookupError(f"the lock file of Airflow {release} pins no Airflow")
    return pin[1]


def table(heads: list[str], rows: list[list[str]]) -> str:
    """Return a table in Markdown."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def tables() -> dict[str, str]:
    """Return the tables by their names in the page."""
    known = releases()
    tested: dict[str, list[str]] = {}
    for row in all_rows():
        tested.setdefault(row.release, []).append(row.python or "one of those it runs on")
    return {
        "releases": table(
            ["Airflow", "Tested with", "On Python", "Lock file"],
            [
                [
                    each,
                    airflow_of(each),
                    ", ".join(tested[each]),
                    f"`locks/airflow-{each}.txt`",
                ]
                for each in known
            ],
        ),
        "features": table(
            ["", *known],
            [
                [each.title, *("yes" if is_in(each, release) else "-" for release in known)]
                for each in Feature
            ],
        ),
        "differences": table(
            ["", "From", "There", "Before"],
            [[each.title, ".".join(map(str, each.since)), each.there, each.before] for each in Feature],
        ),
    }


def is_in(feature: Feature, release: str) -> bool:
    """Return whether a release has a feature."""
    major, minor = map(int, release.split("."))
    return feature.since <= (major, minor)


def page(text: str) -> str:
    """Return the page with its tables made anew.

    :param text: the page as it is: each table is between ``<!-- NAME -->`` and ``<!-- end -->``.
    """
    for name, made in tables().items():
        before, begin, rest = text.partition(f"<!-- {name} -->")
        _, end, after = rest.partition("<!-- end -->")
        text = f"{before}{begin}\n\n{made}\n\n{end}{after}"
    return text


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text()))
