"""Data assets as the API answers them."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import BeforeValidator, Field

from airflow_provider_codeocean.api.models.base import (
    Fields,
    Flag,
    Integer,
    Many,
    Maybe,
    Name,
    Number,
    Payload,
    ResponseId,
    Text,
    Texts,
    reader_of,
)


class DataAssetState(StrEnum):
    """Where the creation of a data asset stands: ``draft`` goes on, ``ready`` and ``failed`` are final."""

    DRAFT = "draft"
    READY = "ready"
    FAILED = "failed"


class DataAssetType(StrEnum):
    """What a data asset holds."""

    DATASET = "dataset"
    RESULT = "result"
    COMBINED = "combined"
    MODEL = "model"


class DataAssetOrigin(StrEnum):
    """Where the files of a data asset lie."""

    LOCAL = "local"
    AWS = "aws"
    GCP = "gcp"


class Provenance(Payload):
    """Where a result came from.

    :ivar commit: commit of the code that ran.
    :ivar run_script: script that ran, relative to the capsule's folder.
    :ivar docker_image: id of the image it ran in.
    :ivar capsule: id of the capsule or pipeline.
    :ivar data_assets: ids of the data assets that it read.
    :ivar computation: id of the computation.
    """

    commit: Text = None
    run_script: Text = None
    docker_image: Text = None
    capsule: Text = None
    data_assets: Texts = Field(default_factory=list)
    computation: Text = None


class SourceBucket(Payload):
    """The bucket that a data asset was made from or lies in.

    :ivar origin: which cloud, or ``local``.
    :ivar bucket: name of the bucket.
    :ivar prefix: folder in the bucket.
    :ivar external: whether the files stay in that bucket.
    """

    origin: Annotated[DataAssetOrigin | str | None, BeforeValidator(reader_of(DataAssetOrigin))] = None
    bucket: Text = None
    prefix: Text = None
    external: Flag = None


class AppParameter(Payload):
    """Name and value of a parameter that was set in an App Panel."""

    name: Text = None
    value: Text = None


class ContainedDataAsset(Payload):
    """A data asset within a combined one."""

    id: ResponseId = ""
    mount: Text = None
    size: Integer = None


class DataAsset(Payload):
    """A data asset.

    :ivar id: its identifier.
    :ivar created: when it was created, in Unix seconds.
    :ivar name: display name.
    :ivar mount: folder that it is mounted at if nothing else is said.
    :ivar description: free text.
    :ivar owner: id of its owner.
    :ivar owner_email: email address of its owner.
    :ivar state: ``draft``, ``ready`` or ``failed``.
    :ivar type: ``dataset``, ``result``, ``combined`` or ``model``.
    :ivar files: number of files.
    :ivar size: bytes of all files.
    :ivar tags: its tags.
    :ivar last_used: when it was last used, in Unix seconds; 0 for never.
    :ivar last_transferred: when its files were last moved to another storage, in Unix seconds.
    :ivar transfer_error: why the last attempt to move them failed.
    :ivar failure_reason: why it could not be created, in state ``failed``.
    :ivar source_bucket: bucket that it was made from or lies in.
    :ivar provenance: where a result came from.
    :ivar app_parameters: parameters set in an App Panel.
    :ivar nextflow_profile: profile of a pipeline's run.
    :ivar contained_data_assets: what a combined data asset consists of.
    :ivar custom_metadata: values of the deployment's custom fields; dates in Unix seconds.
    """

    essential = ("id",)
    former_names: ClassVar = {"size_in_bytes": "size"}

    id: ResponseId = ""
    created: Number = None
    name: Name = ""
    mount: Text = None
    description: Text = None
    owner: Text = None
    owner_email: Text = None
    state: Annotated[DataAssetState | str | None, BeforeValidator(reader_of(DataAssetState))] = None
    type: Annotated[DataAssetType | str | None, BeforeValidator(reader_of(DataAssetType))] = None
    files: Integer = None
    size: Integer = None
    tags: Texts = Field(default_factory=list)
    last_used: Number = None
    last_transferred: Number = None
    transfer_error: Text = None
    failure_reason: Text = None
    source_bucket: Maybe[SourceBucket] = None
    provenance: Maybe[Provenance] = None
    app_parameters: Many[AppParameter] = Field(default_factory=list)
    nextflow_profile: Text = None
    contained_data_assets: Many[ContainedDataAsset] = Field(default_factory=list)
    custom_metadata: Fields = Field(default_factory=dict)


class DataAssetAttachment(Payload):
    """A data asset attached to a capsule, a pipeline or a cloud workstation.

    :ivar id: id of the data asset.
    :ivar mount: folder that it is mounted at.
    :ivar mount_state: how far mounting it has come, at a running workstation.
    :ivar job_id: id of the job that mounts it.
    :ivar external: whether its files lie outside Code Ocean.
    :ivar ready: whether it can be used.
    """

    id: ResponseId = ""
    mount: Text = None
    mount_state: Text = None
    job_id: Text = None
    external: Flag = None
    ready: Flag = None
