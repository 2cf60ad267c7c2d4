"""Capsules and pipelines, which have the same fields."""

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
from airflow_provider_codeocean.api.models.search import SearchParams


class CapsuleStatus(StrEnum):
    """Whether a capsule is released."""

    RELEASE = "release"
    NON_RELEASE = "non_release"


class OriginalCapsule(ResponseModel):
    """The capsule that a duplicate was created from."""

    id: ResponseId = ""
    name: OptionalStr = None
    major_version: OptionalInt = None
    minor_version: OptionalInt = None
    created: OptionalNumber = None
    public: OptionalBool = None


class Version(ResponseModel):
    """A released version."""

    major_version: OptionalInt = None
    minor_version: OptionalInt = None
    release_time: OptionalNumber = None


class Capsule(ResponseModel):
    """A capsule or a pipeline.

    :ivar id: identifier.
    :ivar created: creation time, in Unix seconds.
    :ivar name: display name.
    :ivar status: ``release`` or ``non_release``.
    :ivar owner: id of the owner.
    :ivar owner_email: email address of the owner.
    :ivar slug: number in the URL of its page.
    :ivar last_accessed: when it was last opened, in Unix seconds.
    :ivar description: free text.
    :ivar field: field of research.
    :ivar tags: tags.
    :ivar original_capsule: the capsule that it was duplicated from.
    :ivar release_capsule_id: id of the capsule that it was released as.
    :ivar submission: submission of a published capsule.
    :ivar versions: released versions.
    :ivar article: article that it belongs to.
    :ivar cloned_from_url: Git repository that it was cloned from.
    """

    characteristic_fields = ("id",)
    legacy_names: ClassVar = {"keywords": "tags", "published_capsule": "release_capsule"}

    id: ResponseId = ""
    created: OptionalNumber = None
    name: StrOrEmpty = ""
    status: Annotated[
        CapsuleStatus | str | None,
        BeforeValidator(lenient_enum(CapsuleStatus, published="release", non_published="non_release")),
    ] = None
    owner: OptionalStr = None
    owner_email: OptionalStr = None
    slug: OptionalStr = None
    last_accessed: OptionalNumber = None
    description: OptionalStr = None
    field: OptionalStr = None
    tags: StrList = Field(default_factory=list)
    original_capsule: OptionalObject[OriginalCapsule] = None
    release_capsule: OptionalStr = None
    submission: FreeFields = Field(default_factory=dict)
    versions: ObjectList[Version] = Field(default_factory=list)
    article: FreeFields = Field(default_factory=dict)
    cloned_from_url: OptionalStr = None


class AppPanelDataAsset(ResponseModel):
    """A replaceable data asset in the App Panel."""

    id: ResponseId = ""
    mount: OptionalStr = None
    name: OptionalStr = None
    kind: OptionalStr = None
    accessible: OptionalBool = None
    description: OptionalStr = None
    help_text: OptionalStr = None


class AppPanelCategory(ResponseModel):
    """A group of parameters in the App Panel."""

    id: ResponseId = ""
    name: OptionalStr = None
    description: OptionalStr = None
    help_text: OptionalStr = None


class AppPanelParameter(ResponseModel):
    """A parameter in the App Panel, of type ``text``, ``list``, or ``file``."""

    name: StrOrEmpty = ""
    type: OptionalStr = None
    category: OptionalStr = None
    param_name: OptionalStr = None
    description: OptionalStr = None
    help_text: OptionalStr = None
    value_type: OptionalStr = None
    default_value: OptionalStr = None
    required: OptionalBool = None
    hidden: OptionalBool = None
    minimum: OptionalNumber = None
    maximum: OptionalNumber = None
    pattern: OptionalStr = None
    value_options: StrList = Field(default_factory=list)


class AppPanelResult(ResponseModel):
    """A result file that the App Panel shows."""

    file_name: OptionalStr = None


class AppPanelProcess(ResponseModel):
    """A process of a pipeline in the App Panel."""

    name: StrOrEmpty = ""
    categories: ObjectList[AppPanelCategory] = Field(default_factory=list)
    parameters: ObjectList[AppPanelParameter] = Field(default_factory=list)


class AppPanel(ResponseModel):
    """The App Panel: the inputs of a capsule's run.

    :ivar general: title, instructions and help text.
    :ivar data_assets: replaceable data assets.
    :ivar categories: groups of parameters.
    :ivar parameters: the parameters.
    :ivar results: result files to show.
    :ivar processes: processes of a pipeline, with their categories and parameters.
    """

    general: FreeFields = Field(default_factory=dict)
    data_assets: ObjectList[AppPanelDataAsset] = Field(default_factory=list)
    categories: ObjectList[AppPanelCategory] = Field(default_factory=list)
    parameters: ObjectList[AppPanelParameter] = Field(default_factory=list)
    results: ObjectList[AppPanelResult] = Field(default_factory=list)
    processes: ObjectList[AppPanelProcess] = Field(default_factory=list)


class GitSync(ResponseModel):
    """The result of a synchronization with a Git repository.

    :ivar pushed: number of pushed commits.
    :ivar pulled: number of pulled commits.
    :ivar new_branch: whether the branch was created in the repository.
    """

    pushed: OptionalInt = None
    pulled: OptionalInt = None
    new_branch: OptionalBool = None


class ReleaseJob(ResponseModel):
    """A job of Code Ocean that releases a new version.

    :ivar job_id: identifier.
    :ivar status: ``created``, ``started``, ``completed``, ``failed``, ``canceled`` or ``canceling``.
    :ivar started: start time, in Unix seconds.
    :ivar duration: duration in seconds.
    :ivar release_capsule_id: id of the released capsule.
    :ivar release_version: the released version.
    :ivar error: reason of a failure.
    """

    characteristic_fields = ("job_id",)

    job_id: StrOrEmpty = ""
    status: OptionalStr = None
    started: OptionalNumber = None
    duration: OptionalNumber = None
    release_capsule: OptionalStr = None
    release_version: OptionalObject[Version] = None
    error: OptionalStr = None


class CapsuleSortField(StrEnum):
    """Sort fields of a capsule search."""

    CREATED = "created"
    LAST_ACCESSED = "last_accessed"
    NAME = "name"


class CapsuleSearchParams(SearchParams):
    """Parameters of a search for capsules or pipelines.

    Fields of a query: id, name, doi, tag, field, affiliation, journal, article, author.

    :param sort_field: field to sort by, together with ``sort_order``.
    :param status: only released, or only unreleased ones.
    """

    sort_field: CapsuleSortField | None = None
    status: CapsuleStatus | None = None
