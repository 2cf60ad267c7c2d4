"""What the tests of files share: results in an emulator, and ways to list and download them."""

from __future__ import annotations

import pytest

from airflow_provider_codeocean.hooks.codeocean import CodeOceanHook

#: The route of all files that are served.
SERVED = "GET /storage/{location}/{path:path}"


class Results:
    """The results of a computation, replaced by files of a test."""

    def __init__(self, server):
        self.server = server
        self.id = server.env["CODEOCEAN_COMPUTATION_ID"]
        self.location = f"run-{self.id}"
        self.clear()

    def clear(self):
        self.server.store.files.delete(self.location)

    def put(self, path, content):
        self.server.store.files.put(self.location, path, content)

    def fetched(self):
        """How many times a file was asked for."""
        return self.server.emulator.traffic.requests[SERVED]

    def list(self, **which):
        return CodeOceanHook().list_files(computation_id=self.id, **which)

    def download(self, target, **how):
        return CodeOceanHook().download_files(target, computation_id=self.id, **how)


@pytest.fixture
def results(code_ocean):
    return Results(code_ocean)


@pytest.fixture
def impatient(monkeypatch):
    """No trouble is borne for long."""
    get_conn = CodeOceanHook.get_conn

    def make(self, **options):
        return get_conn(self, **{"retry_budget": 1.0} | options)

    monkeypatch.setattr(CodeOceanHook, "get_conn", make)


def tree(folder):
    """All files below a folder by their paths, even hidden ones, except for the record of downloads."""
    files = [path for path in folder.rglob("*") if path.is_file() and not path.match(".codeocean-*.jsonl")]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}
