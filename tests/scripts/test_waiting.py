from __future__ import annotations

import itertools

import pytest

from scripts.waiting import WaitExpiredError, ending, tail, wait_until


def test_the_answer_is_returned_once_it_is_true():
    answers = itertools.chain([None, 0, ""], ["yes"])
    assert wait_until(lambda: next(answers), awaited="yes", timeout=5, every=0) == "yes"


def test_a_condition_that_is_true_at_once_needs_no_time():
    assert wait_until(lambda: True, awaited="nothing", timeout=0)


def test_the_error_says_what_was_awaited():
    with pytest.raises(WaitExpiredError, match=r"waited 0\.05 s in vain for better times"):
        wait_until(lambda: False, awaited="better times", timeout=0.05, every=0.01)


def test_an_error_of_the_condition_ends_the_wait():
    def fails() -> bool:
        raise LookupError("gone")

    with pytest.raises(LookupError, match="gone"):
        wait_until(fails, awaited="it", timeout=60)


def test_tail_returns_the_last_lines(tmp_path):
    path = tmp_path / "log"
    path.write_text("".join(f"line {number}\n" for number in range(10_000)))
    assert tail(path, 2) == "line 9998\nline 9999"


def test_tail_of_a_short_a_binary_and_a_missing_file(tmp_path):
    path = tmp_path / "log"
    path.write_bytes(b"one\n\xff\xfe")
    assert tail(path) == "one\n\ufffd\ufffd"
    assert tail(tmp_path / "none") == ""


def test_ending_says_where_the_log_is(tmp_path):
    path = tmp_path / "log"
    assert ending(path) == f"--- the end of {path}:\n(empty)"
