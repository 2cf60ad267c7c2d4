"""Operators that list and download files of data assets and results of computations."""

from __future__ import annotations

import logging
import threading
from abc import abstractmethod
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, get_args

from airflow.providers.common.compat.sdk import BaseOperator

from airflow_provider_codeocean.airflow_errors import (
    OnEmpty,
    end_as_asked_for,
    no_retry_for_what_it_cannot_mend,
)
from airflow_provider_codeocean.api import text
from airflow_provider_codeocean.hooks._files import DEFAULT_PARALLEL, check_download, local_path
from airflow_provider_codeocean.hooks.codeocean import CodeOceanHook
from airflow_provider_codeocean.links import ShowsDataAsset
from airflow_provider_codeocean.validation import (
    KnowsTemplates,
    ReadField,
    as_rendered,
    check_choice,
    check_count,
    check_flags,
    check_identifier,
    check_identifier_early,
    check_one_of,
    check_optional,
    check_pattern,
    check_text,
    is_given,
    known_now,
)

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_codeocean.files.download import OnUnsafe

log = logging.getLogger(__name__)

#: The highest limit of a listing, whose result goes to XCom.
MAX_LISTED = 100_000


class CodeOceanFilesBase(ShowsDataAsset, KnowsTemplates, BaseOperator):
    """Base of the operators for files of a data asset, or results of a computation: exactly one of the two.

    Errors that a retry cannot fix (invalid input, nothing there, no permission, files outside Code Ocean)
    fail the task permanently. If a server is in trouble, the task keeps its retries.

    :param data_asset_id: id of the data asset, which is neither external nor combined. (templated)
    :param computation_id: id of the computation. (templated)
    :param path: folder to start from, or a file; empty means all. (templated)
    :param pattern: glob for the paths below ``path``, or a list of globs of which one must match: ``*`` and
        ``?`` stand for text without a slash, ``**`` for any folders (``*.csv``, ``**/*.nwb``); None means
        all. (templated)
    :param exclude: glob of files to leave out, or a list of globs. (templated)
    :param on_empty: what to do if there are no such files: ``return`` as if there were, ``skip`` the
        task or ``fail`` it, which keeps its retries.
    :param codeocean_conn_id: id of the connection. (templated)
    :param **kwargs: what every operator takes.
    """

    template_fields: Sequence[str] = (
        "data_asset_id",
        "computation_id",
        "path",
        "pattern",
        "exclude",
        "codeocean_conn_id",
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
        codeocean_conn_id: str = CodeOceanHook.default_conn_name,
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
        self.codeocean_conn_id = codeocean_conn_id
        which = self.which_files(known_now)
        for name in ("data_asset_id", "computation_id"):
            if which[name] is not None:
                check_identifier_early(name, getattr(self, name))

    def which_files(self, read: ReadField = as_rendered) -> dict[str, Any]:
        """Return the selection of files, as arguments of the hook.

        :param read: reads the value of a template field.
        :returns: keyword arguments.
        :raises ValueError: if an argument is invalid, naming it.
        """
        from airflow_provider_codeocean.files.paths import Selection

        ids = {"data_asset_id": read(self.data_asset_id), "computation_id": read(self.computation_id)}
        given = check_one_of(**ids)
        pattern = check_pattern("pattern", read(self.pattern))
        exclude = check_pattern("exclude", read(self.exclude))
        Selection(pattern, exclude)
        return {
            **dict.fromkeys(ids),
            given: check_identifier(given, ids[given]),
            "path": check_optional("path", read(self.path), text.to_path) or "",
            "pattern": pattern,
            "exclude": exclude,
        }

    def execute(self, context: Context) -> Any:
        """List or download the files, and link to the data asset in the UI."""
        self.codeocean_url = ""
        with no_retry_for_what_it_cannot_mend(self):
            which = self.which_files()
            hook = CodeOceanHook(self.codeocean_conn_id)
            if which["data_asset_id"] is not None:
                self.show_data_asset(context, hook.url, which["data_asset_id"])
            count, result = self.act(hook, which)
        log.info("%d files", count)
        if not count:
            end_as_asked_for(self.on_empty, "There are no such files")
        return result

    @abstractmethod
    def act(self, hook: CodeOceanHook, which: dict[str, Any]) -> tuple[int, Any]:
        """List or download the files.

        :param hook: the hook.
        :param which: the selection of files, as arguments of the hook.
        :returns: the number of files, and the task's result as JSON values.
        """


class CodeOceanListFilesOperator(CodeOceanFilesBase):
    """List the files of a data asset, or the results of a computation.

    Source: ``POST data_assets/{id}/files`` and ``POST computations/{id}/results``, a request for each folder.

    The result, in XCom, is a list of ``{"path", "name", "size"}``, to ``.expand()`` over: the path from the
    root, and the size in bytes (None if the server does not list it). Empty objects that stand for folders
    are left out.

    :param recursive: whether to list the contents of folders, too.
    :param limit: the most files that there may be, up to 100,000; if there are more, the task fails, because
        a part of them could be mistaken for all.
    :param **kwargs: the arguments of :class:`CodeOceanFilesBase`.
    """

    def __init__(self, *, recursive: bool = True, limit: int = 10_000, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        check_flags(recursive=recursive)
        self.recursive = recursive
        check_count("limit", limit, MAX_LISTED)
        self.limit = limit

    def act(self, hook: CodeOceanHook, which: dict[str, Any]) -> tuple[int, Any]:
        """List."""
        files = hook.list_files(**which, recursive=self.recursive, limit=self.limit)
        return len(files), [{"path": file.path, "name": file.name, "size": file.size} for file in files]


class CodeOceanDownloadFilesOperator(CodeOceanFilesBase):
    """Download files of a data asset, or results of a computation, to a folder or an object store.

    Source: ``GET data_assets/{id}/files/urls`` and ``GET computations/{id}/results/urls``; on a server older
    than 4.0, ``GET data_assets/{id}/files/download_url`` and
    ``GET computations/{id}/results/download_url``. The files are listed as by
    :class:`CodeOceanListFilesOperator`.

    Folders below ``path`` are kept below ``target``. A file appears when it is complete: it has the listed
    size and, if its host states a checksum, that checksum. A retry continues where the attempt before broke
    off: with the files that are missing, and in a local folder in the middle of a file. A file that is there
    already is kept if an earlier attempt or task downloaded it from the same source and nobody changed it
    since.

    The result, in XCom, is ``{"target", "files", "bytes", "fetched", "skipped"}``: the number of files that
    are there now, their bytes, how many of them this attempt fetched, and how many were left out by
    ``on_unsafe``.

    :param target: an absolute path on the worker, or an address that Airflow's ``ObjectStoragePath`` takes,
        such as ``s3://bucket/prefix``. (templated)
    :param target_conn_id: Airflow's connection to the object store. (templated)
    :param overwrite: whether to replace files in the target that are not known to come from this source.
        False fails the task permanently, before anything is fetched, and lists them.
    :param on_unsafe: ``fail`` the task permanently if a name is not safe to write below a folder on all
        systems (``..``, backslashes, control characters, drives), before anything is fetched; or ``skip``
        such files.
    :param max_parallel: how many files are fetched at the same time, from 1 to 32.
    :param **kwargs: the arguments of :class:`CodeOceanFilesBase`.
    """

    template_fields: Sequence[str] = (*CodeOceanFilesBase.template_fields, "target", "target_conn_id")
    _stop: threading.Event | None = None

    def __init__(
        self,
        *,
        target: str | os.PathLike[str],
        target_conn_id: str | None = None,
        overwrite: bool = True,
        on_unsafe: OnUnsafe = "fail",
        max_parallel: int = DEFAULT_PARALLEL,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.target = target
        self.target_conn_id = target_conn_id
        check_download(overwrite, on_unsafe, max_parallel)
        self.overwrite = overwrite
        self.on_unsafe: OnUnsafe = on_unsafe
        self.max_parallel = max_parallel
        if isinstance(known_now(target, instead=None), str):
            local_path(str(target))
        check_text("target", known_now(target))

    def act(self, hook: CodeOceanHook, which: dict[str, Any]) -> tuple[int, Any]:
        """Download."""
        check_text("target", str(self.target))
        self._stop = threading.Event()
        done = hook.download_files(
            self.target,
            **which,
            target_conn_id=self.target_conn_id if is_given(self.target_conn_id) else None,
            overwrite=self.overwrite,
            on_unsafe=self.on_unsafe,
            max_parallel=self.max_parallel,
            stop=self._stop,
        )
        return done.files, asdict(done)

    def on_kill(self) -> None:
        """Stop the download. The next attempt continues it."""
        if self._stop is not None:
            self._stop.set()
            log.warning("Killed: the download stops; the next attempt continues with the missing files")
