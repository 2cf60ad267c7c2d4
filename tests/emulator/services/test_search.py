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
from airflow_provider_codeocean.emulator.services.search import SearchIndex, search
from airflow_provider_codeocean.emulator.state.access import Caller
from airflow_provider_codeocean.emulator.state.store import Store
from tests.emulator.in_process import expect_error, expect_status

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
        await deployment.create_data_asset(name=name, **fields)
    deployment.clock.advance(1)
    await deployment.capture_results(name="delta", tags=["new"])
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
async def test_search_returns_matches_in_the_requested_order(library, params, names):
    query = {**params, "ownership": "created"}
    assert await library.search_names(library.user, **query) == names


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
async def test_search_filter_returns_only_matches(library, condition, names):
    assert await library.search_names(**NEW, filters=[condition]) == names


@pytest.mark.fault("A15")
async def test_search_sort_order_without_sort_field_is_ignored(library):
    assert await library.search_names(library.user, **NEW, sort_order="asc") == [
        "delta",
        "gamma",
        "Beta two",
        "alpha",
    ]


async def test_search_with_several_filters_applies_all(library):
    filters = [{"key": "score", "range": {"min": 10}}, {"key": "name", "value": "gamma", "exclude": True}]
    assert await library.search_names(**NEW, filters=filters) == ["Beta two", "alpha"]


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
async def test_search_with_invalid_parameters_is_rejected(library, params, named):
    assert named in expect_error(await library.user.post("data_assets/search", json=params), 400)


async def test_search_token_of_another_sort_order_is_rejected(library):
    first = expect_status(await library.user.post("data_assets/search", json={"limit": 1}), 200)
    other = {"limit": 1, "next_token": first["next_token"], "sort_field": "name"}
    assert "another search" in expect_error(await library.user.post("data_assets/search", json=other), 400)


async def test_search_without_body_returns_all(library):
    found = expect_status(await library.user.post("data_assets/search"), 200)
    assert len(found["results"]) == 6
    assert found["has_more"] is False
    assert "next_token" not in found


async def test_search_by_ownership_returns_created_or_shared(colleague):
    deployment, client = colleague
    private = await deployment.create_data_asset(name="mine alone")
    shared = await deployment.create_data_asset(name="lent out")
    given = {"users": [{"email": "colleague@emulator.test", "role": "viewer"}]}
    expect_status(await deployment.user.post(f"data_assets/{shared['id']}/permissions", json=given), 204)
    await deployment.create_data_asset(client, name="theirs")
    everybody = ["reference_atlas", "ecephys_123456_2024-01-02_03-04-05"]
    assert sorted(await deployment.search_names(deployment.user, ownership="created")) == [
        "lent out",
        "mine alone",
    ]
    assert await deployment.search_names(deployment.user, ownership="private") == [private["name"]]
    assert sorted(await deployment.search_names(client)) == sorted(["theirs", "lent out", *everybody])
    assert sorted(await deployment.search_names(client, ownership="shared")) == sorted(
        ["lent out", *everybody]
    )
    # An admin sees everything, but it has not been shared with the admin.
    assert "mine alone" in await deployment.search_names()
    assert "mine alone" not in await deployment.search_names(ownership="shared")


async def test_search_by_favorite_returns_favorites_of_the_user(deployment):
    assert await deployment.search_names(deployment.user, favorite=True) == [
        "ecephys_123456_2024-01-02_03-04-05"
    ]
    assert await deployment.search_names(deployment.admin, favorite="True") == []


async def test_search_by_contained_id_or_commit_returns_matches(deployment):
    asset = deployment.env["CODEOCEAN_DATA_ASSET_ID"]
    body = {"name": "both", "tags": [], "mount": "m", "data_asset_ids": [asset]}
    expect_status(await deployment.user.post("data_assets", json=body), 200)
    assert await deployment.search_names(query=f"contained_data_id:{asset}") == ["both"]
    await deployment.capture_results(name="run of it")
    commit = deployment.store.capsules.get(deployment.env["CODEOCEAN_CAPSULE_ID"]).commit
    assert await deployment.search_names(query=f"commit_id:{commit.upper()}") == ["run of it"]


async def test_search_shows_the_same_state_as_get(deploy):
    deployment = deploy(transitions=Transitions.all(Policy(seconds=5)))
    await deployment.create_data_asset(name="new", tags=["new"])

    async def state() -> str:
        return expect_status(await deployment.user.post("data_assets/search", json=NEW), 200)["results"][0][
            "state"
        ]

    assert await state() == "draft"
    deployment.clock.advance(5)
    assert await state() == "ready"


async def test_search_lags_behind_writes(deploy):
    deployment = deploy(search_lag=10, transitions=Transitions.all(Policy(seconds=2)))
    assert len(await deployment.search_names()) == 2
    asset = await deployment.create_data_asset(name="first", tags=["new"])
    assert await deployment.search_names(**NEW) == []
    deployment.clock.advance(10)
    found = expect_status(await deployment.user.post("data_assets/search", json=NEW), 200)["results"]
    assert [(one["name"], one["state"]) for one in found] == [("first", "draft")]
    expect_status(await deployment.user.put(f"data_assets/{asset['id']}", json={"name": "second"}), 200)
    deployment.clock.advance(5)
    assert await deployment.search_names(**NEW) == ["first"]
    expect_status(await deployment.user.delete(f"data_assets/{asset['id']}"), 204)
    deployment.clock.advance(5)
    assert await deployment.search_names(**NEW) == ["second"]
    deployment.clock.advance(5)
    assert await deployment.search_names(**NEW) == []


async def test_search_pages_are_stable_while_assets_are_created(library):
    first = expect_status(await library.user.post("data_assets/search", json={**NEW, "limit": 2}), 200)
    library.clock.advance(1)
    await library.create_data_asset(name="late", tags=["new"])
    rest = {**NEW, "limit": 2, "next_token": first["next_token"], "offset": 1}
    second = expect_status(await library.user.post("data_assets/search", json=rest), 200)
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
async def test_capsule_search_by_query_returns_matches(deployment, query, found):
    body = {"query": query, "sort_field": "name", "sort_order": "asc"}
    page = expect_status(await deployment.user.post("capsules/search", json=body), 200)
    assert [capsule["name"] for capsule in page["results"]] == found


async def test_capsule_search_by_id_status_or_filter_returns_matches(deployment):
    capsule = deployment.env["CODEOCEAN_CAPSULE_ID"]

    async def found(kind: str, **params) -> set[str]:
        page = expect_status(await deployment.user.post(f"{kind}s/search", json=params), 200)
        return {one["name"] for one in page["results"]}

    assert await found("capsule", query=f"id:{capsule}") == {"Spike sorting"}
    assert await found("capsule", status="release") == {"Spike sorting (release)"}
    pipelines = {"Ecephys pipeline", "Ecephys pipeline (release)", "Fails until it is resumed"}
    assert await found("pipeline") == pipelines
    assert await found("capsule", filters=[{"key": "name", "value": "slow"}]) == {"Slow motion"}
    expect_status(await deployment.user.post("computations", json={"capsule_id": capsule}), 200)
    assert await found("capsule", sort_field="last_accessed", limit=1) == {"Spike sorting"}
    assert "Unfinished thoughts" not in await found("capsule")
    answer = await deployment.user.post("capsules/search", json={"filters": [{"key": "score", "value": 1}]})
    assert "filters.0.key" in expect_error(answer, 400)


def asset(number: int, created: float, name: str) -> DataAsset:
    work = Work(started_at=0)
    fields = {"mount": "m", "owner": "o", "type": "dataset", "location": "x"}
    return DataAsset(id=f"id{number}", created=created, name=name, work=work, **fields)


@settings(deadline=None)
@given(
    items=st.lists(st.tuples(st.integers(0, 3), st.sampled_from(["a", "B", "c"])), max_size=25),
    limit=st.integers(1, 10),
    sort_field=st.sampled_from(["created", "name", None]),
    sort_order=st.sampled_from(["asc", "desc"]),
)
def test_search_pages_return_each_item_once_in_order(items, limit, sort_field, sort_order):
    store = Store(None, ManualClock(100).now)
    for number, (created, name) in enumerate(items):
        store.data_assets.put(asset(number, created, name))
    keys = {"created": lambda one: one.created, "name": lambda one: one.name.casefold()}
    index = SearchIndex[DataAsset](frozenset(), (), {}, keys, frozenset(), lambda _asset, _key: [])
    caller = Caller(user=User(id="u", created=0, email="e", name="n", admin=True), scopes=frozenset())
    seen, token = [], None
    while True:
        order = sort_order if sort_field else None
        params = DataAssetSearchParams(limit=limit, next_token=token, sort_field=sort_field, sort_order=order)
        page = search(
            index,
            store.data_assets,
            params,
            sort_field=sort_field,
            timestamp=100,
            caller=caller,
            extra_predicates=[],
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
