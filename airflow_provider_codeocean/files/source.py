"""The source of files: a data asset, or the results of a computation."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING

from airflow_provider_codeocean.api.errors import (
    BadRequest,
    CodeOceanApiError,
    CodeOceanError,
    FilesElsewhere,
    Forbidden,
    NotFound,
    UnexpectedAnswer,
)
from airflow_provider_codeocean.api.models.folder import FolderItemType
from airflow_provider_codeocean.api.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from airflow_provider_codeocean.api.client import CodeOceanClient
    from airflow_provider_codeocean.api.models.data_asset import DataAsset
    from airflow_provider_codeocean.api.models.folder import DownloadURL, FileURLs, Folder, FolderItem

#: The most files that are listed: beyond that, the listing has no end.
MAX_FILES = 1_000_000
#: The most folders within each other.
MAX_DEPTH = 100

_NO_SUCH_ROUTE = (HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED)


@dataclass(frozen=True, slots=True)
class ListedFile:
    """A file as Code Ocean lists it.

    :param path: its path from the root of the data asset or of the results.
    :param below: its path below the folder that was listed; its name if it was listed by itself.
    :param size: bytes; None if the server does not list it.
    """

    path: str
    below: str
    size: int | None

    @property
    def name(self) -> str:
        """The last part of its path."""
        return self.path.rpartition("/")[2]


class FileSource:
    """The files of one data asset or computation. It can be used by several threads at once.

    Source: ``POST data_assets/{id}/files``, ``GET data_assets/{id}/files/urls``, and on a server older than
    4.0 ``GET data_assets/{id}/files/download_url``; the same below ``computations/{id}/results``.

    :param client: the client.
    :param data_asset_id: id of the data asset; exactly one of the two.
    :param computation_id: id of the computation.
    """

    def __init__(
        self, client: CodeOceanClient, *, data_asset_id: str | None = None, computation_id: str | None = None
    ) -> None:
        self._client = client
        self._data_asset_id = data_asset_id
        if data_asset_id is not None:
            assets = client.data_assets
            self.id, self._kind = data_asset_id, "data asset"
            self._list: Callable[[str, str], Folder] = assets.list_files
            self._get_urls: Callable[[str, str], FileURLs] = assets.get_file_urls
            self._get_download_url: Callable[[str, str], DownloadURL] = assets.get_file_download_url
        elif computation_id is not None:
            runs = client.computations
            self.id, self._kind = computation_id, "computation"
            self._list = runs.list_results
            self._get_urls = runs.get_result_urls
            self._get_download_url = runs.get_result_download_url
        else:
            raise ValueError("give data_asset_id or computation_id")
        self._is_older: bool | None = None

    def __str__(self) -> str:
        return f"{self._kind} {self.id}"

    @property
    def identity(self) -> str:
        """What distinguishes it from the sources of all deployments."""
        return f"{self} of {self._client.url}"

    def walk(self, path: str = "", *, recursive: bool = True) -> Iterator[ListedFile]:
        """List files, folder by folder.

        :param path: the folder to start from, or a file; empty means the root.
        :param recursive: whether to list the contents of its folders, too.
        :yields: the files, those of a folder before those of the folders in it. Empty objects that stand for
            folders are left out.
        :raises NotFound: if there is nothing at the path.
        :raises FilesElsewhere: if the files are not in Code Ocean.
        :raises UnexpectedAnswer: if the listing has no end.
        """
        path = path.strip("/")
        folders, seen, files = [path], {path}, 0
        while folders:
            folder = folders.pop()
            prefix = folder and f"{folder}/"
            items = self._items(folder) if folder != path else self._first_items(path)
            inner = [
                (item.path or f"{prefix}{item.name}").strip("/")
                for item in items
                if item.type == FolderItemType.FOLDER
            ]
            for item in items:
                if item.type != FolderItemType.FOLDER and not _is_marker(item, folder, items, inner):
                    files += 1
                    its_path = item.path or f"{prefix}{item.name}"
                    below = item.name if its_path == path else its_path.removeprefix(path and f"{path}/")
                    yield ListedFile(its_path, below, item.size)
            if recursive:
                new = [inside for inside in dict.fromkeys(inner) if inside.startswith(prefix)]
                folders.extend(inside for inside in reversed(new) if inside not in seen)
                seen.update(new)
            if files > MAX_FILES or len(seen) > MAX_FILES or folder.count("/") > MAX_DEPTH:
                raise UnexpectedAnswer(
                    f"{self} has more than {MAX_FILES} files or folders, or {MAX_DEPTH} within each other: "
                    f"give a path to start from"
                )

    def url_of(self, path: str) -> str:
        """Request the URL of a file. Use it soon, and neither log nor keep it.

        A server before 4.0 has another route. It responds with 404 to this one, as a newer server does if the
        file is gone: then the older route decides.

        :param path: path of the file.
        :returns: a signed URL that needs no credentials.
        :raises CodeOceanError: if there is none. If both routes refuse, the first error.
        """
        if self._is_older:
            return self._checked(path, self._get_download_url(self.id, path).url)
        try:
            urls = self._get_urls(self.id, path)
        except (CodeOceanApiError, UnexpectedAnswer) as error:
            if error.status not in _NO_SUCH_ROUTE or self._is_older is False:
                raise
            try:
                url = self._get_download_url(self.id, path).url
            except CodeOceanApiError as second:
                raise (second if second.transient else error) from None
            self._is_older = True
            return self._checked(path, url)
        self._is_older = False
        return self._checked(path, urls.download_url)

    def _checked(self, path: str, url: str | None) -> str:
        if not url or not url.startswith(("https://", "http://")):
            raise UnexpectedAnswer(f"Code Ocean provided no URL for {path!r} of {self}")
        return Secret(url)

    def _first_items(self, path: str) -> list[FolderItem]:
        """List the path to start from. If it is a file, its folder lists it."""
        try:
            items = self._items(path)
        except (NotFound, BadRequest) as error:
            refusal: CodeOceanError | None = error
        else:
            refusal = None
        if refusal is None and (items or not path):
            return items
        file = self._file_at(path) if path else None
        if file is not None:
            return [file]
        if refusal is not None:
            raise self._why(refusal) from None
        return []

    def _file_at(self, path: str) -> FolderItem | None:
        folder, _, name = path.rpartition("/")
        try:
            items = self._items(folder)
        except (NotFound, BadRequest):
            return None
        found = (item for item in items if item.path == path or (not item.path and item.name == name))
        return next((item for item in found if item.type != FolderItemType.FOLDER), None)

    def _items(self, folder: str) -> list[FolderItem]:
        try:
            return self._list(self.id, folder).items
        except Forbidden as error:
            raise self._why(error) from None

    def _why(self, refusal: CodeOceanError) -> CodeOceanError:
        """Explain an error if the reason is that the files are not in Code Ocean."""
        if self._data_asset_id is None:
            return refusal
        try:
            asset = self._client.data_assets.get(self._data_asset_id)
        except CodeOceanError:
            return refusal
        place = _elsewhere(asset)
        if place is None:
            return refusal
        return FilesElsewhere(f"{self} {place}: Code Ocean neither lists nor provides its files ({refusal})")


def _is_marker(item: FolderItem, folder: str, items: list[FolderItem], folders: list[str]) -> bool:
    """Check whether an item is an empty object that stands for a folder, as object stores have them.

    Its path ends with a slash (``raw/``), or is that of the listed folder or of a folder in it.
    """
    path = item.path or item.name
    if not path or path.endswith("/"):
        return not item.size
    # If it is the only item, the path that was listed is that of an empty file.
    return not item.size and (path in folders or (path == folder and len(items) > 1))


def _elsewhere(asset: DataAsset) -> str | None:
    """Return the place of a data asset's files, if it is not Code Ocean."""
    bucket = asset.source_bucket
    if bucket is not None and bucket.external:
        return f"is external, its files are in bucket {bucket.bucket}, prefix {bucket.prefix or ''!r}"
    if asset.type == "combined":
        return "is combined of others, which have its files"
    return None
