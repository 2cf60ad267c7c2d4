"""The hook's methods that list and download files."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow_provider_codeocean.api.errors import NotFound
from airflow_provider_codeocean.validation import check_choice, check_count, check_one_of

if TYPE_CHECKING:
    import os
    import threading
    from collections.abc import Iterable, Sequence

    from airflow_provider_codeocean.api.client import CodeOceanClient
    from airflow_provider_codeocean.files.download import Downloaded, OnUnsafe
    from airflow_provider_codeocean.files.source import FileSource, ListedFile
    from airflow_provider_codeocean.files.target import Target

log = logging.getLogger(__name__)

#: Bytes of a file that is read into memory, by default.
MAX_READ = 1024 * 1024
#: Files that are fetched at the same time, by default.
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
        exclude: str | Sequence[str] | None = None,
        recursive: bool = True,
        limit: int | None = None,
    ) -> list[ListedFile]:
        """List the files of a data asset, or the results of a computation.

        :param data_asset_id: id of the data asset; exactly one of the two.
        :param computation_id: id of the computation.
        :param path: the folder to start from, or a file; empty means all.
        :param pattern: glob patterns for the paths below ``path``, one or several: see
            :class:`~airflow_provider_codeocean.files.paths.Selection`; None lists all.
        :param exclude: glob patterns of files to leave out; None leaves out none.
        :param recursive: whether to list the contents of folders inside the folder, too.
        :param limit: the most files that there may be; None sets no limit.
        :returns: the files.
        :raises ValueError: if an argument is invalid, or there are more files than ``limit``.
        :raises FilesElsewhere: if a data asset is external or combined.
        :raises CodeOceanError: if Code Ocean does not list them.
        """
        from airflow_provider_codeocean.files.paths import Selection

        selected = Selection(pattern, exclude)
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
        exclude: str | Sequence[str] | None = None,
        target_conn_id: str | None = None,
        overwrite: bool = True,
        on_unsafe: OnUnsafe = "fail",
        max_parallel: int = DEFAULT_PARALLEL,
        stop: threading.Event | None = None,
    ) -> Downloaded:
        """Download files to a folder of this machine or to an object store.

        Folders below ``path`` are kept below ``target``. A file that an earlier call has downloaded from the
        same source, and that nobody has changed since, is not fetched again; any other file of the same name
        is replaced. If a download breaks off, the next call continues it, in the middle of a file if the
        target is local.

        :param target: absolute path, or address such as ``s3://bucket/prefix``; also an
            ``ObjectStoragePath`` or a ``UPath``.
        :param data_asset_id: id of the data asset; exactly one of the two.
        :param computation_id: id of the computation.
        :param path: the folder to start from, or a file; empty means all.
        :param pattern: glob patterns for the paths below ``path``; None downloads all.
        :param exclude: glob patterns of files to leave out; None leaves out none.
        :param target_conn_id: Airflow's connection to the object store.
        :param overwrite: whether to replace files in the target that are not known to come from the source.
            False raises an error that lists them before anything is fetched.
        :param on_unsafe: ``fail`` if a name is not safe to write below a folder on all systems, before
            anything is fetched, or ``skip`` such files.
        :param max_parallel: how many files are fetched at the same time, from 1 to 32. Each takes a few MiB
            of memory, and about 16 if it is written to an object store.
        :param stop: ends the download when another thread sets it.
        :returns: the result.
        :raises ValueError: if an argument is invalid, or a name is not safe to write.
        :raises DownloadFailed: if a file does not arrive completely, or cannot or must not be written.
        :raises FilesElsewhere: if a data asset is external or combined.
        :raises CodeOceanError: if Code Ocean does not list the files, or provides no URLs.
        """
        from airflow_provider_codeocean.files.download import Download
        from airflow_provider_codeocean.files.paths import Selection

        selected = Selection(pattern, exclude)
        check_one_of(data_asset_id=data_asset_id, computation_id=computation_id)
        check_download(overwrite, on_unsafe, max_parallel)
        place = open_target(target, target_conn_id)
        with self.get_conn() as client:
            source = _source(client, data_asset_id, computation_id)
            files = [file for file in source.walk(path) if selected(file.below)]
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
        max_bytes: int = MAX_READ,
    ) -> bytes:
        """Read a small file of a data asset, or among the results of a computation.

        :param path: the file.
        :param data_asset_id: id of the data asset; exactly one of the two.
        :param computation_id: id of the computation.
        :param max_bytes: how large it may be.
        :returns: its content.
        :raises ValueError: if an argument is invalid, or the file is larger.
        :raises NotFound: if there is no such file.
        :raises FilesElsewhere: if a data asset is external or combined.
        :raises CodeOceanError: if it cannot be read.
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
            # In memory, any name will do.
            Download(client, source, [replace(files[0], below="file")], place, max_parallel=1).run()
        return place.content


def check_download(overwrite: object, on_unsafe: str, max_parallel: object) -> None:
    """Check arguments of a download.

    :param overwrite: whether to replace files.
    :param on_unsafe: what to do with files whose names are not safe to write.
    :param max_parallel: number of files at a time.
    :raises ValueError: if one is invalid.
    """
    if overwrite not in (True, False):
        raise ValueError(f"overwrite must be True or False, got {overwrite!r}")
    check_choice("on_unsafe", on_unsafe, ("fail", "skip"))
    check_count("max_parallel", max_parallel, MAX_PARALLEL)


def local_path(target: str) -> str | None:
    """Return the path of a target on this machine, or None for an address of another place.

    :param target: path or address.
    :returns: the path, absolute.
    :raises ValueError: if it is a relative path, or no place at all.
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
    """Return the target that an argument describes.

    :param target: path or address, or an object that stands for one.
    :param conn_id: Airflow's connection to an object store.
    :returns: the target.
    :raises ValueError: if there is no such place.
    """
    from airflow.providers.common.compat.sdk import ObjectStoragePath

    from airflow_provider_codeocean.files.local import LocalTarget
    from airflow_provider_codeocean.files.object_store import StoreTarget

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
