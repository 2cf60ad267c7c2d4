"""The source of files: a data asset or the results of a computation."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING

from airflow_provider_codeocean.api.errors import (
    BadRequest,
    CodeOceanApiError,
    CodeOceanError,
    FilesNotInCodeOcean,
    Forbidden,
    NotFound,
    UnexpectedResponse,
)
from airflow_provider_codeocean.api.models.folder import FolderItemType
from airflow_provider_codeocean.api.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from airflow_provider_codeocean.api.client import CodeOceanClient
    from airflow_provider_codeocean.api.models.data_asset import DataAsset
    from airflow_provider_codeocean.api.models.folder import DownloadURL, FileURLs, Folder, FolderItem

#: Maximum number of listed files: a longer listing is considered endless.
MAX_FILES = 1_000_000
#: Maximum depth of nested folders.
MAX_DEPTH = 100

_MISSING_ROUTE_STATUSES = (HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED)


@dataclass(frozen=True, slots=True)
class ListedFile:
    """A file in a listing of Code Ocean.

    :param path: path from the root of the data asset or the results.
    :param relative_path: path below the listed folder; the name if the file itself was listed.
    :param size: size in bytes; None if the server does not report it.
    """

    path: str
    relative_path: str
    size: int | None

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rpartition("/")[2]


class FileSource:
    """The files of a data asset or computation. It is thread-safe.

    Source: ``POST data_assets/{id}/files``, ``GET data_assets/{id}/files/urls``, and on a server older than
    4.0 ``GET data_assets/{id}/files/download_url``; the same below ``computations/{id}/results``.

    :param client: the client.
    :param data_asset_id: id of the data asset; exactly one of the two ids is required.
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
            raise ValueError("pass either data_asset_id or computation_id")
        self._is_legacy_server: bool | None = None

    def __str__(self) -> str:
        return f"{self._kind} {self.id}"

    @property
    def identity(self) -> str:
        """A string that identifies this source across all deployments."""
        return f"{self} of {self._client.url}"

    def iter_files(self, path: str = "", *, recursive: bool = True) -> Iterator[ListedFile]:
        """Iterate over the files, folder by folder.

        :param path: a folder or a file; empty means the root.
        :param recursive: whether to include the contents of subfolders.
        :yields: the files of each folder before those of its subfolders. Folder markers, which are empty
            objects, are skipped.
        :raises NotFound: if the path does not exist.
        :raises FilesNotInCodeOcean: if the files are stored outside Code Ocean.
        :raises UnexpectedResponse: if the listing is endless.
        """
        path = path.strip("/")
        folders, listed_folders, files = [path], {path}, 0
        while folders:
            folder = folders.pop()
            prefix = folder and f"{folder}/"
            items = self._list_items(folder) if folder != path else self._list_start(path)
            subfolders = [
                (item.path or f"{prefix}{item.name}").strip("/")
                for item in items
                if item.type == FolderItemType.FOLDER
            ]
            for item in items:
                if item.type != FolderItemType.FOLDER and not _is_folder_marker(
                    item, folder, items, subfolders
                ):
                    files += 1
                    file_path = item.path or f"{prefix}{item.name}"
                    relative_path = (
                        item.name if file_path == path else file_path.removeprefix(path and f"{path}/")
                    )
                    yield ListedFile(file_path, relative_path, item.size)
            if recursive:
                new_folders = [
                    subfolder for subfolder in dict.fromkeys(subfolders) if subfolder.startswith(prefix)
                ]
                folders.extend(
                    subfolder for subfolder in reversed(new_folders) if subfolder not in listed_folders
                )
                listed_folders.update(new_folders)
            if files > MAX_FILES or len(listed_folders) > MAX_FILES or folder.count("/") > MAX_DEPTH:
                raise UnexpectedResponse(
                    f"{self} has more than {MAX_FILES} files or folders, or {MAX_DEPTH} within each other: "
                    f"pass a path to start from"
                )

    def get_url(self, path: str) -> str:
        """Request the URL of a file. Use it soon; do not log or store it.

        On a 404, which means that the server is older than 4.0 or that the file does not exist, the route of
        older servers is requested.

        :param path: path of the file.
        :returns: a signed URL that needs no credentials.
        :raises CodeOceanError: if Code Ocean provides no URL. If both routes fail, the first error.
        """
        if self._is_legacy_server:
            return self._check_url(path, self._get_download_url(self.id, path).url)
        try:
            urls = self._get_urls(self.id, path)
        except (CodeOceanApiError, UnexpectedResponse) as error:
            if error.status not in _MISSING_ROUTE_STATUSES or self._is_legacy_server is False:
                raise
            try:
                url = self._get_download_url(self.id, path).url
            except CodeOceanApiError as second:
                raise (second if second.is_transient else error) from None
            self._is_legacy_server = True
            return self._check_url(path, url)
        self._is_legacy_server = False
        return self._check_url(path, urls.download_url)

    def _check_url(self, path: str, url: str | None) -> str:
        if not url or not url.startswith(("https://", "http://")):
            raise UnexpectedResponse(f"Code Ocean provided no URL for {path!r} of {self}")
        return Secret(url)

    def _list_start(self, path: str) -> list[FolderItem]:
        """List the start path. If it is a file, find it in its folder."""
        try:
            items = self._list_items(path)
        except (NotFound, BadRequest) as error:
            list_error: CodeOceanError | None = error
        else:
            list_error = None
        if list_error is None and (items or not path):
            return items
        file = self._find_file(path) if path else None
        if file is not None:
            return [file]
        if list_error is not None:
            raise self._explain_error(list_error) from None
        return []

    def _find_file(self, path: str) -> FolderItem | None:
        folder, _, name = path.rpartition("/")
        try:
            items = self._list_items(folder)
        except (NotFound, BadRequest):
            return None
        matches = (item for item in items if item.path == path or (not item.path and item.name == name))
        return next((item for item in matches if item.type != FolderItemType.FOLDER), None)

    def _list_items(self, folder: str) -> list[FolderItem]:
        try:
            return self._list(self.id, folder).items
        except Forbidden as error:
            raise self._explain_error(error) from None

    def _explain_error(self, error: CodeOceanError) -> CodeOceanError:
        """Return a clearer error if the files are stored outside Code Ocean."""
        if self._data_asset_id is None:
            return error
        try:
            asset = self._client.data_assets.get(self._data_asset_id)
        except CodeOceanError:
            return error
        place = _external_location(asset)
        if place is None:
            return error
        return FilesNotInCodeOcean(
            f"{self} {place}: Code Ocean neither lists nor provides its files ({error})"
        )


def _is_folder_marker(item: FolderItem, folder: str, items: list[FolderItem], folders: list[str]) -> bool:
    """Return whether an item is a folder marker, an empty object that stands for a folder in an object store.

    Its path ends with a slash (``raw/``), or equals the path of the listed folder or of a subfolder.
    """
    path = item.path or item.name
    if not path or path.endswith("/"):
        return not item.size
    # If it is the only item, the listed path is an empty file.
    return not item.size and (path in folders or (path == folder and len(items) > 1))


def _external_location(asset: DataAsset) -> str | None:
    """Describe the location of a data asset's files if it is outside Code Ocean."""
    bucket = asset.source_bucket
    if bucket is not None and bucket.external:
        return f"is external, its files are in bucket {bucket.bucket}, prefix {bucket.prefix or ''!r}"
    if asset.type == "combined":
        return "is combined of others, which have its files"
    return None
