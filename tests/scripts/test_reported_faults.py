from __future__ import annotations

import re

from scripts.reported_faults import REPORTED, marked_rows, table


def test_marks_name_reported_rows_only():
    marked = marked_rows()
    assert {"A15", "D10", "N8"} <= marked
    assert marked <= REPORTED.keys()


def test_table_has_one_line_for_each_row():
    rows = re.findall(r"^\| (\w+) \|", table(), re.MULTILINE)
    assert rows == ["Row", *REPORTED]
