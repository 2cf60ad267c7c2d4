"""Downloading to a folder, in peace and in trouble, from an emulator on a real socket."""

from __future__ import annotations

import logging
import os
import threading
from types import SimpleNamespace

import pytest

from airflow_provider_codeocean.api._http.library import httpx
from airflow_provider_codeocean.api.client import CodeOceanClient
from airflow_provider_codeocean.api.errors import (
    CodeOceanTransportError,
    DownloadFailed,
    NotFound,
    ServerError,
)
from airflow_provider_codeocean.emulator import FaultRule
from airflow_provider_codeocean.files import download as module
from airflow_provider_codeocean.files.download import DownloadResult
from airflow_provider_codeocean.files.local import LocalTarget
from airflow_provider_codeocean.files.source import FileSource, ListedFile
from airflow_provider_codeocean.hooks.codeocean import CodeOceanHook
from tests.files.conftest import read_tree

FILES = {"top.txt": b"top", "a/1.csv": b"1" * 1000, "a/b/2.csv": os.urandom(3000), "empty": b""}
BIG = os.urandom(3_500_000)
STORAGE = "/storage/**"


@pytest.fixture
def filled(results):
    for path, content in FILES.items():
        results.put(path, content)
    return results


def add(results, kind, **rule):
    return results.server.faults.add(FaultRule(**{"path": STORAGE, "kind": kind} | rule))


def test_download_keeps_the_folders(filled, tmp_path):
    target = tmp_path / "new" / "folder"
    done = filled.download(target)
    assert done == DownloadResult(str(target), 4, sum(map(len, FILES.values())), 4, 0)
    assert read_tree(target) == FILES
    assert filled.count_downloads() == 3  # nothing is asked for of an empty file


def test_download_with_path_writes_relative_to_it(filled, tmp_path):
    assert filled.download(f"file://{tmp_path}", path="a", pattern="**/2.csv").files == 1
    assert filled.download(str(tmp_path), path="top.txt").files == 1
    assert read_tree(tmp_path) == {"b/2.csv": FILES["a/b/2.csv"], "top.txt": b"top"}


def test_download_skips_complete_files(filled, tmp_path):
    filled.download(tmp_path)
    before = filled.count_downloads()
    (tmp_path / "top.txt").write_bytes(b"longer")
    assert filled.download(tmp_path).downloaded == 1
    assert filled.count_downloads() == before + 1
    assert read_tree(tmp_path) == FILES


def test_download_names_that_differ_only_in_case_warn(results, tmp_path, caplog):
    for name in ("data/README", "data/readme", "other"):
        results.put(name, b"x")
    with caplog.at_level(logging.WARNING, module.__name__):
        results.download(tmp_path)
    (message,) = caplog.messages
    assert message.startswith("'data/README' and 'data/readme' are the same file on systems")


def test_download_without_files_returns_zero_counts(results, tmp_path):
    assert results.download(tmp_path / "x") == DownloadResult(str(tmp_path / "x"), 0, 0, 0)


def test_download_runs_at_most_max_parallel_transfers(results, tmp_path):
    for number in range(6):
        results.put(f"{number}", b"x")
    fault = add(results, "hold_before", times=None)
    ended = threading.Thread(target=results.download, args=(tmp_path,), kwargs={"max_parallel": 3})
    ended.start()
    assert fault.wait(held=3)
    assert fault.held == 3
    fault.rule = fault.rule.model_copy(update={"times": 0})
    fault.release_requests()
    ended.join(30)
    assert len(read_tree(tmp_path)) == 6


@pytest.mark.parametrize("kind", ["half_body", "close_before", "close_after", "invalid_json", "empty"])
def test_download_after_broken_connection_continues(results, tmp_path, kind):
    results.put("big", BIG)
    fault = add(results, kind, times=2)
    assert results.download(tmp_path).downloaded == 1
    assert read_tree(tmp_path) == {"big": BIG}
    assert fault.hits == 2
    parts = results.server.emulator.traffic.statuses["206"]
    assert parts == (2 if kind == "half_body" else 0)


@pytest.mark.parametrize("status", [403, 410, 429, 503])
def test_download_rejected_url_is_replaced(results, tmp_path, status):
    results.put("f", b"abc")
    add(results, "status", status=status, retry_after=0)
    results.download(tmp_path)
    assert read_tree(tmp_path) == {"f": b"abc"}
    urls = "GET /api/v1/computations/{computation_id}/results/urls"
    assert results.server.emulator.traffic.requests[urls] == 2


def test_download_expired_url_is_replaced(results, tmp_path, monkeypatch):
    results.put("f", b"abc")
    lives = iter([-10, -10])  # of the URL to download, and of that to look at
    config = results.server.emulator.config
    served = []

    class Expiring:
        def __getattr__(self, name):
            if name == "url_ttl":
                served.append(next(lives, 300))
                return served[-1]
            return getattr(config, name)

    results.server.emulator.config = Expiring()
    results.download(tmp_path)
    assert (len(served), read_tree(tmp_path)) == (4, {"f": b"abc"})


def test_download_with_a_third_of_requests_rejected_succeeds(filled, tmp_path):
    for number in range(8):
        filled.put(f"more/{number}", b"x" * number)
    for status in (429, 503):
        rule = {"status": status, "probability": 1 / 6, "times": None, "retry_after": 0}
        add(filled, "status", path="**", **rule)
        add(filled, "status", **rule)
    assert filled.download(tmp_path).files == 12
    assert {path: content for path, content in read_tree(tmp_path).items() if "more" not in path} == FILES


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("short", "its host sends 5 bytes, but Code Ocean lists 10"),
        ("much too long", "its host sends 13 bytes, but Code Ocean lists 10"),
    ],
)
def test_download_of_wrong_size_fails_and_leaves_no_file(results, short_retries, tmp_path, body, message):
    results.put("d/f", b"0123456789")
    fault = add(results, "status", status=200, body=body, times=None)
    with pytest.raises(DownloadFailed, match=message) as failure:
        results.download(tmp_path)
    assert failure.value.is_transient
    assert f"'d/f' of computation {results.id} could not be downloaded" in str(failure.value)
    assert fault.hits > 1
    assert set(read_tree(tmp_path).values()) <= {b""}
    assert not (tmp_path / "d" / "f").exists()


@pytest.mark.parametrize(
    ("sent", "message"),
    [(b"012345", "its host ended too early"), (b"0" * 11, "its host sends 11 bytes or more")],
)
def test_download_of_unstated_length_and_wrong_size_fails(tmp_path, sent, message):
    def answer(request):
        if request.url.host == "files.test":
            return httpx.Response(200, stream=Stream(sent))
        return httpx.Response(200, json={"download_url": "https://files.test/f"})

    transport = httpx.MockTransport(answer)
    client = CodeOceanClient("https://co.test", "cop_token", transport=transport, retry_budget=0)
    target = LocalTarget(str(tmp_path))
    source = FileSource(client, computation_id="c")
    with pytest.raises(DownloadFailed, match=message):
        module.Download(client, source, [ListedFile("f", "f", 10)], target, max_parallel=1).run()
    assert "f" not in read_tree(tmp_path)


def test_download_from_one_byte_host_fails_within_the_budget(tmp_path, monkeypatch):
    """Each answer gets on, so that trouble alone would be borne as often as the file has bytes."""
    now, starts = [0.0], []

    class Pauses(threading.Event):
        def wait(self, timeout=None):
            now[0] += timeout or 0.0
            return False

    def answer(request):
        if request.url.host != "files.test":
            return httpx.Response(200, json={"download_url": "https://files.test/f"})
        starts.append(int(request.headers.get("range", "bytes=0-")[6:-1]))
        told = {"Content-Range": f"bytes {starts[-1]}-{10**9 - 1}/{10**9}", "ETag": '"1"'}
        return httpx.Response(206, headers=told, stream=Stream(b"0"))

    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: now[0]))
    client = CodeOceanClient(
        "https://co.test", "cop_token", timeout=1, retry_budget=20, transport=httpx.MockTransport(answer)
    )
    source = FileSource(client, computation_id="c")
    files = [ListedFile("f", "f", 10**9)]
    with pytest.raises(DownloadFailed, match="its host ended too early") as failure:
        module.Download(
            client, source, files, LocalTarget(str(tmp_path)), max_parallel=1, stop=Pauses()
        ).run()
    assert failure.value.is_transient
    assert starts == list(range(len(starts)))
    assert len(starts) > 3
    assert now[0] <= 20  # the budget, which starts again with each MiB only


class Stream(httpx.SyncByteStream):
    """A body of a length that is not told."""

    def __init__(self, body):
        self.body = body

    def __iter__(self):
        yield self.body


def test_download_404_from_file_host_is_retried(results, short_retries, tmp_path):
    """It may be a proxy's. Only Code Ocean, which provides each URL, can say that a file is gone."""
    results.put("f", b"abc")
    fault = add(results, "status", status=404, times=None)
    with pytest.raises(DownloadFailed, match="the host of the file answered 404") as failure:
        results.download(tmp_path)
    assert fault.hits > 1
    assert failure.value.is_transient
    assert isinstance(failure.value.__cause__, CodeOceanTransportError)


@pytest.mark.parametrize(("status", "error"), [(404, NotFound), (500, ServerError)])
def test_download_without_url_raises_the_api_error(filled, tmp_path, status, error):
    add(filled, "status", path="computations/*/results/**", method="GET", status=status, times=None)
    with pytest.raises(error):
        filled.download(tmp_path)


def test_download_first_failure_stops_the_others(results, short_retries, tmp_path):
    for number in range(4):
        results.put(f"{number}", b"x" * 9)
    held = add(results, "hold_before", path="/storage/*/0", times=1)
    add(results, "status", path="/storage/*/1", status=404, times=None)
    with pytest.raises(DownloadFailed, match="'1'"):
        results.download(tmp_path, max_parallel=2)
    assert held.hits == 1


def test_download_stop_event_ends_a_transfer(results, tmp_path):
    results.put("big", BIG)
    results.put("next", b"x")
    stop = threading.Event()
    slow = add(results, "slow_body", path="/storage/*/big", delay=0.2)
    threading.Thread(target=lambda: slow.wait(hits=1) and stop.set()).start()
    with pytest.raises(DownloadFailed, match="the download was stopped"):
        results.download(tmp_path, stop=stop, max_parallel=1)
    assert "next" not in read_tree(tmp_path)


def test_download_stopped_before_start_fetches_nothing(filled, tmp_path):
    stop = threading.Event()
    stop.set()
    with pytest.raises(DownloadFailed, match="stopped"):
        filled.download(tmp_path, stop=stop)
    assert filled.count_downloads() == 0


def test_download_stop_event_ends_a_pause(results, tmp_path):
    results.put("f", b"abc")
    stop = threading.Event()
    fault = add(results, "status", status=503, times=None, retry_after=50)
    threading.Thread(target=lambda: fault.wait(hits=1) and stop.set()).start()
    with pytest.raises(DownloadFailed, match="answered 503"):
        results.download(tmp_path, stop=stop)
    assert fault.hits == 1


def test_download_log_shows_progress_and_hides_urls(results, tmp_path, monkeypatch, caplog):
    for library in ("httpx", "httpcore", "httpx2", "httpcore2"):
        caplog.set_level(logging.DEBUG, library)
    monkeypatch.setattr(module, "PROGRESS_INTERVAL_SECONDS", 0.05)
    results.put("big", BIG)
    results.put("small", b"x")
    fault = add(results, "hold_before", path="/storage/*/big", times=1)
    ended = threading.Thread(target=results.download, args=(tmp_path,))
    ended.start()
    assert fault.wait(held=1)
    while "1 of 2 files are complete (1 downloaded), 0.0 of 3.3 MiB" not in caplog.text:
        ended.join(0.05)
        assert ended.is_alive()
    fault.release_requests()
    ended.join(30)
    assert "2 of 2 files are complete (2 downloaded), 3.3 of 3.3 MiB" in caplog.text
    ours = [record.getMessage() for record in caplog.records if not record.name.startswith("uvicorn")]
    assert not [line for line in ours if "signature" in line]


@pytest.mark.parametrize("path", ["../evil", "a/../../evil", "/etc/evil", "C:/evil", "a\\evil", "x\0"])
def test_download_unsafe_path_fails_before_any_transfer(filled, tmp_path, path):
    listing = {"items": [{"name": "f", "path": path, "type": "file", "size": 1}]}
    add(filled, "status", path="computations/*/results", status=200, body=listing, times=None)
    with pytest.raises(ValueError, match="file names that are not safe to write: "):
        filled.download(tmp_path / "target")
    assert list(tmp_path.iterdir()) == []
    assert filled.count_downloads() == 0


UNSAFE = {
    "Icon\r": "contains a control character",
    "raw\\x.csv": "contains a backslash, which separates folders on Windows",
    "1:30.csv": "starts with '1:', which Windows reads as a drive",
    "...": "has a part of nothing but dots and spaces, which could lead out of the target folder",
    "x\x85": "contains a control character",
}


@pytest.fixture
def partly_unsafe(filled):
    """Results of which some have names that are not safe to write."""
    items = [{"name": name, "path": name, "type": "file", "size": 1} for name in UNSAFE]
    items.append({"name": "top.txt", "path": "top.txt", "type": "file", "size": 3})
    add(filled, "status", path="computations/*/results", status=200, body={"items": items}, times=None)
    return filled


@pytest.mark.fault("D2")
def test_download_unsafe_names_error_lists_names_and_reasons(partly_unsafe, tmp_path):
    with pytest.raises(ValueError, match="Leave them out with exclude=… or on_unsafe='skip'") as error:
        partly_unsafe.download(tmp_path)
    for name, reason in UNSAFE.items():
        assert f"{name!r} {reason}" in str(error.value)
    assert partly_unsafe.count_downloads() == 0


@pytest.mark.fault("D2")
def test_download_unsafe_names_are_skipped_on_request(partly_unsafe, tmp_path, caplog):
    done = partly_unsafe.download(tmp_path, on_unsafe="skip")
    assert (done.files, done.downloaded, done.skipped) == (1, 1, len(UNSAFE))
    assert read_tree(tmp_path) == {"top.txt": b"top"}
    (warning,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    for name, reason in UNSAFE.items():
        assert f"{name!r} {reason}" in warning


@pytest.mark.fault("D2")
def test_download_unsafe_names_can_be_excluded(partly_unsafe, tmp_path):
    exclude = ["Icon?", "**/*\\*", "?:*", "...", "*\x85"]
    assert partly_unsafe.download(tmp_path, exclude=exclude) == DownloadResult(str(tmp_path), 1, 3, 1)
    assert [file.path for file in partly_unsafe.list_files(exclude="[!t]*")] == ["top.txt"]


def test_download_many_unsafe_names_error_lists_some(filled, tmp_path):
    items = [{"name": "x\n", "path": f"{number}/x\n" + "y" * 300, "type": "file"} for number in range(15)]
    add(filled, "status", path="computations/*/results", status=200, body={"items": items}, times=None)
    with pytest.raises(ValueError, match="and 5 more") as error:
        filled.download(tmp_path)
    assert len(str(error.value)) < 5000


def test_read_file_unsafe_name_is_read(partly_unsafe):
    """In memory, a name cannot lead anywhere."""
    partly_unsafe.put("Icon\r", b"x")
    assert CodeOceanHook().read_file("Icon\r", computation_id=partly_unsafe.id) == b"x"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"overwrite": "yes"}, "overwrite must be True or False, got 'yes'"),
        ({"on_unsafe": "x"}, "on_unsafe must be one of 'fail', 'skip', got 'x'"),
        ({"exclude": []}, "exclude must be a glob such as"),
        ({"exclude": "/x"}, "exclude must be a glob relative to the path"),
        ({"target": "relative"}, "target must be an absolute path or an address"),
        ({"target": "file://relative"}, "target must be an absolute path"),
        ({"target": "s3://"}, "target must be an absolute path"),
        ({"target": "/x\0"}, "target must be an absolute path"),
        ({"max_parallel": 0}, "max_parallel must be a whole number from 1 to 32, got 0"),
        ({"max_parallel": 33}, "max_parallel must be"),
        ({"max_parallel": True}, "max_parallel must be"),
        ({"pattern": "/x"}, "pattern must be a glob"),
        (
            {"data_asset_id": "a"},
            "give exactly one of data_asset_id, computation_id, got data_asset_id and c",
        ),
    ],
)
def test_download_invalid_arguments_fail_before_any_request(results, arguments, message):
    with pytest.raises(ValueError, match=message):
        results.download(**{"target": "/nowhere"} | arguments)
    assert sum(results.server.emulator.traffic.requests.values()) == 0
