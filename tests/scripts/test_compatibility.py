"""The page of what each Airflow gives says what is declared."""

from __future__ import annotations

import pytest

from airflow_provider_codeocean.compat.features import Feature
from scripts.compatibility import PAGE_PATH, build_tables, has_feature, render_page


def test_compatibility_page_is_up_to_date():
    text = PAGE_PATH.read_text()
    assert render_page(text) == text, "run python -m scripts.compatibility"
    assert all(table in text for table in build_tables().values())


def test_render_page_replaces_an_outdated_table():
    text = PAGE_PATH.read_text()
    first_row = next(iter(build_tables()["features"].splitlines()[2:]))
    assert render_page(text.replace(first_row, "| nonsense |")) == text


@pytest.mark.parametrize(
    ("release", "there"), [("2.11", False), ("3.0", False), ("3.2", False), ("3.3", True)]
)
def test_has_feature_compares_releases(release, there):
    assert has_feature(Feature.TASK_STATE_STORE, release) is there
