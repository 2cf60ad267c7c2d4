"""Download a small file into memory."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING

from airflow_provider_codeocean.files.target import DownloadTarget, FileWriter

if TYPE_CHECKING:
    import threading
    from contextlib import AbstractContextManager

    from airflow_provider_codeocean.files.source import ListedFile


class MemoryTarget(DownloadTarget):
    """A target that keeps one file in memory.

    :param max_bytes: maximum size of the file.
    :ivar content: the content of the file, when it is complete.
    """

    def __init__(self, max_bytes: int) -> None:
        super().__init__()
        self.max_bytes = max_bytes
        self.content = b""

    def __str__(self) -> str:
        return "memory"

    def open(
        self,
        file: ListedFile,
        stop: threading.Event,  # noqa: ARG002 - the signature of every target
        stall_timeout: float,  # noqa: ARG002
    ) -> AbstractContextManager[FileWriter]:
        """Start writing the file; see the base class."""
        return nullcontext(_MemoryWriter(self, file))


class _MemoryWriter(FileWriter):
    def __init__(self, target: MemoryTarget, file: ListedFile) -> None:
        self._target = target
        self._file = file
        self._chunks: list[bytes] = []

    def write(self, chunk: bytes) -> None:
        self.position += len(chunk)
        if self.position > self._target.max_bytes:
            raise ValueError(f"{self._file.path!r} has more than {self._target.max_bytes} bytes")
        self._chunks.append(chunk)

    def restart(self, validator: str | None) -> None:
        self._chunks.clear()
        self.position = 0
        self.validator = validator

    def finish(self) -> None:
        self._target.content = b"".join(self._chunks)
