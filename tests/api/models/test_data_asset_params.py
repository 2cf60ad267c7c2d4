"""What the data asset endpoints take, and what they refuse before anything is sent."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from airflow_provider_codeocean.api.models.data_asset_params import (
    AttachParams,
    AWSSource,
    AWSTarget,
    CloudWorkstationSource,
    ComputationSource,
    DataAssetParams,
    DataAssetSearchOrigin,
    DataAssetSearchParams,
    DataAssetSortField,
    DataAssetType,
    DataAssetUpdateParams,
    GCPSource,
    ResultParameter,
    ResultProcess,
    ResultsInfo,
    Source,
    Target,
    TransferParams,
)
from tests.api.models.strategies import assert_survives_json, buckets, folders, ids, names, numbers, optional

ABOUT = {"name": "n", "tags": [], "mount": "m"}
COMPUTATION = {"computation": {"id": "c1"}}
AWS = {"aws": {"bucket": "lab"}}
TARGET = {"aws": {"bucket": "lab"}}


def wrong(model, **cases):
    """Cases of one model: its parameters, and what the message says."""
    return [pytest.param(model, *case, id=f"{model.__name__}-{name}") for name, case in cases.items()]


@pytest.mark.parametrize(
    ("model", "parameters", "message"),
    [
        *wrong(
            DataAssetParams,
            no_source=(ABOUT, "exactly one of source and data_asset_ids"),
            source_and_ids=(
                {**ABOUT, "source": AWS, "data_asset_ids": ["a"]},
                "exactly one of source and data_asset_ids",
            ),
            empty_source=({**ABOUT, "source": {}}, "exactly one of aws, gcp.* got none"),
            two_sources=({**ABOUT, "source": AWS | COMPUTATION}, "exactly one of .* got aws and computation"),
            no_data_asset_to_combine=({**ABOUT, "data_asset_ids": []}, "data_asset_ids"),
            empty_name=({**ABOUT, "name": "", "source": AWS}, r"\bname\n"),
            blank_name=({**ABOUT, "name": " \t", "source": AWS}, r"\bname\n"),
            no_name=({"tags": [], "mount": "m", "source": AWS}, r"\bname\n"),
            no_tags=({"name": "n", "mount": "m", "source": AWS}, "tags"),
            empty_tag=({**ABOUT, "tags": ["a", ""], "source": AWS}, r"tags\.1"),
            one_tag=({**ABOUT, "tags": "a", "source": AWS}, "tags"),
            empty_mount=({**ABOUT, "mount": "", "source": AWS}, "mount"),
            target_of_a_bucket=({**ABOUT, "source": AWS, "target": TARGET}, "target requires a computation"),
            target_of_a_combination=(
                {**ABOUT, "data_asset_ids": ["a"], "target": TARGET},
                "target requires a computation",
            ),
            lineage_of_a_computation=(
                {**ABOUT, "source": COMPUTATION, "results_info": {"capsule_id": "c"}},
                "results_info requires aws",
            ),
            metadata_of_nothing=({**ABOUT, "source": AWS, "custom_metadata": {"": 1}}, "custom_metadata"),
            metadata_of_true=(
                {**ABOUT, "source": AWS, "custom_metadata": {"k": True}},
                "must be text or a number, got True",
            ),
            metadata_of_nan=({**ABOUT, "source": AWS, "custom_metadata": {"k": float("nan")}}, "finite"),
            metadata_of_objects=(
                {**ABOUT, "source": AWS, "custom_metadata": {"k": {}}},
                r"custom_metadata\.k",
            ),
            unknown=({**ABOUT, "source": AWS, "colour": "red"}, "colour"),
        ),
        *wrong(
            AWSSource,
            no_bucket=({"prefix": "p"}, "bucket is required"),
            empty_bucket=({"bucket": ""}, "bucket"),
            address=({"bucket": "s3://lab"}, "bucket"),
            path=({"bucket": "lab/run"}, "bucket"),
            line=({"bucket": "la\nb"}, "bucket"),
            input_bucket_without_folder=({"use_input_bucket": True}, "use_input_bucket needs a prefix"),
        ),
        *wrong(
            GCPSource,
            no_bucket=({}, "bucket"),
            id_alone=({"bucket": "b", "client_id": "i"}, "client_id and client_secret belong together"),
            secret_alone=({"bucket": "b", "client_secret": "s"}, "client_id and client_secret belong"),
            empty_secret=({"bucket": "b", "client_id": "i", "client_secret": ""}, "client_secret"),
        ),
        *wrong(ComputationSource, no_id=({"path": "p"}, "id"), empty_id=({"id": ""}, "id")),
        *wrong(
            CloudWorkstationSource, no_path=({"id": "c"}, "path"), empty=({"id": "c", "path": ""}, "path")
        ),
        *wrong(
            ResultsInfo,
            neither=({}, "exactly one of capsule_id and pipeline_id"),
            both=({"capsule_id": "c", "pipeline_id": "p"}, "exactly one of capsule_id and pipeline_id"),
            version=({"capsule_id": "c", "version": 0}, "version"),
            process=({"pipeline_id": "p", "processes": [{"name": "n"}]}, r"processes\.0\.capsule_id"),
        ),
        *wrong(
            DataAssetUpdateParams,
            nothing=({}, "at least one of name, description, tags, mount, custom_metadata"),
            only_nulls=({"name": None, "tags": None}, "at least one of"),
            empty_name=({"name": ""}, "name"),
        ),
        *wrong(
            TransferParams,
            no_target=({}, "target"),
            empty_target=({"target": {}}, r"target\.aws"),
            no_bucket=({"target": {"aws": {"prefix": "p"}}}, r"target\.aws\.bucket"),
        ),
        *wrong(AttachParams, empty_id=({"id": " "}, "id"), mount=({"id": "a", "mount": "a/b"}, "mount")),
        *wrong(
            DataAssetSearchParams,
            sort_field=({"sort_field": "colour", "sort_order": "asc"}, "sort_field"),
            type=({"type": "film"}, "type"),
            origin=({"origin": "moon"}, "origin"),
        ),
    ],
)
def test_params_with_invalid_values_are_rejected(model, parameters, message):
    with pytest.raises(ValidationError, match=message):
        model.model_validate(parameters)


def test_params_error_omits_the_values():
    with pytest.raises(ValidationError) as caught:
        DataAssetParams.model_validate({**ABOUT, "source": {"gcp": {"client_secret": "s3cret"}}})
    assert "gcp.bucket" in str(caught.value)
    assert "s3cret" not in f"{caught.value!s} {caught.value!r}"


class TestSecret:
    source = GCPSource(bucket="lab", client_id="key-1", client_secret="s3cret")

    def test_secret_in_repr_or_dump_is_hidden(self):
        params = DataAssetParams(**ABOUT, source=Source(gcp=self.source))
        for shown in (self.source, params):
            assert "s3cret" not in f"{shown!r} {shown!s} {shown.model_dump()!r}"

    def test_secret_in_request_body_is_included(self):
        params = DataAssetParams(**ABOUT, source=Source(gcp=self.source))
        assert params.to_json()["source"] == {
            "gcp": {"bucket": "lab", "client_id": "key-1", "client_secret": "s3cret"}
        }


def test_params_omit_none_and_send_empty_values():
    params = DataAssetUpdateParams(name=None, description="", tags=[], mount=None, custom_metadata={})
    assert params.to_json() == {"description": "", "tags": [], "custom_metadata": {}}


def test_params_names_are_stripped():
    params = DataAssetParams(name=" n ", tags=[" t "], mount=" m ", data_asset_ids=[" a "])
    assert params.to_json() == {"name": "n", "tags": ["t"], "mount": "m", "data_asset_ids": ["a"]}


class TestDates:
    @pytest.mark.parametrize(
        "date",
        [
            datetime(2024, 6, 10, 6, 13, 20, tzinfo=UTC),
            datetime(2024, 6, 10, 8, 13, 20, 999999, tzinfo=timezone(timedelta(hours=2))),
        ],
    )
    def test_date_is_sent_as_unix_seconds(self, date):
        params = DataAssetUpdateParams(custom_metadata={"acquired": date, "all": [date]})
        assert params.to_json() == {"custom_metadata": {"acquired": 1718000000, "all": [1718000000]}}

    def test_date_without_time_zone_is_rejected(self):
        with pytest.raises(ValidationError, match="must have a time zone"):
            DataAssetUpdateParams(custom_metadata={"acquired": datetime(2024, 6, 10)})  # noqa: DTZ001


def test_params_custom_metadata_values_keep_their_types():
    values = {"text": "12", "whole": 12, "broken": 12.0, "large": 2**70, "many": ["a", 1, 0.5]}
    sent = DataAssetUpdateParams(custom_metadata=values).to_json()["custom_metadata"]
    assert json.dumps(sent) == json.dumps(values)


@pytest.mark.parametrize("name", ["n", "s3-results", "lab_results.2024", "b" * 222])
def test_target_with_valid_bucket_name_is_accepted(name):
    assert AWSTarget(bucket=name).bucket == name


flags = st.booleans()
prefixes = optional(st.text(max_size=8).filter(lambda text: not text.startswith("/")))
paths = optional(st.text("ab /", max_size=8))
aws = st.builds(
    AWSSource,
    bucket=buckets,
    prefix=prefixes,
    endpoint_name=optional(names),
    keep_on_external_storage=optional(flags),
    public=optional(flags),
) | st.builds(AWSSource, prefix=folders, use_input_bucket=st.just(value=True))
gcp = st.builds(GCPSource, bucket=buckets, prefix=prefixes) | st.builds(
    GCPSource, bucket=buckets, client_id=names, client_secret=st.text(min_size=1)
)
workstation = st.builds(CloudWorkstationSource, id=ids, path=names, run_script=optional(names))
run = st.builds(ComputationSource, id=ids, path=paths)
target = st.builds(
    Target, aws=st.builds(AWSTarget, bucket=buckets, prefix=prefixes, endpoint_name=optional(names))
)
parameters = st.lists(
    st.builds(ResultParameter, name=prefixes, param_name=prefixes, value=prefixes), max_size=2
)
lineage = st.builds(
    ResultsInfo,
    pipeline_id=ids,
    version=optional(st.integers(min_value=1)),
    data_assets=optional(st.lists(ids, max_size=2)),
    parameters=optional(parameters),
    processes=optional(
        st.lists(st.builds(ResultProcess, name=names, capsule_id=ids, public=optional(flags)), max_size=2)
    ),
)
scalars = names | numbers
about = {
    "name": names,
    "tags": st.lists(names, max_size=3),
    "mount": folders,
    "description": optional(st.text()),
    "custom_metadata": optional(st.dictionaries(names, scalars | st.lists(scalars, max_size=2), max_size=2)),
}
data_assets = (
    st.builds(
        DataAssetParams,
        **about,
        source=st.builds(Source, gcp=gcp) | st.builds(Source, cloud_workstation=workstation),
    )
    | st.builds(DataAssetParams, **about, source=st.builds(Source, aws=aws), results_info=optional(lineage))
    | st.builds(DataAssetParams, **about, source=st.builds(Source, computation=run), target=optional(target))
    | st.builds(DataAssetParams, **about, data_asset_ids=st.lists(ids, min_size=1, max_size=3))
)
searches = st.builds(
    DataAssetSearchParams,
    query=optional(st.text()),
    type=optional(st.sampled_from(DataAssetType)),
    origin=optional(st.sampled_from(DataAssetSearchOrigin)),
    sort_field=st.sampled_from(DataAssetSortField),
    sort_order=st.sampled_from(["asc", "desc"]),
)


@given(data_assets | searches | st.builds(TransferParams, target=target, force=optional(flags)))
def test_params_round_trip_through_json(params):
    assert_survives_json(params)
