"""Small files, downloaded into memory."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import threading
    from contextlib import AbstractContextManager

    from airflow_provider_codeocean.files.source import ListedFile


class MemoryTarget:
    """Keeps one file in memory; see :class:`~airflow_provider_codeocean.files.target.Target`.

    :param max_bytes: how large it may be.
    :ivar content: the file, once it is whole.
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.content = b""

    def __str__(self) -> str:
        return "memory"

    def open(
        self,
        file: ListedFile,
        source: str,  # noqa: ARG002 - as every target
        stop: threading.Event,  # noqa: ARG002
        patience: float,  # noqa: ARG002
    ) -> AbstractContextManager[_Writer]:
        """Begin to write the file.

        :param file: the file.
        :param source: what it is a file of.
        :param stop: set where nothing is to be waited for any more.
        :param patience: seconds for which another process that writes the file may write nothing.
        :returns: the writer.
        """
        return nullcontext(_Writer(self, file))


class _Writer:
    def __init__(self, target: MemoryTarget, file: ListedFile) -> None:
        self._target = target
        self._file = file
        self._chunks: list[bytes] = []
        self.position = 0

    def write(self, chunk: bytes) -> None:
        """Write what comes next."""
        self.position += len(chunk)
        if self.position > self._target.max_bytes:
            raise ValueError(f"{self._file.path!r} has more than {self._target.max_bytes} bytes")
        self._chunks.append(chunk)

    def restart(self) -> None:
        """Forget what was written."""
        self._chunks.clear()
        self.position = 0

    def finish(self) -> None:
        """Keep the file."""
        self._target.content = b"".join(self._chunks)
