"""A search says if there are more matches than its limit; the uses of a data asset are searched."""

from __future__ import annotations

import logging

import pytest
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException, AirflowSkipException

from airflow_provider_codeocean.hooks.codeocean import CodeOceanHook
from airflow_provider_codeocean.operators.search import (
    CodeOceanSearchDataAssetsOperator,
    CodeOceanSearchDataAssetUsesOperator,
)

SEARCH = "POST data_assets/search"


def matches(count, *, most=1000):
    """A deployment with this many matches, and the most that a page of it has."""
    ids = [f"a{number}" for number in range(count)]

    def answer(line, body):
        start = int(body.get("next_token", 0))
        end = start + min(body.get("limit", 100), most)
        page = {"results": [{"id": item} for item in ids[start:end]], "has_more": end < count}
        return 200, page | ({"next_token": str(end)} if end < count else {})

    return answer


@pytest.fixture
def search(execute):
    return lambda **arguments: execute(CodeOceanSearchDataAssetsOperator, only_ids=True, **arguments)


@pytest.mark.fault("A9")
@pytest.mark.parametrize("most", [1000, 2])
@pytest.mark.parametrize("limit", [1, 3, 999, 1000])
def test_search_with_more_matches_than_limit_warns(serve, search, caplog, limit, most):
    if limit >= 999:
        most = 1000
    serve(matches(limit + 1, most=most))
    assert search(limit=limit) == [f"a{number}" for number in range(limit)]
    (warning,) = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert f"more than {limit} data assets match: set limit=None to return all" in warning


@pytest.mark.fault("A9")
@pytest.mark.parametrize("limit", [3, 1000])
def test_search_with_more_matches_than_limit_fails_if_requested(serve, search, limit):
    serve(matches(limit + 1))
    with pytest.raises(AirflowFailException, match=f"limit: more than {limit} data assets match"):
        search(limit=limit, on_more="fail")


@pytest.mark.parametrize("on_more", ["warn", "fail", "ignore"])
@pytest.mark.parametrize(("count", "limit"), [(3, 3), (1000, 1000), (2, 3), (0, 1), (3, None)])
def test_search_without_more_matches_than_limit_is_quiet(serve, search, caplog, on_more, count, limit):
    server = serve(matches(count))
    assert len(search(limit=limit, on_more=on_more)) == count
    assert len(server.requests) == 1
    assert "WARNING" not in [record.levelname for record in caplog.records]


def test_search_that_ignores_more_matches_reads_no_more_than_limit(serve, search, caplog):
    server = serve(matches(2000))
    assert len(search(limit=1000, on_more="ignore")) == 1000
    assert search(limit=3, on_more="ignore") == ["a0", "a1", "a2"]
    assert [body["limit"] for _, body in server.requests] == [1000, 3]
    assert "WARNING" not in [record.levelname for record in caplog.records]


@pytest.mark.fault("A7")
def test_search_with_overlapping_pages_maps_each_data_asset_once(serve, search):
    pages = [(["a3", "a2"], "t1"), (["A2", "a1"], "t1"), (["a1"], None)]

    def answer(line, body):
        ids, token = pages.pop(0)
        return 200, {"results": [{"id": item} for item in ids], "has_more": bool(token), "next_token": token}

    serve(answer)
    assert search(limit=None) == ["a3", "a2", "a1"]


def test_search_results_without_fields_are_returned(serve, execute):
    serve(
        lambda line, body: (200, {"has_more": False, "results": [{"id": "a1"}, {"id": "a2", "tags": None}]})
    )
    found = execute(CodeOceanSearchDataAssetsOperator)
    assert [(each["id"], each["name"], each["tags"], each["size"]) for each in found] == [
        ("a1", "", [], None),
        ("a2", "", [], None),
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"on_more": "wait"}, "on_more must be one of 'warn', 'fail', 'ignore', got 'wait'"),
        ({"limit": 0}, "limit must be a whole number from 1"),
    ],
)
def test_search_with_invalid_arguments_is_rejected(arguments, message):
    with pytest.raises(ValueError, match=message):
        CodeOceanSearchDataAssetsOperator(task_id="t", **arguments)


# Uses of a data asset.

USES = {
    ("capsules", False): [{"id": "c1", "name": "sort"}, {"id": "C1"}],
    ("capsules", True): [{"id": "c2"}],
    ("pipelines", False): [{"id": "p1"}],
    ("data_assets", False): [{"id": "combined"}],
}


@pytest.fixture
def used(serve):
    def answer(line, body):
        resource = line.removeprefix("POST ").removesuffix("/search")
        return 200, {"results": USES.get((resource, body["archived"]), []), "has_more": False}

    return serve(answer)


@pytest.mark.fault("D10")
def test_search_uses_returns_capsules_pipelines_and_combined_data_assets(used, execute):
    uses = execute(CodeOceanSearchDataAssetUsesOperator, data_asset_id="a1")
    assert [(use["kind"], use["id"]) for use in uses] == [
        ("capsule", "c1"),
        ("capsule", "c2"),
        ("pipeline", "p1"),
        ("data_asset", "combined"),
    ]
    assert uses[0]["name"] == "sort"
    assert {(line, body["query"]) for line, body in used.requests} == {
        ("POST capsules/search", "a1"),
        ("POST pipelines/search", "a1"),
        ("POST data_assets/search", "contained_data_id:a1"),
    }


@pytest.mark.fault("D10")
def test_search_uses_of_some_kinds_returns_their_ids(used, execute):
    found = execute(
        CodeOceanSearchDataAssetUsesOperator, data_asset_id="a1", kinds=["pipeline"], only_ids=True
    )
    assert found == ["p1"]
    assert {line for line, _ in used.requests} == {"POST pipelines/search"}


@pytest.mark.fault("D10")
def test_find_data_asset_uses_of_hook_returns_kind_and_object(used):
    uses = CodeOceanHook().find_data_asset_uses(" a1 ", kinds=("capsule",))
    assert [(kind, use.id) for kind, use in uses] == [("capsule", "c1"), ("capsule", "c2")]
    with pytest.raises(ValueError, match="data_asset_id must be an identifier"):
        CodeOceanHook().find_data_asset_uses("")


@pytest.mark.parametrize(
    ("on_empty", "error"), [("return", None), ("skip", AirflowSkipException), ("fail", AirflowException)]
)
def test_search_uses_without_uses_ends_as_requested(serve, execute, on_empty, error):
    serve(lambda line, body: (200, {"results": [], "has_more": False}))
    arguments = {"data_asset_id": "a1", "on_empty": on_empty}
    if error is None:
        assert execute(CodeOceanSearchDataAssetUsesOperator, **arguments) == []
    else:
        with pytest.raises(error, match="No use of data asset a1 was found"):
            execute(CodeOceanSearchDataAssetUsesOperator, **arguments)


@pytest.mark.parametrize("kinds", [[], "capsule", ["capsule", "folder"]])
def test_search_uses_with_unknown_kinds_is_rejected(kinds):
    with pytest.raises(ValueError, match="kinds must be a list of any of capsule, pipeline, data_asset"):
        CodeOceanSearchDataAssetUsesOperator(task_id="t", data_asset_id="a1", kinds=kinds)
