"""A local folder: part files, and what may lie in wait in it."""

from __future__ import annotations

import fcntl
import os
import threading
from types import SimpleNamespace

import pytest

from airflow_provider_codeocean.api.errors import DownloadFailed
from airflow_provider_codeocean.emulator.faults import FaultRule
from airflow_provider_codeocean.files import local
from airflow_provider_codeocean.files.local import LocalTarget
from airflow_provider_codeocean.files.source import ListedFile
from tests.files.conftest import tree

FILE = ListedFile("f", "f", 10)


def write(root, file=FILE, content=b"0123456789", *, finish=True, source="computation c"):
    """Write a file as far as it goes, and return how much was there; None where all was."""
    with LocalTarget(str(root)).open(file, source, threading.Event(), 60) as writer:
        if writer is None:
            return None
        there = writer.position
        writer.write(content[there:])
        if finish:
            writer.finish()
        return there


def test_what_is_not_finished_is_hidden_and_gone_on_with(tmp_path):
    assert write(tmp_path, content=b"012", finish=False) == 0
    assert [name.startswith(".") for name in tree(tmp_path)] == [True]
    assert write(tmp_path) == 3
    assert write(tmp_path) is None
    assert tree(tmp_path) == {"f": b"0123456789"}


@pytest.mark.parametrize(
    ("file", "source"),
    [(ListedFile("f", "f", 11), "computation c"), (FILE, "data asset c"), (ListedFile("a/f", "f", 10), "")],
)
def test_a_part_of_another_file_is_not_gone_on_with(tmp_path, file, source):
    write(tmp_path, content=b"012", finish=False)
    assert write(tmp_path, file, source=source) == 0


def test_a_part_that_is_too_long_is_not_gone_on_with(tmp_path):
    write(tmp_path, content=b"x" * 11, finish=False)
    assert write(tmp_path) == 0
    assert tree(tmp_path) == {"f": b"0123456789"}


def test_a_file_of_unknown_size_is_written_anew(tmp_path):
    unknown = ListedFile("f", "f", None)
    write(tmp_path, unknown, b"012", finish=False)
    assert write(tmp_path, unknown) == 0
    assert write(tmp_path, unknown) == 0


@pytest.fixture
def outside(tmp_path):
    """A folder beside the target, which nothing may be written to."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "f").write_bytes(b"mine")
    yield outside
    assert tree(outside) == {"f": b"mine"}


def test_a_link_to_a_file_is_replaced_and_not_followed(tmp_path, outside):
    target = tmp_path / "target"
    target.mkdir()
    (target / "f").symlink_to(outside / "f")
    assert write(target) == 0
    assert not (target / "f").is_symlink()
    assert (target / "f").read_bytes() == b"0123456789"


def test_a_link_to_a_file_of_the_size_does_not_count_as_the_file(tmp_path, outside):
    (tmp_path / "f").symlink_to(outside / "f")
    assert write(tmp_path, ListedFile("f", "f", 4), b"0123") == 0


def test_a_link_to_a_folder_is_not_followed(tmp_path, outside):
    (tmp_path / "d").symlink_to(outside)
    with pytest.raises(
        DownloadFailed, match="'d' in the target is to be a folder, but it is a sym"
    ) as failure:
        write(tmp_path, ListedFile("d/f", "d/f", 10))
    assert not failure.value.transient


def test_a_link_in_place_of_a_part_file_is_not_followed(tmp_path, outside):
    write(tmp_path, content=b"012", finish=False)
    (part,) = [path for path in tmp_path.iterdir() if path.is_file()]
    part.unlink()
    part.symlink_to(outside / "f")
    with pytest.raises(OSError, match="symbolic link"):
        write(tmp_path)


def test_a_folder_that_is_swapped_for_a_link_meanwhile_is_not_followed(tmp_path, outside):
    with LocalTarget(str(tmp_path)).open(ListedFile("d/f", "d/f", 10), "c", threading.Event(), 60) as writer:
        (tmp_path / "d").rename(tmp_path / "moved")
        (tmp_path / "d").symlink_to(outside)
        writer.write(b"0123456789")
        writer.finish()
    assert (tmp_path / "moved" / "f").read_bytes() == b"0123456789"


def test_the_target_itself_may_be_a_link(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    write(tmp_path / "link")
    assert tree(tmp_path / "real") == {"f": b"0123456789"}


def test_what_cannot_be_written_is_told_with_its_path(results, tmp_path):
    results.put("f", b"abc")
    (tmp_path / "f").mkdir()
    with pytest.raises(DownloadFailed, match=r"'f' could not be written to .*[Ii]s a directory") as failure:
        results.download(tmp_path)
    assert failure.value.transient


class TestTwoAtOnce:
    """A try whose supervisor was killed lives on beside the next one."""

    @pytest.fixture
    def other(self, tmp_path, monkeypatch):
        """Another process has the part file."""
        monkeypatch.setattr(local, "_LOCK_PAUSE", 0.01)
        write(tmp_path, content=b"012", finish=False)
        (part,) = tmp_path.iterdir()
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

        with LocalTarget(str(root)).open(FILE, "computation c", Watched(), 60) as writer:
            return None if writer is None else writer.position

    def test_what_the_other_finishes_is_there(self, tmp_path, monkeypatch, other):
        def finish():
            other.write_bytes(b"0123456789")
            other.rename(tmp_path / "f")

        assert self.wait_beside(tmp_path, monkeypatch, finish) is None
        assert tree(tmp_path) == {"f": b"0123456789"}

    def test_waiting_for_the_other_can_be_stopped(self, tmp_path, other):
        stop = threading.Event()
        stop.set()
        with (
            pytest.raises(DownloadFailed, match="another process"),
            LocalTarget(str(tmp_path)).open(FILE, "computation c", stop, 60),
        ):
            pass

    def test_one_that_writes_nothing_is_not_waited_for_for_ever(self, tmp_path, monkeypatch, other, caplog):
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
                DownloadFailed, match=r"'f' .* another process has its part file .* nothing to it for 60 s"
            ) as failure,
            LocalTarget(str(tmp_path)).open(FILE, "computation c", Passing(), 60),
        ):
            pass
        assert other.name in str(failure.value)
        assert failure.value.transient
        assert clock.now == 140  # at 60 it got on
        assert caplog.messages == [f"Another process downloads 'f', to {other.name}: waiting for it"]

    def test_another_one_is_waited_for_as_long_as_a_mib_may_take_it(self, results, tmp_path, monkeypatch):
        seen = []

        class Seeing(LocalTarget):
            def open(self, file, source, stop, patience):
                seen.append(patience)
                return super().open(file, source, stop, patience)

        monkeypatch.setattr(local, "LocalTarget", Seeing)
        results.put("f", b"abc")
        results.download(tmp_path)
        assert seen == [10 * 30 + 60]

    def test_two_downloads_write_each_file_once(self, results, tmp_path):
        results.put("f", b"0123456789")
        held = results.server.faults.add(FaultRule(path="/storage/**", kind="hold_before"))
        first = threading.Thread(target=results.download, args=(tmp_path,))
        first.start()
        assert held.wait(held=1)
        second = threading.Thread(target=results.download, args=(tmp_path,))
        second.start()
        held.release()
        first.join(30)
        second.join(30)
        assert tree(tmp_path) == {"f": b"0123456789"}
        assert results.fetched() == 1

    def test_without_locks_it_goes_on(self, tmp_path, monkeypatch):
        def unsupported(*_):
            raise OSError("not supported")

        monkeypatch.setattr(fcntl, "flock", unsupported)
        assert write(tmp_path) == 0
