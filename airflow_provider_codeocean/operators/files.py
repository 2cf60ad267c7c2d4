"""Operators that list and download files of data assets and results of computations."""

from __future__ import annotations

import logging
import threading
from abc import abstractmethod
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, get_args

from airflow.providers.common.compat.sdk import BaseOperator

from airflow_provider_codeocean.api import text
from airflow_provider_codeocean.arguments import (
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
from airflow_provider_codeocean.failures import OnEmpty, end_as_asked_for, no_retry_for_what_it_cannot_mend
from airflow_provider_codeocean.hooks.codeocean import CodeOceanHook
from airflow_provider_codeocean.hooks.files import DEFAULT_PARALLEL, MAX_PARALLEL, local_path
from airflow_provider_codeocean.links import ShowsDataAsset

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from airflow.providers.common.compat.sdk import Context

log = logging.getLogger(__name__)

#: The most files that a listing may be asked for: a result is for XCom.
MAX_LISTED = 100_000


class CodeOceanFilesBase(ShowsDataAsset, KnowsTemplates, BaseOperator):
    """Be about files of a data asset, or results of a computation: exactly one of the two.

    What a retry cannot mend (wrong input, nothing there, no permission, files outside Code Ocean) fails the
    task for good; a server in trouble keeps the task's retries.

    :param data_asset_id: id of the data asset, which is neither external nor combined. (templated)
    :param computation_id: id of the computation. (templated)
    :param path: folder to begin at, or a file; empty means all. (templated)
    :param pattern: glob that the paths below ``path`` match, or a list of which they match one: ``*`` and
        ``?`` stand for what has no slash, ``**`` for any folders (``*.csv``, ``**/*.nwb``); None means all.
        (templated)
    :param on_empty: what to do where there are no such files: ``return`` as if there were, ``skip`` the
        task or ``fail`` it, which keeps its retries.
    :param codeocean_conn_id: id of the connection. (templated)
    :param **kwargs: what every operator takes.
    """

    template_fields: Sequence[str] = (
        "data_asset_id",
        "computation_id",
        "path",
        "pattern",
        "codeocean_conn_id",
    )

    def __init__(
        self,
        *,
        data_asset_id: str | None = None,
        computation_id: str | None = None,
        path: str = "",
        pattern: str | Sequence[str] | None = None,
        on_empty: OnEmpty = "return",
        codeocean_conn_id: str = CodeOceanHook.default_conn_name,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.data_asset_id = data_asset_id
        self.computation_id = computation_id
        self.path = path
        self.pattern = pattern
        check_choice("on_empty", on_empty, get_args(OnEmpty))
        self.on_empty: OnEmpty = on_empty
        self.codeocean_conn_id = codeocean_conn_id
        which = self.which_files(known_now)
        for name in ("data_asset_id", "computation_id"):
            if which[name] is not None:
                check_identifier_early(name, getattr(self, name))

    def which_files(self, read: ReadField = as_rendered) -> dict[str, Any]:
        """Return which files it is about, as arguments of the hook.

        :param read: reads the value of a template field.
        :returns: keyword arguments.
        :raises ValueError: where an argument is wrong, naming it.
        """
        from airflow_provider_codeocean.files.paths import Selection

        ids = {"data_asset_id": read(self.data_asset_id), "computation_id": read(self.computation_id)}
        given = check_one_of(**ids)
        pattern = check_pattern("pattern", read(self.pattern))
        Selection(pattern)
        return {
            **dict.fromkeys(ids),
            given: check_identifier(given, ids[given]),
            "path": check_optional("path", read(self.path), text.to_path) or "",
            "pattern": pattern,
        }

    def execute(self, context: Context) -> Any:
        """List or download them, and show the data asset in the UI."""
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
        """Do something with the files.

        :param hook: the hook.
        :param which: which files, as arguments of the hook.
        :returns: how many there are, and the task's result as JSON values.
        """


class CodeOceanListFilesOperator(CodeOceanFilesBase):
    """List the files of a data asset, or the results of a computation.

    Source: ``POST data_assets/{id}/files`` and ``POST computations/{id}/results``, a request for each folder.

    The result, in XCom, is a list of ``{"path", "name", "size"}``, to ``.expand()`` over: the path from the
    root, and the size in bytes (None where a server does not say).

    :param recursive: whether to list what is in folders, too.
    :param limit: the most files that there may be, up to 100 000; the task fails where there are more, as a
        part of them could be taken for all.
    :param **kwargs: what all take that are about files: see :class:`CodeOceanFilesBase`.
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

    Source: ``GET data_assets/{id}/files/urls`` and ``GET computations/{id}/results/urls``, where a server is
    older than 4.0 ``GET data_assets/{id}/files/download_url`` and
    ``GET computations/{id}/results/download_url``; what is there is listed as
    :class:`CodeOceanListFilesOperator` does.

    What is below ``path`` comes to be below ``target``, in the same folders. A file that is there, as long as
    Code Ocean lists it, is not fetched again; one of another size is replaced. A file appears when it is
    complete. A retry goes on where the try before broke off: with the files that lack, and in a local folder
    in the middle of a file.

    The result, in XCom, is ``{"target", "files", "bytes", "fetched"}``: how many files there are now, how
    many bytes they have, and how many of them this try has fetched.

    :param target: where to: an absolute path on the worker, or an address that Airflow's
        ``ObjectStoragePath`` takes, such as ``s3://bucket/prefix``. (templated)
    :param target_conn_id: Airflow's connection to the object store. (templated)
    :param max_parallel: how many files are fetched at the same time, from 1 to 32.
    :param **kwargs: what all take that are about files: see :class:`CodeOceanFilesBase`.
    """

    template_fields: Sequence[str] = (*CodeOceanFilesBase.template_fields, "target", "target_conn_id")
    _stop: threading.Event | None = None

    def __init__(
        self,
        *,
        target: str | os.PathLike[str],
        target_conn_id: str | None = None,
        max_parallel: int = DEFAULT_PARALLEL,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.target = target
        self.target_conn_id = target_conn_id
        check_count("max_parallel", max_parallel, MAX_PARALLEL)
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
            max_parallel=self.max_parallel,
            stop=self._stop,
        )
        return done.files, asdict(done)

    def on_kill(self) -> None:
        """Stop. What has come of a file stays, for the next try to go on with."""
        if self._stop is not None:
            self._stop.set()
            log.warning("Killed: the download stops; the next try goes on with what is not there yet")
