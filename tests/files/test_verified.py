"""Nothing but the file counts as the file: proxies, changing versions, missing validators, checksums."""

from __future__ import annotations

import base64
import hashlib
import tempfile
import zlib
from contextlib import suppress
from pathlib import Path

import pytest
from fsspec.implementations.memory import MemoryFileSystem
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_codeocean.api._http.library import httpx
from airflow_provider_codeocean.api.errors import DownloadFailed
from airflow_provider_codeocean.files.local import LocalTarget
from airflow_provider_codeocean.files.memory import MemoryTarget
from airflow_provider_codeocean.files.object_store import ObjectStoreTarget
from tests.files.conftest import read_tree
from tests.files.fake_host import HTML_PAGE, FakeHost, ResponseBody, html_page, serve_file
from tests.sampling import examples

MIB = 1024 * 1024
SIZE = 3 * MIB
#: Bytes after which a connection breaks; whole MiB arrive.
BREAK = 2 * MIB
OLD = b"o" * SIZE
NEW = b"n" * SIZE
ETAG = {"ETag": '"1"'}
DATED = {"Last_Modified": "Mon, 05 Jan 2026 10:00:00 GMT", "Date": "Mon, 05 Jan 2026 10:00:01 GMT"}


class Memory(MemoryFileSystem):
    """A memory of its own."""

    cachable = False

    def __init__(self, **options):
        super().__init__(**options)
        self.store, self.pseudo_dirs = {}, ["", "/bucket"]


class Place:
    """A place for files: each attempt gets a target of its own there."""

    def __init__(self, kind, folder):
        self.kind = kind
        self.folder = folder
        self.filesystem = Memory()

    @property
    def target(self):
        if self.kind == "local":
            return LocalTarget(str(self.folder))
        return ObjectStoreTarget("memory://bucket", self.filesystem, "/bucket")

    def put(self, name, content):
        if self.kind == "local":
            (self.folder / name).write_bytes(content)
        else:
            self.filesystem.pipe_file(f"/bucket/{name}", content)

    @property
    def files(self):
        """The visible files."""
        if self.kind == "local":
            found = read_tree(self.folder)
        else:
            names = self.filesystem.find("/bucket")
            found = {name.removeprefix("/bucket/"): self.filesystem.cat_file(name) for name in names}
        return {name: content for name, content in found.items() if not name.startswith(".")}


@pytest.fixture(params=["local", "store"])
def place(request, tmp_path):
    return Place(request.param, tmp_path)


@pytest.mark.fault("A1")
def test_download_page_of_unstated_length_starts_over(place):
    host = FakeHost(html_page, serve_file(OLD, **ETAG))
    assert host.download(place.target, SIZE).downloaded == 1
    assert place.files == {"f": OLD}
    assert host.range_starts == [0, 0]


@pytest.mark.fault("A1")
@pytest.mark.parametrize("headers", [{}, ETAG, DATED])
def test_download_page_at_the_end_of_an_attempt_is_not_kept(tmp_path, headers):
    place = Place("local", tmp_path)
    headers = {name.replace("_", "-"): value for name, value in headers.items()}

    def breaking_page(request):
        return httpx.Response(200, headers=headers, stream=ResponseBody(HTML_PAGE * 30_000, breaks=True))

    with pytest.raises(DownloadFailed):
        FakeHost(breaking_page, retry_budget=0).download(place.target, SIZE)
    assert place.files == {}
    assert FakeHost(serve_file(OLD, ETag='"2"')).download(place.target, SIZE).downloaded == 1
    assert place.files == {"f": OLD}


def test_download_to_memory_after_broken_connection_continues():
    host = FakeHost(serve_file(OLD, breaks_after=BREAK, **ETAG), serve_file(OLD, **ETAG))
    target = MemoryTarget(SIZE)
    host.download(target, SIZE)
    assert target.content == OLD
    assert host.range_starts == [0, BREAK]


@pytest.mark.fault("A1")
def test_read_into_memory_page_of_unstated_length_starts_over():
    target = MemoryTarget(SIZE)
    FakeHost(html_page, serve_file(OLD, **ETAG)).download(target, SIZE)
    assert target.content == OLD


def test_download_unstated_length_with_exact_end_succeeds(place):
    FakeHost(lambda _: httpx.Response(200, stream=ResponseBody(OLD))).download(place.target, SIZE)
    assert place.files == {"f": OLD}


@pytest.mark.fault("A1")
@pytest.mark.parametrize(
    "validator", [{}, ETAG, {"Last-Modified": DATED["Last_Modified"], "Date": DATED["Date"]}]
)
@pytest.mark.parametrize("length", [{}, {"Content-Length": str(len(HTML_PAGE))}])
def test_download_page_for_unlisted_size_starts_over(place, validator, length):
    """A web server states the length of its error page, and validators."""

    def answer(request):
        return httpx.Response(200, headers={**validator, **length}, stream=ResponseBody(HTML_PAGE))

    with pytest.raises(
        DownloadFailed, match="does not list its size, and its host, which is no known object store"
    ) as failure:
        FakeHost(answer, retry_budget=0).download(place.target)
    assert failure.value.is_transient
    assert place.files == {}
    host = FakeHost(answer, serve_file(OLD, **ETAG, **checksums(OLD)["Google"]))
    host.download(place.target)
    assert place.files == {"f": OLD}
    assert host.range_starts == [0, 0]


def test_download_unlisted_size_from_object_store_succeeds(place):
    headers = {"x-amz-request-id": "1", "Content-Length": str(SIZE)}
    FakeHost(lambda _: httpx.Response(200, headers=headers, stream=ResponseBody(OLD))).download(place.target)
    assert place.files == {"f": OLD}


def test_download_checksum_without_length_for_unlisted_size_fails(place):
    headers = {"x-goog-hash": checksums(OLD)["Google"]["x_goog_hash"]}
    with pytest.raises(DownloadFailed, match="does not list its size"):
        FakeHost(
            lambda _: httpx.Response(200, headers=headers, stream=ResponseBody(OLD)), retry_budget=0
        ).download(place.target)
    assert place.files == {}


@pytest.mark.fault("A1")
def test_download_empty_file_of_unlisted_size_succeeds(place):
    host = FakeHost(
        lambda _: httpx.Response(200, headers={"Content-Length": "0"}, stream=ResponseBody()), retry_budget=0
    )
    assert host.download(place.target).bytes == 0
    assert place.files == {"f": b""}


@pytest.mark.fault("A2")
@pytest.mark.parametrize("check_if_range", [True, False], ids=["", "If-Range is ignored"])
@pytest.mark.parametrize(
    ("before", "after"),
    [
        (ETAG, {"ETag": '"2"'}),
        (DATED, DATED | {"Last_Modified": "Mon, 05 Jan 2026 09:59:59 GMT"}),
        ({}, {}),
        (ETAG, {}),
        ({}, ETAG),
        ({"ETag": 'W/"1"'}, {"ETag": 'W/"1"'}),
        (DATED | {"Date": DATED["Last_Modified"]}, DATED),
    ],
    ids=["ETag", "date", "none", "lost", "new", "weak ETag", "date of the same second"],
)
@pytest.mark.parametrize(("kind", "attempts"), [("local", 1), ("local", 2), ("store", 1)])
def test_download_version_that_may_have_changed_starts_over(
    tmp_path, kind, before, after, check_if_range, attempts
):
    place = Place(kind, tmp_path)
    broken = serve_file(OLD, breaks_after=BREAK, **before)
    rest = serve_file(NEW, check_if_range=check_if_range, **after)
    if attempts == 1:
        FakeHost(broken, rest).download(place.target, SIZE)
    else:
        with pytest.raises(DownloadFailed):
            FakeHost(broken, retry_budget=0).download(place.target, SIZE)
        FakeHost(rest).download(place.target, SIZE)
    assert place.files == {"f": NEW}


@pytest.mark.parametrize("headers", [ETAG, DATED])
@pytest.mark.parametrize("attempts", [1, 2])
def test_download_same_version_continues(tmp_path, headers, attempts):
    place = Place("local", tmp_path)
    broken = serve_file(OLD, breaks_after=BREAK, **headers)
    host = FakeHost(broken, serve_file(OLD, **headers))
    if attempts == 2:
        with pytest.raises(DownloadFailed):
            FakeHost(broken, retry_budget=0).download(place.target, SIZE)
        host = FakeHost(serve_file(OLD, **headers))
    host.download(place.target, SIZE)
    assert place.files == {"f": OLD}
    assert host.range_starts == [0, BREAK][-len(host.range_starts) :]
    assert host.requests[-1].headers["if-range"] in headers.values()
    assert set(read_tree(tmp_path)) == {"f"}


@pytest.mark.parametrize("status", [400, 412, 416])
def test_download_refused_range_starts_over(place, status):
    host = FakeHost(
        serve_file(OLD, breaks_after=BREAK, **ETAG),
        lambda _: httpx.Response(status),
        serve_file(OLD, ranges=False, **ETAG),
    )
    host.download(place.target, SIZE)
    assert host.range_starts == [0, BREAK, 0]
    assert place.files == {"f": OLD}


def test_download_ranges_of_limited_length_continue(place):
    def limited(request):
        start = int(request.headers.get("range", "bytes=0-")[6:-1])
        stated = {"Content-Range": f"bytes {start}-{start + MIB - 1}/{SIZE}", **ETAG}
        return httpx.Response(206, headers=stated, stream=ResponseBody(OLD[start : start + MIB]))

    host = FakeHost(limited)
    host.download(place.target, SIZE)
    assert host.range_starts == [0, MIB, 2 * MIB]
    assert place.files == {"f": OLD}


ANSWERS = st.one_of(
    st.just(html_page),
    st.builds(
        lambda version, headers, broken, ranges, if_range: serve_file(
            version, breaks_after=broken, ranges=ranges, check_if_range=if_range, **headers(version)
        ),
        st.sampled_from([OLD, NEW]),
        st.sampled_from(
            [
                lambda version: {},
                lambda version: {"ETag": f'"{version[:1].decode()}"'},
                lambda version: {"ETag": 'W/"same"'},
                lambda version: DATED | {"Last_Modified": f"Mon, 05 Jan 2026 09:5{version[0] % 10}:00 GMT"},
            ]
        ),
        st.sampled_from([None, 1, BREAK, SIZE - 1]),
        st.booleans(),
        st.booleans(),
    ),
)


@pytest.mark.fault("A2")
@settings(deadline=None, max_examples=examples(60))
@given(
    st.lists(st.lists(ANSWERS, min_size=1, max_size=4), min_size=1, max_size=3),
    st.sampled_from(["local", "store"]),
)
def test_download_from_any_host_returns_one_version_or_fails(attempts, kind):
    with tempfile.TemporaryDirectory() as folder:
        place = Place(kind, Path(folder))
        for answers in attempts:
            with suppress(DownloadFailed):
                FakeHost(*answers, retry_budget=10).download(place.target, SIZE)
                assert place.files in ({"f": OLD}, {"f": NEW})
        assert place.files in ({}, {"f": OLD}, {"f": NEW})


def b64(digest):
    return base64.b64encode(digest).decode()


def checksums(content):
    md5, sha = hashlib.md5(content).digest(), hashlib.sha256(content).digest()
    s3 = {"ETag": f'"{md5.hex()}"', "x_amz_request_id": "1"}
    return {
        "Content-MD5": {"Content_MD5": b64(md5)},
        "Digest": {"Digest": f"SHA-256={b64(sha)}"},
        "Repr-Digest": {"Repr_Digest": f"sha-256=:{b64(sha)}:, sha-512=:nonsense:"},
        "Content-Digest": {"Content_Digest": f"md5=:{b64(md5)}:"},
        "S3 sha256": {"x_amz_checksum_sha256": b64(sha)},
        "S3 sha1": {"x_amz_checksum_sha1": b64(hashlib.sha1(content).digest())},
        "Google": {"x_goog_hash": f"crc32c=AAAAAA==,md5={b64(md5)}"},
        "Azure": {"x_ms_blob_content_md5": b64(md5)},
        "S3 ETag": s3,
        "S3 ETag, encrypted": s3 | {"x_amz_server_side_encryption": "AES256"},
    }


@pytest.mark.parametrize("kind", checksums(b""))
def test_download_checksum_of_other_bytes_starts_over(place, kind):
    stated = checksums(OLD)[kind]
    host = FakeHost(serve_file(NEW, **stated), serve_file(OLD, **stated))
    host.download(place.target, SIZE)
    assert place.files == {"f": OLD}
    assert host.range_starts == [0, 0]


@pytest.mark.parametrize("kind", ["Digest", "Repr-Digest", "Google", "Azure", "S3 ETag"])
@pytest.mark.parametrize("attempts", [1, 2])
def test_download_checksum_of_continued_file_covers_all_of_it(place, kind, attempts):
    stated = ETAG | checksums(OLD)[kind]
    damaged = serve_file(b"x" + OLD[1:], breaks_after=BREAK, **stated)
    if attempts == 2:
        with pytest.raises(DownloadFailed):
            FakeHost(damaged, retry_budget=0).download(place.target, SIZE)
        host = FakeHost(serve_file(OLD, **stated))
    else:
        host = FakeHost(damaged, serve_file(OLD, **stated))
    host.download(place.target, SIZE)
    assert place.files == {"f": OLD}
    assert host.range_starts[-1] == 0


def test_download_checksum_that_never_matches_fails(place):
    with pytest.raises(DownloadFailed, match=r"its md5 is .*, but its host states") as failure:
        FakeHost(serve_file(NEW, **checksums(OLD)["Content-MD5"])).download(place.target, SIZE)
    assert failure.value.is_transient
    assert place.files == {}


@pytest.mark.parametrize(
    "headers",
    [
        {"ETag": f'"{"0" * 32}"'},
        {"ETag": f'"{"0" * 32}-2"', "Server": "AmazonS3"},
        {"ETag": f'"{"0" * 32}"', "Server": "AmazonS3", "x_amz_server_side_encryption": "aws:kms"},
        {
            "ETag": f'"{"0" * 32}"',
            "Server": "AmazonS3",
            "x_amz_server_side_encryption_customer_algorithm": "AES256",
        },
        {"ETag": f'"{"0" * 32}"', "Server": "AmazonS3", "x_amz_storage_class": "EXPRESS_ONEZONE"},
        {"x_amz_checksum_sha256": f"{b64(b'0' * 32)}-3"},
        {"x_amz_checksum_crc32": b64(zlib.crc32(NEW).to_bytes(4, "big"))},
        {"Content_MD5": "not Base64", "Digest": "md5=AAAA"},
    ],
)
def test_download_header_that_is_no_checksum_is_ignored(place, headers):
    host = FakeHost(serve_file(OLD, **headers))
    host.download(place.target, SIZE)
    assert len(host.requests) == 1
    assert place.files == {"f": OLD}


def test_download_etag_that_repeatedly_differs_succeeds_with_warning(place, caplog):
    """Some stores that imitate S3 use other ETags: what arrives the same twice was not damaged on the way."""
    host = FakeHost(serve_file(OLD, ETag=f'"{"0" * 32}"', x_amz_request_id="1"))
    host.download(place.target, SIZE)
    assert len(host.requests) == 2
    assert place.files == {"f": OLD}
    assert "The ETag of 'f' is not its MD5" in caplog.text


@pytest.mark.fault("D9")
def test_download_syncs_file_and_folders_before_it_ends(tmp_path, monkeypatch):
    import os

    done = []
    fsync, rename = os.fsync, os.rename

    def path_of(descriptor):
        return str(Path(f"/proc/self/fd/{descriptor}").readlink())

    def traced_fsync(descriptor):
        done.append(("fsync", path_of(descriptor)))
        fsync(descriptor)

    def traced_rename(source, name, *, src_dir_fd, dst_dir_fd):
        done.append(("rename", f"{path_of(src_dir_fd)}/{source}"))
        rename(source, name, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)

    monkeypatch.setattr(os, "fsync", traced_fsync)
    monkeypatch.setattr(os, "rename", traced_rename)
    from airflow_provider_codeocean.files.source import ListedFile

    root = tmp_path / "new" / "target"
    FakeHost(serve_file(OLD, **ETAG)).download(LocalTarget(str(root)), files=[ListedFile("d/f", "d/f", SIZE)])
    renamed = next(number for number, (what, _) in enumerate(done) if what == "rename")
    assert ("fsync", done[renamed][1]) in done[:renamed]
    synced = {path for what, path in done[renamed:] if what == "fsync"}
    assert {str(tmp_path), str(tmp_path / "new"), str(root), str(root / "d")} <= synced
