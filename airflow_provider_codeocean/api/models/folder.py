"""Files and folders of data assets and results."""

from enum import StrEnum
from typing import Annotated

from pydantic import BeforeValidator, Field

from airflow_provider_codeocean.api.models.base import (
    ObjectList,
    OptionalInt,
    OptionalStr,
    RequestModel,
    ResponseModel,
    StrOrEmpty,
    lenient_enum,
)


class FolderItemType(StrEnum):
    """The type of an item in a folder."""

    FILE = "file"
    FOLDER = "folder"


class FolderItem(ResponseModel):
    """A file or a folder.

    :ivar name: last part of the path.
    :ivar path: path from the root, without a leading slash.
    :ivar type: file or folder.
    :ivar size: size in bytes.
    """

    name: StrOrEmpty = ""
    path: StrOrEmpty = ""
    type: Annotated[FolderItemType | str | None, BeforeValidator(lenient_enum(FolderItemType))] = None
    size: OptionalInt = None


class Folder(ResponseModel):
    """The items of a folder, excluding the contents of its subfolders.

    :ivar items: files and folders.
    """

    characteristic_fields = ("items",)

    items: ObjectList[FolderItem] = Field(default_factory=list)


class FolderParams(RequestModel):
    """The folder to list.

    :param path: path from the root; empty means the root.
    """

    fields_allowing_blank = frozenset({"path"})

    path: str = ""


class FileURLs(ResponseModel):
    """Signed URLs of a file, which need no credentials and expire soon.

    :ivar download_url: URL to download the file.
    :ivar view_url: URL to view the file in a browser.
    """

    download_url: OptionalStr = Field(default=None, repr=False)
    view_url: OptionalStr = Field(default=None, repr=False)


class DownloadURL(ResponseModel):
    """The download URL of a file, in the format of servers before 4.0.

    :ivar url: signed URL, which needs no credentials and expires soon.
    """

    url: OptionalStr = Field(default=None, repr=False)
