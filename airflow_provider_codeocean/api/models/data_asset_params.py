"""What the data asset endpoints take."""

from __future__ import annotations

import re
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PlainValidator,
    SecretStr,
    field_serializer,
    model_validator,
)

from airflow_provider_codeocean.api.models.base import (
    AnyText,
    CapsuleId,
    DisplayName,
    FilePath,
    Folder,
    Id,
    NewFolder,
    NonEmpty,
    Params,
    Prefix,
    Version,
    to_scalar,
)
from airflow_provider_codeocean.api.models.data_asset import DataAssetType
from airflow_provider_codeocean.api.models.search import SearchParams
from airflow_provider_codeocean.api.text import describe, to_nonempty, to_text

_BUCKET_NAME = re.compile(r"[^/:\s]+")


def _check_bucket(value: object) -> str:
    name = to_nonempty(value)
    if _BUCKET_NAME.fullmatch(name) is None:
        raise ValueError(
            f"must be a bucket's name, without scheme (s3://), slash, colon, and space, got {describe(name)}"
        )
    return name


def _to_secret(value: object) -> object:
    if isinstance(value, SecretStr):
        return value
    try:
        return to_text(value)
    except ValueError:  # whose message shows the value
        raise ValueError("must be text; put a template in quotes if it renders to a number") from None


def _to_metadata(value: object) -> str | int | float | list[str | int | float]:
    if isinstance(value, list | tuple):
        return [_to_metadata_scalar(item) for item in value]
    return _to_metadata_scalar(value)


def _to_metadata_scalar(value: object) -> str | int | float:
    if not isinstance(value, datetime):
        return to_scalar(value)
    if value.tzinfo is None:
        raise ValueError(f"must have a time zone, got {value}")
    return int(value.timestamp())


#: A bucket's name. What exactly is allowed differs by cloud; a URL or a path is allowed by none.
_Bucket = Annotated[str, BeforeValidator(_check_bucket)]
#: Values of custom metadata by key: a string, a number, a date (a time with a zone, or Unix seconds), or a
#: list of them.
CustomMetadataValues = dict[
    NonEmpty, Annotated[str | int | float | list[str | int | float], PlainValidator(_to_metadata)]
]
Tags = list[NonEmpty]


class AWSSource(Params):
    """Files in an S3 bucket.

    :param bucket: name of the bucket; may be left out with ``use_input_bucket`` only.
    :param prefix: folder in the bucket; the whole bucket if left out.
    :param endpoint_name: name of a custom S3 endpoint, as defined in the deployment.
    :param keep_on_external_storage: leave the files where they are (an external data asset) instead of
        copying them.
    :param public: read the bucket without credentials.
    :param use_input_bucket: read ``prefix`` from the deployment's own input bucket; administrators only.
    """

    bucket: _Bucket | None = None
    prefix: Prefix | None = None
    endpoint_name: NonEmpty | None = None
    keep_on_external_storage: bool | None = None
    public: bool | None = None
    use_input_bucket: bool | None = None

    @model_validator(mode="after")
    def _check_bucket(self) -> Self:
        if self.use_input_bucket:
            if not self.prefix:
                raise ValueError("use_input_bucket needs a prefix: the folder in the input bucket")
        elif self.bucket is None:
            raise ValueError("bucket is required unless use_input_bucket is set")
        return self


class GCPSource(Params):
    """Files in a bucket of Google Cloud Storage.

    :param bucket: name of the bucket.
    :param prefix: folder in the bucket; the whole bucket if left out.
    :param client_id: id of the HMAC key, for a private bucket.
    :param client_secret: secret of the HMAC key; shown by no repr, sent in the request alone.
    """

    bucket: _Bucket
    prefix: Prefix | None = None
    client_id: NonEmpty | None = None
    client_secret: Annotated[SecretStr, BeforeValidator(_to_secret)] | None = None

    @model_validator(mode="after")
    def _check_key(self) -> Self:
        if (self.client_id is None) != (self.client_secret is None):
            raise ValueError("client_id and client_secret belong together: give both or neither")
        return self

    @field_serializer("client_secret", when_used="json-unless-none")
    def _reveal(self, secret: SecretStr) -> str:
        return secret.get_secret_value()


class ComputationSource(Params):
    """Results of a finished computation.

    :param id: id of the computation.
    :param path: file or folder among the results; empty means all of them.
    """

    id: Id
    #: A path of slashes only is the root, as no path is.
    path: Annotated[FilePath | None, AfterValidator(lambda path: path or None)] = None


class CloudWorkstationSource(Params):
    """Files of a running cloud workstation.

    :param id: id of the workstation's computation.
    :param path: path in the workstation.
    :param run_script: script that made the files, relative to the capsule's folder; with it they are a
        result.
    """

    id: Id
    path: NonEmpty
    run_script: NonEmpty | None = None


class Source(Params):
    """Where a data asset comes from: exactly one of these."""

    aws: AWSSource | None = None
    gcp: GCPSource | None = None
    computation: ComputationSource | None = None
    cloud_workstation: CloudWorkstationSource | None = None

    @model_validator(mode="after")
    def _check_one(self) -> Self:
        given = [name for name in type(self).model_fields if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(
                "source takes exactly one of aws, gcp, computation and cloud_workstation, "
                f"got {' and '.join(given) or 'none'}"
            )
        return self


class AWSTarget(Params):
    """A place in S3 to store a data asset's files at.

    :param bucket: name of the bucket.
    :param prefix: folder in the bucket.
    :param endpoint_name: name of a custom S3 endpoint, as defined in the deployment.
    """

    bucket: _Bucket
    prefix: AnyText | None = None
    endpoint_name: NonEmpty | None = None


class Target(Params):
    """Where to store a data asset's files."""

    aws: AWSTarget


class ResultParameter(Params):
    """A parameter that imported results were made with."""

    blank_is_a_value = frozenset({"value"})

    name: AnyText | None = None
    param_name: AnyText | None = None
    value: AnyText | None = None


class ResultProcess(Params):
    """A process of the pipeline that imported results were made with."""

    name: NonEmpty
    capsule_id: CapsuleId
    version: Version | None = None
    public: bool | None = None
    parameters: list[ResultParameter] | None = None


class ResultsInfo(Params):
    """How results that are imported from a bucket were made: it becomes the data asset's lineage.

    :param capsule_id: capsule that ran; either this or ``pipeline_id``.
    :param pipeline_id: pipeline that ran.
    :param version: released version that ran, from 1.
    :param commit: commit of the code.
    :param run_script: script that ran, relative to the capsule's folder.
    :param data_assets: ids of the data assets that it read.
    :param parameters: parameters that it was given.
    :param nextflow_profile: profile of a pipeline's run.
    :param processes: processes of the pipeline.
    """

    capsule_id: CapsuleId | None = None
    pipeline_id: CapsuleId | None = None
    version: Version | None = None
    commit: NonEmpty | None = None
    run_script: NonEmpty | None = None
    data_assets: list[Id] | None = None
    parameters: list[ResultParameter] | None = None
    nextflow_profile: NonEmpty | None = None
    processes: list[ResultProcess] | None = None

    @model_validator(mode="after")
    def _check_one_origin(self) -> Self:
        if (self.capsule_id is None) == (self.pipeline_id is None):
            raise ValueError("results_info takes exactly one of capsule_id and pipeline_id")
        return self


class DataAssetParams(Params):
    """A data asset to create: from one source, or combined from other data assets.

    :param name: display name.
    :param tags: tags, each not empty; the list may be empty.
    :param mount: folder to mount it at if nothing else is said.
    :param description: free text.
    :param source: where the files come from.
    :param target: where to store the results of a computation outside Code Ocean.
    :param data_asset_ids: data assets to combine, instead of ``source``.
    :param results_info: lineage of results imported from S3.
    :param custom_metadata: values of the deployment's custom fields.
    """

    name: DisplayName
    tags: Tags
    mount: NewFolder
    description: AnyText | None = None
    source: Source | None = None
    target: Target | None = None
    data_asset_ids: Annotated[list[Id], Field(min_length=1)] | None = None
    results_info: ResultsInfo | None = None
    custom_metadata: CustomMetadataValues | None = None

    @model_validator(mode="after")
    def _check_source(self) -> Self:
        if (self.source is None) == (self.data_asset_ids is None):
            raise ValueError("a data asset takes exactly one of source and data_asset_ids")
        if self.target is not None and (self.source is None or self.source.computation is None):
            raise ValueError("target goes with a computation as the source only")
        if self.results_info is not None and (self.source is None or self.source.aws is None):
            raise ValueError("results_info goes with aws as the source only")
        return self


class DataAssetUpdateParams(Params):
    """What to change of a data asset; what is not given stays.

    :param name: display name.
    :param description: free text; empty clears it.
    :param tags: all tags that it shall have.
    :param mount: folder to mount it at if nothing else is said.
    :param custom_metadata: values of the deployment's custom fields.
    """

    blank_is_a_value = frozenset({"description"})

    name: DisplayName | None = None
    description: AnyText | None = None
    tags: Tags | None = None
    mount: NonEmpty | None = None
    custom_metadata: CustomMetadataValues | None = None

    @model_validator(mode="after")
    def _check_anything_given(self) -> Self:
        if all(getattr(self, name) is None for name in type(self).model_fields):
            raise ValueError("an update needs at least one of " + ", ".join(type(self).model_fields))
        return self


class TransferParams(Params):
    """Where to move a data asset's files.

    :param target: the new place.
    :param force: move them even if released pipelines use the data asset.
    """

    target: Target
    force: bool | None = None


class AttachParams(Params):
    """A data asset to attach.

    :param id: id of the data asset.
    :param mount: folder to mount it at; the data asset's own if left out.
    """

    id: Id
    mount: Folder | None = None


class DataAssetSortField(StrEnum):
    """What a search of data assets can be ordered by."""

    CREATED = "created"
    TYPE = "type"
    NAME = "name"
    SIZE = "size"


class DataAssetSearchOrigin(StrEnum):
    """Where the files of the data assets lie: in Code Ocean or outside."""

    INTERNAL = "internal"
    EXTERNAL = "external"


class DataAssetSearchParams(SearchParams):
    """A search of data assets. Fields of a query: name, tag, run_script, commit_id, contained_data_id.

    :param sort_field: what to order by, together with ``sort_order``.
    :param type: only data assets of this type.
    :param origin: only internal, or only external ones.
    """

    sort_field: DataAssetSortField | None = None
    type: DataAssetType | None = None
    origin: DataAssetSearchOrigin | None = None
