"""A process that downloads a file without overwriting, and is killed at a given moment."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from fsspec.implementations.local import LocalFileSystem

from airflow_provider_codeocean.api._http.library import httpx
from airflow_provider_codeocean.files.local import LocalTarget
from airflow_provider_codeocean.files.object_store import ObjectStoreTarget
from tests.files.fake_host import FakeHost, ResponseBody

BYTES_PER_MIB = 1024 * 1024
CONTENT = b"n" * 2 * BYTES_PER_MIB


def open_target(kind, folder):
    """Return a target that a later process can continue."""
    if kind == "local":
        return LocalTarget(str(folder))
    return ObjectStoreTarget(f"file://{folder}", LocalFileSystem(), str(folder))


def exit_now(*_, **__):
    os._exit(9)


class KillingBody(ResponseBody):
    def __iter__(self):
        yield CONTENT[:BYTES_PER_MIB]
        exit_now()


def build_responder(kill_point):
    if kill_point == "request":
        return exit_now
    headers = {"Content-Length": str(len(CONTENT)), "ETag": '"1"'}
    body = KillingBody if kill_point == "transfer" else ResponseBody
    return lambda _: httpx.Response(200, headers=headers, stream=body(CONTENT))


def download(kind, kill_point, folder):
    rename = os.rename
    if kill_point == "rename":
        os.rename = exit_now
    elif kill_point == "renamed":
        os.rename = lambda *names, **folders: exit_now(rename(*names, **folders))
    elif kill_point == "uploaded":
        ObjectStoreTarget._record_file = exit_now
    FakeHost(build_responder(kill_point)).download(
        open_target(kind, Path(folder)), len(CONTENT), overwrite=False
    )


if __name__ == "__main__":
    download(*sys.argv[1:])
