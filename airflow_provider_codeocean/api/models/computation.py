"""Computations: runs of capsules and pipelines, and cloud workstations."""

from typing import Annotated, Self

from pydantic import BeforeValidator, Field, model_validator

from airflow_provider_codeocean.api.models.base import (
    CapsuleId,
    CoercedStr,
    FolderName,
    Id,
    NonEmptyStr,
    ObjectList,
    OptionalBool,
    OptionalInt,
    OptionalNumber,
    OptionalStr,
    RequestModel,
    ResponseId,
    ResponseModel,
    StrOrEmpty,
    VersionNumber,
    lenient_enum,
)
from airflow_provider_codeocean.api.models.states import ComputationEndStatus, ComputationState


class Parameter(ResponseModel):
    """A parameter of a computation; an ordered one has no name."""

    name: OptionalStr = None
    param_name: OptionalStr = None
    value: OptionalStr = None


class Process(ResponseModel):
    """A process of a pipeline computation."""

    name: StrOrEmpty = ""
    capsule_id: OptionalStr = None
    version: OptionalInt = None
    public: OptionalBool = None
    parameters: ObjectList[Parameter] = Field(default_factory=list)


class InputDataAsset(ResponseModel):
    """An input data asset of a computation."""

    id: ResponseId = ""
    mount: OptionalStr = None


class Computation(ResponseModel):
    """A computation.

    :ivar id: identifier.
    :ivar created: creation time, in Unix seconds.
    :ivar name: display name.
    :ivar owner: id of the user who started it.
    :ivar owner_email: email address of that user.
    :ivar run_time_seconds: run time in seconds.
    :ivar state: ``initializing``, ``running``, ``finalizing``, ``completed``, or ``failed``.
    :ivar end_status: ``succeeded``, ``failed``, or ``stopped``, if it is completed.
    :ivar exit_code: exit code of the process.
    :ivar has_results: whether it has results.
    :ivar cloud_workstation: whether it is a cloud workstation.
    :ivar data_assets: input data assets.
    :ivar parameters: parameters.
    :ivar nextflow_profile: Nextflow profile of a pipeline run.
    :ivar processes: processes of a pipeline run.
    """

    characteristic_fields = ("id",)

    id: ResponseId = ""
    created: OptionalNumber = None
    name: StrOrEmpty = ""
    owner: OptionalStr = None
    owner_email: OptionalStr = None
    run_time: OptionalNumber = None
    state: Annotated[ComputationState | str | None, BeforeValidator(lenient_enum(ComputationState))] = None
    end_status: Annotated[
        ComputationEndStatus | str | None, BeforeValidator(lenient_enum(ComputationEndStatus))
    ] = None
    exit_code: OptionalInt = None
    has_results: OptionalBool = None
    cloud_workstation: OptionalBool = None
    data_assets: ObjectList[InputDataAsset] = Field(default_factory=list)
    parameters: ObjectList[Parameter] = Field(default_factory=list)
    nextflow_profile: OptionalStr = None
    processes: ObjectList[Process] = Field(default_factory=list)


class RunDataAsset(RequestModel):
    """An input data asset for a run.

    :param id: id of the data asset.
    :param mount: folder to mount it at; the data asset's own by default.
    """

    id: Id
    mount: FolderName | None = None


class NamedParameter(RequestModel):
    """A named parameter.

    :param param_name: name of the parameter.
    :param value: its value.
    """

    param_name: NonEmptyStr
    value: CoercedStr


class ProcessParams(RequestModel):
    """Parameters for one process of a pipeline.

    :param name: name of the process.
    :param parameters: values in order.
    :param named_parameters: values by name.
    """

    name: NonEmptyStr
    parameters: list[CoercedStr] | None = None
    named_parameters: list[NamedParameter] | None = None


class RunParams(RequestModel):
    """A capsule or a pipeline to run.

    :param capsule_id: capsule to run; either this or ``pipeline_id`` is required.
    :param pipeline_id: pipeline to run.
    :param version: released version to run, from 1; the current code by default.
    :param resume_run_id: computation of the same pipeline to resume.
    :param nextflow_profile: Nextflow profile of a pipeline run.
    :param data_assets: input data assets, in addition to the attached ones.
    :param parameters: values in order.
    :param named_parameters: values by name.
    :param processes: parameters of the processes of a pipeline.
    """

    capsule_id: CapsuleId | None = None
    pipeline_id: CapsuleId | None = None
    version: VersionNumber | None = None
    resume_run_id: Id | None = None
    nextflow_profile: NonEmptyStr | None = None
    data_assets: list[RunDataAsset] | None = None
    parameters: list[CoercedStr] | None = None
    named_parameters: list[NamedParameter] | None = None
    processes: list[ProcessParams] | None = None

    @model_validator(mode="after")
    def _check_runnable_resource(self) -> Self:
        if (self.capsule_id is None) == (self.pipeline_id is None):
            raise ValueError("a run requires exactly one of capsule_id and pipeline_id")
        if self.capsule_id is not None:
            for name in ("processes", "nextflow_profile"):
                if getattr(self, name) is not None:
                    raise ValueError(f"{name} requires pipeline_id")
        return self
