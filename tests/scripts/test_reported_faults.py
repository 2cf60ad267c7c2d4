from __future__ import annotations

import re

from scripts.reported_faults import REPORTED, marked_rows, table


def test_marks_name_every_reported_row():
    assert marked_rows() == REPORTED.keys()


def test_table_has_one_line_for_each_row():
    rows = re.findall(r"^\| (\w+) \|", table(), re.MULTILINE)
    assert rows == ["Row", *REPORTED]
