"""Downloading to a folder of this machine, which may contain anything, even links that lead out of it."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import logging
import os
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_provider_codeocean.api.errors import DownloadFailed
from airflow_provider_codeocean.api.storage import CHUNK
from airflow_provider_codeocean.files.paths import parts_of
from airflow_provider_codeocean.files.target import Target, Writer

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterator, Sequence

    from airflow_provider_codeocean.files.source import ListedFile

log = logging.getLogger(__name__)

#: Bytes after which a part file is made durable. A process that is killed loses no more than these.
CHECKPOINT = 16 * 1024 * 1024
#: Seconds between two attempts to lock a part file that another process writes to.
_LOCK_PAUSE = 0.2
#: Not followed if it is a link, not waited for if it is a FIFO.
_FLAGS = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class LocalTarget(Target):
    """A folder of this machine.

    A file that is not complete is kept in a hidden part file next to its place, which the next attempt
    continues. Each folder below the target is opened from within its parent, never through a symbolic link:
    no file is written elsewhere, whatever is in the target and whoever changes it in the meantime.

    :param root: the folder, an absolute path; it is created if necessary.
    """

    def __init__(self, root: str) -> None:
        super().__init__()
        self._root = root
        self._changed: set[tuple[str, ...]] = set()
        self._new: list[Path] = []

    def __str__(self) -> str:
        return self._root

    def begin(self, source: str, files: Sequence[ListedFile], *, overwrite: bool) -> None:
        """Read which files are complete; see the base class."""
        root = Path(self._root)
        self._new = [folder for folder in (root, *root.parents) if not folder.exists()]
        super().begin(source, files, overwrite=overwrite)

    @contextmanager
    def open(self, file: ListedFile, stop: threading.Event, patience: float) -> Iterator[Writer | None]:
        """Start or continue to write a file, as the only process; see the base class."""
        *folders, name = parts_of(file.below)
        with self._folder(folders) as folder:
            before = _stamp(folder, name)
            if self._is_complete(file, before):
                yield None
                return
            # The name identifies the file, so that a part of another one is not continued.
            key = hashlib.sha256(f"{self._source}\0{file.path}\0{file.size}".encode()).hexdigest()[:24]
            part = f".{key}.part"
            other = _OtherProcess(file.path, part, patience)
            with _exclusive(folder, part, stop, other) as descriptor:
                if (now := _stamp(folder, name)) != before:  # it has finished the file
                    self._reload()
                    if self._is_complete(file, now):
                        os.unlink(part, dir_fd=folder)
                        yield None
                        return

                def record() -> None:
                    # Raises if a file of another origin has appeared since.
                    self._is_complete(file, _stamp(folder, name))
                    # Renaming keeps the stamp: if the process is killed after it, a retry knows the file.
                    self._add(file, _stamp_of(os.fstat(descriptor)))

                writer = _PartFile(descriptor, folder, part, name, file.size, record=record)
                try:
                    yield writer
                finally:
                    with suppress(OSError):  # the cause, such as a full disk, is being raised
                        writer.save_position()
                if writer.is_finished:
                    self._changed.update(tuple(folders[:depth]) for depth in range(len(folders) + 1))

    def close(self) -> None:
        """Make the folders durable that files were put into; the contents of the files are already."""
        for parts in self._changed:
            with self._folder(parts) as folder:
                _sync_folder(folder)
        for created in self._new if self._changed else ():
            parent = os.open(created.parent, os.O_RDONLY | os.O_CLOEXEC)
            _sync_folder(parent)
            os.close(parent)
        self._changed.clear()

    def _stamp_at(self, below: str) -> str | None:
        with suppress(OSError):
            return _stamp(None, f"{self._root}/{below}")
        return None

    def _read_record(self) -> bytes:
        return _read(f"{self._root}/{self._record}")

    def _append_to_record(self, text: bytes) -> None:
        with self._folder([]) as root:
            _write(root, self._record, text, os.O_APPEND)

    @contextmanager
    def _folder(self, parts: Sequence[str]) -> Iterator[int]:
        """Open a folder below the target, creating it if necessary."""
        Path(self._root).mkdir(parents=True, exist_ok=True)
        folder = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for part in parts:
                inner = _open_folder(folder, part)
                os.close(folder)
                folder = inner
            yield folder
        finally:
            os.close(folder)


class _PartFile(Writer):
    """A locked part file, which becomes the file when it is finished.

    Beside it, how many of its bytes are durable, and their validator: after a crash, nothing else of it
    counts. ``record`` is called before the part file becomes the file.
    """

    def __init__(
        self,
        descriptor: int,
        folder: int,
        part: str,
        name: str,
        size: int | None,
        *,
        record: Callable[[], None],
    ) -> None:
        self._descriptor = descriptor
        self._folder = folder
        self._part = part
        self._saved = f"{part}.json"
        self._name = name
        self._record = record
        self.is_finished = False
        with suppress(ValueError, TypeError, KeyError):
            saved = json.loads(_read(self._saved, folder))
            position, validator = min(int(saved["bytes"]), os.fstat(descriptor).st_size), saved["validator"]
            # The last byte is always requested: with it come the validator and the checksum of today.
            self.position = position if size is None else min(position, max(0, size - 1))
            self.validator = validator if self.position else None
        os.ftruncate(descriptor, self.position)
        os.lseek(descriptor, self.position, os.SEEK_SET)
        self._durable = self.position

    def write(self, chunk: bytes) -> None:
        left = memoryview(chunk)
        while left:
            written = os.write(self._descriptor, left)
            self.position += written
            left = left[written:]
        if self.position - self._durable >= CHECKPOINT:
            self.save_position()

    def restart(self, validator: str | None) -> None:
        with suppress(FileNotFoundError):
            os.unlink(self._saved, dir_fd=self._folder)
            _sync_folder(self._folder)  # before other bytes are in the place of those that it is about
        os.ftruncate(self._descriptor, 0)
        os.lseek(self._descriptor, 0, os.SEEK_SET)
        self.position = self._durable = 0
        self.validator = validator

    def save_position(self) -> None:
        if self.validator and self.position > self._durable and not self.is_finished:
            os.fsync(self._descriptor)
            self._durable = self.position
            saved = {"bytes": self.position, "validator": self.validator}
            _write(self._folder, self._saved, json.dumps(saved).encode(), os.O_TRUNC)

    def finish(self) -> None:
        os.fsync(self._descriptor)
        self._record()
        # A link of that name is replaced, not followed.
        os.rename(self._part, self._name, src_dir_fd=self._folder, dst_dir_fd=self._folder)
        self.is_finished = True
        with suppress(FileNotFoundError):
            os.unlink(self._saved, dir_fd=self._folder)

    def written(self) -> Iterator[bytes]:
        for start in range(0, self.position, CHUNK):
            yield os.pread(self._descriptor, min(CHUNK, self.position - start), start)


def _stamp(folder: int | None, name: str) -> str | None:
    try:
        return _stamp_of(os.stat(name, dir_fd=folder, follow_symlinks=False))
    except FileNotFoundError:
        return None


def _stamp_of(found: os.stat_result) -> str:
    return f"{found.st_ino}-{found.st_mtime_ns}-{found.st_size}"


def _read(name: str, folder: int | None = None) -> bytes:
    try:
        descriptor = os.open(name, os.O_RDONLY | _FLAGS, dir_fd=folder)
    except FileNotFoundError:
        return b""
    with os.fdopen(descriptor, "rb") as file:
        return file.read()


def _write(folder: int, name: str, text: bytes, how: int) -> None:
    descriptor = os.open(name, os.O_WRONLY | os.O_CREAT | how | _FLAGS, 0o666, dir_fd=folder)
    with os.fdopen(descriptor, "wb") as file:
        file.write(text)


def _sync_folder(folder: int) -> None:
    try:
        os.fsync(folder)
    except OSError as error:
        if error.errno not in {errno.EINVAL, errno.ENOSYS, errno.ENOTSUP}:  # not every file system can
            raise


def _open_folder(parent: int, name: str) -> int:
    with suppress(FileExistsError):
        os.mkdir(name, dir_fd=parent)
    try:
        return os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    except OSError as error:
        raise DownloadFailed(
            f"{name!r} in the target must be a folder, but it is a symbolic link, a file, or not readable "
            f"({error.strerror})",
            transient=False,
        ) from error


class _OtherProcess:
    """Another process that writes to a part file. It is waited for as long as the part file changes."""

    def __init__(self, path: str, part: str, patience: float) -> None:
        self._path = path
        self._part = part
        self._patience = patience
        self._size: int | None = None
        self._since = 0.0

    def observe(self, size: int) -> None:
        """Note the size of the part file, or give up."""
        now = time.monotonic()
        if self._size is None:
            log.info("Another process downloads %r to %s: waiting for it", self._path, self._part)
        if size != self._size:
            self._size, self._since = size, now
        elif now - self._since > self._patience:
            raise DownloadFailed(
                f"{self._path!r} could not be downloaded: another process has its part file {self._part} and "
                f"has written nothing to it for {self._patience:.0f} s (it has {size} bytes)"
            )


@contextmanager
def _exclusive(folder: int, name: str, stop: threading.Event, other: _OtherProcess) -> Iterator[int]:
    """Open a part file as soon as no other process writes to it.

    An attempt whose supervisor was killed can still run when the next one starts.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    while True:
        descriptor = os.open(name, flags, 0o666, dir_fd=folder)
        try:
            if _lock(descriptor):
                try:
                    same = os.path.samestat(os.fstat(descriptor), os.stat(name, dir_fd=folder))
                except FileNotFoundError:
                    same = False
                if same:  # else the other process has finished the file
                    yield descriptor
                    return
            else:
                other.observe(os.fstat(descriptor).st_size)
                if stop.wait(_LOCK_PAUSE):
                    raise DownloadFailed("stopped while another process downloads the same file")
        finally:
            os.close(descriptor)


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks: two attempts at the same time are rare
        return True
    return True
