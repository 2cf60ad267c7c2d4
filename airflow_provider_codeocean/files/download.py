"""Download files in parallel, with bounded memory, and resume after interruptions."""

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
from airflow_provider_codeocean.api.security import url_origin
from airflow_provider_codeocean.api.storage import CHUNK_BYTES
from airflow_provider_codeocean.files.paths import (
    explain_unsafe_path,
    find_colliding_paths,
    join_first_items,
    quote_name,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from airflow_provider_codeocean.api.client import CodeOceanClient
    from airflow_provider_codeocean.api.storage import Checksum, FileResponse
    from airflow_provider_codeocean.files.source import FileSource, ListedFile
    from airflow_provider_codeocean.files.target import DownloadTarget, FileWriter

log = logging.getLogger(__name__)

#: How to handle files with unsafe names.
OnUnsafe = Literal["fail", "skip"]

#: Seconds between log lines about the progress.
PROGRESS_INTERVAL_SECONDS = 10.0
#: Seconds for threads to notice that they should stop; a thread that waits for a host notices later.
_STOP_TIMEOUT_SECONDS = 2.0
_FIRST_DELAY_SECONDS = 0.5
_MAX_DELAY_SECONDS = 20.0
_MIB = 1024 * 1024
#: Statuses of hosts that do not support ranges, or not the requested range.
_RANGE_ERROR_STATUSES = {
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.PRECONDITION_FAILED,
    HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE,
}


@dataclass(frozen=True, slots=True)
class DownloadResult:
    """The result of a download.

    :param target: address of the target.
    :param files: number of files, all of which are in the target now.
    :param bytes: total size of these files.
    :param downloaded: number of files that this attempt downloaded; an earlier attempt downloaded the rest.
    :param skipped: number of files skipped because of unsafe names.
    """

    target: str
    files: int
    bytes: int
    downloaded: int
    skipped: int = 0


class Download:
    """Downloads files to a target. An instance runs once.

    A file is complete when it has the listed size and, if its host reports a checksum, that checksum. A
    signed URL is requested just before the file is downloaded, and again when it has expired or the
    connection breaks. The download then continues if a validator shows that the received bytes belong to the
    same version; otherwise it starts over.

    If a file does not grow by a MiB within the client's ``retry_budget``, its next error is raised.

    :param client: the client.
    :param source: the source of the files.
    :param files: the files.
    :param target: the target.
    :param max_parallel: maximum number of parallel downloads, from 1.
    :param overwrite: whether to replace files in the target that are not known to come from the source.
    :param on_unsafe: ``fail`` for unsafe names, or ``skip`` these files.
    :param stop: stops the download when it is set, from another thread or a signal handler.
    :raises ValueError: if a name is unsafe.
    """

    def __init__(
        self,
        client: CodeOceanClient,
        source: FileSource,
        files: Sequence[ListedFile],
        target: DownloadTarget,
        *,
        max_parallel: int,
        overwrite: bool = True,
        on_unsafe: OnUnsafe = "fail",
        stop: threading.Event | None = None,
    ) -> None:
        unsafe = {
            file.relative_path: reason
            for file in files
            if (reason := explain_unsafe_path(file.relative_path))
        }
        if unsafe:
            problem = join_first_items(
                [f"{quote_name(path)} {reason}" for path, reason in unsafe.items()], "; "
            )
            if on_unsafe == "fail":
                raise ValueError(
                    f"{source} has file names that are not safe to write: {problem}. Leave them out with "
                    f"exclude=… or on_unsafe='skip'"
                )
            log.warning("Skipped files of %s whose names are not safe to write: %s", source, problem)
        self._files = [file for file in files if file.relative_path not in unsafe]
        for first, second in find_colliding_paths(file.relative_path for file in self._files):
            log.warning(
                "%r and %r are the same file on systems that do not distinguish such names", first, second
            )
        self._client = client
        self._source = source
        self._target = target
        self._overwrite = overwrite
        self._thread_count = min(max_parallel, len(self._files))
        self._stop = stop or threading.Event()
        self._queue_lock = threading.Lock()
        self._queue: Iterator[ListedFile] = iter(self._files)
        self._progress = _Progress(len(self._files), sum(file.size or 0 for file in self._files), len(unsafe))

    def run(self) -> DownloadResult:
        """Download the files.

        :returns: the result.
        :raises DownloadFailed: if a file cannot be downloaded completely, cannot or must not be written, or
            the download was stopped. All threads stop.
        :raises CodeOceanError: if Code Ocean does not provide a URL.
        """
        workers = ThreadPoolExecutor(max(1, self._thread_count), thread_name_prefix="codeocean-download")
        pending: set[Future[None]] = set()
        try:
            self._target.prepare(self._source.identity, self._files, overwrite=self._overwrite)
            pending = {workers.submit(self._download_queued_files) for _ in range(self._thread_count)}
            while pending:
                done, pending = wait(pending, PROGRESS_INTERVAL_SECONDS, return_when=FIRST_EXCEPTION)
                for future in done:
                    future.result()
                log.info("%s", self._progress)
            self._target.close()
        except BaseException as error:
            self._stop.set()
            workers.shutdown(wait=False, cancel_futures=True)
            wait([future for future in pending if not future.cancelled()], _STOP_TIMEOUT_SECONDS)
            with suppress(Exception):  # helps the next attempt, but is not required
                self._target.close()
            if isinstance(error, OSError):
                raise DownloadFailed(f"{self._target} cannot be used: {error}") from error
            raise
        workers.shutdown()
        return self._progress.result(str(self._target))

    def _download_queued_files(self) -> None:
        """Download files from the queue, one after the other."""
        while True:
            with self._queue_lock:
                file = next(self._queue, None)
            if file is None:
                return
            if self._stop.is_set():
                raise DownloadFailed("the download was stopped")
            try:
                self._download_file(file)
            except OSError as error:
                raise DownloadFailed(
                    f"{file.path!r} could not be written to {self._target}: {error}"
                ) from error

    def _download_file(self, file: ListedFile) -> None:
        """Download a file, unless it is complete."""
        budget = self._client.retry_budget
        # Another process that downloads it with the same connection makes progress or fails within this time.
        stall_timeout = self._client.storage.chunk_timeout + budget
        with self._target.open(file, self._stop, stall_timeout) as writer:
            if writer is not None:
                transfer = _ResponseChecker(file, writer)
                retries = _RetryBudget(budget, self._stop, writer.position)
                while file.size != 0 and not self._receive(transfer, retries):
                    pass
                writer.finish()
        size = (file.size or 0) if writer is None else writer.position
        self._progress.record_file(file, size, downloaded=writer is not None)

    def _receive(self, checker: _ResponseChecker, retries: _RetryBudget) -> bool:
        """Receive a file or the rest of it, and return whether it is complete."""
        file, writer, host = checker.file, checker.writer, None
        try:
            url = self._source.get_url(file.path)
            host = url_origin(url)
            with self._client.storage.read(url, writer.position, writer.validator) as part:
                for chunk in checker.iter_checked_chunks(part):
                    if self._stop.is_set():
                        raise CodeOceanTransportError("the download was stopped")  # noqa: TRY301 - keeps them
                    writer.write(chunk)
                    self._progress.set_position(file, writer.position)
        except (CodeOceanTransportError, DownloadFailed) as error:
            origin = f" from {host}" if host else ""
            file_error = DownloadFailed(
                f"{file.path!r} of {self._source} could not be downloaded{origin}: {error}",
                is_transient=error.is_transient,
            )
            position = writer.position
            if not _can_continue(writer, error):
                writer.restart(None)
            retries.wait_or_raise(error, file_error, position)
            return False
        return True


class _ResponseChecker:
    """Checks the responses for one file, and discards those that contradict the file."""

    def __init__(self, file: ListedFile, writer: FileWriter) -> None:
        self.file = file
        self.writer = writer
        self._checksum: Checksum | None = None
        self._hash: Any = None
        self._mismatched_digest = b""
        self._is_first_response = True

    def iter_checked_chunks(self, response: FileResponse) -> Iterator[bytes]:
        """Check a response.

        :param response: the response.
        :yields: chunks; write each one before requesting the next.
        :raises DownloadFailed: if the response does not continue the received bytes, or ends incorrectly.
        """
        size = self._check_headers(response)
        if response.start == 0:
            self.writer.restart(response.validator)
            self._start_checksum(response.checksum, ())
        elif self._is_first_response:
            self._start_checksum(response.checksum, self.writer.iter_written())
        self._is_first_response = False
        for chunk in response.chunks:
            received = self.writer.position + len(chunk)
            if received > size:
                raise DownloadFailed(f"its host sends {received} bytes or more")
            if self._hash is not None:
                self._hash.update(chunk)
            yield chunk
        if self.writer.position != size:
            message = "its host ended too early"
            raise DownloadFailed(message) if response.size is None else CodeOceanTransportError(message)
        self._verify_checksum()

    def _check_headers(self, response: FileResponse) -> int:
        size = response.size if self.file.size is None else self.file.size
        if response.size not in {None, size}:
            raise DownloadFailed(
                f"its host sends {response.size} bytes, but Code Ocean lists {size}: the file has changed, "
                "or a proxy has sent a page"
            )
        is_trusted = response.checksum is not None or response.is_object_store
        if size is None or (self.file.size is None and size > 0 and not is_trusted):
            # A proxy's error page can have a length and a validator, too.
            raise DownloadFailed(
                "Code Ocean does not list its size, and its host, which is no known object store, does not "
                "state both size and checksum"
            )
        if response.start not in {0, self.writer.position}:
            raise DownloadFailed(f"its host sends data from byte {response.start}")
        if response.start != 0 and response.validator != self.writer.validator:
            raise DownloadFailed("it changed while it was downloaded")
        return size

    def _start_checksum(self, checksum: Checksum | None, earlier_chunks: Iterator[bytes] | tuple[()]) -> None:
        self._checksum = checksum
        self._hash = hashlib.new(checksum.algorithm, usedforsecurity=False) if checksum else None
        if self._hash is not None:
            for chunk in earlier_chunks:
                self._hash.update(chunk)

    def _verify_checksum(self) -> None:
        if self._checksum is None or self._hash.digest() == self._checksum.digest:
            return
        digest = self._hash.digest()
        if not self._checksum.is_certain and digest == self._mismatched_digest:
            # Bytes that were received twice were not damaged in transit.
            log.warning("The ETag of %r is not its MD5, although its host looks like S3", self.file.path)
            return
        self._mismatched_digest = digest
        raise DownloadFailed(
            f"its {self._checksum.algorithm} is {digest.hex()}, but its host states "
            f"{self._checksum.digest.hex()}"
        )


def _can_continue(writer: FileWriter, error: CodeOceanTransportError | DownloadFailed) -> bool:
    """Return whether the download can continue after an error."""
    if isinstance(error, DownloadFailed) or writer.validator is None:
        return False
    return getattr(error, "status", None) not in _RANGE_ERROR_STATUSES


class _RetryBudget:
    """Waits between the requests for one file. Each received MiB restarts the time budget."""

    def __init__(self, seconds: float, stop: threading.Event, position: int) -> None:
        self._seconds = seconds
        self._stop = stop
        self._progress_position = position
        self._progress_at = time.monotonic()
        self._failures = 0

    def wait_or_raise(
        self, error: CodeOceanTransportError | DownloadFailed, file_error: DownloadFailed, position: int
    ) -> None:
        """Wait before the next request, or raise the error if it is permanent or the budget is spent.

        :param error: the error.
        :param file_error: the error to raise, which names the file.
        :param position: number of bytes received before the error.
        """
        if position >= self._progress_position + CHUNK_BYTES:
            self._progress_position, self._progress_at, self._failures = position, time.monotonic(), 0
        pause = random.uniform(0, min(_MAX_DELAY_SECONDS, _FIRST_DELAY_SECONDS * 2**self._failures))  # noqa: S311 - jitter
        pause += getattr(error, "retry_after", None) or 0.0
        self._failures += 1
        if not error.is_transient or time.monotonic() + pause > self._progress_at + self._seconds:
            raise file_error from error
        log.log(
            logging.WARNING if self._failures == 1 else logging.INFO,
            "%s; retrying in %.1f s",
            file_error,
            pause,
        )
        if self._stop.wait(pause):
            raise file_error from error


class _Progress:
    """The progress of a download; ``str()`` returns a log line."""

    def __init__(self, file_count: int, total_bytes: int, skipped_count: int) -> None:
        self._file_count, self._total_bytes, self._skipped_count = file_count, total_bytes, skipped_count
        self._complete_count = self._downloaded_count = self._complete_bytes = 0
        self._positions: dict[ListedFile, int] = {}
        self._lock = threading.Lock()

    def set_position(self, file: ListedFile, position: int) -> None:
        with self._lock:
            self._positions[file] = position

    def record_file(self, file: ListedFile, size: int, *, downloaded: bool) -> None:
        with self._lock:
            self._positions.pop(file, None)
            self._complete_count += 1
            self._complete_bytes += size
            self._downloaded_count += downloaded

    def result(self, target: str) -> DownloadResult:
        return DownloadResult(
            target, self._file_count, self._complete_bytes, self._downloaded_count, self._skipped_count
        )

    def __str__(self) -> str:
        with self._lock:
            received = self._complete_bytes + sum(self._positions.values())
            return (
                f"{self._complete_count} of {self._file_count} files are complete "
                f"({self._downloaded_count} downloaded), "
                f"{received / _MIB:.1f} of {self._total_bytes / _MIB:.1f} MiB"
            )
