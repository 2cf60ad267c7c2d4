"""Downloading to an object store, or whatever else fsspec writes to."""

from __future__ import annotations

import posixpath
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from airflow_provider_codeocean.api.errors import DownloadFailed
from airflow_provider_codeocean.files.paths import parts_of

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator

    from airflow_provider_codeocean.files.source import ListedFile
    from airflow_provider_codeocean.files.target import Writer

_MIB = 1024 * 1024
#: Bytes that are uploaded at a time: s3fs would keep 50 MiB of each file in memory.
_BLOCK = 8 * _MIB
#: The most parts of an upload: stores allow 10 000.
_MOST_BLOCKS = 9_000


class StoreTarget:
    """A place in an object store. A file appears there when it is complete; what breaks off is discarded.

    :param address: the address, for logs.
    :param filesystem: the fsspec file system.
    :param root: the place, as a path of this file system: bucket and prefix.
    """

    def __init__(self, address: str, filesystem: Any, root: str) -> None:
        self._address = address
        self._filesystem = filesystem
        self._root = root

    def __str__(self) -> str:
        return self._address

    @contextmanager
    def open(
        self,
        file: ListedFile,
        source: str,  # noqa: ARG002 - nothing is kept of what is not complete
        stop: threading.Event,  # noqa: ARG002
        patience: float,  # noqa: ARG002
    ) -> Iterator[Writer | None]:
        """Begin to write a file: see :class:`Target`."""
        path = posixpath.join(self._root, *parts_of(file.below))
        before = self._size_of(path)
        if file.size is not None and before == file.size:
            yield None
            return
        upload = _Upload(self._filesystem, path, file.size)
        try:
            yield upload
            if upload.finished and file.size is not None and self._size_of(path) != file.size:
                upload.finished = False
                raise DownloadFailed(
                    f"{file.path!r} has {self._size_of(path)} bytes in {self}, expected {file.size}"
                )
        finally:
            if not upload.finished:
                upload.discard()
                # Some systems show a file while it is written: it must not be taken for a whole one. One as
                # long as it is listed is whole: another try has finished it meanwhile.
                if self._size_of(path) not in {None, before, file.size}:
                    self._filesystem.rm_file(path)

    def _size_of(self, path: str) -> int | None:
        """Return the size of what is there, asking the store and no cache."""
        self._filesystem.invalidate_cache(posixpath.dirname(path))
        try:
            info = self._filesystem.info(path)
        except FileNotFoundError:
            return None
        return info.get("size") if info.get("type") == "file" else None


class _Upload:
    """A file that is being written. It is begun with the first byte, so that nothing is begun in vain."""

    def __init__(self, filesystem: Any, path: str, size: int | None) -> None:
        self._filesystem = filesystem
        self._path = path
        self._block = max(_BLOCK, -(-(size or 0) // _MOST_BLOCKS // _MIB) * _MIB)
        self._stream: Any = None
        self.position = 0
        self.finished = False

    def write(self, chunk: bytes) -> None:
        if self._stream is None:
            self._stream = self._begin()
        self._stream.write(chunk)
        self.position += len(chunk)

    def restart(self) -> None:
        self.discard()
        self.position = 0

    def finish(self) -> None:
        if self._stream is None:  # an empty file
            self._stream = self._begin()
        self._stream.close()
        self.finished = True

    def discard(self) -> None:
        stream, self._stream = self._stream, None
        if stream is None:
            return
        # Closing would upload what is there: as would the garbage collection, which closes.
        stream.forced = True
        with suppress(Exception):  # a failure that is known already lets it fail as well
            stream.discard()
        with suppress(Exception):
            stream.close()

    def _begin(self) -> Any:
        try:
            return self._filesystem.open(self._path, "wb", block_size=self._block)
        except FileNotFoundError:  # not an object store: there are folders, and one lacks
            self._filesystem.makedirs(posixpath.dirname(self._path), exist_ok=True)
            return self._filesystem.open(self._path, "wb", block_size=self._block)
