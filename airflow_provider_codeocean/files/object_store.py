"""Downloading to an object store, or whatever else fsspec writes to."""

from __future__ import annotations

import hashlib
import logging
import posixpath
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from airflow_provider_codeocean.api.errors import DownloadFailed
from airflow_provider_codeocean.files.paths import parts_of
from airflow_provider_codeocean.files.target import Target, Writer

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterator

    from airflow_provider_codeocean.files.source import ListedFile

log = logging.getLogger(__name__)

_MIB = 1024 * 1024
#: Bytes that are uploaded at a time: s3fs would keep 50 MiB of each file in memory.
_BLOCK = 8 * _MIB
#: The most parts of an upload: stores allow 10,000.
_MAX_BLOCKS = 9_000
#: Beyond this number of files, one listing shows which of them are there.
_MAX_SINGLE_CHECKS = 100
#: Seconds between two updates of the record, which is replaced as a whole; more if an update takes long.
_RECORD_SECONDS = 10.0
#: What file systems call the properties that change when an object is replaced.
_STAMPS = (
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


class StoreTarget(Target):
    """A place in an object store. A file appears there when it is complete.

    An upload that breaks off is discarded.

    With ``overwrite=False``, an empty hidden object claims the place of a file from the start of its upload
    until the record contains it. A retry after a kill replaces files in claimed places.

    :param address: the address, for logs.
    :param filesystem: the fsspec file system.
    :param root: the place, as a path of this file system: bucket and prefix.
    """

    def __init__(self, address: str, filesystem: Any, root: str) -> None:
        super().__init__()
        self._address = address
        self._filesystem = filesystem
        self._root = root
        self._shows_early: bool | None = None
        self._unsaved = b""
        self._recorded_claims: list[str] = []
        self._next_save = time.monotonic() + _RECORD_SECONDS

    def __str__(self) -> str:
        return self._address

    @contextmanager
    def open(
        self,
        file: ListedFile,
        stop: threading.Event,  # noqa: ARG002 - nothing is kept of a file that is not complete
        patience: float,  # noqa: ARG002
    ) -> Iterator[Writer | None]:
        """Start to write a file; see the base class."""
        path = posixpath.join(self._root, *parts_of(file.below))
        before = self._stamp_at(file.below)
        if self._is_complete(file, before):
            yield None
            return

        claim = posixpath.join(self._root, self._claim_name(file.below))

        def started() -> None:
            if self._shows_early is None:
                self._shows_early = self._stamp_at(file.below) != before

        upload = _Upload(self._filesystem, path, file.size, lambda: self._claim(claim), started)
        try:
            yield upload
        finally:
            if not upload.is_finished:
                upload.discard()
                if upload.has_started and self._shows_early and self._info(path):
                    self._filesystem.rm_file(path)
                if before is None:
                    self._unclaim([claim])
        if upload.is_finished:
            expected, size = file.size or upload.position, self._info(path).get("size")
            if size != expected:
                with suppress(FileNotFoundError):
                    self._filesystem.rm_file(path)
                self._unclaim([claim])
                raise DownloadFailed(f"{file.path!r} has {size} bytes in {self}, expected {expected}")
            self._add(file, self._stamp_at(file.below))
            with self._lock:
                self._recorded_claims.append(claim)

    def close(self) -> None:
        """Save the record."""
        with self._lock:
            self._save()

    def _claim_name(self, below: str) -> str:
        digest = hashlib.sha256(f"{self._source}\0{below}".encode()).hexdigest()
        return f".codeocean-{digest[:24]}.claim"

    def _unclaimed(self, paths: list[str]) -> list[str]:
        names = [self._claim_name(below) for below in paths]
        claims = set(self._existing(names))
        return [below for below, name in zip(paths, names, strict=True) if name not in claims]

    def _claim(self, path: str) -> None:
        if not self._overwrite:
            with suppress(Exception):  # without a claim, a retry after a kill does not replace the file
                _in_its_folder(self._filesystem, path, lambda: self._filesystem.pipe_file(path, b""))

    def _unclaim(self, paths: list[str]) -> None:
        if paths and not self._overwrite:
            with suppress(Exception):  # a claim that stays only allows a retry to replace the file
                self._filesystem.rm(paths)

    def _stamp_at(self, below: str) -> str | None:
        info = self._info(posixpath.join(self._root, below))
        if not info:
            return None
        return "|".join(str(info[name]) for name in _STAMPS if info.get(name) is not None)

    def _existing(self, paths: list[str]) -> list[str]:
        if len(paths) <= _MAX_SINGLE_CHECKS:
            return super()._existing(paths)
        self._filesystem.invalidate_cache(self._root)
        names = {name.strip("/") for name in self._filesystem.find(self._root)}
        return [below for below in paths if posixpath.join(self._root, below).strip("/") in names]

    def _info(self, path: str) -> dict[str, Any]:
        """Return the properties of a file, from the store and not a cache; none if it is not there."""
        self._filesystem.invalidate_cache(posixpath.dirname(path))
        try:
            info: dict[str, Any] = self._filesystem.info(path)
        except FileNotFoundError:
            return {}
        return info if info.get("type") == "file" else {}

    def _read_record(self) -> bytes:
        try:
            content: bytes = self._filesystem.cat_file(posixpath.join(self._root, self._record))
        except FileNotFoundError:
            return b""
        return content

    def _append_to_record(self, text: bytes) -> None:
        self._unsaved += text
        if time.monotonic() >= self._next_save:
            self._save()

    def _save(self) -> None:
        if not self._unsaved and not self._recorded_claims:
            return
        path = posixpath.join(self._root, self._record)
        start = time.monotonic()
        try:
            # Another task may have added to it.
            content = self._read_record() + self._unsaved
            _in_its_folder(self._filesystem, path, lambda: self._filesystem.pipe_file(path, content))
        except Exception as error:  # noqa: BLE001 - each store has errors of its own; the files are there
            log.warning("%s could not be written, so that a retry downloads the files again: %s", path, error)
        else:
            self._unsaved = b""
            self._unclaim(self._recorded_claims)
            self._recorded_claims = []
        now = time.monotonic()
        self._next_save = now + max(_RECORD_SECONDS, 20 * (now - start))


class _Upload(Writer):
    """A file that is being uploaded. The upload starts with the first byte, so that none starts in vain."""

    def __init__(
        self,
        filesystem: Any,
        path: str,
        size: int | None,
        starting: Callable[[], None],
        started: Callable[[], None],
    ) -> None:
        self._filesystem = filesystem
        self._path = path
        self._block = max(_BLOCK, -(-(size or 0) // _MAX_BLOCKS // _MIB) * _MIB)
        self._stream: Any = None
        self._starting = starting
        self._started = started
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
        # Closing would upload what is there, and garbage collection closes.
        stream.forced = True
        with suppress(Exception):  # the failure of the upload, which is known already, can cause others
            stream.discard()
        with suppress(Exception):
            stream.close()

    def _start(self) -> None:
        def start() -> Any:
            return self._filesystem.open(self._path, "wb", block_size=self._block)

        self._starting()
        self._stream = _in_its_folder(self._filesystem, self._path, start)
        self.has_started = True
        self._started()


def _in_its_folder(filesystem: Any, path: str, write: Callable[[], Any]) -> Any:
    """Write a file, after creating its folder if there are folders, unlike in an object store."""
    try:
        return write()
    except FileNotFoundError:
        filesystem.makedirs(posixpath.dirname(path), exist_ok=True)
        return write()
