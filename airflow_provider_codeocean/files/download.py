"""Downloading files: several at once, in bounded memory, going on where an earlier try broke off."""

from __future__ import annotations

import logging
import random
import threading
import time
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_provider_codeocean.api.errors import CodeOceanError, CodeOceanTransportError, DownloadFailed
from airflow_provider_codeocean.api.storage import CHUNK
from airflow_provider_codeocean.files.paths import alike, parts_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from airflow_provider_codeocean.api.client import CodeOceanClient
    from airflow_provider_codeocean.files.source import FileSource, ListedFile
    from airflow_provider_codeocean.files.target import Target, Writer

log = logging.getLogger(__name__)

#: Seconds between two lines about the progress.
PROGRESS_PAUSE = 10.0
#: Seconds for threads to notice that they are to stop; one that waits for a host to send notices later.
_STOP_SECONDS = 2.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 20.0
_MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Downloaded:
    """What a download has brought.

    :param target: address of the target.
    :param files: how many files were asked for, which are all there now.
    :param bytes: how many bytes they have together.
    :param fetched: how many of the files were fetched; the others were there, of the size that is listed.
    """

    target: str
    files: int
    bytes: int
    fetched: int


class Download:
    """Fetches files to a target, once.

    A file is complete when it has the size that is listed. A signed URL is asked for just before a file is
    fetched, and anew where it has expired or the connection breaks; then the rest of the file is asked for.
    Trouble is borne for the client's ``retry_budget``, counted from the last byte that came. No MiB may take
    longer than the storage lets it take and that budget together: a host that breaks off after each byte is
    not asked as many times as the file has bytes.

    :param client: the client.
    :param source: what the files are of.
    :param files: the files.
    :param target: where they go.
    :param max_parallel: how many are fetched at the same time, from 1.
    :param stop: set from another thread, or a signal handler, ends the download.
    :raises ValueError: where a path is not safe to write.
    """

    def __init__(
        self,
        client: CodeOceanClient,
        source: FileSource,
        files: Sequence[ListedFile],
        target: Target,
        *,
        max_parallel: int,
        stop: threading.Event | None = None,
    ) -> None:
        for file in files:  # before the first is fetched
            parts_of(file.below)
        for one, other in alike(file.below for file in files):
            log.warning("%r and %r are one file to systems that do not tell such names apart", one, other)
        self._client = client
        self._source = source
        self._target = target
        self._threads = min(max_parallel, len(files))
        self._stop = stop or threading.Event()
        self._taking = threading.Lock()
        self._queue: Iterator[ListedFile] = iter(files)
        self._progress = _Progress(len(files), sum(file.size or 0 for file in files))

    def run(self) -> Downloaded:
        """Fetch the files.

        :returns: what was fetched.
        :raises DownloadFailed: where a file does not arrive whole, or cannot be written, or it was stopped;
            the others are ended then.
        :raises CodeOceanError: where Code Ocean does not give a URL.
        """
        workers = ThreadPoolExecutor(max(1, self._threads), thread_name_prefix="codeocean-download")
        pending: set[Future[None]] = {workers.submit(self._work) for _ in range(self._threads)}
        try:
            while pending:
                done, pending = wait(pending, PROGRESS_PAUSE, return_when=FIRST_EXCEPTION)
                for each in done:
                    each.result()
                log.info("%s", self._progress)
        except BaseException:
            self._stop.set()
            raise
        finally:
            workers.shutdown(wait=False, cancel_futures=True)
            wait([each for each in pending if not each.cancelled()], _STOP_SECONDS)
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
        """Fetch a file that is not there."""
        budget = self._client.retry_budget
        # Who fetches it with the same connection writes or gives up by then.
        patience = self._client.storage.chunk_seconds + budget
        with self._target.open(file, str(self._source), self._stop, patience) as writer:
            if writer is None:
                self._progress.finished(file, file.size or 0, fetched=False)
                return
            trouble = _Patience(budget, patience, self._stop, writer.position)
            received = writer.position == file.size  # nothing is to be asked for of an empty file
            while not received:
                try:
                    self._receive(file, writer)
                    received = True
                except (CodeOceanTransportError, DownloadFailed) as error:
                    trouble.bear(error, self._naming(file, writer, error), writer.position)
            writer.finish()
        self._progress.finished(file, writer.position, fetched=True)

    def _receive(self, file: ListedFile, writer: Writer) -> None:
        """Receive a file, or its rest."""
        url = self._source.url_of(file.path)
        with self._client.storage.read(url, writer.position) as part:
            size = part.size if file.size is None else file.size
            if part.size not in {None, size}:
                writer.restart()
                raise DownloadFailed(f"its host has {part.size} bytes")
            if part.start != writer.position:  # all, as not every host can send a part
                writer.restart()
            if part.start != writer.position:
                raise DownloadFailed(f"its host sends from byte {part.start} on")
            for chunk in part.chunks:
                if self._stop.is_set():
                    raise DownloadFailed("the download was stopped")
                sent = writer.position + len(chunk)
                if size is not None and sent > size:
                    writer.restart()
                    raise DownloadFailed(f"its host sends {sent} bytes or more")
                writer.write(chunk)
                self._progress.is_at(file, writer.position)
        if size is not None and writer.position != size:
            raise DownloadFailed("its host ended too early")

    def _naming(self, file: ListedFile, writer: Writer, error: CodeOceanError) -> DownloadFailed:
        expected = "?" if file.size is None else file.size
        return DownloadFailed(
            f"{file.path!r} of {self._source} could not be downloaded: {error} "
            f"(expected {expected} bytes, received {writer.position})",
            transient=error.transient,
        )


class _Patience:
    """Bears trouble with one file for some time, which begins anew when the file gets on."""

    def __init__(self, budget: float, chunk_budget: float, stop: threading.Event, position: int) -> None:
        self._budget = budget
        self._chunk_budget = chunk_budget
        self._stop = stop
        self._furthest = self._chunk_begin = position
        self._since = self._chunk_since = time.monotonic()
        self._times = 0

    def bear(self, error: CodeOceanError, named: DownloadFailed, position: int) -> None:
        """Wait a while, or raise the error where that does not help any more."""
        if position > self._furthest:
            self._furthest, self._since, self._times = position, time.monotonic(), 0
            if position - self._chunk_begin >= CHUNK:
                self._chunk_begin, self._chunk_since = position, self._since
        pause = random.uniform(0, min(_LONGEST_PAUSE, _FIRST_PAUSE * 2**self._times))  # noqa: S311 - jitter
        pause += getattr(error, "retry_after", None) or 0.0
        self._times += 1
        patient_until = min(self._since + self._budget, self._chunk_since + self._chunk_budget)
        if not error.transient or time.monotonic() + pause > patient_until:
            raise named from error
        log.info("%s; trying again in %.1f s", named, pause)
        if self._stop.wait(pause):
            raise named from error


class _Progress:
    """How far a download is. As a string, it is a line for the log."""

    def __init__(self, files: int, size: int) -> None:
        self._files, self._size = files, size
        self._done = self._fetched = self._done_bytes = 0
        self._under_way: dict[ListedFile, int] = {}
        self._lock = threading.Lock()

    def is_at(self, file: ListedFile, position: int) -> None:
        with self._lock:
            self._under_way[file] = position

    def finished(self, file: ListedFile, size: int, *, fetched: bool) -> None:
        with self._lock:
            self._under_way.pop(file, None)
            self._done += 1
            self._done_bytes += size
            self._fetched += fetched

    def result(self, target: str) -> Downloaded:
        return Downloaded(target, self._files, self._done_bytes, self._fetched)

    def __str__(self) -> str:
        with self._lock:
            come = self._done_bytes + sum(self._under_way.values())
            return (
                f"{self._done} of {self._files} files are there ({self._fetched} were fetched), "
                f"{come / _MIB:.1f} of {self._size / _MIB:.1f} MiB"
            )
