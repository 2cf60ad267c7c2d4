"""Faults and quirks that are known of real servers: each as it is asked for, and off by default."""

from __future__ import annotations

import hashlib
import itertools
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from airflow_provider_codeocean.api._http.library import httpx
from airflow_provider_codeocean.emulator import EmulatorConfig, EmulatorServer, Transitions
from airflow_provider_codeocean.emulator.domain.clock import ManualClock, Policy, Work
from airflow_provider_codeocean.emulator.domain.faults import QUIRK_KINDS, Fault, FaultRule
from airflow_provider_codeocean.emulator.domain.records import DataAsset, User
from airflow_provider_codeocean.emulator.domain.requests import DataAssetSearchParams
from airflow_provider_codeocean.emulator.services.search import PageQuirks, SearchIndex, search
from airflow_provider_codeocean.emulator.state.access import Caller
from airflow_provider_codeocean.emulator.state.store import Store
from tests.emulator.in_process import expect_error, expect_status
from tests.sampling import examples

if TYPE_CHECKING:
    from collections.abc import Iterator

KEY = "airflow0123456789abcdef0123456789ABCDEF"
CAPSULE_DEFAULTS = {"threshold": "5"}


def add(deployment: Any, **rule: Any) -> Fault:
    return deployment.emulator.faults.add(FaultRule(**rule))


def asset_path(deployment: Any) -> str:
    return f"data_assets/{deployment.env['CODEOCEAN_DATA_ASSET_ID']}"


async def search_page(deployment: Any, **params: Any) -> dict[str, Any]:
    return expect_status(await deployment.admin.post("data_assets/search", json=params), 200)


@pytest.fixture
async def file_url(deployment):
    path = f"computations/{deployment.env['CODEOCEAN_COMPUTATION_ID']}/results/urls"
    return expect_status(await deployment.user.get(path, params={"path": "output"}), 200)["download_url"]


# --- rules


@pytest.mark.parametrize(
    ("rule", "times", "path"),
    [
        ({"kind": "status"}, 1, "**"),
        ({"kind": "html", "seconds": 3}, None, "**"),
        ({"kind": "html", "seconds": 3, "times": 2}, 2, "**"),
        ({"kind": "drop_tags"}, None, "**"),
        ({"kind": "read_lag"}, None, "**"),
        ({"kind": "change_file"}, None, "/storage/**"),
        ({"kind": "change_file", "path": "/storage/*/output", "times": 1}, 1, "/storage/*/output"),
    ],
)
def test_rule_has_the_defaults_of_its_kind(rule, times, path):
    made = FaultRule(**rule)
    assert (made.times, made.path) == (times, path)
    assert FaultRule.model_validate(rule) == made


@pytest.mark.parametrize(
    ("rule", "named"),
    [
        ({"kind": "drop_fields"}, "fields"),
        ({"kind": "drop_headers"}, "fields"),
        ({"kind": "report_defaults", "body": ["seed"]}, "body"),
        ({"kind": "html", "seconds": 0}, "seconds"),
        ({"kind": "read_lag", "reads": 0}, "reads"),
        ({"kind": "overlap_pages", "count": 0}, "count"),
        ({"kind": "lose_tags"}, "kind"),
        ("html", "FaultRule"),
    ],
)
def test_rule_with_conflicting_options_is_rejected(rule, named):
    with pytest.raises(ValidationError, match=named):
        FaultRule.model_validate(rule)


@pytest.mark.parametrize("kind", sorted(QUIRK_KINDS))
async def test_quirk_is_set_by_config_and_by_control_endpoint(deploy, kind):
    rule = {"kind": kind, "fields": ["x"]} if kind.startswith("drop_") else {"kind": kind}
    [from_start] = deploy(faults=[rule]).emulator.faults.all()
    deployment = deploy()
    added = expect_status(await deployment.control.post("faults", json=rule), 200)
    assert from_start.rule == deployment.emulator.faults.get(added["id"]).rule


async def test_rule_with_seconds_applies_from_its_first_hit(deployment):
    fault = add(deployment, kind="html", status=404, path="data_assets/*", seconds=5)
    deployment.clock.advance(100)
    for _ in range(3):
        assert (await deployment.user.get(asset_path(deployment))).status_code == 404
    deployment.clock.advance(4.9)
    assert (await deployment.user.get(asset_path(deployment))).status_code == 404
    deployment.clock.advance(0.2)
    expect_status(await deployment.user.get(asset_path(deployment)), 200)
    assert fault.hits == 4


# --- a proxy in front


@pytest.mark.parametrize("status", [200, 302, 401, 403, 404, 408, 421, 425, 503])
async def test_html_of_a_proxy_comes_before_authentication_and_routing(deployment, status):
    fault = add(deployment, kind="html", status=status, times=2)
    for path in (asset_path(deployment), "no/such/route"):
        response = await deployment.add_client(None).get(path)
        assert (response.status_code, response.headers["content-type"]) == (
            status,
            "text/html; charset=utf-8",
        )
        assert response.headers.get("location") == (fault.rule.location if status == 302 else None)
    expect_error(await deployment.add_client(None).get(asset_path(deployment)), 401)


# --- read-after-write lag


@pytest.mark.parametrize("resource", ["data_assets", "computations"])
@pytest.mark.parametrize("rule", [{"delay": 3}, {"reads": 2}])
async def test_read_lag_hides_new_objects_from_get(deployment, resource, rule):
    fault = add(deployment, kind="read_lag", **rule)
    if resource == "data_assets":
        made = [await deployment.create_data_asset(), await deployment.create_data_asset()]
    else:
        body = {"capsule_id": deployment.env["CODEOCEAN_CAPSULE_ID"]}
        made = [expect_status(await deployment.admin.post("computations", json=body), 200) for _ in range(2)]
    for one in made:
        for _ in range(2):
            assert one["id"] in expect_error(await deployment.admin.get(f"{resource}/{one['id']}"), 404)
    if "delay" in rule:
        deployment.clock.advance(3)
    for one in made:
        expect_status(await deployment.admin.get(f"{resource}/{one['id']}"), 200)
    assert fault.hits == 4


async def test_read_lag_affects_only_get_of_new_objects(deployment):
    add(deployment, kind="read_lag", delay=60)
    expect_status(await deployment.user.get(asset_path(deployment)), 200)
    expect_status(await deployment.user.get("custom_metadata"), 200)
    expect_error(await deployment.user.get("data_assets/unknown"), 404)
    made = await deployment.create_data_asset(name="new")
    expect_status(await deployment.user.put(f"data_assets/{made['id']}", json={"description": "x"}), 200)
    assert "new" in await deployment.search_names()


# --- rate limits by kind of request


@pytest.mark.parametrize(("retry_after", "header"), [(False, None), (True, "1000"), (60, "60")])
async def test_rate_limit_of_searches_leaves_other_requests_alone(deployment, retry_after, header):
    limit = {"kind": "search", "requests_per_second": 0.001, "retry_after": retry_after}
    expect_status(await deployment.control.put("rate_limit", json=limit), 200)
    expect_status(await deployment.user.post("data_assets/search", json={}), 200)
    rejected = await deployment.user.post("capsules/search", json={})
    expect_error(rejected, 429)
    assert rejected.headers.get("retry-after") == header
    expect_status(await deployment.user.get(asset_path(deployment)), 200)
    await deployment.create_data_asset()
    expect_status(await deployment.control.put("rate_limit", json={"kind": "search"}), 200)
    expect_status(await deployment.user.post("capsules/search", json={}), 200)


async def test_rate_limits_of_several_kinds_are_configured_together(deploy):
    slow = {"requests_per_second": 0.001}
    deployment = deploy(
        rate_limit=[{"kind": "read", **slow}, {"kind": "submit", **slow}, {"kind": "change", **slow}]
    )
    asset = await deployment.create_data_asset()
    listing = f"computations/{deployment.env['CODEOCEAN_COMPUTATION_ID']}/results"
    expect_status(await deployment.user.post(listing), 200)
    expect_error(await deployment.user.get(f"data_assets/{asset['id']}"), 429)
    expect_error(await deployment.user.post("computations", json={}), 429)
    expect_status(await deployment.user.put(f"data_assets/{asset['id']}", json={}), 200)
    expect_error(await deployment.user.delete(f"data_assets/{asset['id']}"), 429)
    expect_status(await deployment.user.post("data_assets/search", json={}), 200)


# --- permissions


@pytest.mark.fault("A6")
async def test_permissions_for_an_unknown_group_are_dropped_silently(deployment):
    asset = await deployment.create_data_asset()
    path = f"data_assets/{asset['id']}/permissions"
    groups = [
        {"group": "no-lab", "role": "viewer"},
        {"group": deployment.env["CODEOCEAN_GROUP"], "role": "viewer"},
    ]
    expect_status(await deployment.user.post(path, json={"groups": groups}), 204)
    assert expect_status(await deployment.user.get(path), 200)["groups"] == groups[1:]


async def test_permissions_for_a_group_of_a_seeded_user_are_kept(deploy):
    deployment = deploy(users=[{"email": "new@lab.test", "groups": ["imaging"]}], groups=["empty"])
    path = f"data_assets/{(await deployment.create_data_asset())['id']}/permissions"
    groups = [{"group": name, "role": "viewer"} for name in ("empty", "imaging")]
    expect_status(await deployment.user.post(path, json={"groups": groups}), 204)
    assert expect_status(await deployment.user.get(path), 200)["groups"] == groups
    expect_status(await deployment.add_client_for("new@lab.test").get(path.removesuffix("/permissions")), 200)


async def test_drop_users_drops_unknown_users(deployment):
    path = f"data_assets/{(await deployment.create_data_asset())['id']}/permissions"
    body = {"users": [{"email": "nobody@lab.test", "role": "viewer"}]}
    expect_error(await deployment.user.post(path, json=body), 400)
    fault = add(deployment, kind="drop_users")
    expect_status(await deployment.user.post(path, json=body), 204)
    assert [one["email"] for one in expect_status(await deployment.user.get(path), 200)["users"]] == [
        deployment.env["CODEOCEAN_USER_EMAIL"]
    ]
    assert fault.hits == 1


# --- tags, names, fields, ids


@pytest.mark.parametrize("stored", [True, False])
@pytest.mark.parametrize(
    ("rule", "tags"),
    [
        ({"kind": "truncate_tags", "length": 16}, [KEY[:16]]),
        ({"kind": "lowercase_tags"}, [KEY.lower()]),
        ({"kind": "prefix_tags", "text": "user:"}, [f"user:{KEY}"]),
        ({"kind": "drop_tags"}, None),
    ],
)
async def test_tag_quirk_changes_stored_or_shown_tags(deployment, stored, rule, tags):
    fault = add(deployment, **rule, stored=stored)
    asset = await deployment.create_data_asset(tags=[KEY])
    [found] = [one for one in (await search_page(deployment))["results"] if one["id"] == asset["id"]]
    for shown in (asset, await deployment.read_data_asset(asset["id"]), found):
        assert (shown.get("tags") or None) == tags
    deployment.emulator.faults.remove(fault.id)
    assert (await deployment.read_data_asset(asset["id"])).get("tags") == (tags if stored else [KEY])


@pytest.mark.parametrize("stored", [True, False])
async def test_truncate_names_affects_assets_and_computations(deployment, stored):
    add(deployment, kind="truncate_names", length=10, stored=stored)
    asset = await deployment.create_data_asset(name="n" * 40, mount="m" * 40)
    assert ((await deployment.read_data_asset(asset["id"]))["name"], asset["mount"]) == ("n" * 10, "m" * 40)
    run = f"computations/{deployment.env['CODEOCEAN_COMPUTATION_ID']}"
    expect_status(await deployment.user.patch(run, params={"name": KEY}), 204)
    assert expect_status(await deployment.user.get(run), 200)["name"] == KEY[:10]
    kept = deployment.store.computations.get(run.split("/")[1]).name
    assert kept == (KEY[:10] if stored else KEY)


async def test_truncate_quirks_change_names_and_tags_of_an_update(deployment):
    asset = await deployment.create_data_asset()
    add(deployment, kind="truncate_tags", length=3)
    add(deployment, kind="truncate_names", length=4)
    changed = {"name": "a long name", "tags": ["another tag"]}
    shown = expect_status(await deployment.user.put(f"data_assets/{asset['id']}", json=changed), 200)
    assert (shown["name"], shown["tags"]) == ("a lo", ["ano"])


async def test_drop_fields_removes_tags_from_search_results_only(deployment):
    asset = await deployment.create_data_asset(tags=[KEY])
    fault = add(deployment, kind="drop_fields", path="**/search", fields=["tags", "owner"])
    for found in (await search_page(deployment))["results"]:
        assert not {"tags", "owner"} & found.keys()
    assert (await deployment.read_data_asset(asset["id"]))["tags"] == [KEY]
    assert fault.hits == 1


async def test_uppercase_ids_returns_and_accepts_uppercase_ids(deployment):
    asset = await deployment.create_data_asset()
    add(deployment, kind="uppercase_ids")
    found = (await search_page(deployment))["results"][0]["id"]
    assert found == asset["id"].upper() != asset["id"]
    assert (await deployment.read_data_asset(found))["id"] == found
    source = {"computation": {"id": deployment.env["CODEOCEAN_COMPUTATION_ID"].upper()}}
    assert (await deployment.create_data_asset(source=source))["id"].isupper()
    runs = expect_status(
        await deployment.user.get(f"capsules/{deployment.env['CODEOCEAN_CAPSULE_ID'].upper()}/computations"),
        200,
    )
    assert all(run["id"].isupper() for run in runs)
    expect_status(await deployment.user.delete(f"data_assets/{found}"), 204)


async def test_quirks_combine_with_each_other_and_with_a_fault(deployment):
    add(deployment, kind="invalid_json", method="POST", path="data_assets", times=1)
    add(deployment, kind="truncate_tags", length=5)
    add(deployment, kind="lowercase_tags")
    body = {"name": "n", "tags": ["ABCDEFGH"], "mount": "m", "source": {"aws": {"bucket": "b"}}}
    answer = await deployment.user.post("data_assets", json=body)
    with pytest.raises(ValueError, match=r"line 1 column"):
        answer.json()
    assert (await search_page(deployment))["results"][0]["tags"] == ["abcde"]


async def test_quirk_with_times_ends_when_it_is_used_up(deployment):
    add(deployment, kind="drop_tags", times=1)
    assert [(await deployment.create_data_asset()).get("tags") for _ in range(2)] == [None, ["test"]]


# --- pages


async def pages(deployment, limit: int, count: int) -> list[list[str]]:
    token, found = None, []
    for _ in range(count):
        page = await search_page(deployment, limit=limit, next_token=token, query="tag:paged")
        found.append([one["name"] for one in page["results"]])
        token = page.get("next_token")
        if not page["has_more"]:
            break
    return found


@pytest.fixture
async def paged(deployment):
    for number in range(5):
        deployment.clock.advance(1)
        await deployment.create_data_asset(name=f"a{number}", tags=["paged"])
    return deployment


async def test_pages_without_quirks_do_not_overlap(paged):
    assert await pages(paged, 2, 9) == [["a4", "a3"], ["a2", "a1"], ["a0"]]


async def test_overlap_pages_repeats_results_of_the_page_before(paged):
    fault = add(paged, kind="overlap_pages")
    assert await pages(paged, 2, 9) == [["a4", "a3"], ["a3", "a2"], ["a2", "a1"], ["a1", "a0"]]
    assert fault.hits == 4


async def test_repeat_token_returns_the_same_page_forever(paged):
    add(paged, kind="repeat_token")
    assert await pages(paged, 2, 4) == [["a4", "a3"], *[["a2", "a1"]] * 3]


async def test_endless_pages_end_in_empty_pages(paged):
    add(paged, kind="endless_pages")
    assert await pages(paged, 3, 5) == [["a4", "a3", "a2"], ["a1", "a0"], [], [], []]
    page = await search_page(paged, query="tag:none")
    assert (page["results"], page["has_more"]) == ([], True)


@settings(deadline=None, max_examples=examples(50))
@given(
    created=st.lists(st.integers(0, 3), max_size=20),
    limit=st.integers(1, 6),
    overlap=st.integers(1, 8),
    sort_field=st.sampled_from(["created", None]),
    sort_order=st.sampled_from(["asc", "desc"]),
)
def test_overlap_pages_returns_every_result(created, limit, overlap, sort_field, sort_order):
    store = Store(None, ManualClock(100).now)
    for number, moment in enumerate(created):
        store.data_assets.put(
            DataAsset(
                id=f"id{number}",
                created=moment,
                name="n",
                mount="m",
                owner="o",
                type="dataset",
                location="x",
                work=Work(started_at=0),
            )
        )
    index = SearchIndex[DataAsset](
        frozenset(), (), {}, {"created": lambda one: one.created}, frozenset(), lambda _asset, _key: []
    )
    caller = Caller(user=User(id="u", created=0, email="e", name="n", admin=True), scopes=frozenset())
    seen, token = [], None
    for _ in range(len(created) + 2):
        params = DataAssetSearchParams(
            limit=limit, next_token=token, sort_field=sort_field, sort_order=sort_order
        )
        page = search(
            index,
            store.data_assets,
            params,
            sort_field=sort_field,
            timestamp=100,
            caller=caller,
            extra_predicates=[],
            quirks=PageQuirks(overlap=overlap),
        )
        seen.append([one.id for one in page.records])
        token = page.next_token
        if token is None:
            break
    store.close()
    assert token is None
    assert {one for page in seen for one in page} == {f"id{number}" for number in range(len(created))}
    if limit > 1:
        for before, after in itertools.pairwise(seen):
            repeated = min(overlap, limit - 1)
            assert after[:repeated] == before[-repeated:]


# --- files


async def listed(deployment, folder: str = "") -> list[dict[str, Any]]:
    path = f"computations/{deployment.env['CODEOCEAN_COMPUTATION_ID']}/results"
    return expect_status(await deployment.user.post(path, json={"path": folder}), 200)["items"]


async def test_folder_markers_quirk_lists_markers_first(deployment):
    before = await listed(deployment)
    add(deployment, kind="folder_markers")
    marker = {"type": "file", "size": 0}
    markers = [{"name": name, "path": name, **marker} for name in ("", "figures/", "tables/")]
    assert await listed(deployment) == [*markers, *before]
    assert (await listed(deployment, "tables"))[0] == {"name": "tables/", "path": "tables/", **marker}


async def test_unsafe_names_quirk_adds_downloadable_files(deployment):
    add(deployment, kind="unsafe_names")
    names = {item["name"] for item in await listed(deployment)}
    assert {"Icon\r", "raw\\x.csv", "1:30.csv", "...", "output"} <= names
    path = f"computations/{deployment.env['CODEOCEAN_COMPUTATION_ID']}/results/urls"
    url = expect_status(await deployment.user.get(path, params={"path": "1:30.csv"}), 200)["download_url"]
    assert (await deployment.web.get(url)).content == b"unsafe\n"


async def test_file_host_sends_the_validators_of_s3(deployment, file_url):
    whole = await deployment.web.get(file_url)
    assert whole.headers["etag"] == f'"{hashlib.md5(whole.content, usedforsecurity=False).hexdigest()}"'
    assert whole.headers["last-modified"] == "Tue, 14 Nov 2023 22:13:20 GMT"
    for validator in (whole.headers["etag"], whole.headers["last-modified"]):
        part = await deployment.web.get(file_url, headers={"Range": "bytes=0-3", "If-Range": validator})
        assert part.status_code == 206
    stale = {"Range": "bytes=0-3", "If-Range": "Mon, 01 Jan 2001 00:00:00 GMT"}
    assert (await deployment.web.get(file_url, headers=stale)).status_code == 200
    for etag, status in ((whole.headers["etag"], 200), ("*", 200), ('"other"', 412)):
        assert (await deployment.web.get(file_url, headers={"If-Match": etag})).status_code == status


async def test_file_host_after_rewrite_sends_other_validators(deployment, file_url):
    before = await deployment.web.get(file_url)
    deployment.clock.advance(5)
    location = f"run-{deployment.env['CODEOCEAN_COMPUTATION_ID']}"
    deployment.store.files.put(location, "output", b"x" * len(before.content))
    after = await deployment.web.get(file_url)
    assert len(before.content) == len(after.content)
    for name in ("etag", "last-modified"):
        assert before.headers[name] != after.headers[name]


async def test_change_file_gives_each_hit_another_version_of_the_same_length(deployment, file_url):
    original = await deployment.web.get(file_url)
    add(deployment, kind="change_file", times=2)
    first, second, third = [await deployment.web.get(file_url) for _ in range(3)]
    for name in ("etag", "last-modified"):
        assert len({response.headers[name] for response in (original, first, second)}) == 3
    assert len({original.content, first.content, second.content}) == 3
    assert {len(original.content)} == {len(first.content), len(second.content)}
    assert third.content == original.content


async def test_opaque_etag_is_not_the_md5_of_the_file(deployment, file_url):
    add(deployment, kind="opaque_etag")
    response = await deployment.web.get(file_url)
    assert response.headers["etag"] != f'"{hashlib.md5(response.content, usedforsecurity=False).hexdigest()}"'
    part = {"Range": "bytes=0-3", "If-Range": response.headers["etag"]}
    assert (await deployment.web.get(file_url, headers=part)).status_code == 206


@pytest.fixture(scope="module")
def server() -> Iterator[EmulatorServer]:
    with EmulatorServer(EmulatorConfig(transitions=Transitions.all(Policy()))) as server:
        yield server


@pytest.mark.parametrize("with_page", [False, True])
def test_response_without_length_is_chunked(server, with_page):
    computation = server.env["CODEOCEAN_COMPUTATION_ID"]
    with httpx.Client(auth=(server.env["CODEOCEAN_TOKEN"], "")) as client:
        path = f"{server.url}/api/v1/computations/{computation}/results/urls"
        url = client.get(path, params={"path": "output"}).json()["download_url"]
        original = client.get(url)
        server.faults.add(
            FaultRule(kind="drop_headers", path="/storage/**", fields=["Content-Length"], times=1)
        )
        if with_page:
            server.faults.add(FaultRule(kind="html", path="/storage/**", status=200))
        response = client.get(url)
        assert response.headers["transfer-encoding"] == "chunked"
        assert "content-length" not in response.headers
        assert response.text.startswith("<html>") if with_page else response.content == original.content
        assert client.get(url).headers["content-length"] == str(len(original.content))


# --- runs and updates


def values_of(computation: dict[str, Any]) -> dict[str, str]:
    return {one["param_name"]: one["value"] for one in computation.get("parameters", [])}


@pytest.mark.parametrize(
    ("given", "extra", "reported"),
    [
        ({}, None, {"threshold": "5"}),
        ({"parameters": ["7"]}, None, {"threshold": "7"}),
        (
            {"named_parameters": [{"param_name": "probe", "value": "B"}]},
            None,
            {"probe": "B", "threshold": "5"},
        ),
        ({}, {"seed": 42}, {"threshold": "5", "seed": "42"}),
        ({}, {"threshold": "6"}, {"threshold": "6"}),
    ],
)
async def test_report_defaults_adds_parameters_that_were_not_requested(deployment, given, extra, reported):
    body = {"capsule_id": deployment.env["CODEOCEAN_CAPSULE_ID"], **given}
    plain = expect_status(await deployment.user.post("computations", json=body), 200)
    assert len(values_of(plain)) == len(given)
    add(deployment, kind="report_defaults", body=extra)
    started = expect_status(await deployment.user.post("computations", json=body), 200)
    assert values_of(started) == reported
    assert (
        values_of(expect_status(await deployment.user.get(f"computations/{started['id']}"), 200)) == reported
    )


async def test_clear_omitted_empties_fields_that_an_update_does_not_name(deployment):
    metadata = {"score": 7}
    given = {"name": "n", "description": "d", "tags": ["t"], "mount": "m"}
    asset = await deployment.create_data_asset(**given, custom_metadata=metadata)
    path = f"data_assets/{asset['id']}"
    kept = expect_status(await deployment.user.put(path, json={"description": "other", "tags": None}), 200)
    assert given | {"description": "other"} == {name: kept[name] for name in given}
    add(deployment, kind="clear_omitted")
    cleared = expect_status(await deployment.user.put(path, json={"description": "last", "tags": None}), 200)
    assert {"name": "", "mount": "", "description": "last"}.items() <= cleared.items()
    assert "tags" not in cleared
    assert cleared["custom_metadata"] == metadata
    complete = expect_status(await deployment.user.put(path, json=given), 200)
    assert given == {name: complete[name] for name in given}
