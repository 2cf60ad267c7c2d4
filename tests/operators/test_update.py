"""An update sends all that the server may require, and is verified."""

from __future__ import annotations

import pytest
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_codeocean.api.models.data_asset import DataAsset
from airflow_provider_codeocean.operators import _update_differences
from airflow_provider_codeocean.operators.data_asset import CodeOceanUpdateDataAssetOperator

PUT = "PUT data_assets/a1"
GET = "GET data_assets/a1"
KEY = "airflow" + "0123456789abcdef" * 2
ASSET = {
    "id": "a1",
    "name": "raw",
    "description": "of mouse 7",
    "tags": ["good", KEY],
    "mount": "raw",
    "state": "ready",
    "custom_metadata": {"modality": "ecephys", "score": 5},
}


class Deployment:
    """One data asset on a server with faults.

    :param clears: whether fields that an update omits become empty.
    :param stores: converts a sent update to the stored one.
    :param lag: how many responses after an update show the data asset before it.
    """

    def __init__(self, *, clears=False, stores=dict, lag=0, **fields):
        self.asset = ASSET | fields
        self.clears, self.stores, self.lag = clears, stores, lag
        self.shown, self.stale = self.asset, 0

    def __call__(self, line, body):
        if line == "GET custom_metadata":
            return 404, {"message": "not here"}
        if line == PUT:
            empty = {"name": "", "description": "", "tags": [], "mount": ""} if self.clears else {}
            self.asset = {**self.asset, **empty, **self.stores(body)}
            self.stale = self.lag
        if self.stale == 0:
            self.shown = {name: value for name, value in self.asset.items() if value is not None}
        self.stale = max(self.stale - 1, 0)
        return 200, self.shown


@pytest.fixture
def update(execute, pauses):
    return lambda **arguments: execute(CodeOceanUpdateDataAssetOperator, data_asset_id="a1", **arguments)


@pytest.mark.fault("A16")
@pytest.mark.parametrize(
    "change",
    [
        {"name": "sorted"},
        {"description": "of mouse 8"},
        {"description": ""},
        {"mount": "sorted"},
        {"tags": ["only", KEY]},
        {"custom_metadata": {"modality": "ecephys", "score": 7}},
    ],
    ids=lambda change: next(iter(change)),
)
@pytest.mark.parametrize("clears", [True, False])
def test_update_of_one_field_keeps_other_fields(serve, update, change, clears):
    deployment = Deployment(clears=clears)
    server = serve(deployment)
    returned = update(**change)
    assert deployment.asset == ASSET | change
    assert {name: returned[name] for name in ASSET} == ASSET | change
    (sent,) = server.bodies_of(PUT)
    assert sent.keys() == {"name", "description", "tags", "mount", *change}


@pytest.mark.fault("A16")
def test_update_of_custom_metadata_keeps_its_other_fields(serve, update):
    deployment = Deployment()
    serve(deployment)
    update(custom_metadata={"score": 7})
    assert deployment.asset["custom_metadata"] == {"modality": "ecephys", "score": 7}


def test_update_of_data_asset_without_fields_sends_known_ones(serve, update):
    server = serve(Deployment(description=None, mount=None, tags=None, custom_metadata=None))
    update(name="sorted")
    assert server.bodies_of(PUT) == [{"name": "sorted"}]


@pytest.mark.parametrize(
    "change",
    [
        {"name": "raw", "description": "of mouse 7", "mount": "raw"},
        {"tags": [KEY, "good"]},
        {"add_tags": ["good"], "remove_tags": ["bad"]},
        {"custom_metadata": {"score": "5"}},
    ],
)
def test_update_without_difference_sends_nothing(serve, update, change):
    server = serve(Deployment())
    assert update(**change)["id"] == "a1"
    assert server.bodies_of(PUT) == []


@pytest.mark.parametrize(
    ("change", "stores", "clause"),
    [
        (
            {"name": "sorted by day"},
            lambda sent: sent | {"name": sent["name"][:6]},
            "name is 'sorted' instead of 'sorted by day'",
        ),
        (
            {"add_tags": ["reviewed"]},
            lambda sent: sent | {"tags": sent["tags"][:1]},
            f"tags is ['good'] instead of ['{KEY}', 'good', 'reviewed']",
        ),
        (
            {"remove_tags": ["good"]},
            lambda sent: {name: sent[name] for name in sent if name != "tags"},
            f"tags is ['{KEY}', 'good'] instead of ['{KEY}']",
        ),
        ({"mount": "m"}, lambda sent: sent | {"mount": "raw"}, "mount is 'raw' instead of 'm'"),
        ({"description": "d"}, lambda sent: sent | {"description": ""}, "description is '' instead of 'd'"),
        (
            {"custom_metadata": {"new": 1}},
            lambda sent: sent | {"custom_metadata": {}},
            "custom_metadata lacks 'new'",
        ),
    ],
)
def test_update_not_stored_fails_and_names_difference(serve, update, pauses, change, stores, clause):
    deployment = Deployment(stores=stores)
    server = serve(deployment)
    with pytest.raises(AirflowException) as caught:
        update(**change)
    assert str(caught.value) == (
        f"Code Ocean accepted the update of data asset a1, but 15 s later {clause} "
        f"[{server.url}, connection 'codeocean_default']"
    )
    assert not isinstance(caught.value, AirflowFailException)
    deployment.stores = dict
    assert update(**change)["id"] == "a1"


def test_update_shown_late_succeeds(serve, update, pauses):
    server = serve(Deployment(lag=3))
    assert update(name="sorted")["name"] == "sorted"
    assert len(server.bodies_of(PUT)) == 1
    assert pauses == [0, 1, 2, 4]


def test_update_with_rounded_value_warns(serve, update, caplog):
    serve(Deployment(stores=lambda sent: sent | {"custom_metadata": {"score": 7}}))
    assert update(custom_metadata={"score": 7.4})["custom_metadata"] == {"score": 7}
    assert (
        "stored another value in data asset a1: custom_metadata['score'] is 7 instead of 7.4" in caplog.text
    )


texts = st.text(st.sampled_from("ab "), min_size=1).map(str.strip).filter(bool)
assets = st.fixed_dictionaries(
    {"id": st.just("a1"), "name": texts},
    optional={
        "description": st.none() | texts,
        "mount": st.none() | texts,
        "tags": st.none() | st.lists(texts),
        "custom_metadata": st.none() | st.dictionaries(texts, st.integers()),
    },
)
changes = st.fixed_dictionaries(
    {},
    optional={
        "name": texts,
        "description": texts,
        "mount": texts.map(lambda text: text.replace(" ", "_")),
        "tags": st.lists(texts),
        "custom_metadata": st.dictionaries(texts, st.integers(), min_size=1),
    },
).filter(bool)


@given(assets, changes)
def test_update_changes_requested_fields_only(fields, change):
    """Whether a server clears omitted fields or keeps them, the result is the same."""
    asset = DataAsset.model_validate(fields)
    params = CodeOceanUpdateDataAssetOperator(task_id="t", data_asset_id="a1", **change).update_params()
    sent = _update_differences.add_current_values(params, asset).to_json()
    cleared = DataAsset.model_validate({"id": "a1", **sent})
    kept = DataAsset.model_validate(fields | sent)
    for result in (cleared, kept):
        assert _update_differences.describe_differences(params, result) == []
        for name in ("name", "description", "mount", "tags"):
            assert getattr(result, name) == change.get(name, getattr(asset, name))
    assert kept.custom_metadata == asset.custom_metadata | change.get("custom_metadata", {})
