"""Listing files, and asking for their URLs."""

from __future__ import annotations

import json

import pytest

from airflow_provider_codeocean.api._http.library import httpx
from airflow_provider_codeocean.api.client import CodeOceanClient
from airflow_provider_codeocean.api.errors import (
    BadRequest,
    FilesNotInCodeOcean,
    Forbidden,
    NotFound,
    ServerError,
    UnexpectedResponse,
)
from airflow_provider_codeocean.api.models.data_asset_params import DataAssetParams
from airflow_provider_codeocean.emulator import EmulatorConfig, EmulatorServer, FaultRule
from airflow_provider_codeocean.files import source as module
from airflow_provider_codeocean.files.source import FileSource, ListedFile
from airflow_provider_codeocean.hooks.codeocean import CodeOceanHook

PATHS = ["b.txt", "a/1.csv", "a/deep/2.csv", "c/3.csv"]


@pytest.fixture
def listed(results):
    for path in PATHS:
        results.put(path, path.encode())
    return lambda **which: [(file.path, file.relative_path) for file in results.list_files(**which)]


def test_list_files_returns_all_files_by_folder(results, listed):
    assert [path for path, _ in listed()] == PATHS
    assert results.list_files(path="a/1.csv") == [ListedFile("a/1.csv", "1.csv", 7)]
    assert results.list_files(path="a/1.csv")[0].name == "1.csv"


def test_list_files_with_path_returns_files_below_it(listed):
    assert listed(path="/a/") == [("a/1.csv", "1.csv"), ("a/deep/2.csv", "deep/2.csv")]
    assert listed(path="a", recursive=False) == [("a/1.csv", "1.csv")]
    assert listed(recursive=False) == [("b.txt", "b.txt")]


def test_list_files_pattern_is_relative_to_the_path(listed):
    assert listed(path="a", pattern="*.csv") == [("a/1.csv", "1.csv")]
    assert listed(pattern="a/*") == [("a/1.csv", "a/1.csv")]
    assert listed(path="b.txt", pattern="*.csv") == []


def test_list_files_above_the_limit_fails(listed):
    assert len(listed(limit=4)) == 4
    with pytest.raises(ValueError, match="more than 3 such files: narrow path or pattern, or raise limit"):
        listed(limit=3)


@pytest.mark.parametrize("path", ["nowhere", "a/nowhere", "nowhere/at/all"])
def test_list_files_of_missing_path_raises_not_found(listed, path):
    with pytest.raises(NotFound, match=path):
        listed(path=path)


def test_list_files_of_a_data_asset_returns_them(code_ocean):
    files = CodeOceanHook().list_files(data_asset_id=code_ocean.env["CODEOCEAN_DATA_ASSET_ID"])
    assert "README.md" in [file.path for file in files]
    assert sum(file.path.count("/") for file in files) > 0


class TestFilesNotInCodeOcean:
    """Files of data assets that are not in Code Ocean."""

    @pytest.fixture
    def create(self, code_ocean):
        def create(**params):
            with CodeOceanHook().get_conn() as client:
                params = {"name": "n", "mount": "m", "tags": [], **params}
                made = client.data_assets.create(DataAssetParams.model_validate(params))
            return CodeOceanHook().wait_for_data_asset(made.id, poll_interval=0.01)

        return create

    def test_external_data_asset_error_names_the_bucket(self, code_ocean, create):
        bucket = code_ocean.env["CODEOCEAN_PUBLIC_BUCKET"]
        source = {
            "aws": {
                "bucket": bucket,
                "prefix": "example_datasets",
                "public": True,
                "keep_on_external_storage": True,
            }
        }
        asset = create(source=source)
        where = f"is external, its files are in bucket {bucket}, prefix 'example_datasets"
        with pytest.raises(FilesNotInCodeOcean, match=where):
            CodeOceanHook().list_files(data_asset_id=asset.id)

    def test_combined_data_asset_error_says_so(self, code_ocean, create):
        asset = create(data_asset_ids=[code_ocean.env["CODEOCEAN_DATA_ASSET_ID"]])
        with pytest.raises(FilesNotInCodeOcean, match="is combined of others"):
            CodeOceanHook().list_files(data_asset_id=asset.id, path="x")

    def test_other_api_error_is_raised_unchanged(self, code_ocean):
        asset_id = code_ocean.env["CODEOCEAN_DATA_ASSET_ID"]
        code_ocean.faults.add(FaultRule(path="data_assets/*/files", kind="status", status=403))
        with pytest.raises(Forbidden):
            CodeOceanHook().list_files(data_asset_id=asset_id)

    def test_unreadable_data_asset_raises_the_first_error(self, code_ocean):
        code_ocean.faults.add(FaultRule(path="data_assets/*", method="GET", kind="status", status=404))
        code_ocean.faults.add(FaultRule(path="data_assets/*/files", kind="status", status=400))
        with pytest.raises(BadRequest):
            CodeOceanHook().list_files(data_asset_id=code_ocean.env["CODEOCEAN_DATA_ASSET_ID"])


class Server:
    """Code Ocean's answers as a test wants them: ``(status, JSON)`` by the end of the path."""

    def __init__(self, **answers):
        self.answers = answers
        self.asked = []
        self.client = CodeOceanClient(
            "https://co.test", "cop_token", transport=httpx.MockTransport(self), retry_budget=0
        )

    def __call__(self, request):
        self.asked.append(request.url.path.rpartition("/")[2])
        answer = self.answers[self.asked[-1]]
        status, body = answer(request) if callable(answer) else answer
        return httpx.Response(status, json=body)

    def source(self):
        return FileSource(self.client, computation_id="c")


def folder_in_itself(path, name):
    return {"items": [{"name": name, "path": path, "type": "folder"}]}


def test_iter_files_folder_that_contains_itself_is_listed_once():
    server = Server(results=(200, folder_in_itself("a", "a")))
    assert list(server.source().iter_files()) == []
    assert len(server.asked) == 2


def test_iter_files_endless_folders_fails():
    def deeper(request):
        path = request.read().decode()[9:-2]
        return 200, folder_in_itself(f"{path}/a".lstrip("/"), "a")

    with pytest.raises(UnexpectedResponse, match="100 within each other: pass a path to start from"):
        list(Server(results=deeper).source().iter_files())


def test_iter_files_more_than_maximum_files_fails(monkeypatch):
    monkeypatch.setattr(module, "MAX_FILES", 3)
    items = [{"name": f"{number}", "path": f"{number}", "type": "file"} for number in range(4)]
    with pytest.raises(UnexpectedResponse, match="more than 3 files"):
        list(Server(results=(200, {"items": items})).source().iter_files())


def test_iter_files_items_without_path_or_type_are_completed():
    server = Server(results=(200, {"items": [{"name": "x", "size": 1}, {"name": "y", "path": "f/y"}]}))
    assert list(server.source().iter_files("f")) == [ListedFile("f/x", "x", 1), ListedFile("f/y", "y", None)]


def test_iter_files_of_file_path_that_lists_nothing_lists_its_folder():
    def answer(request):
        items = [{"name": "x", "path": "f/x", "type": "file", "size": 1}]
        return 200, {"items": items if b'"f"' in request.read() else []}

    assert list(Server(results=answer).source().iter_files("f/x")) == [ListedFile("f/x", "x", 1)]
    assert list(Server(results=answer).source().iter_files("f/y")) == []


@pytest.mark.fault("D1")
@pytest.mark.fault("A1")
@pytest.mark.parametrize("size", [{"size": 0}, {}], ids=["", "unlisted size"])
@pytest.mark.parametrize(
    ("marker", "folder"),
    [
        ({"path": "raw/", "name": "raw"}, ""),
        ({"path": "", "name": "raw/"}, ""),
        ({"path": "raw", "name": "raw"}, ""),
        ({"path": "/", "name": ""}, ""),
        ({"path": "", "name": ""}, ""),
        ({"path": "raw/", "name": ""}, "raw"),
        ({"path": "raw", "name": "raw"}, "raw"),
        ({"path": "", "name": ""}, "raw"),
    ],
)
def test_iter_files_folder_marker_is_omitted(marker, folder, size):
    def results(request):
        listed = json.loads(request.read())["path"]
        items = {
            "": [{"name": "raw", "path": "raw", "type": "folder"}, {"name": "b", "path": "b", "size": 0}],
            "raw": [{"name": "x", "path": "raw/x", "type": "file", "size": 1}],
        }[listed]
        return 200, {"items": [{**marker, "type": "file", **size}, *items] if listed == folder else items}

    files = list(Server(results=results).source().iter_files())
    assert files == [ListedFile("b", "b", 0), ListedFile("raw/x", "raw/x", 1)]


def test_iter_files_marker_name_with_content_is_listed():
    items = [{"name": "raw", "path": "raw/", "type": "file", "size": 7}]
    assert list(Server(results=(200, {"items": items})).source().iter_files()) == [
        ListedFile("raw/", "raw/", 7)
    ]


def test_iter_files_empty_file_by_its_path_is_listed():
    items = [{"name": "x", "path": "f/x", "type": "file", "size": 0}]
    assert list(Server(results=(200, {"items": items})).source().iter_files("f/x")) == [
        ListedFile("f/x", "x", 0)
    ]


@pytest.mark.parametrize("path", ["/", "other", "rawer/x"])
def test_iter_files_folder_outside_of_the_listed_one_is_skipped(path):
    server = Server(results=(200, {"items": [{"name": "x", "path": path, "type": "folder"}]}))
    assert list(server.source().iter_files("raw")) == []
    assert server.asked == ["results"]


URLS = (200, {"download_url": "https://files.test/new"})
OLD_URL = (200, {"url": "https://files.test/old"})
MISSING = (404, {"message": "first"})


def test_get_url_on_current_server_uses_the_urls_endpoint():
    server = Server(urls=URLS)
    source = server.source()
    assert source.get_url("x") == "https://files.test/new"
    server.answers["urls"] = MISSING
    with pytest.raises(NotFound, match="first"):
        source.get_url("y")
    assert server.asked == ["urls", "urls"]


@pytest.mark.parametrize("body", [{"message": "Not Found"}, "404 page not found"])
@pytest.mark.parametrize("status", [404, 405])
def test_get_url_on_older_server_remembers_the_endpoint(status, body):
    server = Server(urls=(status, body), download_url=OLD_URL)
    source = server.source()
    assert [source.get_url("x"), source.get_url("y")] == ["https://files.test/old"] * 2
    assert server.asked == ["urls", "download_url", "download_url"]


def test_get_url_rejected_by_both_endpoints_raises_the_decisive_error():
    with pytest.raises(NotFound, match="first"):
        Server(urls=MISSING, download_url=(404, {"message": "second"})).source().get_url("x")
    with pytest.raises(ServerError):
        Server(urls=MISSING, download_url=(500, {})).source().get_url("x")
    with pytest.raises(Forbidden):
        Server(urls=(403, {"message": "no"})).source().get_url("x")
    with pytest.raises(UnexpectedResponse):
        Server(urls=MISSING, download_url=(404, "a page")).source().get_url("x")
    with pytest.raises(UnexpectedResponse):
        Server(urls=(404, "a page"), download_url=MISSING).source().get_url("x")


@pytest.mark.parametrize("url", [None, "", "/relative", "file:///etc/passwd"])
def test_get_url_invalid_url_raises_unexpected_response(url):
    with pytest.raises(UnexpectedResponse, match=r"provided no URL for 'x' of computation c"):
        Server(urls=(200, {"download_url": url, "view_url": "https://files.test"})).source().get_url("x")


def test_file_source_without_id_is_rejected():
    with pytest.raises(ValueError, match="pass either data_asset_id or computation_id"):
        FileSource(Server().client)


@pytest.mark.parametrize("version", ["3.9.0", "4.8.0"])
def test_download_from_any_server_version_succeeds(connect, tmp_path, version):
    with EmulatorServer(EmulatorConfig(server_version=version)) as server:
        connect(server.url, server.env["CODEOCEAN_TOKEN"])
        asset_id = server.env["CODEOCEAN_DATA_ASSET_ID"]
        done = CodeOceanHook().download_files(tmp_path, data_asset_id=asset_id, pattern="*.md")
        assert (done.files, (tmp_path / "README.md").stat().st_size) == (1, done.bytes)
        run_id = server.env["CODEOCEAN_COMPUTATION_ID"]
        assert CodeOceanHook().download_files(tmp_path, computation_id=run_id).downloaded == 4
