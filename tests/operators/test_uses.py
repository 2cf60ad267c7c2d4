"""The capsules, pipelines, and combined data assets that use a data asset are searched."""

from __future__ import annotations

import pytest
from airflow.providers.common.compat.sdk import AirflowException, AirflowSkipException

from airflow_provider_codeocean.hooks.codeocean import CodeOceanHook
from airflow_provider_codeocean.operators.search import CodeOceanSearchDataAssetUsesOperator

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
        CodeOceanSearchDataAssetUsesOperator, data_asset_id="a1", kinds=["pipeline"], return_ids=True
    )
    assert found == ["p1"]
    assert {line for line, _ in used.requests} == {"POST pipelines/search"}


@pytest.mark.fault("D10")
def test_find_data_asset_uses_of_hook_returns_kind_and_object(used):
    uses = CodeOceanHook().find_data_asset_uses(" a1 ", kinds=("capsule",))
    assert [(kind, use.id) for kind, use in uses] == [("capsule", "c1"), ("capsule", "c2")]
    with pytest.raises(ValueError, match="data_asset_id: must not be empty"):
        CodeOceanHook().find_data_asset_uses("")


@pytest.mark.parametrize(
    ("on_empty", "error"), [("return", None), ("skip", AirflowSkipException), ("fail", AirflowException)]
)
def test_search_uses_without_uses_follows_on_empty(serve, execute, on_empty, error):
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
