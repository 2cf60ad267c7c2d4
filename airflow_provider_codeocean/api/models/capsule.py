"""Capsules and pipelines, which have the same shape."""

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
from airflow_provider_codeocean.api.models.search import SearchParams


class CapsuleStatus(StrEnum):
    """Whether a capsule is a released one."""

    RELEASE = "release"
    NON_RELEASE = "non_release"


class OriginalCapsule(Payload):
    """The capsule that one was duplicated from."""

    id: ResponseId = ""
    name: Text = None
    major_version: Integer = None
    minor_version: Integer = None
    created: Number = None
    public: Flag = None


class Version(Payload):
    """A released version."""

    major_version: Integer = None
    minor_version: Integer = None
    release_time: Number = None


class Capsule(Payload):
    """A capsule or a pipeline.

    :ivar id: its identifier.
    :ivar created: when it was created, in Unix seconds.
    :ivar name: display name.
    :ivar status: ``release`` or ``non_release``.
    :ivar owner: id of its owner.
    :ivar owner_email: email address of its owner.
    :ivar slug: number that its page is found by.
    :ivar last_accessed: when it was last opened, in Unix seconds.
    :ivar description: free text.
    :ivar field: field of research.
    :ivar tags: its tags.
    :ivar original_capsule: what it was duplicated from.
    :ivar release_capsule: id of the released capsule made from it.
    :ivar submission: submission of a published capsule.
    :ivar versions: released versions.
    :ivar article: article that it belongs to.
    :ivar cloned_from_url: Git repository that it was cloned from.
    """

    essential = ("id",)
    former_names: ClassVar = {"keywords": "tags", "published_capsule": "release_capsule"}

    id: ResponseId = ""
    created: Number = None
    name: Name = ""
    status: Annotated[
        CapsuleStatus | str | None,
        BeforeValidator(reader_of(CapsuleStatus, published="release", non_published="non_release")),
    ] = None
    owner: Text = None
    owner_email: Text = None
    slug: Text = None
    last_accessed: Number = None
    description: Text = None
    field: Text = None
    tags: Texts = Field(default_factory=list)
    original_capsule: Maybe[OriginalCapsule] = None
    release_capsule: Text = None
    submission: Fields = Field(default_factory=dict)
    versions: Many[Version] = Field(default_factory=list)
    article: Fields = Field(default_factory=dict)
    cloned_from_url: Text = None


class AppPanelDataAsset(Payload):
    """A data asset that the App Panel offers to replace."""

    id: ResponseId = ""
    mount: Text = None
    name: Text = None
    kind: Text = None
    accessible: Flag = None
    description: Text = None
    help_text: Text = None


class AppPanelCategory(Payload):
    """A group of parameters in the App Panel."""

    id: ResponseId = ""
    name: Text = None
    description: Text = None
    help_text: Text = None


class AppPanelParameter(Payload):
    """A parameter in the App Panel: its type is ``text``, ``list`` or ``file``."""

    name: Name = ""
    type: Text = None
    category: Text = None
    param_name: Text = None
    description: Text = None
    help_text: Text = None
    value_type: Text = None
    default_value: Text = None
    required: Flag = None
    hidden: Flag = None
    minimum: Number = None
    maximum: Number = None
    pattern: Text = None
    value_options: Texts = Field(default_factory=list)


class AppPanelResult(Payload):
    """A result file that the App Panel shows."""

    file_name: Text = None


class AppPanelProcess(Payload):
    """A process of a pipeline, with what the App Panel asks for it."""

    name: Name = ""
    categories: Many[AppPanelCategory] = Field(default_factory=list)
    parameters: Many[AppPanelParameter] = Field(default_factory=list)


class AppPanel(Payload):
    """The App Panel: what a capsule asks of the person who runs it.

    :ivar general: title, instructions and help text.
    :ivar data_assets: data assets that can be replaced.
    :ivar categories: groups of parameters.
    :ivar parameters: the parameters.
    :ivar results: result files that it shows.
    :ivar processes: a pipeline's processes, with the categories and parameters of each.
    """

    general: Fields = Field(default_factory=dict)
    data_assets: Many[AppPanelDataAsset] = Field(default_factory=list)
    categories: Many[AppPanelCategory] = Field(default_factory=list)
    parameters: Many[AppPanelParameter] = Field(default_factory=list)
    results: Many[AppPanelResult] = Field(default_factory=list)
    processes: Many[AppPanelProcess] = Field(default_factory=list)


class GitSync(Payload):
    """What synchronising with a Git repository did.

    :ivar pushed: number of commits sent.
    :ivar pulled: number of commits fetched.
    :ivar new_branch: whether the repository had no such branch before.
    """

    pushed: Integer = None
    pulled: Integer = None
    new_branch: Flag = None


class ReleaseJob(Payload):
    """The release of a further version, which runs on at Code Ocean.

    :ivar job_id: its identifier.
    :ivar status: ``created``, ``started``, ``completed``, ``failed``, ``canceled`` or ``canceling``.
    :ivar started: when it was started, in Unix seconds.
    :ivar duration: seconds that it took.
    :ivar release_capsule: id of the released capsule.
    :ivar release_version: the released version.
    :ivar error: why it failed.
    """

    essential = ("job_id",)

    job_id: Name = ""
    status: Text = None
    started: Number = None
    duration: Number = None
    release_capsule: Text = None
    release_version: Maybe[Version] = None
    error: Text = None


class CapsuleSortField(StrEnum):
    """What a search of capsules can be ordered by."""

    CREATED = "created"
    LAST_ACCESSED = "last_accessed"
    NAME = "name"


class CapsuleSearchParams(SearchParams):
    """A search of capsules or pipelines.

    Fields of a query: id, name, doi, tag, field, affiliation, journal, article, author.

    :param sort_field: what to order by, together with ``sort_order``.
    :param status: only released ones, or only others.
    """

    sort_field: CapsuleSortField | None = None
    status: CapsuleStatus | None = None
