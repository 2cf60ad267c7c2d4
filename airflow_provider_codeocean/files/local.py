"""Download to a local folder, without following symbolic links in it."""

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
from airflow_provider_codeocean.api.storage import CHUNK_BYTES
from airflow_provider_codeocean.files.paths import split_safe_path
from airflow_provider_codeocean.files.target import DownloadTarget, FileWriter

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterator, Sequence

    from airflow_provider_codeocean.files.source import ListedFile

log = logging.getLogger(__name__)

#: Number of bytes after which a part file is synced to disk: a killed process loses no more than these.
CHECKPOINT_BYTES = 16 * 1024 * 1024
#: Format number of a checkpoint.
_FORMAT = 1
#: Seconds between attempts to lock a part file that another process is writing.
_LOCK_RETRY_SECONDS = 0.2
#: Do not follow symbolic links, and do not block on FIFOs.
_OPEN_FLAGS = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class LocalTarget(DownloadTarget):
    """A local folder.

    An incomplete file is kept in a hidden part file next to its final path, and the next attempt continues
    it. Each folder below the target is opened relative to its parent, never through a symbolic link. No file
    is therefore written outside the target, even if other processes change the target meanwhile.

    :param root: absolute path of the folder, which is created if necessary.
    """

    def __init__(self, root: str) -> None:
        super().__init__()
        self._root = root
        self._changed_folders: set[tuple[str, ...]] = set()
        self._created_folders: list[Path] = []

    def __str__(self) -> str:
        return self._root

    def prepare(self, source_identity: str, files: Sequence[ListedFile], *, overwrite: bool) -> None:
        """Read the record of complete files; see the base class."""
        root = Path(self._root)
        self._created_folders = [folder for folder in (root, *root.parents) if not folder.exists()]
        super().prepare(source_identity, files, overwrite=overwrite)

    @contextmanager
    def open(
        self, file: ListedFile, stop: threading.Event, stall_timeout: float
    ) -> Iterator[FileWriter | None]:
        """Start or continue writing a file, with exclusive access; see the base class."""
        *folders, name = split_safe_path(file.relative_path)
        with self._folder_descriptor(folders) as folder:
            before = _read_fingerprint(folder, name)
            if self._is_complete(file, before):
                yield None
                return
            # The name identifies the file, so that another file's part is not continued.
            key = hashlib.sha256(f"{self._source_identity}\0{file.path}\0{file.size}".encode()).hexdigest()[
                :24
            ]
            part = f".{key}.part"
            other = _LockWait(file.path, part, stall_timeout)
            with _exclusive_part_file(folder, part, stop, other) as descriptor:
                if (now := _read_fingerprint(folder, name)) != before:  # another process finished it
                    self._load_record()
                    if self._is_complete(file, now):
                        os.unlink(part, dir_fd=folder)
                        yield None
                        return

                def record() -> None:
                    # Raises if a file from another source has appeared meanwhile.
                    self._is_complete(file, _read_fingerprint(folder, name))
                    # Renaming keeps the stamp: if the process is killed next, a retry recognizes the file.
                    self._record_file(file, _to_fingerprint(os.fstat(descriptor)))

                writer = _PartFile(descriptor, folder, part, name, file.size, before_rename=record)
                try:
                    yield writer
                finally:
                    with suppress(OSError):  # an error, such as a full disk, is being raised already
                        writer.save_checkpoint()
                if writer.is_finished:
                    self._changed_folders.update(tuple(folders[:depth]) for depth in range(len(folders) + 1))

    def close(self) -> None:
        """Sync the folders of new files to disk; the contents of the files are synced already."""
        for parts in self._changed_folders:
            with self._folder_descriptor(parts) as folder:
                _sync_folder(folder)
        for created in self._created_folders if self._changed_folders else ():
            parent = os.open(created.parent, os.O_RDONLY | os.O_CLOEXEC)
            _sync_folder(parent)
            os.close(parent)
        self._changed_folders.clear()

    def _get_fingerprint(self, relative_path: str) -> str | None:
        with suppress(OSError):
            return _read_fingerprint(None, f"{self._root}/{relative_path}")
        return None

    def _read_record(self) -> bytes:
        return _read_file(f"{self._root}/{self._record_name}")

    def _append_to_record(self, lines: bytes) -> None:
        with self._folder_descriptor([]) as root:
            _write_file(root, self._record_name, lines, os.O_APPEND)

    @contextmanager
    def _folder_descriptor(self, parts: Sequence[str]) -> Iterator[int]:
        """Open a folder below the target, creating it if necessary."""
        Path(self._root).mkdir(parents=True, exist_ok=True)
        folder = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for part in parts:
                inner = _open_subfolder(folder, part)
                os.close(folder)
                folder = inner
            yield folder
        finally:
            os.close(folder)


class _PartFile(FileWriter):
    """A locked part file, which is renamed when it is finished.

    A checkpoint next to it contains the number of bytes synced to disk, and their validator. After a crash,
    all other bytes are discarded. ``before_rename`` is called before the part file is renamed.
    """

    def __init__(
        self,
        descriptor: int,
        folder_fd: int,
        part_name: str,
        name: str,
        size: int | None,
        *,
        before_rename: Callable[[], None],
    ) -> None:
        self._descriptor = descriptor
        self._folder_fd = folder_fd
        self._part_name = part_name
        self._checkpoint_name = f"{part_name}.json"
        self._name = name
        self._before_rename = before_rename
        self.is_finished = False
        with suppress(ValueError, TypeError, KeyError):
            saved = json.loads(_read_file(self._checkpoint_name, folder_fd))
            if saved["format"] != _FORMAT:
                raise ValueError("the checkpoint has another format")
            position, validator = min(int(saved["bytes"]), os.fstat(descriptor).st_size), saved["validator"]
            # Always request the last byte: the response includes the current validator and checksum.
            self.position = position if size is None else min(position, max(0, size - 1))
            self.validator = validator if self.position else None
        os.ftruncate(descriptor, self.position)
        os.lseek(descriptor, self.position, os.SEEK_SET)
        self._durable_bytes = self.position

    def write(self, chunk: bytes) -> None:
        left = memoryview(chunk)
        while left:
            written = os.write(self._descriptor, left)
            self.position += written
            left = left[written:]
        if self.position - self._durable_bytes >= CHECKPOINT_BYTES:
            self.save_checkpoint()

    def restart(self, validator: str | None) -> None:
        with suppress(FileNotFoundError):
            os.unlink(self._checkpoint_name, dir_fd=self._folder_fd)
            _sync_folder(self._folder_fd)  # before the bytes that it describes are overwritten
        os.ftruncate(self._descriptor, 0)
        os.lseek(self._descriptor, 0, os.SEEK_SET)
        self.position = self._durable_bytes = 0
        self.validator = validator

    def save_checkpoint(self) -> None:
        if self.validator and self.position > self._durable_bytes and not self.is_finished:
            os.fsync(self._descriptor)
            self._durable_bytes = self.position
            saved = {"format": _FORMAT, "bytes": self.position, "validator": self.validator}
            _write_file(self._folder_fd, self._checkpoint_name, json.dumps(saved).encode(), os.O_TRUNC)

    def finish(self) -> None:
        os.fsync(self._descriptor)
        self._before_rename()
        # A link with that name is replaced, not followed.
        os.rename(self._part_name, self._name, src_dir_fd=self._folder_fd, dst_dir_fd=self._folder_fd)
        self.is_finished = True
        with suppress(FileNotFoundError):
            os.unlink(self._checkpoint_name, dir_fd=self._folder_fd)

    def iter_written(self) -> Iterator[bytes]:
        for start in range(0, self.position, CHUNK_BYTES):
            yield os.pread(self._descriptor, min(CHUNK_BYTES, self.position - start), start)


def _read_fingerprint(folder_fd: int | None, name: str) -> str | None:
    try:
        return _to_fingerprint(os.stat(name, dir_fd=folder_fd, follow_symlinks=False))
    except FileNotFoundError:
        return None


def _to_fingerprint(status: os.stat_result) -> str:
    return f"{status.st_ino}-{status.st_mtime_ns}-{status.st_size}"


def _read_file(name: str, folder_fd: int | None = None) -> bytes:
    try:
        descriptor = os.open(name, os.O_RDONLY | _OPEN_FLAGS, dir_fd=folder_fd)
    except FileNotFoundError:
        return b""
    with os.fdopen(descriptor, "rb") as file:
        return file.read()


def _write_file(folder_fd: int, name: str, content: bytes, flags: int) -> None:
    descriptor = os.open(name, os.O_WRONLY | os.O_CREAT | flags | _OPEN_FLAGS, 0o666, dir_fd=folder_fd)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)


def _sync_folder(folder_fd: int) -> None:
    try:
        os.fsync(folder_fd)
    except OSError as error:
        if error.errno not in {errno.EINVAL, errno.ENOSYS, errno.ENOTSUP}:  # not supported
            raise


def _open_subfolder(parent_fd: int, name: str) -> int:
    with suppress(FileExistsError):
        os.mkdir(name, dir_fd=parent_fd)
    try:
        return os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent_fd)
    except OSError as error:
        raise DownloadFailed(
            f"{name!r} in the target must be a folder, but it is a symbolic link, a file, or not readable "
            f"({error.strerror})",
            is_transient=False,
        ) from error


class _LockWait:
    """Waits for another process that writes to a part file, as long as the size of that file changes."""

    def __init__(self, path: str, part_name: str, stall_timeout: float) -> None:
        self._path = path
        self._part_name = part_name
        self._stall_timeout = stall_timeout
        self._size: int | None = None
        self._size_changed_at = 0.0

    def observe(self, size: int) -> None:
        """Record the size of the part file, or raise if it has not changed for too long."""
        now = time.monotonic()
        if self._size is None:
            log.info("Another process is downloading %r to %s; waiting for it", self._path, self._part_name)
        if size != self._size:
            self._size, self._size_changed_at = size, now
        elif now - self._size_changed_at > self._stall_timeout:
            raise DownloadFailed(
                f"{self._path!r} could not be downloaded: another process holds its part file "
                f"{self._part_name} and has written nothing to it for {self._stall_timeout:.0f} s "
                f"(it has {size} bytes)"
            )


@contextmanager
def _exclusive_part_file(
    folder_fd: int, name: str, stop: threading.Event, lock_wait: _LockWait
) -> Iterator[int]:
    """Open a part file as soon as no other process has locked it.

    If the supervisor of an attempt was killed, the attempt can still be running when the next one starts.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    while True:
        descriptor = os.open(name, flags, 0o666, dir_fd=folder_fd)
        try:
            if _try_lock(descriptor):
                try:
                    is_current = os.path.samestat(os.fstat(descriptor), os.stat(name, dir_fd=folder_fd))
                except FileNotFoundError:
                    is_current = False
                if is_current:  # otherwise the other process has finished the file
                    yield descriptor
                    return
            else:
                lock_wait.observe(os.fstat(descriptor).st_size)
                if stop.wait(_LOCK_RETRY_SECONDS):
                    raise DownloadFailed("stopped while another process is downloading the same file")
        finally:
            os.close(descriptor)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # The file system does not support locks: concurrent attempts are rare.
        return True
    return True
