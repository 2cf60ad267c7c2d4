from __future__ import annotations

import pytest

from airflow_provider_codeocean.emulator.domain.files import FileEntry, clean_path, join_path
from airflow_provider_codeocean.emulator.state.store import Store


@pytest.fixture
def files():
    store = Store(None, lambda: 0.0)
    for path in ("top.txt", "a/one", "a/b/two", "ab/three", "a0", "a.txt"):
        store.files.put("here", path, path.encode())
    yield store.files
    store.close()


def test_paths_are_brought_into_one_form():
    assert clean_path(None) == clean_path("/") == ""
    assert clean_path("/a/b/") == "a/b"
    assert join_path("", "a", "", "b") == "a/b"


def test_a_tree_holds_what_is_below_a_folder_and_nothing_beside_it(files):
    assert files.tree("here", "a") == [FileEntry("b/two", "a/b/two", 7), FileEntry("one", "a/one", 5)]
    assert files.tree("here", "a/b/two") == [FileEntry("two", "a/b/two", 7)]
    assert len(files.tree("here", "")) == 6
    assert files.tree("here", "none") == files.tree("nowhere", "") == []


def test_a_folder_is_listed_with_folders_first(files):
    assert files.folder("here", "", "a") == [
        {"name": "b", "path": "a/b", "type": "folder"},
        {"name": "one", "path": "a/one", "type": "file", "size": 5},
    ]
    assert files.folder("here", "a", "b") == [{"name": "two", "path": "b/two", "type": "file", "size": 7}]
    assert [item["name"] for item in files.folder("here", "", "")] == ["a", "ab", "a.txt", "a0", "top.txt"]


def test_what_is_no_folder_is_not_listed(files):
    assert files.folder("here", "", "none") is None
    assert files.folder("here", "", "top.txt") is None
    assert files.folder("nowhere", "", "") == []


def test_folders_and_single_files_are_copied(files):
    files.copy("here", "a", "there", "copied")
    files.copy("here", "top.txt", "there", "")
    assert [entry.path for entry in files.tree("there", "")] == ["copied/b/two", "copied/one", "top.txt"]
    assert files.read("there", "copied/b/two") == b"a/b/two"


def test_a_location_is_deleted_as_a_whole(files):
    files.put("there", "kept", b"")
    files.delete("here")
    assert files.tree("here", "") == []
    assert files.read("there", "kept") == b""
    assert files.read("here", "top.txt") is None
