"""Files of data assets and of computations' results."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import BeforeValidator, Field

from airflow_provider_codeocean.api.models.base import (
    Integer,
    Many,
    Name,
    Params,
    Payload,
    Text,
    reader_of,
)


class FolderItemType(StrEnum):
    """What an item of a folder is."""

    FILE = "file"
    FOLDER = "folder"


class FolderItem(Payload):
    """A file or a folder.

    :ivar name: last part of the path.
    :ivar path: path from the root, without a leading slash.
    :ivar type: file or folder.
    :ivar size: bytes.
    """

    name: Name = ""
    path: Name = ""
    type: Annotated[FolderItemType | str | None, BeforeValidator(reader_of(FolderItemType))] = None
    size: Integer = None


class Folder(Payload):
    """What a folder holds, not what its folders hold.

    :ivar items: files and folders.
    """

    essential = ("items",)

    items: Many[FolderItem] = Field(default_factory=list)


class FolderParams(Params):
    """Which folder to list.

    :param path: path from the root; empty means the root.
    """

    blank_is_a_value = frozenset({"path"})

    path: str = ""


class FileURLs(Payload):
    """Where one file can be had: signed URLs that need no credentials and are valid for a short time.

    :ivar download_url: to download it.
    :ivar view_url: to look at it in a browser.
    """

    download_url: Text = Field(default=None, repr=False)
    view_url: Text = Field(default=None, repr=False)


class DownloadURL(Payload):
    """Where one file can be downloaded, as servers before 4.0 say it.

    :ivar url: signed URL that needs no credentials and is valid for a short time.
    """

    url: Text = Field(default=None, repr=False)
