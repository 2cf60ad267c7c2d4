"""A local folder: part files, and what may lie in wait in it."""

from __future__ import annotations

import fcntl
import os
import threading
from types import SimpleNamespace

import pytest

from airflow_provider_codeocean.api.errors import DownloadFailed
from airflow_provider_codeocean.emulator import FaultRule
from airflow_provider_codeocean.files import local
from airflow_provider_codeocean.files.local import LocalTarget
from airflow_provider_codeocean.files.source import ListedFile
from tests.files.conftest import read_tree

FILE = ListedFile("f", "f", 10)


def begun(root, source="computation c", file=FILE, *, kind=LocalTarget, overwrite=True):
    target = kind(str(root))
    target.prepare(source, [file], overwrite=overwrite)
    return target


def write(root, file=FILE, content=b"0123456789", *, finish=True, source="computation c"):
    """Write a file, and return how many bytes were there; None if it was complete."""
    with begun(root, source).open(file, threading.Event(), 60) as writer:
        if writer is None:
            return None
        there = writer.position
        if not there:
            writer.restart("validator")
        writer.write(content[there:])
        if finish:
            writer.finish()
        return there


def test_open_after_unfinished_write_continues(tmp_path):
    assert write(tmp_path, content=b"012", finish=False) == 0
    assert all(name.startswith(".") for name in read_tree(tmp_path))
    assert write(tmp_path) == 3
    assert write(tmp_path) is None
    assert read_tree(tmp_path) == {"f": b"0123456789"}


def test_finish_file_has_default_mode(tmp_path):
    (tmp_path / "other").touch()
    write(tmp_path)
    assert (tmp_path / "f").stat().st_mode == (tmp_path / "other").stat().st_mode


@pytest.mark.parametrize(
    ("file", "source"),
    [(ListedFile("f", "f", 11), "computation c"), (FILE, "data asset c"), (ListedFile("a/f", "f", 10), "")],
)
def test_open_part_of_another_file_starts_over(tmp_path, file, source):
    write(tmp_path, content=b"012", finish=False)
    assert write(tmp_path, file, source=source) == 0


@pytest.mark.parametrize("content", [b"0123456789", b"0123456789x"])
def test_open_part_that_is_full_requests_the_last_byte(tmp_path, content):
    """With it comes the checksum that the whole is compared to."""
    write(tmp_path, content=content, finish=False)
    assert write(tmp_path) == 9
    assert read_tree(tmp_path) == {"f": b"0123456789"}


def test_open_unknown_size_continues(tmp_path):
    unknown = ListedFile("f", "f", None)
    write(tmp_path, unknown, b"012", finish=False)
    assert write(tmp_path, unknown) == 3
    assert write(tmp_path, unknown) is None


def parts(root):
    return {path.suffix: path for path in root.iterdir() if ".part" in path.name}


@pytest.mark.fault("D9")
def test_open_part_beyond_its_saved_position_is_truncated(tmp_path):
    """After a power failure, there can be zeros where bytes were not on the disk yet."""
    write(tmp_path, content=b"012", finish=False)
    part = parts(tmp_path)[".part"]
    part.write_bytes(b"012" + b"\0" * 5)
    assert write(tmp_path) == 3
    assert read_tree(tmp_path) == {"f": b"0123456789"}


@pytest.mark.parametrize(
    "saved", [b"", b'{"bytes": 3', b"[]", b'{"bytes": "x", "validator": "v"}', b'{"bytes": 3}']
)
def test_open_part_without_its_position_starts_over(tmp_path, saved):
    write(tmp_path, content=b"012", finish=False)
    parts(tmp_path)[".json"].write_bytes(saved)
    assert write(tmp_path) == 0


def test_write_saves_position_after_each_checkpoint(tmp_path, monkeypatch):
    monkeypatch.setattr(local, "CHECKPOINT_BYTES", 4)
    with begun(tmp_path).open(FILE, threading.Event(), 60) as writer:
        writer.restart('"v"')
        for chunk in (b"01", b"2", b"345"):
            writer.write(chunk)
        assert parts(tmp_path)[".json"].read_bytes() == b'{"format": 1, "bytes": 6, "validator": "\\"v\\""}'
        writer.restart(None)
        assert set(parts(tmp_path)) == {".part"}
        writer.write(b"01234")
    assert set(parts(tmp_path)) == {".part"}  # without a validator, nothing can be continued


@pytest.fixture
def outside(tmp_path):
    """A folder beside the target, which nothing may be written to."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "f").write_bytes(b"mine")
    yield outside
    assert read_tree(outside) == {"f": b"mine"}


def test_finish_with_symlink_in_place_of_the_file_replaces_it(tmp_path, outside):
    target = tmp_path / "target"
    target.mkdir()
    (target / "f").symlink_to(outside / "f")
    assert write(target) == 0
    assert not (target / "f").is_symlink()
    assert (target / "f").read_bytes() == b"0123456789"


def test_open_symlink_to_file_of_same_size_downloads_again(tmp_path, outside):
    (tmp_path / "f").symlink_to(outside / "f")
    assert write(tmp_path, ListedFile("f", "f", 4), b"0123") == 0


def test_open_symlink_in_place_of_a_folder_fails(tmp_path, outside):
    (tmp_path / "d").symlink_to(outside)
    with pytest.raises(
        DownloadFailed, match="'d' in the target must be a folder, but it is a sym"
    ) as failure:
        write(tmp_path, ListedFile("d/f", "d/f", 10))
    assert not failure.value.is_transient


def test_open_symlink_in_place_of_the_part_file_fails(tmp_path, outside):
    write(tmp_path, content=b"012", finish=False)
    part = parts(tmp_path)[".part"]
    part.unlink()
    part.symlink_to(outside / "f")
    with pytest.raises(OSError, match="symbolic link"):
        write(tmp_path)


def test_finish_after_folder_became_symlink_writes_to_the_folder(tmp_path, outside):
    with begun(tmp_path).open(ListedFile("d/f", "d/f", 10), threading.Event(), 60) as writer:
        (tmp_path / "d").rename(tmp_path / "moved")
        (tmp_path / "d").symlink_to(outside)
        writer.write(b"0123456789")
        writer.finish()
    assert (tmp_path / "moved" / "f").read_bytes() == b"0123456789"


def test_open_target_that_is_a_symlink_succeeds(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    write(tmp_path / "link")
    assert read_tree(tmp_path / "real") == {"f": b"0123456789"}


def test_download_write_error_names_the_path(results, tmp_path):
    results.put("f", b"abc")
    (tmp_path / "f").mkdir()
    with pytest.raises(DownloadFailed, match=r"'f' could not be written to .*[Ii]s a directory") as failure:
        results.download(tmp_path)
    assert failure.value.is_transient


class TestConcurrentDownloads:
    """A try whose supervisor was killed lives on beside the next one."""

    @pytest.fixture
    def other(self, tmp_path, monkeypatch):
        """Another process has the part file."""
        monkeypatch.setattr(local, "_LOCK_RETRY_SECONDS", 0.01)
        write(tmp_path, content=b"012", finish=False)
        part = parts(tmp_path)[".part"]
        descriptor = os.open(part, os.O_RDWR)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield part
        os.close(descriptor)

    def wait_beside(self, root, monkeypatch, then):
        """Write, and do something once it has waited."""
        waits = []

        class Watched(threading.Event):
            def wait(self, timeout=None):
                waits.append(timeout)
                if len(waits) == 3:
                    then()
                return super().wait(timeout)

        with begun(root).open(FILE, Watched(), 60) as writer:
            return None if writer is None else writer.position

    def test_open_after_other_process_finished_returns_none(self, tmp_path, monkeypatch, other):
        def finish():
            other.write_bytes(b"0123456789")
            other.rename(tmp_path / "f")
            parts(tmp_path)[".json"].unlink()
            writer = begun(tmp_path)
            writer._record_file(FILE, writer._get_fingerprint("f"))

        assert self.wait_beside(tmp_path, monkeypatch, finish) is None
        assert read_tree(tmp_path) == {"f": b"0123456789"}

    def test_open_while_waiting_for_other_process_can_be_stopped(self, tmp_path, other):
        stop = threading.Event()
        stop.set()
        with (
            pytest.raises(DownloadFailed, match="another process"),
            begun(tmp_path).open(FILE, stop, 60),
        ):
            pass

    def test_open_with_stalled_other_process_fails(self, tmp_path, monkeypatch, other, caplog):
        clock = SimpleNamespace(now=0, monotonic=lambda: clock.now)
        monkeypatch.setattr(local, "time", clock)

        class Passing(threading.Event):
            def wait(self, timeout=None):
                clock.now += 20
                if clock.now == 60:
                    other.write_bytes(b"0123")
                return clock.now > 3600

        caplog.set_level("INFO", local.__name__)
        with (
            pytest.raises(
                DownloadFailed, match=r"'f' .* another process holds its part file .* nothing to it for 60 s"
            ) as failure,
            begun(tmp_path).open(FILE, Passing(), 60),
        ):
            pass
        assert other.name in str(failure.value)
        assert failure.value.is_transient
        assert clock.now == 140  # at 60 it got on
        assert caplog.messages == [f"Another process is downloading 'f' to {other.name}; waiting for it"]

    def test_stall_timeout_covers_the_retries_of_one_mib(self, results, tmp_path, monkeypatch):
        seen = []

        class Seeing(LocalTarget):
            def open(self, file, stop, stall_timeout):
                seen.append(stall_timeout)
                return super().open(file, stop, stall_timeout)

        monkeypatch.setattr(local, "LocalTarget", Seeing)
        results.put("f", b"abc")
        results.download(tmp_path)
        assert seen == [10 * 30 + 60]

    def test_concurrent_downloads_fetch_each_file_once(self, results, tmp_path, caplog):
        caplog.set_level("INFO", local.__name__)
        results.put("f", b"0123456789")
        held = results.server.faults.add(FaultRule(path="/storage/**", kind="hold_before"))
        first = threading.Thread(target=results.download, args=(tmp_path,))
        first.start()
        assert held.wait(held=1)
        second = threading.Thread(target=results.download, args=(tmp_path,))
        second.start()
        while "Another process is downloading 'f'" not in caplog.text:
            second.join(0.02)
            assert second.is_alive()
        held.release_requests()
        first.join(30)
        second.join(30)
        assert read_tree(tmp_path) == {"f": b"0123456789"}
        assert results.count_downloads() == 1

    def test_open_without_lock_support_succeeds(self, tmp_path, monkeypatch):
        def unsupported(*_):
            raise OSError("not supported")

        monkeypatch.setattr(fcntl, "flock", unsupported)
        assert write(tmp_path) == 0
