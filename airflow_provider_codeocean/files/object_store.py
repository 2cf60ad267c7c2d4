"""Download to an object store, or to any other file system of fsspec."""

from __future__ import annotations

import hashlib
import logging
import posixpath
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from airflow_provider_codeocean.api.errors import DownloadFailed
from airflow_provider_codeocean.files.paths import split_safe_path
from airflow_provider_codeocean.files.target import DownloadTarget, FileWriter

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterator

    from airflow_provider_codeocean.files.source import ListedFile

log = logging.getLogger(__name__)

_MIB = 1024 * 1024
#: Bytes per upload part: the default of s3fs would keep 50 MiB of each file in memory.
_MIN_BLOCK_BYTES = 8 * _MIB
#: Maximum number of parts of an upload: stores allow 10,000.
_MAX_BLOCKS = 9_000
#: Above this number of files, a single listing determines which of them exist.
_MAX_SINGLE_CHECKS = 100
#: Minimum seconds between updates of the record, each of which rewrites it; longer if updates are slow.
_RECORD_INTERVAL_SECONDS = 10.0
#: Names that file systems use for the properties that change when an object is replaced.
_FINGERPRINT_FIELDS = (
    "ETag",
    "etag",
    "generation",
    "VersionId",
    "LastModified",
    "last_modified",
    "updated",
    "mtime",
    "created",
)


class ObjectStoreTarget(DownloadTarget):
    """A folder in an object store, in which a file appears when it is complete.

    An interrupted upload is discarded.

    With ``overwrite=False``, an empty hidden object marks the path of a file from the start of its upload
    until the record contains the file. A retry after a kill replaces files at marked paths.

    :param address: the address, for logs.
    :param filesystem: the fsspec file system.
    :param root: path in this file system: bucket and prefix.
    """

    def __init__(self, address: str, filesystem: Any, root: str) -> None:
        super().__init__()
        self._address = address
        self._filesystem = filesystem
        self._root = root
        self._has_visible_partial_files: bool | None = None
        self._unsaved_lines = b""
        self._obsolete_markers: list[str] = []
        self._next_save_at = time.monotonic() + _RECORD_INTERVAL_SECONDS

    def __str__(self) -> str:
        return self._address

    @contextmanager
    def open(
        self,
        file: ListedFile,
        stop: threading.Event,  # noqa: ARG002 - nothing is kept of a file that is not complete
        stall_timeout: float,  # noqa: ARG002
    ) -> Iterator[FileWriter | None]:
        """Start writing a file; see the base class."""
        path = posixpath.join(self._root, *split_safe_path(file.relative_path))
        before = self._get_fingerprint(file.relative_path)
        if self._is_complete(file, before):
            yield None
            return

        marker = posixpath.join(self._root, self._marker_name(file.relative_path))

        def record_start() -> None:
            if self._has_visible_partial_files is None:
                self._has_visible_partial_files = self._get_fingerprint(file.relative_path) != before

        upload = _Upload(self._filesystem, path, file.size, lambda: self._create_marker(marker), record_start)
        try:
            yield upload
        finally:
            if not upload.is_finished:
                upload.discard()
                if upload.has_started and self._has_visible_partial_files and self._get_info(path):
                    self._filesystem.rm_file(path)
                if before is None:
                    self._delete_markers([marker])
        if upload.is_finished:
            expected, size = file.size or upload.position, self._get_info(path).get("size")
            if size != expected:
                with suppress(FileNotFoundError):
                    self._filesystem.rm_file(path)
                self._delete_markers([marker])
                raise DownloadFailed(f"{file.path!r} has {size} bytes in {self}, expected {expected}")
            self._record_file(file, self._get_fingerprint(file.relative_path))
            with self._lock:
                self._obsolete_markers.append(marker)

    def close(self) -> None:
        """Save the record."""
        with self._lock:
            self._save_record()

    def _marker_name(self, relative_path: str) -> str:
        digest = hashlib.sha256(f"{self._source_identity}\0{relative_path}".encode()).hexdigest()
        return f".codeocean-{digest[:24]}.uploading"

    def _exclude_marked(self, paths: list[str]) -> list[str]:
        names = [self._marker_name(path) for path in paths]
        markers = set(self._find_existing(names))
        return [path for path, name in zip(paths, names, strict=True) if name not in markers]

    def _create_marker(self, path: str) -> None:
        if not self._overwrite:
            with suppress(Exception):  # without a marker, a retry after a kill does not replace the file
                _write_creating_folder(self._filesystem, path, lambda: self._filesystem.pipe_file(path, b""))

    def _delete_markers(self, paths: list[str]) -> None:
        if paths and not self._overwrite:
            with suppress(Exception):  # a remaining marker only allows a retry to replace the file
                self._filesystem.rm(paths)

    def _get_fingerprint(self, relative_path: str) -> str | None:
        info = self._get_info(posixpath.join(self._root, relative_path))
        if not info:
            return None
        return "|".join(str(info[name]) for name in _FINGERPRINT_FIELDS if info.get(name) is not None)

    def _find_existing(self, paths: list[str]) -> list[str]:
        if len(paths) <= _MAX_SINGLE_CHECKS:
            return super()._find_existing(paths)
        self._filesystem.invalidate_cache(self._root)
        names = {name.strip("/") for name in self._filesystem.find(self._root)}
        return [path for path in paths if posixpath.join(self._root, path).strip("/") in names]

    def _get_info(self, path: str) -> dict[str, Any]:
        """Return the properties of a file, bypassing caches; empty if it does not exist."""
        self._filesystem.invalidate_cache(posixpath.dirname(path))
        try:
            info: dict[str, Any] = self._filesystem.info(path)
        except FileNotFoundError:
            return {}
        return info if info.get("type") == "file" else {}

    def _read_record(self) -> bytes:
        try:
            content: bytes = self._filesystem.cat_file(posixpath.join(self._root, self._record_name))
        except FileNotFoundError:
            return b""
        return content

    def _append_to_record(self, lines: bytes) -> None:
        self._unsaved_lines += lines
        if time.monotonic() >= self._next_save_at:
            self._save_record()

    def _save_record(self) -> None:
        if not self._unsaved_lines and not self._obsolete_markers:
            return
        path = posixpath.join(self._root, self._record_name)
        start = time.monotonic()
        try:
            # Another task may have changed the record.
            content = self._read_record() + self._unsaved_lines
            _write_creating_folder(self._filesystem, path, lambda: self._filesystem.pipe_file(path, content))
        except Exception as error:  # noqa: BLE001 - each store has errors of its own; the files are there
            log.warning("%s could not be written, so that a retry downloads the files again: %s", path, error)
        else:
            self._unsaved_lines = b""
            self._delete_markers(self._obsolete_markers)
            self._obsolete_markers = []
        now = time.monotonic()
        self._next_save_at = now + max(_RECORD_INTERVAL_SECONDS, 20 * (now - start))


class _Upload(FileWriter):
    """An upload in progress. It starts with the first byte, so that no upload is started needlessly."""

    def __init__(
        self,
        filesystem: Any,
        path: str,
        size: int | None,
        before_start: Callable[[], None],
        after_start: Callable[[], None],
    ) -> None:
        self._filesystem = filesystem
        self._path = path
        self._block_bytes = max(_MIN_BLOCK_BYTES, -(-(size or 0) // _MAX_BLOCKS // _MIB) * _MIB)
        self._stream: Any = None
        self._before_start = before_start
        self._after_start = after_start
        self.has_started = self.is_finished = False

    def write(self, chunk: bytes) -> None:
        if self._stream is None:
            self._start()
        self._stream.write(chunk)
        self.position += len(chunk)

    def restart(self, validator: str | None) -> None:
        self.discard()
        self.position = 0
        self.validator = validator

    def finish(self) -> None:
        if self._stream is None:  # an empty file
            self._start()
        self._stream.close()
        self.is_finished = True

    def discard(self) -> None:
        stream, self._stream = self._stream, None
        if stream is None:
            return
        # Closing would upload the partial file, and garbage collection would close it.
        stream.forced = True
        with suppress(Exception):  # a failed upload, which is reported already, can cause further errors
            stream.discard()
        with suppress(Exception):
            stream.close()

    def _start(self) -> None:
        def start() -> Any:
            return self._filesystem.open(self._path, "wb", block_size=self._block_bytes)

        self._before_start()
        self._stream = _write_creating_folder(self._filesystem, self._path, start)
        self.has_started = True
        self._after_start()


def _write_creating_folder(filesystem: Any, path: str, write: Callable[[], Any]) -> Any:
    """Write a file, after creating its folder if the file system has folders."""
    try:
        return write()
    except FileNotFoundError:
        filesystem.makedirs(posixpath.dirname(path), exist_ok=True)
        return write()
