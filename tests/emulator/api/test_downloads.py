from __future__ import annotations

from urllib.parse import parse_qs, quote, urlsplit

import pytest

from airflow_provider_codeocean.emulator.api.downloads import guess_content_type
from airflow_provider_codeocean.emulator.state.signing import UrlSigner
from tests.emulator.in_process import START_TIME, expect_error, expect_status

FIGURE = "figures/firing rate \u2013 unit #1 (50 %).svg"
ODD_NAMES = ["a b", "äöß", "a#b?c", "100%", "%41", "a+b&c=d", "q'\"", ";x", "emoji 🧠"]


@pytest.fixture
async def urls(deployment):
    path = f"computations/{deployment.env['CODEOCEAN_COMPUTATION_ID']}/results/urls"

    async def get(file: str) -> dict[str, str]:
        return expect_status(await deployment.user.get(path, params={"path": file}), 200)

    return get


async def test_download_needs_no_credentials(deployment, urls):
    both = await urls("tables/units.csv")
    for kind, disposition in (("download_url", "attachment"), ("view_url", "inline")):
        response = await deployment.web.get(both[kind], headers={"Accept-Encoding": "gzip"})
        assert response.status_code == 200
        assert response.text.startswith("unit,rate_hz,label\n")
        assert response.headers["content-type"] == "text/csv; charset=utf-8"
        assert response.headers["content-length"] == str(len(response.content))
        assert response.headers["content-disposition"] == f"{disposition}; filename*=UTF-8''units.csv"
        assert "content-encoding" not in response.headers


async def test_download_url_endpoint_returns_the_same_url(deployment, urls):
    path = f"computations/{deployment.env['CODEOCEAN_COMPUTATION_ID']}/results/download_url"
    url = expect_status(await deployment.user.get(path, params={"path": "output"}), 200)["url"]
    assert url == (await urls("output"))["download_url"]


async def test_download_of_name_with_special_characters_succeeds(deployment, urls):
    response = await deployment.web.get((await urls(FIGURE))["view_url"])
    assert response.content.startswith(b"<svg")
    assert response.headers["content-type"] == "image/svg+xml; charset=utf-8"
    assert quote("unit #1 (50 %).svg", safe="") in response.headers["content-disposition"]


@pytest.mark.parametrize("name", ODD_NAMES)
async def test_download_of_any_name_returns_its_content(deployment, name):
    deployment.store.files.put(
        f"run-{deployment.env['CODEOCEAN_COMPUTATION_ID']}", f"odd/{name}", name.encode()
    )
    path = f"computations/{deployment.env['CODEOCEAN_COMPUTATION_ID']}/results"
    [item] = expect_status(await deployment.user.post(path, json={"path": "odd"}), 200)["items"]
    url = expect_status(await deployment.user.get(f"{path}/urls", params={"path": item["path"]}), 200)[
        "download_url"
    ]
    assert (await deployment.web.get(url)).content == name.encode()


async def test_signed_url_that_is_changed_or_expired_is_rejected(deployment, urls):
    url = (await urls("output"))["download_url"]
    for wrong in (
        url.replace("output", "summary.json"),
        url.replace("attachment", "inline"),
        url.replace("expires=", "expires=9"),
        url[:-1] + ("0" if url[-1] != "0" else "1"),
        url.split("?", maxsplit=1)[0],
    ):
        assert "signature" in expect_error(await deployment.web.get(wrong), 403)
    assert int(parse_qs(urlsplit(url).query)["expires"][0]) == START_TIME + deployment.emulator.config.url_ttl
    deployment.clock.advance(deployment.emulator.config.url_ttl)
    expect_bytes = await deployment.web.get(url)
    assert expect_bytes.status_code == 200
    deployment.clock.advance(1)
    assert "expired" in expect_error(await deployment.web.get(url), 403)


async def test_download_of_deleted_file_is_not_found(deployment, urls):
    url = (await urls("output"))["download_url"]
    expect_status(
        await deployment.user.delete(f"computations/{deployment.env['CODEOCEAN_COMPUTATION_ID']}"), 204
    )
    assert "gone" in expect_error(await deployment.web.get(url), 404)


@pytest.mark.parametrize(
    ("wanted", "start", "end"),
    [
        ("bytes=0-3", 0, 4),
        ("bytes=5-", 5, None),
        ("bytes=-4", -4, None),
        ("bytes=2-9999", 2, None),
        ("bytes=-9999", 0, None),
    ],
)
async def test_download_with_range_returns_the_part(deployment, urls, wanted, start, end):
    url = (await urls("output"))["download_url"]
    whole = await deployment.web.get(url)
    part = await deployment.web.get(url, headers={"Range": wanted, "If-Range": whole.headers["etag"]})
    expected = whole.content[start:end]
    assert (part.status_code, part.content) == (206, expected)
    first = whole.content.index(expected)
    span = f"bytes {first}-{first + len(expected) - 1}/{len(whole.content)}"
    assert part.headers["content-range"] == span


@pytest.mark.parametrize("wanted", ["bytes=-", "lines=1-2", "bytes=1-2,4-5", "bytes=x-"])
async def test_download_with_invalid_range_returns_the_whole_file(deployment, urls, wanted):
    url = (await urls("output"))["download_url"]
    assert (await deployment.web.get(url, headers={"Range": wanted})).status_code == 200


async def test_download_range_of_other_version_returns_the_whole_file(deployment, urls):
    url = (await urls("output"))["download_url"]
    response = await deployment.web.get(url, headers={"Range": "bytes=0-3", "If-Range": '"other"'})
    assert response.status_code == 200


async def test_download_range_beyond_the_end_is_rejected(deployment, urls):
    url = (await urls("output"))["download_url"]
    size = len((await deployment.web.get(url)).content)
    response = await deployment.web.get(url, headers={"Range": f"bytes={size}-"})
    assert (response.status_code, response.headers["content-range"]) == (416, f"bytes */{size}")


async def test_head_request_returns_the_size(deployment, urls):
    url = (await urls("output"))["download_url"]
    head, get = await deployment.web.head(url), await deployment.web.get(url)
    assert (head.status_code, head.headers["content-length"]) == (200, str(len(get.content)))


@pytest.mark.parametrize(("path", "status"), [("", 400), ("/", 400), ("none", 404), ("tables", 404)])
async def test_urls_of_a_path_that_is_no_file_are_rejected(deployment, path, status):
    base = f"computations/{deployment.env['CODEOCEAN_COMPUTATION_ID']}/results/urls"
    assert "path" in expect_error(await deployment.user.get(base, params={"path": path}), status)
    assert "path" in expect_error(await deployment.user.get(base), 400)


def test_guess_content_type_by_file_extension():
    assert guess_content_type("output") == "text/plain; charset=utf-8"
    assert guess_content_type("a.json") == "application/json; charset=utf-8"
    assert guess_content_type("a.png") == "image/png"
    assert guess_content_type("a.unknown-thing") == "application/octet-stream"


def test_url_signer_signature_depends_on_the_secret():
    signed = ("location", "path", "inline", 1)
    assert UrlSigner("a").compute_signature(*signed) != UrlSigner("b").compute_signature(*signed)
    assert not UrlSigner("a").is_valid("ünïcode", *signed)
