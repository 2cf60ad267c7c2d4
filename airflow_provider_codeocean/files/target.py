"""Where downloaded files go: the common parts of local folders and object stores."""

from __future__ import annotations

import hashlib
import json
import threading
from abc import ABC, abstractmethod
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from airflow_provider_codeocean.api.errors import DownloadFailed
from airflow_provider_codeocean.files.paths import first_few, quoted

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import AbstractContextManager

    from airflow_provider_codeocean.files.source import ListedFile


class Writer(ABC):
    """Writes one file, which does not appear in its place before it is finished.

    :ivar position: bytes written so far, including those of an earlier attempt.
    :ivar validator: validator of these bytes; None if the host sent none, so that nothing may be added.
    """

    position = 0
    validator: str | None = None

    @abstractmethod
    def write(self, chunk: bytes) -> None:
        """Append bytes."""

    @abstractmethod
    def restart(self, validator: str | None) -> None:
        """Discard the bytes written so far.

        :param validator: validator of the bytes to come.
        """

    @abstractmethod
    def finish(self) -> None:
        """Put the file in its place. It replaces a file that is there."""

    def written(self) -> Iterator[bytes]:
        """Read the bytes that an earlier attempt has written.

        :yields: the bytes.
        """
        yield from ()


class Target(ABC):
    """A place for files. It can be used by several threads at once. As a string, it is its address.

    It holds a record for each source that files came from: a hidden file with a line of JSON for each file,
    ``[path below the target, path in the source, listed size, stamp]``. The stamp identifies the file as it
    was written, and changes when somebody replaces it: a file that still has it is not downloaded again.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._source = ""
        self._entries: dict[str, list[Any]] = {}
        self._overwrite = True

    def begin(self, source: str, files: Sequence[ListedFile], *, overwrite: bool) -> None:
        """Read which files are complete.

        :param source: identifies the source, on all deployments.
        :param files: the files to download.
        :param overwrite: whether to replace files that are not known to come from this source.
        :raises DownloadFailed: if there are such files, and they are not to be replaced.
        """
        self._source = source
        self._overwrite = overwrite
        self._reload()
        if not overwrite:
            existing = self._existing([file.below for file in files if file.below not in self._entries])
            if foreign := self._unclaimed(existing):
                raise self._refusal(foreign)

    @abstractmethod
    def open(
        self, file: ListedFile, stop: threading.Event, patience: float
    ) -> AbstractContextManager[Writer | None]:
        """Start or continue to write a file.

        If it is not finished in the end, it is kept hidden, or discarded.

        :param file: the file; its path below the folder that was listed is its path below the target.
        :param stop: ends waiting for another process.
        :param patience: seconds for which another process that writes the same file may write nothing.
        :returns: the writer; None if the file is complete already.
        :raises DownloadFailed: if another process holds the file and writes nothing, or if the file must not
            be replaced.
        :raises ValueError: if its path is not safe to write.
        :raises OSError: if it cannot be written.
        """

    def close(self) -> None:  # noqa: B027 - not every target has something to do
        """Make the files and the record durable."""

    @property
    def _record(self) -> str:
        return f".codeocean-{hashlib.sha256(self._source.encode()).hexdigest()[:24]}.jsonl"

    def _reload(self) -> None:
        with self._lock:
            for line in self._read_record().splitlines():
                with suppress(ValueError, TypeError):  # cut off when a process or machine died
                    below, *entry = json.loads(line)
                    self._entries[below] = entry

    def _add(self, file: ListedFile, stamp: str | None) -> None:
        entry = [file.path, file.size, stamp]
        with self._lock:
            self._entries[file.below] = entry
            self._append_to_record(f"\n{json.dumps([file.below, *entry])}".encode())

    def _is_complete(self, file: ListedFile, stamp: str | None) -> bool:
        """Check whether the file in its place came from this source, completely.

        :param file: the file.
        :param stamp: stamp of the file in its place; None if there is none, empty if the place has no
            stamps.
        :returns: whether it did.
        :raises DownloadFailed: if it did not, and must not be replaced.
        """
        if stamp is None:
            return False
        entry = self._entries.get(file.below)
        if stamp and entry == [file.path, file.size, stamp]:
            return True
        if self._overwrite or (entry and entry[-1] == stamp) or not self._unclaimed([file.below]):
            return False
        self._reload()  # an earlier attempt may still run, and have finished it meanwhile
        if self._entries.get(file.below) != [file.path, file.size, stamp]:
            raise self._refusal([file.below])
        return True

    def _refusal(self, paths: Sequence[str]) -> DownloadFailed:
        return DownloadFailed(
            f"{self} already has {first_few([*map(quoted, paths)])}, not known to come from {self._source}. "
            f"Choose another target, remove the files, or set overwrite=True",
            transient=False,
        )

    def _unclaimed(self, paths: list[str]) -> list[str]:
        """Return the paths without those that an attempt may have written to, and not recorded yet."""
        return paths

    def _stamp_at(self, below: str) -> str | None:  # noqa: ARG002 - by default, nothing is there
        """Return the stamp of the file at a path; None if there is none."""
        return None

    def _existing(self, paths: list[str]) -> list[str]:
        """Return those of the paths that something is at."""
        return [below for below in paths if self._stamp_at(below) is not None]

    def _read_record(self) -> bytes:
        """Return the record, empty if there is none."""
        return b""

    def _append_to_record(self, text: bytes) -> None:  # noqa: B027
        """Append text to the record. Called by one thread at a time."""
