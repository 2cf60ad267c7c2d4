"""Files that are in the target already: from the same source, from another one, from nobody knows where."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from airflow_provider_codeocean.api._http.library import httpx
from airflow_provider_codeocean.api.errors import DownloadFailed
from airflow_provider_codeocean.files.source import ListedFile
from tests.files.conftest import read_tree
from tests.files.fake_host import FakeHost, ResponseBody, html_page, serve_file
from tests.files.killed_download import BYTES_PER_MIB, CONTENT, open_target
from tests.files.test_verified import ETAG, Place

OLD, NEW = b"old", b"new"


@pytest.fixture(params=["local", "store"])
def place(request, tmp_path):
    return Place(request.param, tmp_path)


@pytest.mark.fault("A3")
@pytest.mark.parametrize("other", [{"computation_id": "d"}, {"url": "https://other.test"}])
def test_download_file_of_another_source_is_replaced(place, other):
    FakeHost(serve_file(OLD, **ETAG)).download(place.target, 3)
    second = FakeHost(serve_file(NEW, **ETAG), **other)
    assert second.download(place.target, 3).downloaded == 1
    assert place.files == {"f": NEW}
    first = FakeHost(serve_file(OLD, **ETAG))
    assert first.download(place.target, 3).downloaded == 1  # its record is there, its file is not
    assert place.files == {"f": OLD}


@pytest.mark.fault("A3")
def test_download_file_of_another_folder_is_replaced(place):
    FakeHost(serve_file(OLD, **ETAG)).download(place.target, files=[ListedFile("a/f", "f", 3)])
    FakeHost(serve_file(NEW, **ETAG)).download(place.target, files=[ListedFile("b/f", "f", 3)])
    assert place.files == {"f": NEW}


@pytest.mark.fault("A3")
@pytest.mark.parametrize("before", [False, True], ids=["foreign", "changed since"])
def test_download_file_of_unknown_origin_is_replaced(place, before):
    if before:
        FakeHost(serve_file(NEW, **ETAG)).download(place.target, 3)
    place.put("f", OLD)
    assert FakeHost(serve_file(NEW, **ETAG)).download(place.target, 3).downloaded == 1
    assert place.files == {"f": NEW}


@pytest.mark.parametrize("overwrite", [True, False])
def test_download_same_source_is_not_fetched_again(place, overwrite):
    FakeHost(serve_file(OLD, **ETAG)).download(place.target, 3, overwrite=overwrite)
    again = FakeHost(serve_file(NEW, **ETAG))
    done = again.download(place.target, 3, overwrite=overwrite)
    assert (done.files, done.bytes, done.downloaded) == (1, 3, 0)
    assert again.requests == []


FILES = [ListedFile(name, name, 3) for name in ("a", "b", "c")]


def test_download_retry_after_failure_fetches_missing_files_only(place):
    with pytest.raises(DownloadFailed):
        FakeHost(serve_file(OLD, **ETAG), html_page, retry_budget=0).download(place.target, files=FILES)
    again = FakeHost(serve_file(OLD, **ETAG))
    assert again.download(place.target, files=FILES).downloaded == 2
    assert place.files == dict.fromkeys("abc", OLD)


def test_download_without_overwrite_foreign_files_fail_before_any_request(place):
    for name in "ab":
        place.put(name, OLD)
    host = FakeHost(serve_file(NEW, **ETAG))
    with pytest.raises(
        DownloadFailed, match="already has 'a', 'b', not known to come from computation c of"
    ) as error:
        host.download(place.target, files=FILES, overwrite=False)
    assert not error.value.is_transient
    assert host.requests == []
    assert place.files == dict.fromkeys("ab", OLD)


@pytest.mark.parametrize("there", [[], ["f7", "f150"]])
def test_download_without_overwrite_many_files_are_checked_by_one_listing(there):
    place = Place("store", None)
    for name in there:
        place.put(name, OLD)
    many = [ListedFile(f"f{number}", f"f{number}", 3) for number in range(200)]
    host = FakeHost(serve_file(NEW, **ETAG))
    if not there:
        assert host.download(place.target, files=many, overwrite=False).downloaded == 200
        return
    with pytest.raises(DownloadFailed, match="already has 'f7', 'f150', not known"):
        host.download(place.target, files=many, overwrite=False)


def test_download_without_overwrite_file_of_new_size_is_replaced(place):
    FakeHost(serve_file(OLD, **ETAG)).download(place.target, 3, overwrite=False)
    grown = FakeHost(serve_file(OLD + NEW, **ETAG))
    assert grown.download(place.target, 6, overwrite=False).downloaded == 1
    assert place.files == {"f": OLD + NEW}


def test_download_without_overwrite_file_changed_since_fails(place):
    FakeHost(serve_file(NEW, **ETAG)).download(place.target, 3, overwrite=False)
    place.put("f", OLD)
    with pytest.raises(DownloadFailed, match="already has 'f'"):
        FakeHost(serve_file(NEW, **ETAG)).download(place.target, 3, overwrite=False)
    assert place.files == {"f": OLD}


def break_after_mib(request):
    body = ResponseBody(b"n" * BYTES_PER_MIB, breaks=True)
    return httpx.Response(200, headers={"Content-Length": str(2 * BYTES_PER_MIB), **ETAG}, stream=body)


@pytest.mark.fault("A3")
@pytest.mark.parametrize("failure", [html_page, break_after_mib])
def test_download_without_overwrite_foreign_file_after_failure_fails(place, failure):
    with pytest.raises(DownloadFailed):
        FakeHost(failure, retry_budget=0).download(place.target, 2 * BYTES_PER_MIB, overwrite=False)
    place.put("f", OLD)
    with pytest.raises(DownloadFailed, match="already has 'f', not known") as error:
        FakeHost(serve_file(b"n" * 2 * BYTES_PER_MIB, **ETAG)).download(
            place.target, 2 * BYTES_PER_MIB, overwrite=False
        )
    assert not error.value.is_transient
    assert place.files == {"f": OLD}


@pytest.mark.fault("A3")
def test_download_without_overwrite_other_source_after_failure_fails(place):
    with pytest.raises(DownloadFailed):
        FakeHost(html_page, retry_budget=0).download(place.target, 3, overwrite=False)
    FakeHost(serve_file(OLD, **ETAG), computation_id="d").download(place.target, 3, overwrite=False)
    with pytest.raises(DownloadFailed, match="already has 'f', not known"):
        FakeHost(serve_file(NEW, **ETAG)).download(place.target, 3, overwrite=False)
    assert place.files == {"f": OLD}


@pytest.mark.fault("A3")
def test_download_without_overwrite_foreign_file_during_transfer_fails(tmp_path):
    place = Place("local", tmp_path)

    def answer(request):
        place.put("f", OLD)
        return serve_file(NEW, **ETAG)(request)

    with pytest.raises(DownloadFailed, match="already has 'f', not known") as error:
        FakeHost(answer).download(place.target, 3, overwrite=False)
    assert not error.value.is_transient
    assert place.files == {"f": OLD}


def kill_download(kind, moment, folder):
    command = [sys.executable, "-m", "tests.files.killed_download", kind, moment, str(folder)]
    assert subprocess.run(command, cwd=Path(__file__).parents[2], timeout=60, check=False).returncode == 9


@pytest.mark.parametrize(
    ("kind", "moment"),
    [
        ("local", "transfer"),
        ("local", "rename"),
        ("local", "renamed"),
        ("store", "request"),
        ("store", "transfer"),
        ("store", "uploaded"),
    ],
)
def test_download_without_overwrite_retry_after_kill_succeeds(tmp_path, kind, moment):
    kill_download(kind, moment, tmp_path)
    for fetched in (moment != "renamed", 0):
        host = FakeHost(serve_file(CONTENT, **ETAG))
        done = host.download(open_target(kind, tmp_path), len(CONTENT), overwrite=False)
        assert done.downloaded == fetched
        assert read_tree(tmp_path) == {"f": CONTENT}


@pytest.mark.fault("A3")
@pytest.mark.parametrize(
    ("kind", "moment"), [("local", "transfer"), ("local", "rename"), ("store", "request")]
)
def test_download_without_overwrite_foreign_file_after_kill_fails(tmp_path, kind, moment):
    kill_download(kind, moment, tmp_path)
    (tmp_path / "f").write_bytes(OLD)
    with pytest.raises(DownloadFailed, match="already has 'f', not known"):
        FakeHost(serve_file(CONTENT, **ETAG)).download(
            open_target(kind, tmp_path), len(CONTENT), overwrite=False
        )
    assert (tmp_path / "f").read_bytes() == OLD


@pytest.mark.parametrize("has_ended", [True, False])
def test_open_without_overwrite_file_of_running_attempt_is_accepted(place, has_ended):
    """An attempt whose supervisor was killed can still run beside the next one."""
    earlier, later = place.target, place.target
    for target in (earlier, later):
        target.prepare("computation c", FILES, overwrite=False)
    with earlier.open(FILES[0], threading.Event(), 60) as writer:
        writer.write(OLD)
        writer.finish()
    if has_ended:
        earlier.close()
    with later.open(FILES[0], threading.Event(), 60) as writer:
        assert (writer is None) == (has_ended or place.kind == "local")


def test_download_without_overwrite_unwritable_claim_succeeds(monkeypatch):
    place = Place("store", None)
    pipe_file = place.filesystem.pipe_file

    def refuse_claims(path, content):
        if path.endswith(".claim"):
            raise PermissionError("only tables may be put here")
        pipe_file(path, content)

    monkeypatch.setattr(place.filesystem, "pipe_file", refuse_claims)
    assert FakeHost(serve_file(NEW, **ETAG)).download(place.target, 3, overwrite=False).downloaded == 1
    assert place.files == {"f": NEW}


def test_download_truncated_record_is_read_up_to_the_damage(tmp_path):
    place = Place("local", tmp_path)
    FakeHost(serve_file(OLD, **ETAG)).download(place.target, files=FILES)
    (record,) = tmp_path.glob(".codeocean-*.jsonl")
    record.write_bytes(record.read_bytes()[:-9] + b'\n[]\n{}\n"x"\n[[], 1]')
    again = FakeHost(serve_file(OLD, **ETAG))
    assert again.download(place.target, files=FILES).downloaded == 1
    assert FakeHost(serve_file(OLD, **ETAG)).download(place.target, files=FILES).downloaded == 0


def test_download_fifo_in_place_of_the_record_fails(tmp_path):
    place = Place("local", tmp_path)
    target = place.target
    target._source_identity = "computation c of https://co.test"
    os.mkfifo(tmp_path / target._record_name)
    with pytest.raises(DownloadFailed, match="No such device or address"):
        FakeHost(serve_file(OLD, **ETAG), retry_budget=0).download(place.target, 3)
