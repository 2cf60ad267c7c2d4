"""Downloading files: several at a time, in bounded memory, continuing where an earlier attempt broke off."""

from __future__ import annotations

import hashlib
import logging
import random
import threading
import time
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Literal

from airflow_provider_codeocean.api.errors import CodeOceanTransportError, DownloadFailed
from airflow_provider_codeocean.api.security import origin
from airflow_provider_codeocean.api.storage import CHUNK
from airflow_provider_codeocean.files.paths import alike, first_few, quoted, unsafe_reason

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from airflow_provider_codeocean.api.client import CodeOceanClient
    from airflow_provider_codeocean.api.storage import Checksum, FilePart
    from airflow_provider_codeocean.files.source import FileSource, ListedFile
    from airflow_provider_codeocean.files.target import Target, Writer

log = logging.getLogger(__name__)

#: What to do with files whose names are not safe to write.
OnUnsafe = Literal["fail", "skip"]

#: Seconds between two log lines about the progress.
PROGRESS_PAUSE = 10.0
#: Seconds for threads to notice that they should stop; one that waits for a host notices later.
_STOP_SECONDS = 2.0
_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 20.0
_MIB = 1024 * 1024
#: Answers of hosts that send no range, or not this one.
_RANGE_REFUSED = {
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.PRECONDITION_FAILED,
    HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE,
}


@dataclass(frozen=True, slots=True)
class Downloaded:
    """The result of a download.

    :param target: address of the target.
    :param files: number of files, which are all in the target now.
    :param bytes: their size together.
    :param fetched: number of files that this attempt fetched; an earlier attempt fetched the others.
    :param skipped: number of files left out because their names are not safe to write.
    """

    target: str
    files: int
    bytes: int
    fetched: int
    skipped: int = 0


class Download:
    """Fetches files to a target, once.

    A file is complete when it has the listed size and the checksum that its host states, if any. A signed URL
    is requested just before a file is fetched, and again when it has expired or the connection breaks. Then
    the rest of the file is requested, provided that a validator shows that the bytes so far belong to the
    same version; otherwise the file is fetched from its start.

    A file that does not grow by a MiB within the client's ``retry_budget`` is given up at its next failure.

    :param client: the client.
    :param source: the source of the files.
    :param files: the files.
    :param target: their target.
    :param max_parallel: how many are fetched at the same time, from 1.
    :param overwrite: whether to replace files in the target that are not known to come from the source.
    :param on_unsafe: ``fail``, or ``skip`` files whose names are not safe to write.
    :param stop: ends the download when it is set, from another thread or a signal handler.
    :raises ValueError: if a name is not safe to write.
    """

    def __init__(
        self,
        client: CodeOceanClient,
        source: FileSource,
        files: Sequence[ListedFile],
        target: Target,
        *,
        max_parallel: int,
        overwrite: bool = True,
        on_unsafe: OnUnsafe = "fail",
        stop: threading.Event | None = None,
    ) -> None:
        unsafe = {file.below: reason for file in files if (reason := unsafe_reason(file.below))}
        if unsafe:
            problem = first_few([f"{quoted(path)} {reason}" for path, reason in unsafe.items()], "; ")
            if on_unsafe == "fail":
                raise ValueError(
                    f"{source} has file names that are not safe to write: {problem}. Leave them out with "
                    f"exclude=… or on_unsafe='skip'"
                )
            log.warning("Skipped files of %s whose names are not safe to write: %s", source, problem)
        self._files = [file for file in files if file.below not in unsafe]
        for one, other in alike(file.below for file in self._files):
            log.warning("%r and %r are one file to systems that do not distinguish such names", one, other)
        self._client = client
        self._source = source
        self._target = target
        self._overwrite = overwrite
        self._threads = min(max_parallel, len(self._files))
        self._stop = stop or threading.Event()
        self._taking = threading.Lock()
        self._queue: Iterator[ListedFile] = iter(self._files)
        self._progress = _Progress(len(self._files), sum(file.size or 0 for file in self._files), len(unsafe))

    def run(self) -> Downloaded:
        """Fetch the files.

        :returns: the result.
        :raises DownloadFailed: if a file does not arrive completely, cannot or must not be written, or the
            download was stopped. The other threads end, too.
        :raises CodeOceanError: if Code Ocean does not provide a URL.
        """
        workers = ThreadPoolExecutor(max(1, self._threads), thread_name_prefix="codeocean-download")
        pending: set[Future[None]] = set()
        try:
            self._target.begin(self._source.identity, self._files, overwrite=self._overwrite)
            pending = {workers.submit(self._work) for _ in range(self._threads)}
            while pending:
                done, pending = wait(pending, PROGRESS_PAUSE, return_when=FIRST_EXCEPTION)
                for future in done:
                    future.result()
                log.info("%s", self._progress)
            self._target.close()
        except BaseException as error:
            self._stop.set()
            workers.shutdown(wait=False, cancel_futures=True)
            wait([future for future in pending if not future.cancelled()], _STOP_SECONDS)
            with suppress(Exception):  # for the next attempt, which continues with less if this fails
                self._target.close()
            if isinstance(error, OSError):
                raise DownloadFailed(f"{self._target} cannot be used: {error}") from error
            raise
        workers.shutdown()
        return self._progress.result(str(self._target))

    def _work(self) -> None:
        """Fetch one file after the other."""
        while True:
            with self._taking:
                file = next(self._queue, None)
            if file is None:
                return
            if self._stop.is_set():
                raise DownloadFailed("the download was stopped")
            try:
                self._fetch(file)
            except OSError as error:
                raise DownloadFailed(
                    f"{file.path!r} could not be written to {self._target}: {error}"
                ) from error

    def _fetch(self, file: ListedFile) -> None:
        """Fetch a file, unless it is complete."""
        budget = self._client.retry_budget
        # Another process that fetches it with the same connection writes or gives up within this time.
        patience = self._client.storage.chunk_seconds + budget
        with self._target.open(file, self._stop, patience) as writer:
            if writer is not None:
                transfer = _Transfer(file, writer)
                retries = _Retries(budget, self._stop, writer.position)
                while file.size != 0 and not self._receive(transfer, retries):
                    pass
                writer.finish()
        size = (file.size or 0) if writer is None else writer.position
        self._progress.finished(file, size, fetched=writer is not None)

    def _receive(self, transfer: _Transfer, retries: _Retries) -> bool:
        """Receive a file, or the rest of it; return whether it is complete."""
        file, writer, host = transfer.file, transfer.writer, None
        try:
            url = self._source.url_of(file.path)
            host = origin(url)
            with self._client.storage.read(url, writer.position, writer.validator) as part:
                for chunk in transfer.accepted(part):
                    if self._stop.is_set():
                        raise CodeOceanTransportError("the download was stopped")  # noqa: TRY301 - keeps them
                    writer.write(chunk)
                    self._progress.is_at(file, writer.position)
        except (CodeOceanTransportError, DownloadFailed) as error:
            place = f" from {host}" if host else ""
            named = DownloadFailed(
                f"{file.path!r} of {self._source} could not be downloaded{place}: {error}",
                transient=error.transient,
            )
            position = writer.position
            if not _can_continue(writer, error):
                writer.restart(None)
            retries.wait(error, named, position)
            return False
        return True


class _Transfer:
    """Checks the responses with one file: nothing of a response that contradicts the file is kept."""

    def __init__(self, file: ListedFile, writer: Writer) -> None:
        self.file = file
        self.writer = writer
        self._checksum: Checksum | None = None
        self._hash: Any = None
        self._mismatch = b""
        self._is_first = True

    def accepted(self, part: FilePart) -> Iterator[bytes]:
        """Check a response.

        :param part: the response.
        :yields: bytes to write before the next ones are requested.
        :raises DownloadFailed: if it does not continue the bytes so far, or does not end as it should.
        """
        size = self._check(part)
        if part.start == 0:
            self.writer.restart(part.validator)
            self._expect(part.checksum, ())
        elif self._is_first:
            self._expect(part.checksum, self.writer.written())
        self._is_first = False
        for chunk in part.chunks:
            received = self.writer.position + len(chunk)
            if received > size:
                raise DownloadFailed(f"its host sends {received} bytes or more")
            if self._hash is not None:
                self._hash.update(chunk)
            yield chunk
        if self.writer.position != size:
            ended = "its host ended too early"
            raise DownloadFailed(ended) if part.size is None else CodeOceanTransportError(ended)
        self._verify()

    def _check(self, part: FilePart) -> int:
        size = part.size if self.file.size is None else self.file.size
        if part.size not in {None, size}:
            raise DownloadFailed(
                f"its host sends {part.size} bytes, but Code Ocean lists {size}: the file has changed, or a "
                "proxy has sent a page"
            )
        is_trusted = part.checksum is not None or part.is_object_store
        if size is None or (self.file.size is None and size > 0 and not is_trusted):
            # The page of a proxy can have a length and a validator, too.
            raise DownloadFailed(
                "Code Ocean does not list its size, and its host, which is no known object store, does not "
                "state both size and checksum"
            )
        if part.start not in {0, self.writer.position}:
            raise DownloadFailed(f"its host sends from byte {part.start} on")
        if part.start != 0 and part.validator != self.writer.validator:
            raise DownloadFailed("it changed while it was downloaded")
        return size

    def _expect(self, checksum: Checksum | None, written: Iterator[bytes] | tuple[()]) -> None:
        self._checksum = checksum
        self._hash = hashlib.new(checksum.algorithm, usedforsecurity=False) if checksum else None
        if self._hash is not None:
            for chunk in written:
                self._hash.update(chunk)

    def _verify(self) -> None:
        if self._checksum is None or self._hash.digest() == self._checksum.digest:
            return
        digest = self._hash.digest()
        if not self._checksum.is_certain and digest == self._mismatch:
            # Bytes that arrive twice were not damaged on the way.
            log.warning("The ETag of %r is not its MD5, although its host looks like S3", self.file.path)
            return
        self._mismatch = digest
        raise DownloadFailed(
            f"its {self._checksum.algorithm} is {digest.hex()}, but its host states "
            f"{self._checksum.digest.hex()}"
        )


def _can_continue(writer: Writer, error: CodeOceanTransportError | DownloadFailed) -> bool:
    """Check whether the bytes so far may be continued after an error."""
    if isinstance(error, DownloadFailed) or writer.validator is None:
        return False
    return getattr(error, "status", None) not in _RANGE_REFUSED


class _Retries:
    """Waits between the requests for one file, within a time budget that starts again with each MiB."""

    def __init__(self, budget: float, stop: threading.Event, position: int) -> None:
        self._budget = budget
        self._stop = stop
        self._furthest = position
        self._since = time.monotonic()
        self._failures = 0

    def wait(
        self, error: CodeOceanTransportError | DownloadFailed, named: DownloadFailed, position: int
    ) -> None:
        """Wait before the next request, or raise the error if it is permanent or the budget is spent.

        :param error: the error.
        :param named: the same with the name of the file, which is raised.
        :param position: bytes received when it occurred.
        """
        if position >= self._furthest + CHUNK:
            self._furthest, self._since, self._failures = position, time.monotonic(), 0
        pause = random.uniform(0, min(_LONGEST_PAUSE, _FIRST_PAUSE * 2**self._failures))  # noqa: S311 - jitter
        pause += getattr(error, "retry_after", None) or 0.0
        self._failures += 1
        if not error.transient or time.monotonic() + pause > self._since + self._budget:
            raise named from error
        log.log(
            logging.WARNING if self._failures == 1 else logging.INFO, "%s; retrying in %.1f s", named, pause
        )
        if self._stop.wait(pause):
            raise named from error


class _Progress:
    """The progress of a download. As a string, it is a line for the log."""

    def __init__(self, files: int, size: int, skipped: int) -> None:
        self._files, self._size, self._skipped = files, size, skipped
        self._done = self._fetched = self._done_bytes = 0
        self._current: dict[ListedFile, int] = {}
        self._lock = threading.Lock()

    def is_at(self, file: ListedFile, position: int) -> None:
        with self._lock:
            self._current[file] = position

    def finished(self, file: ListedFile, size: int, *, fetched: bool) -> None:
        with self._lock:
            self._current.pop(file, None)
            self._done += 1
            self._done_bytes += size
            self._fetched += fetched

    def result(self, target: str) -> Downloaded:
        return Downloaded(target, self._files, self._done_bytes, self._fetched, self._skipped)

    def __str__(self) -> str:
        with self._lock:
            received = self._done_bytes + sum(self._current.values())
            return (
                f"{self._done} of {self._files} files are there ({self._fetched} were fetched), "
                f"{received / _MIB:.1f} of {self._size / _MIB:.1f} MiB"
            )
