"""Operators that list and download files of data assets and results of computations."""

from __future__ import annotations

import logging
import threading
from abc import abstractmethod
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, get_args

from typing_extensions import override

from airflow_provider_codeocean.airflow_errors import (
    OnEmpty,
    fail_without_retry_on_permanent_errors,
    handle_empty_result,
)
from airflow_provider_codeocean.api import text
from airflow_provider_codeocean.hooks._files import (
    DEFAULT_PARALLEL_FILES,
    check_download_arguments,
    parse_local_path,
)
from airflow_provider_codeocean.hooks.codeocean import CodeOceanHook
from airflow_provider_codeocean.links import DataAssetLinkMixin
from airflow_provider_codeocean.operators._base import CodeOceanOperatorBase
from airflow_provider_codeocean.validation import (
    FieldReader,
    check_choice,
    check_count,
    check_exactly_one,
    check_flags,
    check_identifier,
    check_optional_text,
    check_patterns,
    check_text,
    check_unrendered_identifier,
    has_value,
    rendered_value,
    static_value,
)

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_codeocean.files.download import OnUnsafe

log = logging.getLogger(__name__)

#: Highest ``limit`` of a listing: its result goes to XCom.
MAX_LISTED_FILES = 100_000


class CodeOceanFilesBase(DataAssetLinkMixin, CodeOceanOperatorBase):
    """Base of operators on the files of a data asset, or on the results of a computation.

    A permanent error (invalid input, no such data asset, no permission, files outside Code Ocean) fails the
    task without retries. Other errors keep its retries.

    :param data_asset_id: id of the data asset, which must be neither external nor combined; give either this
        or ``computation_id``. (templated)
    :param computation_id: id of the computation. (templated)
    :param path: folder to start from, or a file; empty means all. (templated)
    :param pattern: glob for the paths below ``path``, or a list of globs of which one must match: ``*`` and
        ``?`` stand for text without a slash, ``**`` for any folders (``*.csv``, ``**/*.nwb``); None means
        all. (templated)
    :param exclude: glob of files to leave out, or a list of globs. (templated)
    :param on_empty: if there are no such files: ``return`` an empty result, ``skip`` the task, or ``fail``
        it, which keeps its retries.
    :param **kwargs: arguments of :class:`~airflow_provider_codeocean.operators._base.CodeOceanOperatorBase`.
    """

    template_fields: Sequence[str] = (
        "data_asset_id",
        "computation_id",
        "path",
        "pattern",
        "exclude",
        *CodeOceanOperatorBase.template_fields,
    )

    def __init__(
        self,
        *,
        data_asset_id: str | None = None,
        computation_id: str | None = None,
        path: str = "",
        pattern: str | Sequence[str] | None = None,
        exclude: str | Sequence[str] | None = None,
        on_empty: OnEmpty = "return",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.data_asset_id = data_asset_id
        self.computation_id = computation_id
        self.path = path
        self.pattern = pattern
        self.exclude = exclude
        check_choice("on_empty", on_empty, get_args(OnEmpty))
        self.on_empty: OnEmpty = on_empty
        selection = self.file_selection(static_value)
        for name in ("data_asset_id", "computation_id"):
            if selection[name] is not None:
                check_unrendered_identifier(name, getattr(self, name))

    def file_selection(self, read: FieldReader = rendered_value) -> dict[str, Any]:
        """Return the selection of files, as arguments of the hook."""
        from airflow_provider_codeocean.files.paths import GlobFilter

        ids = {"data_asset_id": read(self.data_asset_id), "computation_id": read(self.computation_id)}
        id_argument = check_exactly_one(**ids)
        pattern = check_patterns("pattern", read(self.pattern))
        exclude = check_patterns("exclude", read(self.exclude))
        GlobFilter(pattern, exclude)
        return {
            **dict.fromkeys(ids),
            id_argument: check_identifier(id_argument, ids[id_argument]),
            "path": check_optional_text("path", read(self.path), text.to_file_path) or "",
            "pattern": pattern,
            "exclude": exclude,
        }

    def execute(self, context: Context) -> Any:
        """List or download the files, and link to the data asset in the UI."""
        self.codeocean_url = ""
        with fail_without_retry_on_permanent_errors(self):
            selection = self.file_selection()
            hook = CodeOceanHook(self.codeocean_conn_id)
            if selection["data_asset_id"] is not None:
                self.set_data_asset_link(context, hook.url, selection["data_asset_id"])
            count, result = self.perform(hook, selection)
        log.info("Found %d files", count)
        if not count:
            handle_empty_result(self.on_empty, "No file was found")
        return result

    @abstractmethod
    def perform(self, hook: CodeOceanHook, selection: dict[str, Any]) -> tuple[int, Any]:
        """List or download the files.

        :param hook: the hook.
        :param selection: the selection of files, as arguments of the hook.
        :returns: the number of files, and the task's result as JSON values.
        """


class CodeOceanListFilesOperator(CodeOceanFilesBase):
    """List the files of a data asset, or the results of a computation.

    Source: ``POST data_assets/{id}/files`` and ``POST computations/{id}/results``, a request for each folder.

    The result, in XCom, is a list of ``{"path", "name", "size"}``, to ``.expand()`` over: the path from the
    root, and the size in bytes (None if the server does not return it). Empty objects that stand for folders
    are omitted.

    :param recursive: also list the contents of subfolders.
    :param limit: maximum number of files, from 1 to 100,000. If there are more, the task fails instead of
        returning an incomplete list.
    :param **kwargs: arguments of :class:`CodeOceanFilesBase`.
    """

    def __init__(self, *, recursive: bool = True, limit: int = 10_000, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        check_flags(recursive=recursive)
        self.recursive = recursive
        check_count("limit", limit, MAX_LISTED_FILES)
        self.limit = limit

    @override
    def perform(self, hook: CodeOceanHook, selection: dict[str, Any]) -> tuple[int, Any]:
        files = hook.list_files(**selection, recursive=self.recursive, limit=self.limit)
        return len(files), [{"path": file.path, "name": file.name, "size": file.size} for file in files]


class CodeOceanDownloadFilesOperator(CodeOceanFilesBase):
    """Download files of a data asset, or results of a computation, to a folder or an object store.

    Source: ``GET data_assets/{id}/files/urls`` and ``GET computations/{id}/results/urls``; on servers before
    4.0, ``GET data_assets/{id}/files/download_url`` and ``GET computations/{id}/results/download_url``. The
    files are listed as by :class:`CodeOceanListFilesOperator`.

    Folders below ``path`` are kept below ``target``. A file appears when it is complete: it has the listed
    size and, if its host states a checksum, that checksum. A retry continues with the missing files and, in a
    local folder, in the middle of a file. It keeps files that were downloaded from the same source and have
    not changed since.

    The result, in XCom, is ``{"target", "files", "bytes", "downloaded", "skipped"}``: the number of files in
    the target, their bytes, how many of them this attempt downloaded, and how many ``on_unsafe`` skipped.

    :param target: absolute path on the worker, or an address that Airflow's ``ObjectStoragePath`` takes, such
        as ``s3://bucket/prefix``. (templated)
    :param target_conn_id: Airflow's connection to the object store. (templated)
    :param overwrite: whether to replace files in the target that were not downloaded from this source. False
        fails the task permanently, before anything is fetched, and lists them.
    :param on_unsafe: if a name is not safe to write below a folder on all systems (``..``, backslashes,
        control characters, drives): ``fail`` the task permanently, before anything is fetched, or ``skip``
        such files.
    :param max_parallel: maximum number of files that are fetched at the same time, from 1 to 32.
    :param **kwargs: arguments of :class:`CodeOceanFilesBase`.
    """

    template_fields: Sequence[str] = (*CodeOceanFilesBase.template_fields, "target", "target_conn_id")
    _stop_event: threading.Event | None = None

    def __init__(
        self,
        *,
        target: str | os.PathLike[str],
        target_conn_id: str | None = None,
        overwrite: bool = True,
        on_unsafe: OnUnsafe = "fail",
        max_parallel: int = DEFAULT_PARALLEL_FILES,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.target = target
        self.target_conn_id = target_conn_id
        check_download_arguments(overwrite, on_unsafe, max_parallel)
        self.overwrite = overwrite
        self.on_unsafe: OnUnsafe = on_unsafe
        self.max_parallel = max_parallel
        if isinstance(static_value(target, placeholder=None), str):
            parse_local_path(str(target))
        check_text("target", static_value(target))

    @override
    def perform(self, hook: CodeOceanHook, selection: dict[str, Any]) -> tuple[int, Any]:
        check_text("target", str(self.target))
        self._stop_event = threading.Event()
        download = hook.download_files(
            self.target,
            **selection,
            target_conn_id=self.target_conn_id if has_value(self.target_conn_id) else None,
            overwrite=self.overwrite,
            on_unsafe=self.on_unsafe,
            max_parallel=self.max_parallel,
            stop=self._stop_event,
        )
        return download.files, asdict(download)

    def on_kill(self) -> None:
        """Stop the download. The next attempt continues it."""
        if self._stop_event is not None:
            self._stop_event.set()
            log.warning("Killed: stopping the download; the next attempt continues with the missing files")
