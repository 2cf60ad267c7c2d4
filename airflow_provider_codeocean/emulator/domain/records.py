"""What the emulator remembers. Records never change: an update stores another record under the same id."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Self

from airflow_provider_codeocean.emulator.domain.clock import Work, computation_state
from airflow_provider_codeocean.emulator.domain.permissions import Permissions

Json = dict[str, Any]
CapsuleKind = Literal["capsule", "pipeline"]


def external_bucket(bucket: str, prefix: str) -> Json:
    """Say where the files of an external data asset are.

    :param bucket: name of an S3 bucket.
    :param prefix: a folder of it.
    :returns: the asset's `source_bucket`.
    """
    return {"origin": "aws", "bucket": bucket, "prefix": prefix, "external": True}


@dataclass(frozen=True, kw_only=True)
class Transfer:
    """Files of a data asset on their way to another bucket.

    :param location: where they go (see `files`).
    :param error: why they will not arrive; None if they will.
    """

    work: Work
    bucket: str
    prefix: str
    location: str
    error: str | None = None


@dataclass(frozen=True, kw_only=True)
class Record:
    """What all records have.

    :param created: Unix seconds; never changes.
    """

    id: str
    created: float

    @classmethod
    def load(cls, document: Json) -> Self:
        """Read what was stored.

        :param document: the stored fields, nested records as plain JSON.
        :returns: the record.
        """
        nested = {name: load(document[name]) for name, load in _NESTED.items() if document.get(name)}
        return cls(**{**document, **nested})


@dataclass(frozen=True, kw_only=True)
class User(Record):
    """Somebody with tokens.

    :param tokens: the scopes of each token.
    """

    email: str
    name: str
    admin: bool = False
    groups: list[str] = field(default_factory=list)
    tokens: dict[str, list[str]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Shared(Record):
    """What people find, own and share.

    :param owner: id of the user who made it.
    :param favorite_of: emails of those who have marked it in the web application.
    """

    name: str
    owner: str
    description: str = ""
    tags: list[str] = field(default_factory=list)
    permissions: Permissions = field(default_factory=Permissions)
    archived: bool = False
    favorite_of: list[str] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class DataAsset(Shared):
    """A data asset. Count, size and failure are known from the start and shown when the work is finished.

    :param location: the file location that holds its files.
    :param prefix: the folder of that location.
    """

    mount: str
    type: str
    work: Work
    location: str
    prefix: str = ""
    files: int = 0
    size: int = 0
    failure_reason: str | None = None
    custom_metadata: Json = field(default_factory=dict)
    source_bucket: Json | None = None
    provenance: Json | None = None
    app_parameters: list[Json] = field(default_factory=list)
    nextflow_profile: str | None = None
    contained: list[Json] = field(default_factory=list)
    last_used: float = 0.0
    transfer: Transfer | None = None
    last_transferred: float | None = None
    transfer_error: str | None = None

    @property
    def external(self) -> bool:
        """Whether the files lie outside Code Ocean."""
        return bool(self.source_bucket and self.source_bucket.get("external"))

    def state(self, moment: float) -> str:
        """Tell the state at a moment.

        :param moment: Unix seconds.
        :returns: `draft`, `ready` or `failed`.
        """
        if not self.work.finished(moment):
            return "draft"
        return "failed" if self.failure_reason else "ready"

    def settled(self, moment: float) -> Self:
        """Return the asset as it is once a transfer that is over at a moment has had its effect.

        :param moment: Unix seconds.
        :returns: the same object if no transfer has ended.
        """
        transfer = self.transfer
        if transfer is None or not transfer.work.finished(moment):
            return self
        if transfer.error:
            return replace(self, transfer=None, transfer_error=transfer.error)
        # Times are shown in whole seconds, and clients watch this one move.
        ended = max(transfer.work.finished_at, (self.last_transferred or 0) + 1)
        return replace(
            self,
            transfer=None,
            transfer_error=None,
            last_transferred=ended,
            source_bucket=external_bucket(transfer.bucket, transfer.prefix),
            location=transfer.location,
            prefix=transfer.prefix,
        )

    def after_read(self, moment: float) -> Self:
        """Count one GET of this asset.

        :param moment: when, Unix seconds.
        :returns: the same object if reads do not matter (any more).
        """
        work = self.work.after_read(moment)
        transfer = self.transfer
        if transfer is not None and (moved := transfer.work.after_read(moment)) is not transfer.work:
            transfer = replace(transfer, work=moved)
        if work is self.work and transfer is self.transfer:
            return self
        return replace(self, work=work, transfer=transfer)


@dataclass(frozen=True, kw_only=True)
class Computation(Record):
    """A run of a capsule or pipeline, or a cloud workstation.

    :param capsule: id of what is run.
    :param location: the file location that holds its results.
    :param crashed: it ends in state `failed`, having not run its course.
    """

    name: str
    owner: str
    capsule: str
    work: Work
    location: str
    crashed: bool = False
    end_status: str | None = "succeeded"
    exit_code: int | None = 0
    has_results: bool = True
    cloud_workstation: bool = False
    data_assets: list[Json] = field(default_factory=list)
    parameters: list[Json] = field(default_factory=list)
    nextflow_profile: str | None = None
    processes: list[Json] = field(default_factory=list)

    def state(self, moment: float) -> str:
        """Tell the state at a moment.

        :param moment: Unix seconds.
        :returns: `initializing`, `running`, `finalizing`, `completed` or `failed`.
        """
        if self.work.finished(moment):
            return "failed" if self.crashed else "completed"
        return "running" if self.cloud_workstation else computation_state(self.work.progress(moment))

    def run_time(self, moment: float) -> int:
        """Tell for how long it has run at a moment.

        :param moment: Unix seconds.
        :returns: whole seconds.
        """
        started = self.work.started
        return int(max(started, min(moment, self.work.finished_at)) - started)

    def after_read(self, moment: float) -> Self:
        """Count one GET of this computation.

        :param moment: when, Unix seconds.
        :returns: the same object if reads do not matter (any more).
        """
        work = self.work.after_read(moment)
        return self if work is self.work else replace(self, work=work)


@dataclass(frozen=True, kw_only=True)
class Capsule(Shared):
    """A capsule or a pipeline.

    :param runs: how its runs go: the fields of `config.RunConfig`.
    :param data_assets: what is attached, `{id, mount}` each.
    :param processes: the capsules of a pipeline, `{name, capsule_id, version, public}` each.
    :param unpulled: commits of the linked repository that the next sync pulls.
    :param credits: what the query language finds in `doi`, `affiliation`, `journal`, `article`, `author`.
    """

    kind: CapsuleKind
    slug: str
    status: str = "non_release"
    research_field: str = ""
    versions: list[Json] = field(default_factory=list)
    release_capsule: str | None = None
    original_capsule: Json | None = None
    cloned_from_url: str | None = None
    unpulled: int = 0
    commit: str = ""
    docker_image: str = ""
    app_panel: Json = field(default_factory=dict)
    credits: dict[str, str] = field(default_factory=dict)
    runs: Json = field(default_factory=dict)
    data_assets: list[Json] = field(default_factory=list)
    processes: list[Json] = field(default_factory=list)
    last_accessed: float = 0.0

    def has_version(self, major: int) -> bool:
        """Tell whether a version has been released.

        :param major: its major number.
        :returns: whether there is one.
        """
        return any(version["major_version"] == major for version in self.versions)


@dataclass(frozen=True, kw_only=True)
class ReleaseJob(Record):
    """A new version of a released capsule in the making.

    :param capsule: what is released.
    :param release_capsule: the published capsule that gets the version.
    :param version: the version it will be.
    """

    capsule: str
    release_capsule: str
    version: Json
    work: Work


_NESTED: dict[str, Callable[[Json], Any]] = {
    "work": lambda document: Work(**document),
    "permissions": lambda document: Permissions(**document),
    "transfer": lambda document: Transfer(**{**document, "work": Work(**document["work"])}),
}
