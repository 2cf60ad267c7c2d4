"""The hook's methods that list and download files."""

from __future__ import annotations

import logging
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Any

from airflow_provider_codeocean.api.errors import NotFound
from airflow_provider_codeocean.validation import check_choice, check_count, check_exactly_one

if TYPE_CHECKING:
    import os
    import threading
    from collections.abc import Sequence
    from contextlib import AbstractContextManager

    from airflow_provider_codeocean.api.client import CodeOceanClient
    from airflow_provider_codeocean.files.download import DownloadResult, OnUnsafe
    from airflow_provider_codeocean.files.source import ListedFile
    from airflow_provider_codeocean.files.target import DownloadTarget

log = logging.getLogger(__name__)

#: Default limit on a file that is read into memory.
DEFAULT_MAX_READ_BYTES = 1024 * 1024
#: Default number of parallel downloads.
DEFAULT_PARALLEL_FILES = 4
#: More parallel downloads do not increase the throughput of a connection.
MAX_PARALLEL_FILES = 32


class FilesMixin:
    """Methods of the hook for the files of data assets and the results of computations."""

    def open_client(self) -> AbstractContextManager[CodeOceanClient]:
        """Return the client in a context manager; the hook implements this."""
        raise NotImplementedError

    def list_files(
        self,
        *,
        data_asset_id: str | None = None,
        computation_id: str | None = None,
        path: str = "",
        pattern: str | Sequence[str] | None = None,
        exclude: str | Sequence[str] | None = None,
        recursive: bool = True,
        limit: int | None = None,
    ) -> list[ListedFile]:
        """List the files of a data asset or the results of a computation.

        :param data_asset_id: id of the data asset; give either this or ``computation_id``.
        :param computation_id: id of the computation.
        :param path: a folder or file; empty for all files.
        :param pattern: one or more glob patterns for the paths below ``path``: see
            :class:`~airflow_provider_codeocean.files.paths.GlobFilter`; None lists all files.
        :param exclude: glob patterns of files to exclude.
        :param recursive: whether to include the contents of nested folders.
        :param limit: maximum number of files; None for no limit.
        :returns: the files.
        :raises ValueError: if an argument is invalid, or there are more files than ``limit``.
        :raises FilesNotInCodeOcean: if a data asset is external or combined.
        :raises CodeOceanError: if a request fails.
        """
        from airflow_provider_codeocean.files.paths import GlobFilter
        from airflow_provider_codeocean.files.source import FileSource

        is_selected = GlobFilter(pattern, exclude)
        check_exactly_one(data_asset_id=data_asset_id, computation_id=computation_id)
        with self.open_client() as client:
            source = FileSource(client, data_asset_id=data_asset_id, computation_id=computation_id)
            selected = (
                file
                for file in source.iter_files(path, recursive=recursive)
                if is_selected(file.relative_path)
            )
            files = list(selected if limit is None else islice(selected, limit + 1))
        if limit is not None and len(files) > limit:
            raise ValueError(
                f"{source} has more than {limit} such files: narrow path or pattern, or raise limit"
            )
        return files

    def download_files(
        self,
        target: str | os.PathLike[str],
        *,
        data_asset_id: str | None = None,
        computation_id: str | None = None,
        path: str = "",
        pattern: str | Sequence[str] | None = None,
        exclude: str | Sequence[str] | None = None,
        target_conn_id: str | None = None,
        overwrite: bool = True,
        on_unsafe: OnUnsafe = "fail",
        max_parallel: int = DEFAULT_PARALLEL_FILES,
        stop: threading.Event | None = None,
    ) -> DownloadResult:
        """Download files to a local folder or to an object store.

        Folders below ``path`` are kept below ``target``. A file that an earlier call has downloaded from the
        same source and that has not changed since is skipped; any other file of the same name is replaced.
        An interrupted download is resumed by the next call; on local targets, within a file.

        :param target: absolute path, address such as ``s3://bucket/prefix``, ``ObjectStoragePath``, or
            ``UPath``.
        :param data_asset_id: id of the data asset; give either this or ``computation_id``.
        :param computation_id: id of the computation.
        :param path: a folder or file; empty for all files.
        :param pattern: glob patterns for the paths below ``path``; None downloads all files.
        :param exclude: glob patterns of files to exclude.
        :param target_conn_id: Airflow's connection to the object store.
        :param overwrite: whether to replace files in the target that are not known to come from the source.
            False raises an error that lists them, before any download.
        :param on_unsafe: action if a name is unsafe on some systems: ``fail`` before any download, or
            ``skip`` the file.
        :param max_parallel: number of parallel downloads, from 1 to 32. Each takes a few MiB of memory, or
            about 16 MiB for an object store.
        :param stop: ends the download when another thread sets it.
        :returns: the result.
        :raises ValueError: if an argument is invalid, or a name is unsafe.
        :raises DownloadFailed: if a file is incomplete or cannot be written.
        :raises FilesNotInCodeOcean: if a data asset is external or combined.
        :raises CodeOceanError: if a request fails.
        """
        from airflow_provider_codeocean.files.download import Download
        from airflow_provider_codeocean.files.paths import GlobFilter
        from airflow_provider_codeocean.files.source import FileSource

        is_selected = GlobFilter(pattern, exclude)
        check_exactly_one(data_asset_id=data_asset_id, computation_id=computation_id)
        check_download_arguments(overwrite, on_unsafe, max_parallel)
        place = open_target(target, target_conn_id)
        with self.open_client() as client:
            source = FileSource(client, data_asset_id=data_asset_id, computation_id=computation_id)
            files = [file for file in source.iter_files(path) if is_selected(file.relative_path)]
            log.info("Downloading %d files of %s to %s", len(files), source, place)
            return Download(
                client,
                source,
                files,
                place,
                max_parallel=max_parallel,
                overwrite=overwrite,
                on_unsafe=on_unsafe,
                stop=stop,
            ).run()

    def read_file(
        self,
        path: str,
        *,
        data_asset_id: str | None = None,
        computation_id: str | None = None,
        max_bytes: int = DEFAULT_MAX_READ_BYTES,
    ) -> bytes:
        """Read a small file of a data asset or of the results of a computation.

        :param path: path of the file.
        :param data_asset_id: id of the data asset; give either this or ``computation_id``.
        :param computation_id: id of the computation.
        :param max_bytes: maximum size of the file.
        :returns: the content.
        :raises ValueError: if an argument is invalid, or the file is larger.
        :raises NotFound: if there is no such file.
        :raises FilesNotInCodeOcean: if a data asset is external or combined.
        :raises CodeOceanError: if the file cannot be read.
        """
        from airflow_provider_codeocean.files.download import Download
        from airflow_provider_codeocean.files.memory import MemoryTarget
        from airflow_provider_codeocean.files.source import FileSource

        check_exactly_one(data_asset_id=data_asset_id, computation_id=computation_id)
        place = MemoryTarget(max_bytes)
        with self.open_client() as client:
            source = FileSource(client, data_asset_id=data_asset_id, computation_id=computation_id)
            files = [
                file for file in source.iter_files(path, recursive=False) if file.path == path.strip("/")
            ]
            if not files:
                raise NotFound(404, f"{source} has no file {path!r}", method="POST", path="files")
            if (files[0].size or 0) > max_bytes:
                raise ValueError(f"{path!r} of {source} has {files[0].size} bytes, more than {max_bytes}")
            file = replace(files[0], relative_path="file")  # a safe name
            Download(client, source, [file], place, max_parallel=1).run()
        return place.content


def check_download_arguments(overwrite: object, on_unsafe: str, max_parallel: object) -> None:
    """Check arguments of :meth:`FilesMixin.download_files`; raise ValueError if one is invalid."""
    if overwrite not in (True, False):
        raise ValueError(f"overwrite must be True or False, got {overwrite!r}")
    check_choice("on_unsafe", on_unsafe, ("fail", "skip"))
    check_count("max_parallel", max_parallel, MAX_PARALLEL_FILES)


def parse_local_path(target: str) -> str | None:
    """Return the path of a local target, or None for an object store; raise ValueError if invalid."""
    scheme, separator, path = target.partition("://")
    local = path if separator and scheme in {"file", "local"} else None if separator else target
    absolute = local is None or local.startswith("/")
    if not absolute or "\0" in target or (separator and not path):
        raise ValueError(
            f"target must be an absolute path or an address such as s3://bucket/prefix, got {target!r}"
        )
    return local


def open_target(target: str | os.PathLike[str], conn_id: str | None = None) -> DownloadTarget:
    """Return the target of a download; raise ValueError if it is invalid."""
    from airflow.providers.common.compat.sdk import ObjectStoragePath

    from airflow_provider_codeocean.files.local import LocalTarget
    from airflow_provider_codeocean.files.object_store import ObjectStoreTarget

    address = str(target)
    local = parse_local_path(address)
    if local is not None:
        return LocalTarget(local)
    place: Any = target if hasattr(target, "fs") else ObjectStoragePath(address, conn_id=conn_id)
    return ObjectStoreTarget(address, place.fs, place.path)
