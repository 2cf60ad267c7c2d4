"""The records of a deployment. They are immutable: an update stores a new record under the same id."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Self

from airflow_provider_codeocean.emulator.domain.clock import Work, computation_state_at
from airflow_provider_codeocean.emulator.domain.permissions import Permissions

JsonObject = dict[str, Any]
CapsuleKind = Literal["capsule", "pipeline"]


def external_source_bucket(bucket: str, prefix: str) -> JsonObject:
    """Return the source bucket of an external data asset.

    :param bucket: name of an S3 bucket.
    :param prefix: folder in the bucket.
    :returns: the data asset's `source_bucket`.
    """
    return {"origin": "aws", "bucket": bucket, "prefix": prefix, "external": True}


@dataclass(frozen=True, kw_only=True)
class Transfer:
    """A transfer of a data asset's files to another bucket.

    :param location: the current file location (see `files`).
    :param error: why the transfer will fail; None if it will succeed.
    """

    work: Work
    bucket: str
    prefix: str
    location: str
    error: str | None = None


@dataclass(frozen=True, kw_only=True)
class Record:
    """Base class of records.

    :param created: creation time in Unix seconds; never changes.
    """

    id: str
    created: float

    @classmethod
    def from_json(cls, document: JsonObject) -> Self:
        """Read a stored record.

        :param document: the stored fields, nested records as plain JSON.
        :returns: the record.
        """
        nested = {name: load(document[name]) for name, load in _NESTED_LOADERS.items() if document.get(name)}
        return cls(**{**document, **nested})


@dataclass(frozen=True, kw_only=True)
class User(Record):
    """A user and the user's tokens.

    :param tokens: the scopes of each token.
    """

    email: str
    name: str
    admin: bool = False
    groups: list[str] = field(default_factory=list)
    tokens: dict[str, list[str]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class SharedRecord(Record):
    """Base class of records that users own and share.

    :param owner: id of the owner.
    :param favorited_by: emails of users who marked it as a favorite.
    """

    name: str
    owner: str
    description: str = ""
    tags: list[str] = field(default_factory=list)
    permissions: Permissions = field(default_factory=Permissions)
    archived: bool = False
    favorited_by: list[str] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class DataAsset(SharedRecord):
    """A data asset. File count, size, and failure are set at creation and reported when the work is finished.

    :param location: the file location of its files.
    :param prefix: folder in the location.
    """

    mount: str
    type: str
    work: Work
    location: str
    prefix: str = ""
    files: int = 0
    size: int = 0
    failure_reason: str | None = None
    custom_metadata: JsonObject = field(default_factory=dict)
    source_bucket: JsonObject | None = None
    provenance: JsonObject | None = None
    app_parameters: list[JsonObject] = field(default_factory=list)
    nextflow_profile: str | None = None
    contained_data_assets: list[JsonObject] = field(default_factory=list)
    last_used: float = 0.0
    transfer: Transfer | None = None
    last_transferred: float | None = None
    transfer_error: str | None = None

    @property
    def is_external(self) -> bool:
        """Whether the files are stored outside Code Ocean."""
        return bool(self.source_bucket and self.source_bucket.get("external"))

    def state(self, timestamp: float) -> str:
        """Return the state at a time.

        :param timestamp: Unix seconds.
        :returns: `draft`, `ready`, or `failed`.
        """
        if not self.work.is_finished(timestamp):
            return "draft"
        return "failed" if self.failure_reason else "ready"

    def with_finished_transfer(self, timestamp: float) -> Self:
        """Apply the result of a transfer that is finished at a time.

        :param timestamp: Unix seconds.
        :returns: the updated data asset; the same object if no transfer is finished.
        """
        transfer = self.transfer
        if transfer is None or not transfer.work.is_finished(timestamp):
            return self
        if transfer.error:
            return replace(self, transfer=None, transfer_error=transfer.error)
        # Reported in whole seconds; clients detect the end of a transfer by a change of this time.
        transferred_at = max(transfer.work.finished_at, (self.last_transferred or 0) + 1)
        return replace(
            self,
            transfer=None,
            transfer_error=None,
            last_transferred=transferred_at,
            source_bucket=external_source_bucket(transfer.bucket, transfer.prefix),
            location=transfer.location,
            prefix=transfer.prefix,
        )

    def with_read_counted(self, timestamp: float) -> Self:
        """Count one GET of this data asset.

        :param timestamp: time of the GET, in Unix seconds.
        :returns: the updated record; the same object if no reads are required (any more).
        """
        work = self.work.with_read_counted(timestamp)
        transfer = self.transfer
        if (
            transfer is not None
            and (moved := transfer.work.with_read_counted(timestamp)) is not transfer.work
        ):
            transfer = replace(transfer, work=moved)
        if work is self.work and transfer is self.transfer:
            return self
        return replace(self, work=work, transfer=transfer)


@dataclass(frozen=True, kw_only=True)
class Computation(Record):
    """A run of a capsule or pipeline, or a cloud workstation.

    :param capsule_id: id of the capsule or pipeline.
    :param location: the file location of its results.
    :param crashed: whether it ends in state `failed` prematurely.
    :param executed_processes: names of the processes that a pipeline executes.
    :param cached_processes: names of the processes whose results come from the resumed run.
    :param resume_run_id: the run that it resumes.
    """

    name: str
    owner: str
    capsule_id: str
    work: Work
    location: str
    crashed: bool = False
    end_status: str | None = "succeeded"
    exit_code: int | None = 0
    has_results: bool = True
    cloud_workstation: bool = False
    data_assets: list[JsonObject] = field(default_factory=list)
    parameters: list[JsonObject] = field(default_factory=list)
    nextflow_profile: str | None = None
    processes: list[JsonObject] = field(default_factory=list)
    executed_processes: list[str] = field(default_factory=list)
    cached_processes: list[str] = field(default_factory=list)
    resume_run_id: str | None = None

    def state(self, timestamp: float) -> str:
        """Return the state at a time.

        :param timestamp: Unix seconds.
        :returns: `initializing`, `running`, `finalizing`, `completed`, or `failed`.
        """
        if self.work.is_finished(timestamp):
            return "failed" if self.crashed else "completed"
        return "running" if self.cloud_workstation else computation_state_at(self.work.progress(timestamp))

    def run_time_seconds(self, timestamp: float) -> int:
        """Return the run time at a time.

        :param timestamp: Unix seconds.
        :returns: whole seconds.
        """
        started = self.work.started_at
        return int(max(started, min(timestamp, self.work.finished_at)) - started)

    def with_read_counted(self, timestamp: float) -> Self:
        """Count one GET of this computation.

        :param timestamp: time of the GET, in Unix seconds.
        :returns: the updated record; the same object if no reads are required (any more).
        """
        work = self.work.with_read_counted(timestamp)
        return self if work is self.work else replace(self, work=work)


@dataclass(frozen=True, kw_only=True)
class Capsule(SharedRecord):
    """A capsule or a pipeline.

    :param runs: the course of its runs: the fields of `config.RunConfig`.
    :param data_assets: the attached data assets, each `{id, mount}`.
    :param processes: the capsules of a pipeline, each `{name, capsule_id, version, public}`.
    :param unpulled_commits: commits of the linked repository that the next sync pulls.
    :param credit_fields: values of the query fields `doi`, `affiliation`, `journal`, `article`, and `author`.
    """

    kind: CapsuleKind
    slug: str
    status: str = "non_release"
    research_field: str = ""
    versions: list[JsonObject] = field(default_factory=list)
    release_capsule_id: str | None = None
    original_capsule: JsonObject | None = None
    cloned_from_url: str | None = None
    unpulled_commits: int = 0
    commit: str = ""
    docker_image: str = ""
    app_panel: JsonObject = field(default_factory=dict)
    credit_fields: dict[str, str] = field(default_factory=dict)
    runs: JsonObject = field(default_factory=dict)
    data_assets: list[JsonObject] = field(default_factory=list)
    processes: list[JsonObject] = field(default_factory=list)
    last_accessed: float = 0.0

    def has_version(self, major: int) -> bool:
        """Return whether a version has been released.

        :param major: the major version number.
        :returns: whether it has been released.
        """
        return any(version["major_version"] == major for version in self.versions)


@dataclass(frozen=True, kw_only=True)
class ReleaseJob(Record):
    """A job that releases a new version of a capsule.

    :param capsule_id: id of the released capsule or pipeline.
    :param release_capsule_id: id of the published capsule.
    :param version: the new version.
    """

    capsule_id: str
    release_capsule_id: str
    version: JsonObject
    work: Work


_NESTED_LOADERS: dict[str, Callable[[JsonObject], Any]] = {
    "work": lambda document: Work(**document),
    "permissions": lambda document: Permissions(**document),
    "transfer": lambda document: Transfer(**{**document, "work": Work(**document["work"])}),
}
