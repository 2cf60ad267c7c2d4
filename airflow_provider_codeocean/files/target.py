"""Base classes of download targets, shared by local folders and object stores."""

from __future__ import annotations

import hashlib
import json
import threading
from abc import ABC, abstractmethod
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from airflow_provider_codeocean.api.errors import DownloadFailed
from airflow_provider_codeocean.files.paths import join_first_items, quote_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import AbstractContextManager

    from airflow_provider_codeocean.files.source import ListedFile


class FileWriter(ABC):
    """Writes a file, which appears at its final path only when it is finished.

    :ivar position: number of bytes written so far, including those of an earlier attempt.
    :ivar validator: validator of these bytes; None if the host sent none, so that they cannot be continued.
    """

    position = 0
    validator: str | None = None

    @abstractmethod
    def write(self, chunk: bytes) -> None:
        """Append bytes."""

    @abstractmethod
    def restart(self, validator: str | None) -> None:
        """Discard the bytes written so far.

        :param validator: validator of the following bytes.
        """

    @abstractmethod
    def finish(self) -> None:
        """Move the file to its final path, replacing an existing file."""

    def iter_written(self) -> Iterator[bytes]:
        """Read the bytes that an earlier attempt wrote.

        :yields: the bytes.
        """
        yield from ()


class DownloadTarget(ABC):
    """A target for files. It is thread-safe; ``str()`` returns its address.

    It contains a record for each source of files: a hidden file with a line of JSON for each downloaded file,
    ``[path below the target, path in the source, listed size, stamp]``. The stamp changes if the file is
    replaced: a file with the recorded stamp is not downloaded again.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._source_identity = ""
        self._record_entries: dict[str, list[Any]] = {}
        self._overwrite = True

    def prepare(self, source_identity: str, files: Sequence[ListedFile], *, overwrite: bool) -> None:
        """Read the record of complete files, and check that no other files would be replaced.

        :param source_identity: identifies the source across all deployments.
        :param files: the files to download.
        :param overwrite: whether to replace files that are not known to come from this source.
        :raises DownloadFailed: if such files exist and ``overwrite`` is false.
        """
        self._source_identity = source_identity
        self._overwrite = overwrite
        self._load_record()
        if not overwrite:
            existing = self._find_existing(
                [file.relative_path for file in files if file.relative_path not in self._record_entries]
            )
            if unknown_paths := self._exclude_marked(existing):
                raise self._overwrite_error(unknown_paths)

    @abstractmethod
    def open(
        self, file: ListedFile, stop: threading.Event, stall_timeout: float
    ) -> AbstractContextManager[FileWriter | None]:
        """Start or continue writing a file.

        An unfinished file is kept hidden or discarded on exit.

        :param file: the file, which is written to its relative path below the target.
        :param stop: stops waiting for another process.
        :param stall_timeout: maximum seconds without progress of another process that writes the same file.
        :returns: the writer; None if the file is complete already.
        :raises DownloadFailed: if another process locks the file without progress, or an existing file must
            not be replaced.
        :raises ValueError: if its path is unsafe.
        :raises OSError: if it cannot be written.
        """

    def close(self) -> None:  # noqa: B027 - not every target has something to do
        """Sync the files and the record to storage."""

    @property
    def _record_name(self) -> str:
        return f".codeocean-{hashlib.sha256(self._source_identity.encode()).hexdigest()[:24]}.jsonl"

    def _load_record(self) -> None:
        with self._lock:
            for line in self._read_record().splitlines():
                with suppress(ValueError, TypeError):  # truncated by a crash of the process or machine
                    relative_path, *entry = json.loads(line)
                    self._record_entries[relative_path] = entry

    def _record_file(self, file: ListedFile, fingerprint: str | None) -> None:
        entry = [file.path, file.size, fingerprint]
        with self._lock:
            self._record_entries[file.relative_path] = entry
            self._append_to_record(f"\n{json.dumps([file.relative_path, *entry])}".encode())

    def _is_complete(self, file: ListedFile, fingerprint: str | None) -> bool:
        """Return whether the existing file is a complete download from this source.

        :param file: the file.
        :param fingerprint: stamp of the existing file; None if there is no file, empty if the target does not
            support stamps.
        :returns: whether it is complete.
        :raises DownloadFailed: if it is not, and must not be replaced.
        """
        if fingerprint is None:
            return False
        entry = self._record_entries.get(file.relative_path)
        if fingerprint and entry == [file.path, file.size, fingerprint]:
            return True
        if (
            self._overwrite
            or (entry and entry[-1] == fingerprint)
            or not self._exclude_marked([file.relative_path])
        ):
            return False
        self._load_record()  # an earlier attempt may still be running and have finished the file
        if self._record_entries.get(file.relative_path) != [file.path, file.size, fingerprint]:
            raise self._overwrite_error([file.relative_path])
        return True

    def _overwrite_error(self, paths: Sequence[str]) -> DownloadFailed:
        return DownloadFailed(
            f"{self} already has {join_first_items([*map(quote_name, paths)])}, not known to come from "
            f"{self._source_identity}. "
            f"Choose another target, remove the files, or set overwrite=True",
            is_transient=False,
        )

    def _exclude_marked(self, paths: list[str]) -> list[str]:
        """Remove paths that an earlier attempt may have written to without recording them."""
        return paths

    def _get_fingerprint(self, relative_path: str) -> str | None:  # noqa: ARG002 - by default, nothing is there
        """Return the stamp of the file at a path; None if there is no file."""
        return None

    def _find_existing(self, paths: list[str]) -> list[str]:
        """Return the existing ones of the paths."""
        return [path for path in paths if self._get_fingerprint(path) is not None]

    def _read_record(self) -> bytes:
        """Return the record; empty if there is none."""
        return b""

    def _append_to_record(self, lines: bytes) -> None:  # noqa: B027
        """Append text to the record. It is called by one thread at a time."""
