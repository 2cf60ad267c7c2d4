"""What the tests of files share: results in an emulator, and ways to list and download them."""

from __future__ import annotations

import pytest

from airflow_provider_codeocean.hooks.codeocean import CodeOceanHook

#: The route of all files that are served.
FILE_ENDPOINT = "GET /storage/{location}/{path:path}"


class ResultFiles:
    """The results of a computation, replaced by files of a test."""

    def __init__(self, server):
        self.server = server
        self.id = server.env["CODEOCEAN_COMPUTATION_ID"]
        self.location = f"run-{self.id}"
        self.clear()

    def clear(self):
        self.server.store.files.delete_location(self.location)

    def put(self, path, content):
        self.server.store.files.put(self.location, path, content)

    def count_downloads(self):
        """How many times a file was asked for."""
        return self.server.emulator.traffic.requests[FILE_ENDPOINT]

    def list_files(self, **selection):
        return CodeOceanHook().list_files(computation_id=self.id, **selection)

    def download(self, target, **options):
        return CodeOceanHook().download_files(target, computation_id=self.id, **options)


@pytest.fixture
def results(code_ocean):
    return ResultFiles(code_ocean)


def read_tree(folder):
    """All files below a folder by their paths, even hidden ones, except for the record of downloads."""
    files = [path for path in folder.rglob("*") if path.is_file() and not path.match(".codeocean-*.jsonl")]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}
