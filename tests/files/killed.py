"""A process that downloads a file without overwriting, and is killed at a given moment."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import httpx
from fsspec.implementations.local import LocalFileSystem

from airflow_provider_codeocean.files.local import LocalTarget
from airflow_provider_codeocean.files.object_store import StoreTarget
from tests.files.fake_host import Body, Host

MIB = 1024 * 1024
CONTENT = b"n" * 2 * MIB


def open_target(kind, folder):
    """Return a target that a later process can continue."""
    if kind == "local":
        return LocalTarget(str(folder))
    return StoreTarget(f"file://{folder}", LocalFileSystem(), str(folder))


def die(*_, **__):
    os._exit(9)


class DeadlyBody(Body):
    def __iter__(self):
        yield CONTENT[:MIB]
        die()


def answer(moment):
    if moment == "request":
        return die
    headers = {"Content-Length": str(len(CONTENT)), "ETag": '"1"'}
    body = DeadlyBody if moment == "transfer" else Body
    return lambda _: httpx.Response(200, headers=headers, stream=body(CONTENT))


def download(kind, moment, folder):
    rename = os.rename
    if moment == "rename":
        os.rename = die
    elif moment == "renamed":
        os.rename = lambda *names, **folders: die(rename(*names, **folders))
    elif moment == "uploaded":
        StoreTarget._add = die
    Host(answer(moment)).download(open_target(kind, Path(folder)), len(CONTENT), overwrite=False)


if __name__ == "__main__":
    download(*sys.argv[1:])
