"""Listing and downloading files, as the hook does it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from airflow_provider_codeocean.api.errors import NotFound
from airflow_provider_codeocean.arguments import check_count, check_one_of

if TYPE_CHECKING:
    import os
    import threading
    from collections.abc import Iterable, Sequence

    from airflow_provider_codeocean.api.client import CodeOceanClient
    from airflow_provider_codeocean.files.download import Downloaded
    from airflow_provider_codeocean.files.source import FileSource, ListedFile
    from airflow_provider_codeocean.files.target import Target

log = logging.getLogger(__name__)

#: Bytes of a file that is read into memory, if nothing else is said.
MAX_READ = 1024 * 1024
#: Files that are fetched at the same time, if nothing else is said.
DEFAULT_PARALLEL = 4
#: The most files at the same time: more do not make a connection faster.
MAX_PARALLEL = 32


class HandlesFiles:
    """Mixin of the hook: files of data assets, and results of computations."""

    def get_conn(self, **options: Any) -> CodeOceanClient:
        """Make a client."""
        raise NotImplementedError

    def list_files(
        self,
        *,
        data_asset_id: str | None = None,
        computation_id: str | None = None,
        path: str = "",
        pattern: str | Sequence[str] | None = None,
        recursive: bool = True,
        limit: int | None = None,
    ) -> list[ListedFile]:
        """List the files of a data asset, or the results of a computation.

        :param data_asset_id: id of the data asset; exactly one of the two.
        :param computation_id: id of the computation.
        :param path: the folder to begin at, or a file; empty means all.
        :param pattern: glob patterns that paths below ``path`` match, one or several: see
            :class:`~airflow_provider_codeocean.files.paths.Selection`; None lists all.
        :param recursive: whether to list folders within the folder, too.
        :param limit: the most files that there may be; None sets no limit of its own.
        :returns: the files.
        :raises ValueError: where an argument is wrong, or there are more files than ``limit``.
        :raises FilesElsewhere: where a data asset is external or combined.
        :raises CodeOceanError: where Code Ocean does not list them.
        """
        from airflow_provider_codeocean.files.paths import Selection

        selected = Selection(pattern)
        check_one_of(data_asset_id=data_asset_id, computation_id=computation_id)
        with self.get_conn() as client:
            source = _source(client, data_asset_id, computation_id)
            walk = source.walk(path, recursive=recursive)
            return _up_to(limit, (file for file in walk if selected(file.below)), source)

    def download_files(
        self,
        target: str | os.PathLike[str],
        *,
        data_asset_id: str | None = None,
        computation_id: str | None = None,
        path: str = "",
        pattern: str | Sequence[str] | None = None,
        target_conn_id: str | None = None,
        max_parallel: int = DEFAULT_PARALLEL,
        stop: threading.Event | None = None,
    ) -> Downloaded:
        """Download files to a folder of this machine or to an object store.

        What is below ``path`` comes to be below ``target``. A file that is there already counts as done where
        it has the size that Code Ocean lists, and is replaced otherwise. What breaks off is gone on with by
        the next call, in the middle of a file where the target is local.

        :param target: absolute path, or address such as ``s3://bucket/prefix``; also an
            ``ObjectStoragePath`` or a ``UPath``.
        :param data_asset_id: id of the data asset; exactly one of the two.
        :param computation_id: id of the computation.
        :param path: the folder to begin at, or a file; empty means all.
        :param pattern: glob patterns that paths below ``path`` match; None downloads all.
        :param target_conn_id: Airflow's connection to the object store.
        :param max_parallel: how many files are fetched at the same time, from 1 to 32. Each takes a few MiB
            of memory, and about 16 where it is written to an object store.
        :param stop: ends the download where it is set by another thread.
        :returns: what was downloaded.
        :raises ValueError: where an argument is wrong, or a path could lead out of the target.
        :raises DownloadFailed: where a file does not arrive whole, or cannot be written.
        :raises FilesElsewhere: where a data asset is external or combined.
        :raises CodeOceanError: where Code Ocean does not list the files, or gives no URLs.
        """
        from airflow_provider_codeocean.files.download import Download
        from airflow_provider_codeocean.files.paths import Selection

        selected = Selection(pattern)
        check_one_of(data_asset_id=data_asset_id, computation_id=computation_id)
        check_count("max_parallel", max_parallel, MAX_PARALLEL)
        place = open_target(target, target_conn_id)
        with self.get_conn() as client:
            source = _source(client, data_asset_id, computation_id)
            files = [file for file in source.walk(path) if selected(file.below)]
            log.info("Downloading %d files of %s to %s", len(files), source, place)
            return Download(client, source, files, place, max_parallel=max_parallel, stop=stop).run()

    def read_file(
        self,
        path: str,
        *,
        data_asset_id: str | None = None,
        computation_id: str | None = None,
        max_bytes: int = MAX_READ,
    ) -> bytes:
        """Read a small file of a data asset, or among the results of a computation.

        :param path: the file.
        :param data_asset_id: id of the data asset; exactly one of the two.
        :param computation_id: id of the computation.
        :param max_bytes: how large it may be.
        :returns: its content.
        :raises ValueError: where an argument is wrong, or the file is larger.
        :raises NotFound: where there is no such file.
        :raises FilesElsewhere: where a data asset is external or combined.
        :raises CodeOceanError: where it cannot be read.
        """
        from airflow_provider_codeocean.files.download import Download
        from airflow_provider_codeocean.files.memory import MemoryTarget

        check_one_of(data_asset_id=data_asset_id, computation_id=computation_id)
        place = MemoryTarget(max_bytes)
        with self.get_conn() as client:
            source = _source(client, data_asset_id, computation_id)
            files = [file for file in source.walk(path, recursive=False) if file.path == path.strip("/")]
            if not files:
                raise NotFound(404, f"{source} has no file {path!r}", method="POST", path="files")
            if (files[0].size or 0) > max_bytes:
                raise ValueError(f"{path!r} of {source} has {files[0].size} bytes, more than {max_bytes}")
            Download(client, source, files, place, max_parallel=1).run()
        return place.content


def local_path(target: str) -> str | None:
    """Return the path of a target on this machine, None where it is an address of elsewhere.

    :param target: path or address.
    :returns: the path, absolute.
    :raises ValueError: where it is a path, but not absolute, or no place at all.
    """
    scheme, separator, path = target.partition("://")
    local = path if separator and scheme in {"file", "local"} else None if separator else target
    absolute = local is None or local.startswith("/")
    if not absolute or "\0" in target or (separator and not path):
        raise ValueError(
            f"target must be an absolute path or an address such as s3://bucket/prefix, got {target!r}"
        )
    return local


def open_target(target: str | os.PathLike[str], conn_id: str | None = None) -> Target:
    """Return where files are to be written.

    :param target: path or address, or an object that stands for one.
    :param conn_id: Airflow's connection to an object store.
    :returns: the target.
    :raises ValueError: where there is no such place.
    """
    from airflow.providers.common.compat.sdk import ObjectStoragePath

    from airflow_provider_codeocean.files.local import LocalTarget
    from airflow_provider_codeocean.files.store import StoreTarget

    address = str(target)
    local = local_path(address)
    if local is not None:
        return LocalTarget(local)
    place: Any = target if hasattr(target, "fs") else ObjectStoragePath(address, conn_id=conn_id)
    return StoreTarget(address, place.fs, place.path)


def _source(client: CodeOceanClient, data_asset_id: str | None, computation_id: str | None) -> FileSource:
    from airflow_provider_codeocean.files.source import FileSource

    return FileSource(client, data_asset_id=data_asset_id, computation_id=computation_id)


def _up_to(limit: int | None, files: Iterable[ListedFile], source: FileSource) -> list[ListedFile]:
    listed: list[ListedFile] = []
    for file in files:
        if len(listed) == limit:
            raise ValueError(
                f"{source} has more than {limit} such files: narrow path or pattern, or raise limit"
            )
        listed.append(file)
    return listed
