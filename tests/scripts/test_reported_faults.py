from __future__ import annotations

import re

from scripts.reported_faults import REPORTED_FAULTS, find_marked_rows, render_table


def test_marks_name_every_reported_row():
    assert find_marked_rows() == REPORTED_FAULTS.keys()


def test_table_has_one_line_for_each_row():
    rows = re.findall(r"^\| (\w+) \|", render_table(), re.MULTILINE)
    assert rows == ["Row", *REPORTED_FAULTS]
