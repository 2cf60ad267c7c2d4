from __future__ import annotations

import itertools

import pytest

from scripts.waiting import ConditionTimeoutError, format_log_tail, read_tail, wait_until


def test_wait_until_returns_the_first_true_value():
    answers = itertools.chain([None, 0, ""], ["yes"])
    assert wait_until(lambda: next(answers), description="yes", timeout=5, interval=0) == "yes"


def test_wait_until_true_condition_needs_no_timeout():
    assert wait_until(lambda: True, description="nothing", timeout=0)


def test_wait_until_timeout_error_names_the_condition():
    with pytest.raises(ConditionTimeoutError, match=r"timed out after 0\.05 s: waited for better times"):
        wait_until(lambda: False, description="better times", timeout=0.05, interval=0.01)


def test_wait_until_condition_error_is_raised():
    def fails() -> bool:
        raise LookupError("gone")

    with pytest.raises(LookupError, match="gone"):
        wait_until(fails, description="it", timeout=60)


def test_read_tail_returns_the_last_lines(tmp_path):
    path = tmp_path / "log"
    path.write_text("".join(f"line {number}\n" for number in range(10_000)))
    assert read_tail(path, 2) == "line 9998\nline 9999"


def test_read_tail_of_binary_or_missing_file_succeeds(tmp_path):
    path = tmp_path / "log"
    path.write_bytes(b"one\n\xff\xfe")
    assert read_tail(path) == "one\n\ufffd\ufffd"
    assert read_tail(tmp_path / "none") == ""


def test_format_log_tail_names_the_path(tmp_path):
    path = tmp_path / "log"
    assert format_log_tail(path) == f"--- end of {path}:\n(empty)"
