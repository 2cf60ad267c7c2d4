"""Searching: what is found, in which order, and every item exactly once."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_codeocean.emulator import Transitions
from airflow_provider_codeocean.emulator.domain.clock import ManualClock, Policy, Work
from airflow_provider_codeocean.emulator.domain.records import DataAsset, User
from airflow_provider_codeocean.emulator.domain.requests import DataAssetSearchParams
from airflow_provider_codeocean.emulator.services.search import Index, search
from airflow_provider_codeocean.emulator.state.access import Caller
from airflow_provider_codeocean.emulator.state.store import Store
from tests.emulator.helpers import expect, refusal

NEW = {"query": "tag:new"}


@pytest.fixture
async def library(deploy):
    """Four data assets of the ordinary user, beside what is there anyway."""
    deployment = deploy()
    for name, fields in {
        "alpha": {"description": "Spike sorting", "tags": ["new", "raw"], "custom_metadata": {"score": 10}},
        "Beta two": {"tags": ["new"], "custom_metadata": {"score": 20, "modality": "ophys"}},
        "gamma": {"tags": ["new", "RNA-seq"], "custom_metadata": {"score": 30, "tracers": ["red", "green"]}},
    }.items():
        deployment.clock.advance(1)
        await deployment.create(name=name, **fields)
    deployment.clock.advance(1)
    await deployment.capture(name="delta", tags=["new"])
    return deployment


@pytest.mark.parametrize(
    ("params", "names"),
    [
        ({}, ["delta", "gamma", "Beta two", "alpha"]),
        ({"query": ""}, ["delta", "gamma", "Beta two", "alpha"]),
        ({"archived": False, "favorite": False, "filters": []}, ["delta", "gamma", "Beta two", "alpha"]),
        (
            {"archived": None, "next_token": None, "offset": None, "limit": None},
            ["delta", "gamma", "Beta two", "alpha"],
        ),
        ({"query": "SPIKE"}, ["alpha"]),
        ({"query": "ophys"}, ["Beta two"]),
        ({"query": "green"}, ["gamma"]),
        ({"query": "30"}, ["gamma"]),
        ({"query": 'name:"beta two"'}, ["Beta two"]),
        ({"query": "name:alpha name:gamma"}, ["gamma", "alpha"]),
        ({"query": "tag:rna-seq"}, ["gamma"]),
        ({"query": "run_script:code/run"}, ["delta"]),
        ({"query": "run_script:code/other"}, []),
        ({"type": "result"}, ["delta"]),
        ({"type": "model"}, []),
        ({"origin": "external"}, []),
        ({"origin": "internal"}, ["delta", "gamma", "Beta two", "alpha"]),
        ({"limit": 2}, ["delta", "gamma"]),
        ({"limit": "2", "offset": "1"}, ["gamma", "Beta two"]),
        ({"sort_field": "name"}, ["gamma", "delta", "Beta two", "alpha"]),
        ({"sort_field": "name", "sort_order": "asc"}, ["alpha", "Beta two", "delta", "gamma"]),
        ({"sort_field": "created", "sort_order": "asc"}, ["alpha", "Beta two", "gamma", "delta"]),
        ({"sort_field": "type", "sort_order": "desc", "limit": 1}, ["delta"]),
        ({"sort_field": "size", "sort_order": "desc", "limit": 1}, ["delta"]),
    ],
)
async def test_what_is_found_in_which_order(library, params, names):
    query = {**params, "ownership": "created"}
    assert await library.search(library.user, **query) == names


@pytest.mark.parametrize(
    ("condition", "names"),
    [
        ({"key": "name", "value": "beta"}, ["Beta two"]),
        ({"key": "description", "value": "sorting"}, ["alpha"]),
        ({"key": "tags", "value": "RAW"}, ["alpha"]),
        ({"key": "tags", "value": "rna"}, []),
        ({"key": "tags", "value": "raw", "exclude": "True"}, ["delta", "gamma", "Beta two"]),
        ({"key": "tags", "values": ["raw", "rna-seq"]}, ["gamma", "alpha"]),
        ({"key": "score", "value": 20}, ["Beta two"]),
        (
            {"key": "score", "values": [10, 30], "value": None, "range": None, "exclude": None},
            ["gamma", "alpha"],
        ),
        ({"key": "score", "range": {"min": 20, "max": None}}, ["gamma", "Beta two"]),
        ({"key": "score", "range": {"min": None, "max": 20}}, ["Beta two", "alpha"]),
        ({"key": "score", "range": {"min": 11}, "exclude": True}, ["delta", "alpha"]),
        ({"key": "tracers", "value": "Green"}, ["gamma"]),
        ({"key": "modality", "value": "ophys"}, ["Beta two"]),
        ({"key": "modality", "range": {"min": 0}}, []),
    ],
)
async def test_filters(library, condition, names):
    assert await library.search(**NEW, filters=[condition]) == names


@pytest.mark.fault("A15")
async def test_search_sort_order_without_sort_field_is_ignored(library):
    assert await library.search(library.user, **NEW, sort_order="asc") == [
        "delta",
        "gamma",
        "Beta two",
        "alpha",
    ]


async def test_filters_all_apply(library):
    filters = [{"key": "score", "range": {"min": 10}}, {"key": "name", "value": "gamma", "exclude": True}]
    assert await library.search(**NEW, filters=filters) == ["Beta two", "alpha"]


@pytest.mark.parametrize(
    ("params", "named"),
    [
        ({"limit": 1001}, "limit"),
        ({"limit": 0}, "limit"),
        ({"offset": -1}, "offset"),
        ({"sort_field": "colour"}, "sort_field"),
        ({"filters": [{"key": "score", "range": {"min": 1, "max": 2}}]}, "range"),
        ({"filters": [{"key": "score", "range": {"min": None, "max": None}}]}, "filters.0"),
        ({"ownership": "stolen"}, "ownership"),
        ({"type": "DATA"}, "type"),
        ({"filters": [{"key": "colour", "value": "red"}]}, "filters.0.key"),
        ({"filters": [{"key": "tags"}]}, "filters.0"),
        ({"filters": [{"value": "x"}]}, "filters.0.key"),
        ({"next_token": "no token!"}, "next_token"),
        ({"next_token": "aaaa"}, "next_token"),
        ({"next_token": base64.urlsafe_b64encode(b'"text"').decode()}, "next_token"),
        ({"next_token": base64.urlsafe_b64encode(b'["created",true,"x","id"]').decode()}, "next_token"),
    ],
)
async def test_a_wrong_search_is_refused(library, params, named):
    assert named in refusal(await library.user.post("data_assets/search", json=params), 400)


async def test_a_token_belongs_to_its_order(library):
    first = expect(await library.user.post("data_assets/search", json={"limit": 1}), 200)
    other = {"limit": 1, "next_token": first["next_token"], "sort_field": "name"}
    assert "another search" in refusal(await library.user.post("data_assets/search", json=other), 400)


async def test_a_search_without_a_body_finds_all(library):
    found = expect(await library.user.post("data_assets/search"), 200)
    assert len(found["results"]) == 6
    assert found["has_more"] is False
    assert "next_token" not in found


async def test_ownership(colleague):
    deployment, client = colleague
    private = await deployment.create(name="mine alone")
    shared = await deployment.create(name="lent out")
    given = {"users": [{"email": "colleague@emulator.test", "role": "viewer"}]}
    expect(await deployment.user.post(f"data_assets/{shared['id']}/permissions", json=given), 204)
    await deployment.create(client, name="theirs")
    everybody = ["reference_atlas", "ecephys_123456_2024-01-02_03-04-05"]
    assert sorted(await deployment.search(deployment.user, ownership="created")) == ["lent out", "mine alone"]
    assert await deployment.search(deployment.user, ownership="private") == [private["name"]]
    assert sorted(await deployment.search(client)) == sorted(["theirs", "lent out", *everybody])
    assert sorted(await deployment.search(client, ownership="shared")) == sorted(["lent out", *everybody])
    # An admin sees everything, but it has not been shared with the admin.
    assert "mine alone" in await deployment.search()
    assert "mine alone" not in await deployment.search(ownership="shared")


async def test_favorites_are_ones_own(deployment):
    assert await deployment.search(deployment.user, favorite=True) == ["ecephys_123456_2024-01-02_03-04-05"]
    assert await deployment.search(deployment.admin, favorite="True") == []


async def test_combined_assets_and_commits_are_found_by_what_is_in_them(deployment):
    asset = deployment.env["CODEOCEAN_DATA_ASSET_ID"]
    body = {"name": "both", "tags": [], "mount": "m", "data_asset_ids": [asset]}
    expect(await deployment.user.post("data_assets", json=body), 200)
    assert await deployment.search(query=f"contained_data_id:{asset}") == ["both"]
    await deployment.capture(name="run of it")
    commit = deployment.store.capsules.get(deployment.env["CODEOCEAN_CAPSULE_ID"]).commit
    assert await deployment.search(query=f"commit_id:{commit.upper()}") == ["run of it"]


async def test_search_shows_the_states_that_reading_shows(deploy):
    deployment = deploy(transitions=Transitions.all(Policy(seconds=5)))
    await deployment.create(name="new", tags=["new"])

    async def state() -> str:
        return expect(await deployment.user.post("data_assets/search", json=NEW), 200)["results"][0]["state"]

    assert await state() == "draft"
    deployment.clock.advance(5)
    assert await state() == "ready"


async def test_search_lags_behind_writes(deploy):
    deployment = deploy(search_lag=10, transitions=Transitions.all(Policy(seconds=2)))
    assert len(await deployment.search()) == 2
    asset = await deployment.create(name="first", tags=["new"])
    assert await deployment.search(**NEW) == []
    deployment.clock.advance(10)
    found = expect(await deployment.user.post("data_assets/search", json=NEW), 200)["results"]
    assert [(one["name"], one["state"]) for one in found] == [("first", "draft")]
    expect(await deployment.user.put(f"data_assets/{asset['id']}", json={"name": "second"}), 200)
    deployment.clock.advance(5)
    assert await deployment.search(**NEW) == ["first"]
    expect(await deployment.user.delete(f"data_assets/{asset['id']}"), 204)
    deployment.clock.advance(5)
    assert await deployment.search(**NEW) == ["second"]
    deployment.clock.advance(5)
    assert await deployment.search(**NEW) == []


async def test_what_is_created_meanwhile_shifts_no_page(library):
    first = expect(await library.user.post("data_assets/search", json={**NEW, "limit": 2}), 200)
    library.clock.advance(1)
    await library.create(name="late", tags=["new"])
    rest = {**NEW, "limit": 2, "next_token": first["next_token"], "offset": 1}
    second = expect(await library.user.post("data_assets/search", json=rest), 200)
    names = [asset["name"] for asset in first["results"] + second["results"]]
    assert names == ["delta", "gamma", "Beta two", "alpha"]
    assert second["has_more"] is False


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("name:sorting", ["Sorting with metadata", "Spike sorting", "Spike sorting (release)"]),
        ("field:neuroscience name:failing", []),
        ("field:neuroscience name:fail", ["Bound to fail"]),
        ("author:ada name:slow", ["Slow motion"]),
        ("Ada slow", ["Slow motion"]),
        ("affiliation:example name:slow", ["Slow motion"]),
        ("doi:10.1 name:slow", []),
        ("journal:nature", []),
        ("article:any", []),
        ("tag:ecephys name:slow", ["Slow motion"]),
        ("description:slow", []),
    ],
)
async def test_capsules_are_found(deployment, query, found):
    body = {"query": query, "sort_field": "name", "sort_order": "asc"}
    page = expect(await deployment.user.post("capsules/search", json=body), 200)
    assert [capsule["name"] for capsule in page["results"]] == found


async def test_capsules_are_found_by_id_status_and_filter(deployment):
    capsule = deployment.env["CODEOCEAN_CAPSULE_ID"]

    async def found(kind: str, **params) -> set[str]:
        page = expect(await deployment.user.post(f"{kind}s/search", json=params), 200)
        return {one["name"] for one in page["results"]}

    assert await found("capsule", query=f"id:{capsule}") == {"Spike sorting"}
    assert await found("capsule", status="release") == {"Spike sorting (release)"}
    assert await found("pipeline") == {"Ecephys pipeline", "Ecephys pipeline (release)"}
    assert await found("capsule", filters=[{"key": "name", "value": "slow"}]) == {"Slow motion"}
    expect(await deployment.user.post("computations", json={"capsule_id": capsule}), 200)
    assert await found("capsule", sort_field="last_accessed", limit=1) == {"Spike sorting"}
    assert "Unfinished thoughts" not in await found("capsule")
    answer = await deployment.user.post("capsules/search", json={"filters": [{"key": "score", "value": 1}]})
    assert "filters.0.key" in refusal(answer, 400)


def asset(number: int, created: float, name: str) -> DataAsset:
    work = Work(started=0)
    fields = {"mount": "m", "owner": "o", "type": "dataset", "location": "x"}
    return DataAsset(id=f"id{number}", created=created, name=name, work=work, **fields)


@settings(deadline=None)
@given(
    items=st.lists(st.tuples(st.integers(0, 3), st.sampled_from(["a", "B", "c"])), max_size=25),
    limit=st.integers(1, 10),
    sort_field=st.sampled_from(["created", "name", None]),
    sort_order=st.sampled_from(["asc", "desc"]),
)
def test_paging_gives_every_item_exactly_once(items, limit, sort_field, sort_order):
    store = Store(None, ManualClock(100).now)
    for number, (created, name) in enumerate(items):
        store.data_assets.put(asset(number, created, name))
    keys = {"created": lambda one: one.created, "name": lambda one: one.name.casefold()}
    index = Index[DataAsset](frozenset(), (), {}, keys, frozenset(), lambda _asset, _key: [])
    caller = Caller(user=User(id="u", created=0, email="e", name="n", admin=True), scopes=frozenset())
    seen, token = [], None
    while True:
        order = sort_order if sort_field else None
        params = DataAssetSearchParams(limit=limit, next_token=token, sort_field=sort_field, sort_order=order)
        page = search(
            index, store.data_assets, params, sort_field=sort_field, moment=100, caller=caller, also=[]
        )
        assert len(page.records) <= limit
        seen.extend(page.records)
        token = page.next_token
        if token is None:
            break
        assert len(page.records) == limit
    store.close()
    assert sorted(one.id for one in seen) == sorted(f"id{number}" for number in range(len(items)))
    key = keys[sort_field or "created"]
    descending = sort_field is None or sort_order == "desc"
    assert seen == sorted(seen, key=lambda one: (key(one), one.id), reverse=descending)
