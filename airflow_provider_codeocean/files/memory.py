"""Small files, downloaded into memory."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING

from airflow_provider_codeocean.files.target import Target, Writer

if TYPE_CHECKING:
    import threading
    from contextlib import AbstractContextManager

    from airflow_provider_codeocean.files.source import ListedFile


class MemoryTarget(Target):
    """Keeps one file in memory.

    :param max_bytes: how large it may be.
    :ivar content: the file, once it is complete.
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
        patience: float,  # noqa: ARG002
    ) -> AbstractContextManager[Writer]:
        """Start to write the file; see the base class."""
        return nullcontext(_Writer(self, file))


class _Writer(Writer):
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
