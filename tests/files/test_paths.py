"""Paths that may be written, and patterns that choose them."""

from __future__ import annotations

import ntpath
import posixpath
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_codeocean.files.paths import (
    GlobFilter,
    explain_unsafe_path,
    find_colliding_paths,
    split_safe_path,
)


@pytest.mark.parametrize("path", ["a", "a/b.csv", ".hidden", "…/ü b#c?%41", "a..b/..c", "ab:c", "x" * 255])
def test_split_safe_path_ordinary_path_is_split(path):
    assert "/".join(split_safe_path(path)) == path


@pytest.mark.parametrize(
    "path",
    [
        *("", "/", "/etc/passwd", "a/", "a//b", ".", "..", "../a", "a/../../b", "a/..", "./a"),
        *("...", ".. ", " ", ". .", "a/.. ./b", "a/ /b", "..  /etc"),
        *("C:\\a", "c:a", "Z:/a", "a\\..\\b", "\\\\host\\share", "a\0b", "a\nb", "a\x7f", "\ud800"),
        *("x" * 256, "ü" * 128, "/".join(["x" * 100] * 41)),
    ],
)
def test_split_safe_path_unsafe_path_is_rejected(path):
    with pytest.raises(ValueError, match="the path"):
        split_safe_path(path)


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("a/\ud800", "is not valid Unicode"),
        ("/etc/passwd", "starts with a slash, so it would lead out of the target folder"),
        ("a//b", "has an empty part"),
        ("raw/", "has an empty part"),
        ("a/../../b", "has a part of nothing but dots and spaces, which could lead out of the target folder"),
        ("...", "has a part of nothing but dots and spaces, which could lead out of the target folder"),
        ("raw\\x.csv", "contains a backslash, which separates folders on Windows"),
        ("Icon\r", "contains a control character"),
        ("a\x9b31m", "contains a control character"),
        ("C:/x", "starts with 'C:', which Windows reads as a drive"),
        ("1:30.csv", "starts with '1:', which Windows reads as a drive"),
        ("x" * 256, "is too long: a name may have 255 bytes, a path 4096"),
        ("/".join(["x" * 100] * 41), "is too long: a name may have 255 bytes, a path 4096"),
    ],
)
def test_explain_unsafe_path_names_the_problem(path, reason):
    assert explain_unsafe_path(path) == reason


@settings(deadline=None)
@given(
    st.lists(st.sampled_from(["..", ".", "", "a", "/", "\\", "C:", "\0", "b.csv"]) | st.text()).map("/".join)
)
def test_split_safe_path_any_path_stays_in_the_target(path):
    try:
        parts = split_safe_path(path)
    except ValueError:
        return
    joined = posixpath.normpath(posixpath.join("/target", *parts))
    assert joined == "/target/" + "/".join(parts)


@settings(deadline=None)
@given(st.lists(st.text("./ aB\\:\0", max_size=5) | st.text(max_size=5), max_size=5).map("/".join))
def test_split_safe_path_any_path_stays_in_the_target_on_windows(path):
    try:
        parts = split_safe_path(path)
    except ValueError:
        return
    assert ntpath.normpath("/".join(part.rstrip(". ") for part in parts)).split("\\") == [
        part.rstrip(". ") for part in parts
    ]
    assert not ntpath.isabs(path)


@pytest.mark.parametrize(
    ("paths", "pairs"),
    [
        (["a", "b/a", "ab"], []),
        (["README", "readme"], [("README", "readme")]),
        (["\u00e9.csv", "e\u0301.csv"], [("\u00e9.csv", "e\u0301.csv")]),
        (["a", "a.", "a /b", "a/b"], [("a", "a."), ("a /b", "a/b")]),
        (["straße", "STRASSE"], [("straße", "STRASSE")]),
    ],
)
def test_find_colliding_paths_returns_pairs(paths, pairs):
    assert find_colliding_paths(paths) == pairs


@pytest.mark.parametrize(
    ("pattern", "chosen"),
    [
        (None, "a.csv b.nwb raw/a.csv raw/x/a.csv"),
        ("*.csv", "a.csv"),
        ("**/*.csv", "a.csv raw/a.csv raw/x/a.csv"),
        ("raw/*", "raw/a.csv"),
        ("raw/**", "raw/a.csv raw/x/a.csv"),
        ("**", "a.csv b.nwb raw/a.csv raw/x/a.csv"),
        ("raw/**/x/**/a.csv", "raw/x/a.csv"),
        ("?.[cn]*", "a.csv b.nwb"),
        ("[!a].*", "b.nwb"),
        ("*.CSV", ""),
        (["*.nwb", "raw/a.csv"], "b.nwb raw/a.csv"),
        (("*/*/*",), "raw/x/a.csv"),
    ],
)
def test_glob_filter_selects_matching_paths(pattern, chosen):
    selected = GlobFilter(pattern)
    paths = ["a.csv", "b.nwb", "raw/a.csv", "raw/x/a.csv"]
    assert [path for path in paths if selected(path)] == chosen.split()


def test_glob_filter_with_exclude_rejects_excluded_paths():
    selected = GlobFilter(["**/*.csv", "b*"], exclude=["raw/**", "?.nwb"])
    assert [path for path in ("a.csv", "b.nwb", "bc.nwb", "raw/a.csv", "x/raw/a.csv") if selected(path)] == [
        "a.csv",
        "bc.nwb",
        "x/raw/a.csv",
    ]
    assert not GlobFilter(None, "**")("a")


def test_glob_filter_with_many_stars_is_fast():
    assert not GlobFilter("/".join(["**", "*a*"] * 20))("/".join("a" * 40) + "/b")


PARTS = st.lists(st.sampled_from(["a", "b", "ab"]), min_size=1, max_size=6)


@settings(deadline=None)
@given(st.lists(st.sampled_from(["**", "*", "a", "b*"]), min_size=1, max_size=5), PARTS)
def test_glob_filter_any_pattern_equals_a_regular_expression(pattern, parts):
    meaning = ["(?:[^/]+/)*" if part == "**" else part.replace("*", "[^/]*") + "/" for part in pattern]
    expected = re.fullmatch("".join(meaning), "/".join(parts) + "/") is not None
    assert GlobFilter("/".join(pattern))("/".join(parts)) == expected


@pytest.mark.parametrize(
    "pattern", ["", "/a", "a//b", "../*", "a/./b", [], [""], [7], 7, {"a": 1}, ["*.csv", None]]
)
def test_glob_filter_invalid_pattern_is_rejected(pattern):
    with pytest.raises(ValueError, match="pattern must be a glob"):
        GlobFilter(pattern)
    with pytest.raises(ValueError, match="exclude must be a glob"):
        GlobFilter(None, pattern)
