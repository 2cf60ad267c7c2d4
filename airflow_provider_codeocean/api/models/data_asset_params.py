"""Parameters of the data asset endpoints."""

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
    BucketPrefix,
    CapsuleId,
    CoercedStr,
    DisplayName,
    FilePath,
    FolderName,
    Id,
    NewFolderName,
    NonEmptyStr,
    RequestModel,
    VersionNumber,
    to_scalar,
)
from airflow_provider_codeocean.api.models.search import SearchParams
from airflow_provider_codeocean.api.models.states import DataAssetType
from airflow_provider_codeocean.api.text import describe, to_nonempty_text, to_text

_VALID_BUCKET_NAME = re.compile(r"[^/:\s]+")


def _to_bucket_name(value: object) -> str:
    name = to_nonempty_text(value)
    if _VALID_BUCKET_NAME.fullmatch(name) is None:
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


def _to_metadata_value(value: object) -> str | int | float | list[str | int | float]:
    if isinstance(value, list | tuple):
        return [_to_metadata_scalar(item) for item in value]
    return _to_metadata_scalar(value)


def _to_metadata_scalar(value: object) -> str | int | float:
    if not isinstance(value, datetime):
        return to_scalar(value)
    if value.tzinfo is None:
        raise ValueError(f"must have a time zone, got {value}")
    return int(value.timestamp())


#: A bucket's name. The exact rules differ by cloud, but no cloud allows URLs or paths.
_BucketName = Annotated[str, BeforeValidator(_to_bucket_name)]
#: Values of custom metadata by key: a string, a number, a date (with a time zone, or in Unix seconds), or a
#: list of them.
CustomMetadataValues = dict[
    NonEmptyStr, Annotated[str | int | float | list[str | int | float], PlainValidator(_to_metadata_value)]
]
Tags = list[NonEmptyStr]


class AWSSource(RequestModel):
    """Files in an S3 bucket.

    :param bucket: name of the bucket; optional only with ``use_input_bucket``.
    :param prefix: folder in the bucket; the whole bucket by default.
    :param endpoint_name: name of a custom S3 endpoint, as defined in the deployment.
    :param keep_on_external_storage: keep the files in the bucket (an external data asset) instead of
        copying them.
    :param public: read the bucket without credentials.
    :param use_input_bucket: read ``prefix`` from the deployment's own input bucket; administrators only.
    """

    bucket: _BucketName | None = None
    prefix: BucketPrefix | None = None
    endpoint_name: NonEmptyStr | None = None
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


class GCPSource(RequestModel):
    """Files in a bucket of Google Cloud Storage.

    :param bucket: name of the bucket.
    :param prefix: folder in the bucket; the whole bucket by default.
    :param client_id: id of the HMAC key, for a private bucket.
    :param client_secret: secret of the HMAC key; hidden from ``repr``.
    """

    bucket: _BucketName
    prefix: BucketPrefix | None = None
    client_id: NonEmptyStr | None = None
    client_secret: Annotated[SecretStr, BeforeValidator(_to_secret)] | None = None

    @model_validator(mode="after")
    def _check_hmac_key(self) -> Self:
        if (self.client_id is None) != (self.client_secret is None):
            raise ValueError("client_id and client_secret belong together: set both or neither")
        return self

    @field_serializer("client_secret", when_used="json-unless-none")
    def _serialize_client_secret(self, secret: SecretStr) -> str:
        return secret.get_secret_value()


class ComputationSource(RequestModel):
    """Results of a finished computation.

    :param id: id of the computation.
    :param path: file or folder in the results; empty means all of them.
    """

    id: Id
    #: A path of only slashes is the root, like an empty path.
    path: Annotated[FilePath | None, AfterValidator(lambda path: path or None)] = None


class CloudWorkstationSource(RequestModel):
    """Files of a running cloud workstation.

    :param id: id of the workstation's computation.
    :param path: path in the workstation.
    :param run_script: script that created the files, relative to the capsule's folder; it makes the data
        asset a result.
    """

    id: Id
    path: NonEmptyStr
    run_script: NonEmptyStr | None = None


class Source(RequestModel):
    """The source of a data asset: exactly one field."""

    aws: AWSSource | None = None
    gcp: GCPSource | None = None
    computation: ComputationSource | None = None
    cloud_workstation: CloudWorkstationSource | None = None

    @model_validator(mode="after")
    def _check_exactly_one_source(self) -> Self:
        sources = [name for name in type(self).model_fields if getattr(self, name) is not None]
        if len(sources) != 1:
            raise ValueError(
                "source requires exactly one of aws, gcp, computation and cloud_workstation, "
                f"got {' and '.join(sources) or 'none'}"
            )
        return self


class AWSTarget(RequestModel):
    """A folder in S3 to store a data asset's files in.

    :param bucket: name of the bucket.
    :param prefix: folder in the bucket.
    :param endpoint_name: name of a custom S3 endpoint, as defined in the deployment.
    """

    bucket: _BucketName
    prefix: CoercedStr | None = None
    endpoint_name: NonEmptyStr | None = None


class Target(RequestModel):
    """The storage target of a data asset's files."""

    aws: AWSTarget


class ResultParameter(RequestModel):
    """A parameter of the run that created imported results."""

    fields_allowing_blank = frozenset({"value"})

    name: CoercedStr | None = None
    param_name: CoercedStr | None = None
    value: CoercedStr | None = None


class ResultProcess(RequestModel):
    """A process of the pipeline that created imported results."""

    name: NonEmptyStr
    capsule_id: CapsuleId
    version: VersionNumber | None = None
    public: bool | None = None
    parameters: list[ResultParameter] | None = None


class ResultsInfo(RequestModel):
    """The lineage of results that are imported from a bucket.

    :param capsule_id: capsule that ran; either this or ``pipeline_id`` is required.
    :param pipeline_id: pipeline that ran.
    :param version: released version that ran, from 1.
    :param commit: commit of the code.
    :param run_script: run script, relative to the capsule's folder.
    :param data_assets: ids of the input data assets.
    :param parameters: parameters of the run.
    :param nextflow_profile: Nextflow profile of a pipeline run.
    :param processes: processes of the pipeline.
    """

    capsule_id: CapsuleId | None = None
    pipeline_id: CapsuleId | None = None
    version: VersionNumber | None = None
    commit: NonEmptyStr | None = None
    run_script: NonEmptyStr | None = None
    data_assets: list[Id] | None = None
    parameters: list[ResultParameter] | None = None
    nextflow_profile: NonEmptyStr | None = None
    processes: list[ResultProcess] | None = None

    @model_validator(mode="after")
    def _check_exactly_one_origin(self) -> Self:
        if (self.capsule_id is None) == (self.pipeline_id is None):
            raise ValueError("results_info requires exactly one of capsule_id and pipeline_id")
        return self


class DataAssetParams(RequestModel):
    """A data asset to create, either from a source or by combining data assets.

    :param name: display name.
    :param tags: tags, each not empty; the list may be empty.
    :param mount: default mount folder.
    :param description: free text.
    :param source: source of the files.
    :param target: storage outside Code Ocean for the results of a computation.
    :param data_asset_ids: data assets to combine, instead of ``source``.
    :param results_info: lineage of results imported from S3.
    :param custom_metadata: values of the deployment's custom fields.
    """

    name: DisplayName
    tags: Tags
    mount: NewFolderName
    description: CoercedStr | None = None
    source: Source | None = None
    target: Target | None = None
    data_asset_ids: Annotated[list[Id], Field(min_length=1)] | None = None
    results_info: ResultsInfo | None = None
    custom_metadata: CustomMetadataValues | None = None

    @model_validator(mode="after")
    def _check_source(self) -> Self:
        if (self.source is None) == (self.data_asset_ids is None):
            raise ValueError("a data asset requires exactly one of source and data_asset_ids")
        if self.target is not None and (self.source is None or self.source.computation is None):
            raise ValueError("target requires a computation as the source")
        if self.results_info is not None and (self.source is None or self.source.aws is None):
            raise ValueError("results_info requires aws as the source")
        return self


class DataAssetUpdateParams(RequestModel):
    """Changes to a data asset; omitted fields stay unchanged.

    :param name: display name.
    :param description: free text; empty clears it.
    :param tags: new tags, which replace all existing ones.
    :param mount: default mount folder.
    :param custom_metadata: values of the deployment's custom fields.
    """

    fields_allowing_blank = frozenset({"description"})

    name: DisplayName | None = None
    description: CoercedStr | None = None
    tags: Tags | None = None
    mount: NonEmptyStr | None = None
    custom_metadata: CustomMetadataValues | None = None

    @model_validator(mode="after")
    def _check_not_empty(self) -> Self:
        if all(getattr(self, name) is None for name in type(self).model_fields):
            raise ValueError("an update needs at least one of " + ", ".join(type(self).model_fields))
        return self


class TransferParams(RequestModel):
    """The target of a transfer of a data asset's files.

    :param target: the new storage.
    :param force: transfer the files even if released pipelines use the data asset.
    """

    target: Target
    force: bool | None = None


class AttachParams(RequestModel):
    """A data asset to attach.

    :param id: id of the data asset.
    :param mount: folder to mount it at; the data asset's own by default.
    """

    id: Id
    mount: FolderName | None = None


class DataAssetSortField(StrEnum):
    """Sort fields of a data asset search."""

    CREATED = "created"
    TYPE = "type"
    NAME = "name"
    SIZE = "size"


class DataAssetSearchOrigin(StrEnum):
    """Filter by the storage of the files: in Code Ocean or outside."""

    INTERNAL = "internal"
    EXTERNAL = "external"


class DataAssetSearchParams(SearchParams):
    """Parameters of a search for data assets.

    Fields of a query: name, tag, run_script, commit_id, contained_data_id.

    :param sort_field: field to sort by, together with ``sort_order``.
    :param type: only data assets of this type.
    :param origin: only internal, or only external data assets.
    """

    sort_field: DataAssetSortField | None = None
    type: DataAssetType | None = None
    origin: DataAssetSearchOrigin | None = None
