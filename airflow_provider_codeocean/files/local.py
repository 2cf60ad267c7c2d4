"""Downloading to a folder of this machine, which may hold anything: also what is meant to lead out of it."""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import stat
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_provider_codeocean.api.errors import DownloadFailed
from airflow_provider_codeocean.files.paths import parts_of

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator

    from airflow_provider_codeocean.files.source import ListedFile
    from airflow_provider_codeocean.files.target import Writer

log = logging.getLogger(__name__)

#: Seconds between two attempts to get at a part file that another process writes to.
_LOCK_PAUSE = 0.2


class LocalTarget:
    """A folder of this machine.

    What is not complete is in a hidden part file beside the file, and is gone on with by the next try. Every
    folder below the target is opened from within the one above, never through a symbolic link: no file is
    written elsewhere, whatever is in the target and whoever changes it meanwhile.

    :param root: the folder, an absolute path, which is made where it is not there.
    """

    def __init__(self, root: str) -> None:
        self._root = root

    def __str__(self) -> str:
        return self._root

    @contextmanager
    def open(
        self, file: ListedFile, source: str, stop: threading.Event, patience: float
    ) -> Iterator[Writer | None]:
        """Begin to write a file, or go on with it, alone: see :class:`Target`."""
        *folders, name = parts_of(file.below)
        with self._folder(folders) as folder:
            if _is_complete(folder, name, file.size):
                yield None
                return
            # The name says which file it is a part of, so that no other one is gone on with.
            key = hashlib.sha256(f"{source}\0{file.path}\0{file.size}".encode()).hexdigest()[:24]
            other = _Other(file.path, f".{key}.part", patience)
            with _alone(folder, f".{key}.part", stop, other) as descriptor:
                if _is_complete(folder, name, file.size):  # by now, by another process
                    os.unlink(f".{key}.part", dir_fd=folder)
                    yield None
                else:
                    yield _PartFile(descriptor, folder, f".{key}.part", name, file.size)

    @contextmanager
    def _folder(self, parts: list[str]) -> Iterator[int]:
        """Open a folder below the target, making it where it is not there."""
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


class _PartFile:
    """A part file, locked; it becomes the file when it is finished."""

    def __init__(self, descriptor: int, folder: int, part: str, name: str, size: int | None) -> None:
        self._descriptor = descriptor
        self._folder = folder
        self._part = part
        self._name = name
        self.position = os.fstat(descriptor).st_size
        if size is None or self.position > size:
            self.restart()
        os.lseek(descriptor, self.position, os.SEEK_SET)

    def write(self, chunk: bytes) -> None:
        left = memoryview(chunk)
        while left:
            written = os.write(self._descriptor, left)
            self.position += written
            left = left[written:]

    def restart(self) -> None:
        os.ftruncate(self._descriptor, 0)
        os.lseek(self._descriptor, 0, os.SEEK_SET)
        self.position = 0

    def finish(self) -> None:
        # A link of that name is replaced, not followed.
        os.rename(self._part, self._name, src_dir_fd=self._folder, dst_dir_fd=self._folder)


def _open_folder(parent: int, name: str) -> int:
    with suppress(FileExistsError):
        os.mkdir(name, dir_fd=parent)
    try:
        return os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    except OSError as error:
        raise DownloadFailed(
            f"{name!r} in the target is to be a folder, but it is a symbolic link, a file, or not to be read "
            f"({error.strerror})",
            transient=False,
        ) from error


def _is_complete(folder: int, name: str, size: int | None) -> bool:
    try:
        there = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return stat.S_ISREG(there.st_mode) and there.st_size == size


class _Other:
    """Another process that writes to a part file: it is waited for while the part file changes."""

    def __init__(self, path: str, part: str, patience: float) -> None:
        self._path = path
        self._part = part
        self._patience = patience
        self._size: int | None = None
        self._since = 0.0

    def bear(self, size: int) -> None:
        """Take how many bytes there are now."""
        now = time.monotonic()
        if self._size is None:
            log.info("Another process downloads %r, to %s: waiting for it", self._path, self._part)
        if size != self._size:
            self._size, self._since = size, now
        elif now - self._since > self._patience:
            raise DownloadFailed(
                f"{self._path!r} could not be downloaded: another process has its part file {self._part} and "
                f"has written nothing to it for {self._patience:.0f} s (it has {size} bytes)"
            )


@contextmanager
def _alone(folder: int, name: str, stop: threading.Event, other: _Other) -> Iterator[int]:
    """Open a part file, once no other process writes to it.

    A try whose supervisor was killed can live on beside the next one.
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
                if same:  # else it was finished and is a part no more
                    yield descriptor
                    return
            else:
                other.bear(os.fstat(descriptor).st_size)
                if stop.wait(_LOCK_PAUSE):
                    raise DownloadFailed("stopped while another process downloads the same file")
        finally:
            os.close(descriptor)


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks: two tries at once are rare
        return True
    return True
