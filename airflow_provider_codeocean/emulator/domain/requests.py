"""Request bodies. Null means absent, unknown fields are ignored, and booleans may be strings."""

import unicodedata
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, Field, model_validator

MAX_NAME_LENGTH = 1000
MAX_MOUNT_LENGTH = 255


def _check_mount(mount: str) -> str:
    parts = mount.split("/")
    if {"", ".", ".."} & set(parts) or any(unicodedata.category(char) == "Cc" for char in mount):
        raise ValueError(f"{mount!r} is not a folder below the capsule's data folder, such as 'reference'")
    return mount


ObjectName = Annotated[str, Field(min_length=1, max_length=MAX_NAME_LENGTH)]
MountPath = Annotated[str, Field(min_length=1, max_length=MAX_MOUNT_LENGTH), AfterValidator(_check_mount)]

NamedRole = Literal["owner", "editor", "viewer"]
GroupRole = Literal["owner", "editor", "viewer", "discoverable"]
EveryoneRole = Literal["viewer", "discoverable", "none"]


class Parameter(BaseModel):
    """A parameter of a run."""

    name: str | None = None
    param_name: str | None = None
    value: str | None = None


class NamedParameter(BaseModel):
    """A named parameter."""

    param_name: str
    value: str


class Process(BaseModel):
    """A process of a pipeline computation."""

    name: str
    capsule_id: str
    version: int | None = None
    public: bool | None = None
    parameters: list[Parameter] | None = None


class ProcessParameters(BaseModel):
    """Parameters for one process of a pipeline."""

    name: str
    parameters: list[str] | None = None
    named_parameters: list[NamedParameter] | None = None


class Attachment(BaseModel):
    """A data asset to attach."""

    id: str
    mount: MountPath | Literal[""] | None = None


class AwsSource(BaseModel):
    """A folder of an S3 bucket."""

    bucket: str | None = None
    prefix: str | None = None
    endpoint_name: str | None = None
    public: bool | None = None
    keep_on_external_storage: bool | None = None
    use_input_bucket: bool | None = None

    @model_validator(mode="after")
    def _require_bucket(self) -> Self:
        if not self.bucket and not self.use_input_bucket:
            raise ValueError("bucket is required")
        return self


class GcpSource(BaseModel):
    """A folder of a Google Cloud Storage bucket."""

    bucket: str
    prefix: str | None = None
    client_id: str | None = None
    client_secret: str | None = None


class ComputationSource(BaseModel):
    """The results of a computation, or a folder of them."""

    id: str
    path: str | None = None


class WorkstationSource(BaseModel):
    """A folder of a cloud workstation."""

    id: str
    path: str
    run_script: str | None = None


class Source(BaseModel):
    """The source of a data asset: exactly one field."""

    aws: AwsSource | None = None
    gcp: GcpSource | None = None
    computation: ComputationSource | None = None
    cloud_workstation: WorkstationSource | None = None

    @model_validator(mode="after")
    def _require_one_source(self) -> Self:
        if len(self.model_dump(exclude_none=True)) != 1:
            raise ValueError("one of aws, gcp, computation and cloud_workstation is required")
        return self


class AwsTarget(BaseModel):
    """A folder of an S3 bucket to write to."""

    bucket: str = Field(min_length=1)
    prefix: str | None = None
    endpoint_name: str | None = None


class Target(BaseModel):
    """The storage target of a data asset's files."""

    aws: AwsTarget | None = None


class ResultsInfo(BaseModel):
    """The lineage of imported results."""

    capsule_id: str | None = None
    pipeline_id: str | None = None
    version: int | None = None
    commit: str | None = None
    run_script: str | None = None
    data_assets: list[str] | None = None
    parameters: list[Parameter] | None = None
    nextflow_profile: str | None = None
    processes: list[Process] | None = None

    @model_validator(mode="after")
    def _require_capsule_or_pipeline(self) -> Self:
        if bool(self.capsule_id) == bool(self.pipeline_id):
            raise ValueError("either capsule_id or pipeline_id is required")
        return self


class DataAssetParams(BaseModel):
    """A data asset to create."""

    name: ObjectName
    tags: list[str]
    mount: MountPath
    description: str | None = None
    custom_metadata: dict[str, Any] | None = None
    source: Source | None = None
    target: Target | None = None
    results_info: ResultsInfo | None = None
    data_asset_ids: list[str] | None = None

    @model_validator(mode="after")
    def _check_combinations(self) -> Self:
        if (self.source is None) == (not self.data_asset_ids):
            raise ValueError("either source or data_asset_ids is required")
        if self.target and self.target.aws and not (self.source and self.source.computation):
            raise ValueError("target requires source.computation")
        if self.results_info and not (self.source and self.source.aws):
            raise ValueError("results_info requires source.aws")
        return self


class DataAssetUpdate(BaseModel):
    """The changes of a data asset."""

    name: ObjectName | None = None
    description: str | None = None
    tags: list[str] | None = None
    mount: MountPath | None = None
    custom_metadata: dict[str, Any] | None = None


class TransferParams(BaseModel):
    """The target of a transfer."""

    target: Target
    force: bool | None = None


class FolderParams(BaseModel):
    """The folder to list."""

    path: str | None = None


class UserPermission(BaseModel):
    """The role of a user."""

    email: str
    role: NamedRole


class GroupPermission(BaseModel):
    """The role of a group."""

    group: str
    role: GroupRole


class PermissionsUpdate(BaseModel):
    """Permissions to add or change."""

    users: list[UserPermission] | None = None
    groups: list[GroupPermission] | None = None
    everyone: EveryoneRole | None = None
    share_assets: bool | None = None


class RunParams(BaseModel):
    """A capsule or pipeline to run."""

    capsule_id: str | None = None
    pipeline_id: str | None = None
    version: int | None = None
    resume_run_id: str | None = None
    nextflow_profile: str | None = None
    data_assets: list[Attachment] | None = None
    parameters: list[str] | None = None
    named_parameters: list[NamedParameter] | None = None
    processes: list[ProcessParameters] | None = None

    @model_validator(mode="after")
    def _require_capsule_or_pipeline(self) -> Self:
        if (self.capsule_id is None) == (self.pipeline_id is None):
            raise ValueError("either capsule_id or pipeline_id is required")
        return self


class FilterRange(BaseModel):
    """A range with one end, which is included; null means absent."""

    min: float | None = None
    max: float | None = None

    @model_validator(mode="after")
    def _require_one_bound(self) -> Self:
        if self.min is not None and self.max is not None:
            raise ValueError("only one of min and max may be given")
        return self


class SearchFilter(BaseModel):
    """A condition on one field."""

    key: str
    value: str | float | None = None
    values: list[str | float] | None = None
    range: FilterRange | None = None
    exclude: bool | None = None


class SearchParams(BaseModel):
    """Common parameters of searches."""

    query: str | None = None
    next_token: str | None = None
    offset: int | None = Field(default=None, ge=0)
    limit: int | None = Field(default=None, ge=1, le=1000)
    sort_order: Literal["asc", "desc"] | None = None
    ownership: Literal["private", "created", "shared"] | None = None
    favorite: bool | None = None
    archived: bool | None = None
    filters: list[SearchFilter] | None = None


class DataAssetSearchParams(SearchParams):
    """A search for data assets."""

    sort_field: Literal["created", "type", "name", "size"] | None = None
    type: Literal["dataset", "result", "combined", "model"] | None = None
    origin: Literal["internal", "external"] | None = None


class CapsuleSearchParams(SearchParams):
    """A search for capsules or pipelines."""

    sort_field: Literal["created", "name", "last_accessed"] | None = None
    status: Literal["release", "non_release"] | None = None
