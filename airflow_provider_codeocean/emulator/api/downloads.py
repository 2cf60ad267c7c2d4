"""Listing folders, and serving files behind signed URLs."""

import hashlib
import mimetypes
import re
from email.utils import formatdate
from http import HTTPStatus
from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Query, Request, Response

from airflow_provider_codeocean.emulator.domain.errors import ApiError, bad_request
from airflow_provider_codeocean.emulator.domain.files import clean_path, join_path
from airflow_provider_codeocean.emulator.domain.records import Json
from airflow_provider_codeocean.emulator.domain.requests import FolderParams
from airflow_provider_codeocean.emulator.services.session import Session, draw_quirk, emulator_of
from airflow_provider_codeocean.emulator.state.signing import Disposition

router = APIRouter(include_in_schema=False)

TEXTUAL = frozenset({"application/json", "image/svg+xml"})
"""Content types besides `text/…` that are text, and say their charset."""

UNSAFE_CONTENT = b"unsafe\n"

_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


def listing(session: Session, location: str, prefix: str, params: FolderParams | None) -> Json:
    """List a folder as the API does.

    :param session: of the request.
    :param location: where the files are.
    :param prefix: the root of what may be listed.
    :param params: which folder; the root if not given.
    :returns: `{items}`.
    :raises ApiError: 404 if there is no such folder.
    """
    path = clean_path(params.path if params else None)
    if not path and (quirk := session.quirk("unsafe_names")):
        for name in quirk.rule.names:
            session.store.files.put(location, join_path(prefix, name), UNSAFE_CONTENT)
    items = session.store.files.folder(location, prefix, path)
    if items is None:
        raise ApiError(404, f"path: there is no folder {path!r}")
    if session.quirk("folder_markers"):
        folders = [item["path"] for item in items if item["type"] == "folder"]
        items = [*(_marker(folder) for folder in (path, *folders)), *items]
    return {"items": items}


def _marker(folder: str) -> Json:
    name = folder.rpartition("/")[2]
    return {
        "name": f"{name}/" if name else "",
        "path": f"{folder}/" if folder else "",
        "type": "file",
        "size": 0,
    }


def file_urls(session: Session, location: str, prefix: str, path: str) -> Json:
    """Make the URLs of a file.

    :param session: of the request.
    :param location: where the files are.
    :param prefix: the root of what may be downloaded.
    :param path: the file.
    :returns: `{download_url, view_url}`.
    :raises ApiError: 400 without a path, 404 if there is no such file.
    """
    path = clean_path(path)
    if not path:
        bad_request("path: is required")
    full_path = join_path(prefix, path)
    if session.store.files.read(location, full_path) is None:
        raise ApiError(404, f"path: there is no file {path!r}")

    def url(disposition: Disposition) -> str:
        return signed_url(session.request, location, full_path, disposition)

    return {"download_url": url("attachment"), "view_url": url("inline")}


def signed_url(request: Request, location: str, path: str, disposition: Disposition) -> str:
    """Make the URL of a file, valid for `url_ttl` seconds.

    :param request: the request, whose host is used.
    :param location: where the file is.
    :param path: its path there.
    :param disposition: `attachment` to download, `inline` to look at.
    :returns: an absolute URL.
    """
    emulator = emulator_of(request)
    expires = int(emulator.now() + emulator.config.url_ttl)
    return emulator.signer.url(
        str(request.base_url), location, path, disposition=disposition, expires=expires
    )


@router.api_route("/storage/{location}/{path:path}", methods=["GET", "HEAD"])
async def serve(
    request: Request,
    *,
    location: str,
    path: str,
    disposition: str = "",
    expires: int = 0,
    signature: Annotated[str, Query()] = "",
) -> Response:
    """Serve a file to whoever has a URL that is signed and has not expired."""
    emulator = emulator_of(request)
    if not emulator.signer.valid(signature, location, path, disposition, expires):
        raise ApiError(403, "the signature does not match")
    if emulator.now() > expires:
        raise ApiError(403, "the URL has expired")
    content = emulator.store.files.read(location, path)
    if content is None:
        raise ApiError(404, "the file is gone")
    modified_at = emulator.store.files.modified_at(location, path)
    if changed := draw_quirk(request, "change_file"):
        content = bytes((byte + changed.hits) % 256 for byte in content)
        modified_at += changed.hits
    name = path.rpartition("/")[2]
    headers = {
        "Accept-Ranges": "bytes",
        "Content-Type": content_type(name),
        "Content-Disposition": f"{disposition}; filename*=UTF-8''{quote(name, safe='')}",
        "ETag": f'"{hashlib.md5(content, usedforsecurity=False).hexdigest()}"',
        "Last-Modified": formatdate(modified_at, usegmt=True),
    }
    if draw_quirk(request, "opaque_etag"):
        headers["ETag"] = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
        headers["x-amz-server-side-encryption"] = "aws:kms"
    if request.headers.get("if-match", headers["ETag"]) not in {"*", headers["ETag"]}:
        raise ApiError(412, "the file has changed")
    return _ranged(content, headers, request.headers.get("range"), request.headers.get("if-range"))


def content_type(name: str) -> str:
    """Guess the content type of a file.

    :param name: its name; the text of a run's `output` has no extension.
    :returns: the type, with its charset if it is text.
    """
    guessed = mimetypes.guess_type(name)[0] or ("application/octet-stream" if "." in name else "text/plain")
    textual = guessed.startswith("text/") or guessed in TEXTUAL
    return f"{guessed}; charset=utf-8" if textual else guessed


def _ranged(content: bytes, headers: dict[str, str], wanted: str | None, if_range: str | None) -> Response:
    match = _RANGE.fullmatch(wanted or "")
    if (
        match is None
        or match[0] == "bytes=-"
        or if_range not in {None, headers["ETag"], headers["Last-Modified"]}
    ):
        return Response(content, headers=headers)
    size = len(content)
    if match[1]:
        start, end = int(match[1]), min(int(match[2] or size - 1), size - 1)
    else:
        start, end = max(size - int(match[2]), 0), size - 1
    if start > end:
        headers["Content-Range"] = f"bytes */{size}"
        return Response(status_code=HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, headers=headers)
    headers["Content-Range"] = f"bytes {start}-{end}/{size}"
    return Response(content[start : end + 1], HTTPStatus.PARTIAL_CONTENT, headers)
