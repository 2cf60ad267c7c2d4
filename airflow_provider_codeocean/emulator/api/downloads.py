"""List folders, and serve files behind signed URLs."""

import hashlib
import mimetypes
import re
from email.utils import formatdate
from http import HTTPStatus
from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Query, Request, Response

from airflow_provider_codeocean.emulator.domain.errors import ApiError, raise_bad_request
from airflow_provider_codeocean.emulator.domain.files import join_path, normalize_path
from airflow_provider_codeocean.emulator.domain.records import JsonObject
from airflow_provider_codeocean.emulator.domain.requests import FolderParams
from airflow_provider_codeocean.emulator.services.session import Session, get_emulator, match_quirk
from airflow_provider_codeocean.emulator.state.signing import Disposition

router = APIRouter(include_in_schema=False)

TEXT_CONTENT_TYPES = frozenset({"application/json", "image/svg+xml"})
"""Text content types outside `text/…`, which also get a charset."""

UNSAFE_CONTENT = b"unsafe\n"

_RANGE_PATTERN = re.compile(r"bytes=(\d*)-(\d*)")


def list_folder(session: Session, location: str, base_folder: str, params: FolderParams | None) -> JsonObject:
    """Return the API's payload for a folder listing.

    :param session: the request's session.
    :param location: the file location.
    :param base_folder: the root folder of the listing.
    :param params: the folder to list; the root by default.
    :returns: `{items}`.
    :raises ApiError: 404 if the folder does not exist.
    """
    path = normalize_path(params.path if params else None)
    if not path and (quirk := session.match_quirk("unsafe_names")):
        for name in quirk.rule.names:
            session.store.files.put(location, join_path(base_folder, name), UNSAFE_CONTENT)
    items = session.store.files.list_folder(location, base_folder, path)
    if items is None:
        raise ApiError(404, f"path: there is no folder {path!r}")
    if session.match_quirk("folder_markers"):
        folders = [item["path"] for item in items if item["type"] == "folder"]
        items = [*(_folder_marker(folder) for folder in (path, *folders)), *items]
    return {"items": items}


def _folder_marker(folder: str) -> JsonObject:
    name = folder.rpartition("/")[2]
    return {
        "name": f"{name}/" if name else "",
        "path": f"{folder}/" if folder else "",
        "type": "file",
        "size": 0,
    }


def build_file_urls(session: Session, location: str, base_folder: str, path: str) -> JsonObject:
    """Build the URLs of a file.

    :param session: the request's session.
    :param location: the file location.
    :param base_folder: the root folder of the download.
    :param path: the file.
    :returns: `{download_url, view_url}`.
    :raises ApiError: 400 without a path, 404 if the file does not exist.
    """
    path = normalize_path(path)
    if not path:
        raise_bad_request("path: is required")
    full_path = join_path(base_folder, path)
    if session.store.files.read(location, full_path) is None:
        raise ApiError(404, f"path: there is no file {path!r}")

    def url(disposition: Disposition) -> str:
        return build_signed_url(session.request, location, full_path, disposition)

    return {"download_url": url("attachment"), "view_url": url("inline")}


def build_signed_url(request: Request, location: str, path: str, disposition: Disposition) -> str:
    """Build the URL of a file, valid for `url_ttl` seconds.

    :param request: the request; the URL uses its host.
    :param location: location of the file.
    :param path: path of the file in the location.
    :param disposition: `attachment` to download, `inline` to view.
    :returns: an absolute URL.
    """
    emulator = get_emulator(request)
    expires = int(emulator.now() + emulator.config.url_ttl)
    return emulator.url_signer.sign_url(
        str(request.base_url), location, path, disposition=disposition, expires_at=expires
    )


@router.api_route("/storage/{location}/{path:path}", methods=["GET", "HEAD"])
async def serve_file(
    request: Request,
    *,
    location: str,
    path: str,
    disposition: str = "",
    expires: int = 0,
    signature: Annotated[str, Query()] = "",
) -> Response:
    """Serve a file if the URL has a valid signature and has not expired."""
    emulator = get_emulator(request)
    if not emulator.url_signer.is_valid(signature, location, path, disposition, expires):
        raise ApiError(403, "the signature does not match")
    if emulator.now() > expires:
        raise ApiError(403, "the URL has expired")
    content = emulator.store.files.read(location, path)
    if content is None:
        raise ApiError(404, "the file is gone")
    modified_at = emulator.store.files.modified_at(location, path)
    if changed := match_quirk(request, "change_file"):
        content = bytes((byte + changed.hits) % 256 for byte in content)
        modified_at += changed.hits
    name = path.rpartition("/")[2]
    headers = {
        "Accept-Ranges": "bytes",
        "Content-Type": guess_content_type(name),
        "Content-Disposition": f"{disposition}; filename*=UTF-8''{quote(name, safe='')}",
        "ETag": f'"{hashlib.md5(content, usedforsecurity=False).hexdigest()}"',
        "Last-Modified": formatdate(modified_at, usegmt=True),
    }
    if match_quirk(request, "opaque_etag"):
        headers["ETag"] = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
        headers["x-amz-server-side-encryption"] = "aws:kms"
    if request.headers.get("if-match", headers["ETag"]) not in {"*", headers["ETag"]}:
        raise ApiError(412, "the file has changed")
    return _range_response(content, headers, request.headers.get("range"), request.headers.get("if-range"))


def guess_content_type(name: str) -> str:
    """Guess the content type of a file; without an extension, it is text, like the `output` of a run.

    :param name: the file name.
    :returns: the content type, with a charset if it is text.
    """
    guessed = mimetypes.guess_type(name)[0] or ("application/octet-stream" if "." in name else "text/plain")
    textual = guessed.startswith("text/") or guessed in TEXT_CONTENT_TYPES
    return f"{guessed}; charset=utf-8" if textual else guessed


def _range_response(
    content: bytes, headers: dict[str, str], range_header: str | None, if_range: str | None
) -> Response:
    match = _RANGE_PATTERN.fullmatch(range_header or "")
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
