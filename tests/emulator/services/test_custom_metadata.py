from __future__ import annotations

import pytest

from airflow_provider_codeocean.emulator.domain.config import MetadataField, MetadataSchema
from airflow_provider_codeocean.emulator.domain.errors import ApiError
from airflow_provider_codeocean.emulator.services.custom_metadata import merge_metadata
from tests.emulator.in_process import expect_error, expect_status

SCHEMA = MetadataSchema(
    fields=(
        MetadataField(name="who", required=True),
        MetadataField(name="score", type="number", range={"min": 0, "max": 1}),
        MetadataField(name="from", type="number", range={"min": 3}),
        MetadataField(name="day", type="date"),
        MetadataField(name="kind", allowed_values=("a", "b"), multiple=True),
        MetadataField(name="level", type="number", allowed_values=(1, 2)),
    )
)


@pytest.mark.parametrize(
    "given",
    [
        {"score": 0},
        {"score": 1, "from": 1000},
        {"day": 1.5},
        {"kind": "a"},
        {"kind": ["a", "b"]},
        {"level": 2},
        {"score": None},
    ],
)
def test_merge_metadata_valid_values_are_accepted(given):
    result = merge_metadata(SCHEMA, {"who": "me", **given})
    assert result == {"who": "me"} | {name: value for name, value in given.items() if value is not None}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"other": 1}, "custom_metadata.other: there is no such field"),
        ({"who": 1}, "custom_metadata.who: takes a string"),
        ({"who": ["me"]}, "custom_metadata.who: takes one value"),
        ({"score": "1"}, "custom_metadata.score: takes a number"),
        ({"score": True}, "custom_metadata.score: takes a number"),
        ({"score": float("nan")}, "custom_metadata.score: takes a number"),
        ({"score": -1}, "custom_metadata.score: takes at least 0"),
        ({"score": 1.1}, "custom_metadata.score: takes at most 1"),
        ({"from": 2}, "custom_metadata.from: takes at least 3"),
        ({"day": "2024-01-01"}, "custom_metadata.day: takes a date in Unix seconds"),
        ({"kind": "c"}, "custom_metadata.kind: takes one of a, b"),
        ({"kind": ["a", "c"]}, "custom_metadata.kind: takes one of a, b"),
        ({"level": 3}, "custom_metadata.level: takes one of 1"),
    ],
)
def test_merge_metadata_invalid_value_error_names_the_field(given, message):
    with pytest.raises(ApiError, match=message) as caught:
        merge_metadata(SCHEMA, {"who": "me", **given})
    assert caught.value.status == 400


def test_merge_metadata_required_field_is_checked_on_creation_only():
    with pytest.raises(ApiError, match=r"custom_metadata\.who: is required"):
        merge_metadata(SCHEMA, None)
    assert merge_metadata(SCHEMA, {"score": 1}, current={}) == {"score": 1}


async def test_get_custom_metadata_returns_the_schema(deploy):
    deployment = deploy(custom_metadata=SCHEMA)
    schema = expect_status(await deployment.user.get("custom_metadata"), 200)
    assert schema["categories"] == []
    assert schema["fields"][0] == {"name": "who", "type": "string", "required": True}
    assert schema["fields"][1] == {"name": "score", "type": "number", "range": {"min": 0.0, "max": 1.0}}
    assert schema["fields"][4]["allowed_values"] == ["a", "b"]


async def test_data_asset_with_invalid_metadata_is_rejected(deployment):
    body = {
        "name": "n",
        "tags": [],
        "mount": "m",
        "source": {"aws": {"bucket": "b"}},
        "custom_metadata": {"x": 1},
    }
    assert "custom_metadata.x" in expect_error(await deployment.user.post("data_assets", json=body), 400)
    asset = await deployment.create_data_asset(
        custom_metadata={"tracers": ["one", "two"], "acquired": 1_700_000_000}
    )
    update = {"custom_metadata": {"modality": "smell"}}
    message = expect_error(await deployment.user.put(f"data_assets/{asset['id']}", json=update), 400)
    assert "custom_metadata.modality" in message
    assert (await deployment.read_data_asset(asset["id"]))["custom_metadata"] == asset["custom_metadata"]
