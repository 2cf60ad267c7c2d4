"""Data assets in responses."""

from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import BeforeValidator, Field

from airflow_provider_codeocean.api.models.base import (
    FreeFields,
    ObjectList,
    OptionalBool,
    OptionalInt,
    OptionalNumber,
    OptionalObject,
    OptionalStr,
    ResponseId,
    ResponseModel,
    StrList,
    StrOrEmpty,
    lenient_enum,
)
from airflow_provider_codeocean.api.models.states import DataAssetState, DataAssetType


class DataAssetOrigin(StrEnum):
    """The storage of a data asset's files."""

    LOCAL = "local"
    AWS = "aws"
    GCP = "gcp"


class Provenance(ResponseModel):
    """The provenance of a result.

    :ivar commit: commit of the code.
    :ivar run_script: run script, relative to the capsule's folder.
    :ivar docker_image: id of the Docker image.
    :ivar capsule: id of the capsule or pipeline.
    :ivar data_assets: ids of the input data assets.
    :ivar computation: id of the computation.
    """

    commit: OptionalStr = None
    run_script: OptionalStr = None
    docker_image: OptionalStr = None
    capsule: OptionalStr = None
    data_assets: StrList = Field(default_factory=list)
    computation: OptionalStr = None


class SourceBucket(ResponseModel):
    """The bucket that a data asset was imported from or is stored in.

    :ivar origin: the cloud, or ``local``.
    :ivar bucket: name of the bucket.
    :ivar prefix: folder in the bucket.
    :ivar external: whether the files stay in that bucket.
    """

    origin: Annotated[DataAssetOrigin | str | None, BeforeValidator(lenient_enum(DataAssetOrigin))] = None
    bucket: OptionalStr = None
    prefix: OptionalStr = None
    external: OptionalBool = None


class AppParameter(ResponseModel):
    """A parameter set in an App Panel."""

    name: OptionalStr = None
    value: OptionalStr = None


class ContainedDataAsset(ResponseModel):
    """A part of a combined data asset."""

    id: ResponseId = ""
    mount: OptionalStr = None
    size: OptionalInt = None


class DataAsset(ResponseModel):
    """A data asset.

    :ivar id: identifier.
    :ivar created: creation time, in Unix seconds.
    :ivar name: display name.
    :ivar mount: default mount folder.
    :ivar description: free text.
    :ivar owner: id of the owner.
    :ivar owner_email: email address of the owner.
    :ivar state: ``draft``, ``ready``, or ``failed``.
    :ivar type: ``dataset``, ``result``, ``combined``, or ``model``.
    :ivar files: number of files.
    :ivar size: total size in bytes.
    :ivar tags: tags.
    :ivar last_used: time of the last use, in Unix seconds; 0 for never.
    :ivar last_transferred: time of the last transfer of its files, in Unix seconds.
    :ivar transfer_error: error of the last transfer.
    :ivar failure_reason: why the creation failed, in state ``failed``.
    :ivar source_bucket: bucket that it was imported from or is stored in.
    :ivar provenance: provenance of a result.
    :ivar app_parameters: parameters set in an App Panel.
    :ivar nextflow_profile: Nextflow profile of a pipeline run.
    :ivar contained_data_assets: the parts of a combined data asset.
    :ivar custom_metadata: values of the deployment's custom fields; dates in Unix seconds.
    """

    characteristic_fields = ("id",)
    legacy_names: ClassVar = {"size_in_bytes": "size"}

    id: ResponseId = ""
    created: OptionalNumber = None
    name: StrOrEmpty = ""
    mount: OptionalStr = None
    description: OptionalStr = None
    owner: OptionalStr = None
    owner_email: OptionalStr = None
    state: Annotated[DataAssetState | str | None, BeforeValidator(lenient_enum(DataAssetState))] = None
    type: Annotated[DataAssetType | str | None, BeforeValidator(lenient_enum(DataAssetType))] = None
    files: OptionalInt = None
    size: OptionalInt = None
    tags: StrList = Field(default_factory=list)
    last_used: OptionalNumber = None
    last_transferred: OptionalNumber = None
    transfer_error: OptionalStr = None
    failure_reason: OptionalStr = None
    source_bucket: OptionalObject[SourceBucket] = None
    provenance: OptionalObject[Provenance] = None
    app_parameters: ObjectList[AppParameter] = Field(default_factory=list)
    nextflow_profile: OptionalStr = None
    contained_data_assets: ObjectList[ContainedDataAsset] = Field(default_factory=list)
    custom_metadata: FreeFields = Field(default_factory=dict)


class DataAssetAttachment(ResponseModel):
    """A data asset attached to a capsule, a pipeline, or a cloud workstation.

    :ivar id: id of the data asset.
    :ivar mount: mount folder.
    :ivar mount_state: progress of mounting, for a running workstation.
    :ivar job_id: id of the mount job.
    :ivar external: whether its files are stored outside Code Ocean.
    :ivar ready: whether it can be used.
    """

    id: ResponseId = ""
    mount: OptionalStr = None
    mount_state: OptionalStr = None
    job_id: OptionalStr = None
    external: OptionalBool = None
    ready: OptionalBool = None
