"""An object store: fsspec's in memory, and ones that behave as S3 does, or worse."""

from __future__ import annotations

import threading
import uuid
from types import SimpleNamespace

import fsspec
import pytest
from airflow.providers.common.compat.sdk import ObjectStoragePath
from fsspec.implementations.memory import MemoryFile, MemoryFileSystem
from fsspec.spec import AbstractBufferedFile

from airflow_provider_codeocean.api.errors import DownloadFailed
from airflow_provider_codeocean.emulator import FaultRule
from airflow_provider_codeocean.files import object_store
from airflow_provider_codeocean.files.object_store import ObjectStoreTarget
from airflow_provider_codeocean.files.source import ListedFile
from airflow_provider_codeocean.hooks._files import open_target

MIB = 1024 * 1024


def write(target, file, *chunks, finish=True):
    with target.open(file, threading.Event(), 60) as writer:
        if writer is None:
            return None
        for chunk in chunks:
            writer.write(chunk)
        if finish:
            writer.finish()
        return writer.position


class MultipartFile(AbstractBufferedFile):
    """A file that appears when it is closed, from blocks, as on S3."""

    def _initiate_upload(self):
        self.fs.log.append("initiate")
        self.blocks = []

    def _upload_chunk(self, final=False):
        self.buffer.seek(0)
        self.blocks.append(self.buffer.read())
        self.fs.sizes.append(len(self.blocks[-1]))
        if final:
            self.fs.put_whole(self.path, b"".join(self.blocks))
            self.fs.log.append("complete")
        return True

    def discard(self):
        self.fs.log.append("abort")


class Multipart(MemoryFileSystem):
    cachable = False

    def __init__(self, **options):
        super().__init__(**options)
        self.store, self.pseudo_dirs, self.log, self.sizes = {}, [""], [], []

    def put_whole(self, path, body):
        self.store[path] = MemoryFile(self, path, body)

    def pipe_file(self, path, value, **options):
        self.put_whole(path, value)

    def _open(self, path, mode="rb", block_size=None, **options):
        if mode == "wb":
            return MultipartFile(self, path, mode, block_size=block_size)
        return super()._open(path, mode, block_size, **options)


@pytest.fixture
def multipart():
    return Multipart()


def target(filesystem, source="computation c"):
    begun = ObjectStoreTarget("store://bucket/prefix", filesystem, "/bucket/prefix")
    begun.prepare(source, [], overwrite=True)
    return begun


def test_finish_complete_upload_makes_the_file_visible(multipart):
    file = ListedFile("a/f", "a/f", 20 * MIB)
    first = target(multipart)
    with first.open(file, threading.Event(), 60) as writer:
        for _ in range(20):
            writer.write(b"x" * MIB)
        assert multipart.find("/") == []
        writer.finish()
    first.close()
    assert multipart.size("/bucket/prefix/a/f") == 20 * MIB
    assert multipart.sizes == [8 * MIB, 8 * MIB, 4 * MIB]  # the memory that an upload takes
    assert write(target(multipart), file) is None


def test_close_unfinished_upload_aborts_it(multipart):
    file = ListedFile("f", "f", 20 * MIB)
    assert write(target(multipart), file, *[b"x" * MIB] * 10, finish=False) == 10 * MIB
    assert multipart.log == ["initiate", "abort"]
    assert multipart.find("/") == []


def test_close_unfinished_upload_keeps_the_old_file(multipart):
    multipart.put_whole("/bucket/prefix/f", b"old")
    write(target(multipart), ListedFile("f", "f", 10), b"01234", finish=False)
    assert multipart.cat_file("/bucket/prefix/f") == b"old"
    assert write(target(multipart), ListedFile("f", "f", 10), b"0123456789") == 10
    assert multipart.cat_file("/bucket/prefix/f") == b"0123456789"


def test_close_unfinished_upload_keeps_file_of_another_attempt(multipart):
    file = ListedFile("f", "f", 10)
    with target(multipart).open(file, threading.Event(), 60) as writer:
        writer.write(b"01234")
        assert write(target(multipart), file, b"0123456789") == 10
    assert multipart.cat_file("/bucket/prefix/f") == b"0123456789"


def test_write_large_file_uses_larger_parts(multipart):
    file = ListedFile("f", "f", 9_000 * 16 * MIB)
    with target(multipart).open(file, threading.Event(), 60) as writer:
        writer.write(b"x" * 15 * MIB)
        assert multipart.sizes == []
        writer.write(b"x" * MIB)
        assert multipart.sizes == [16 * MIB]


class ShowsAtOnce(MemoryFileSystem):
    """A system on which a file shows while it is written, and which has folders."""

    cachable = False

    def __init__(self, **options):
        super().__init__(**options)
        self.store, self.pseudo_dirs = {}, ["", "/bucket"]


def test_close_unfinished_file_that_is_visible_removes_it():
    filesystem = ShowsAtOnce()
    write(target(filesystem), ListedFile("f", "f", 10), b"01234", finish=False)
    assert filesystem.find("/") == []


def test_finish_file_of_wrong_size_removes_it():
    filesystem = ShowsAtOnce()
    with pytest.raises(DownloadFailed, match="'f' has 5 bytes in store://bucket/prefix, expected 10"):
        write(target(filesystem), ListedFile("f", "f", 10), b"01234")
    assert filesystem.find("/") == []


def test_open_missing_folder_is_created(monkeypatch):
    filesystem = ShowsAtOnce()
    opened = []

    def open_(path, mode="rb", **options):
        opened.append(path)
        if not filesystem.isdir(filesystem._parent(path)):
            raise FileNotFoundError(path)
        return MemoryFileSystem.open(filesystem, path, mode, **options)

    monkeypatch.setattr(filesystem, "open", open_)
    assert write(target(filesystem), ListedFile("a/b/f", "a/b/f", 1), b"x") == 1
    assert opened == ["/bucket/prefix/a/b/f"] * 2


def test_open_file_of_unknown_size_is_written_again(multipart):
    unknown = ListedFile("f", "f", None)
    assert write(target(multipart), unknown, b"012") == 3
    assert write(target(multipart), unknown, b"01") == 2
    assert multipart.cat_file("/bucket/prefix/f") == b"01"


@pytest.fixture
def memory():
    """``memory://`` as Airflow has object stores; and a place in it that nobody else uses."""
    try:
        from airflow.sdk.io import attach
    except ImportError:
        from airflow.io.store import attach
    filesystem = fsspec.filesystem("memory")
    attach("memory", fs=filesystem)
    place = f"memory://bucket-{uuid.uuid4().hex}/prefix"
    yield place
    if filesystem.exists(place):
        filesystem.rm(place, recursive=True)


def content(place):
    filesystem = fsspec.filesystem("memory")
    root = filesystem._strip_protocol(place)
    names = [path.removeprefix(f"{root}/") for path in filesystem.find(root)]
    return {name: filesystem.cat_file(f"{root}/{name}") for name in names if not name.startswith(".")}


@pytest.mark.parametrize("kind", [str, ObjectStoragePath])
def test_download_to_object_store_skips_complete_files(results, memory, kind):
    files = {"a/1": b"1" * 3 * MIB, "b #?%41": b"2", "empty": b""}
    for path, body in files.items():
        results.put(path, body)
    results.server.faults.add(FaultRule(path="/storage/*/a/1", kind="half_body"))
    done = results.download(kind(memory))
    assert (done.target, done.files, done.downloaded) == (str(kind(memory)), 3, 3)
    assert content(memory) == files
    assert results.server.emulator.traffic.statuses["206"] == 1
    before = results.count_downloads()
    assert results.download(memory).downloaded == 0
    assert results.count_downloads() == before


def test_download_to_object_store_that_fails_leaves_no_file(results, short_retries, memory):
    results.put("whole", b"x")
    results.put("f", b"0123456789")
    results.server.faults.add(FaultRule(path="/storage/*/f", kind="half_body", times=1))
    results.server.faults.add(FaultRule(path="/storage/*/f", kind="status", status=404, times=None))
    with pytest.raises(DownloadFailed, match="404"):
        results.download(memory, max_parallel=1)
    assert "f" not in content(memory)


def test_open_target_uses_the_airflow_connection(monkeypatch):
    seen = {}

    class Path:
        fs, path = object(), "bucket/x"

        def __init__(self, address, conn_id):
            seen.update(address=address, conn_id=conn_id)

    monkeypatch.setattr("airflow.providers.common.compat.sdk.ObjectStoragePath", Path, raising=False)
    assert str(open_target("s3://bucket/x", "aws_lab")) == "s3://bucket/x"
    assert seen == {"address": "s3://bucket/x", "conn_id": "aws_lab"}


def test_close_with_unwritable_record_warns(multipart, monkeypatch, caplog):
    """The files are there. A retry that does not know so downloads them again."""
    first = target(multipart)
    write(first, ListedFile("f", "f", 1), b"x")

    def refuse(path, content):
        raise PermissionError("only tables may be put here")

    monkeypatch.setattr(multipart, "pipe_file", refuse)
    first.close()
    assert "only tables may be put here" in caplog.text
    assert write(target(multipart), ListedFile("f", "f", 1), b"x") == 1


def write_slowly(multipart, monkeypatch):
    """Write three files with pauses, after which the record is saved, and return the target."""
    clock = SimpleNamespace(now=0.0, monotonic=lambda: clock.now)
    monkeypatch.setattr(object_store, "time", clock)
    first = target(multipart)
    for number in range(3):
        clock.now = 6.0 * number
        write(first, ListedFile(f"{number}", f"{number}", 1), b"x")
    return first


def test_open_record_is_saved_while_a_download_runs(multipart, monkeypatch):
    write_slowly(multipart, monkeypatch)
    killed = target(multipart)
    assert [write(killed, ListedFile(f"{number}", f"{number}", 1), b"x") for number in range(3)] == [None] * 3
    other = target(multipart, "computation d")
    assert write(other, ListedFile("0", "0", 1), b"x") == 1


def test_close_after_earlier_save_writes_each_line_of_the_record_once(multipart, monkeypatch):
    first = write_slowly(multipart, monkeypatch)
    first.close()
    (record,) = [content.getvalue() for path, content in multipart.store.items() if path.endswith(".jsonl")]
    assert len(record.split(b"\n")) == 1 + 3


def test_close_by_two_tasks_with_one_source_keeps_both_records(multipart):
    files = [ListedFile("a", "a", 1), ListedFile("b", "b", 1)]
    tasks = [target(multipart), target(multipart)]
    for task, file in zip(tasks, files, strict=True):
        write(task, file, b"x")
    for task in tasks:
        task.close()
    assert [write(target(multipart), file, b"x") for file in files] == [None, None]


def test_open_store_without_fingerprints_downloads_again(multipart, monkeypatch):
    monkeypatch.setattr(object_store, "_FINGERPRINT_FIELDS", ())
    first = target(multipart)
    write(first, ListedFile("f", "f", 1), b"x")
    first.close()
    assert write(target(multipart), ListedFile("f", "f", 1), b"x") == 1
