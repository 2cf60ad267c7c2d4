"""A search reports that there are more matches than its limit, and returns each match once."""

from __future__ import annotations

import logging

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_codeocean.operators.search import CodeOceanSearchDataAssetsOperator


def matches(count, *, most=1000):
    """Return a handler that serves this many matches, with at most ``most`` on a page."""
    ids = [f"a{number}" for number in range(count)]

    def answer(line, body):
        start = int(body.get("next_token", 0))
        end = start + min(body.get("limit", 100), most)
        page = {"results": [{"id": item} for item in ids[start:end]], "has_more": end < count}
        return 200, page | ({"next_token": str(end)} if end < count else {})

    return answer


@pytest.fixture
def search(execute):
    return lambda **arguments: execute(CodeOceanSearchDataAssetsOperator, return_ids=True, **arguments)


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


def test_search_that_ignores_more_matches_reads_up_to_limit(serve, search, caplog):
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
    assert [(asset["id"], asset["name"], asset["tags"], asset["size"]) for asset in found] == [
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
