"""Where downloaded files go: what local folders and object stores have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import threading
    from contextlib import AbstractContextManager

    from airflow_provider_codeocean.files.source import ListedFile


class Writer(Protocol):
    """Writes one file. Nothing shows it at its place before it is finished.

    :ivar position: bytes that it has got, also by an earlier try.
    """

    position: int

    def write(self, chunk: bytes) -> None:
        """Write what comes next."""
        ...

    def restart(self) -> None:
        """Forget what was written."""
        ...

    def finish(self) -> None:
        """Put the file in its place, where it replaces one that is there."""
        ...


class Target(Protocol):
    """A place for files. It can be used by several threads at once. As a string, it is its address."""

    def open(
        self, file: ListedFile, source: str, stop: threading.Event, patience: float
    ) -> AbstractContextManager[Writer | None]:
        """Begin to write a file, or go on with it; what is not finished at the end is kept or discarded.

        :param file: the file; the path below the folder that was listed is its path below the target.
        :param source: what it is a file of.
        :param stop: set where nothing is to be waited for any more.
        :param patience: seconds for which another process that writes the file may write nothing.
        :returns: the writer, None where the file is there: as long as it is listed.
        :raises DownloadFailed: where another process has it, and writes nothing.
        :raises ValueError: where its path is not safe to write.
        :raises OSError: where it cannot be written.
        """
        ...
