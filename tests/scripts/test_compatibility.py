"""The page of what each Airflow gives says what is declared."""

from __future__ import annotations

import pytest

from airflow_provider_codeocean.compat.features import Feature
from scripts.compatibility import PAGE, is_in, page, tables


def test_the_page_is_what_the_declarations_make_it():
    text = PAGE.read_text()
    assert page(text) == text, "run python -m scripts.compatibility"
    assert all(table in text for table in tables().values())


def test_a_table_that_is_not_what_it_should_be_is_made_anew():
    text = PAGE.read_text()
    first_row = next(iter(tables()["features"].splitlines()[2:]))
    assert page(text.replace(first_row, "| nonsense |")) == text


@pytest.mark.parametrize(
    ("release", "there"), [("2.11", False), ("3.0", False), ("3.2", False), ("3.3", True)]
)
def test_a_release_has_what_is_there_from_it_or_an_older_one_on(release, there):
    assert is_in(Feature.TASK_STATE, release) is there
