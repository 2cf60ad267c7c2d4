from __future__ import annotations

import pytest

from airflow_provider_codeocean.emulator.domain.files import FileEntry, join_path, normalize_path
from airflow_provider_codeocean.emulator.state.store import Store


@pytest.fixture
def files():
    store = Store(None, lambda: 0.0)
    for path in ("top.txt", "a/one", "a/b/two", "ab/three", "a0", "a.txt"):
        store.files.put("here", path, path.encode())
    yield store.files
    store.close()


def test_normalize_path_strips_outer_slashes():
    assert normalize_path(None) == normalize_path("/") == ""
    assert normalize_path("/a/b/") == "a/b"
    assert join_path("", "a", "", "b") == "a/b"


def test_list_files_returns_only_files_below_the_folder(files):
    assert files.list_files("here", "a") == [FileEntry("b/two", "a/b/two", 7), FileEntry("one", "a/one", 5)]
    assert files.list_files("here", "a/b/two") == [FileEntry("two", "a/b/two", 7)]
    assert len(files.list_files("here", "")) == 6
    assert files.list_files("here", "none") == files.list_files("nowhere", "") == []


def test_list_folder_returns_folders_first(files):
    assert files.list_folder("here", "", "a") == [
        {"name": "b", "path": "a/b", "type": "folder"},
        {"name": "one", "path": "a/one", "type": "file", "size": 5},
    ]
    assert files.list_folder("here", "a", "b") == [
        {"name": "two", "path": "b/two", "type": "file", "size": 7}
    ]
    assert [item["name"] for item in files.list_folder("here", "", "")] == [
        "a",
        "ab",
        "a.txt",
        "a0",
        "top.txt",
    ]


def test_list_folder_of_other_path_returns_none(files):
    assert files.list_folder("here", "", "none") is None
    assert files.list_folder("here", "", "top.txt") is None
    assert files.list_folder("nowhere", "", "") == []


def test_copy_copies_folders_and_single_files(files):
    files.copy("here", "a", "there", "copied")
    files.copy("here", "top.txt", "there", "")
    assert [entry.path for entry in files.list_files("there", "")] == [
        "copied/b/two",
        "copied/one",
        "top.txt",
    ]
    assert files.read("there", "copied/b/two") == b"a/b/two"


def test_delete_location_deletes_all_its_files(files):
    files.put("there", "kept", b"")
    files.delete_location("here")
    assert files.list_files("here", "") == []
    assert files.read("there", "kept") == b""
    assert files.read("here", "top.txt") is None
