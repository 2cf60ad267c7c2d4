"""Computations: runs of capsules and pipelines, and cloud workstations."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Self

from pydantic import BeforeValidator, Field, model_validator

from airflow_provider_codeocean.api.models.base import (
    AnyText,
    CapsuleId,
    Flag,
    Folder,
    Id,
    Integer,
    Many,
    Name,
    NonEmpty,
    Number,
    Params,
    Payload,
    ResponseId,
    Text,
    Version,
    reader_of,
)


class ComputationState(StrEnum):
    """Where a computation stands: ``completed`` and ``failed`` are final."""

    INITIALIZING = "initializing"
    RUNNING = "running"
    FINALIZING = "finalizing"
    COMPLETED = "completed"
    FAILED = "failed"


class ComputationEndStatus(StrEnum):
    """How a completed computation ended."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    STOPPED = "stopped"


class Parameter(Payload):
    """A parameter that a computation was given; an ordered one has no name."""

    name: Text = None
    param_name: Text = None
    value: Text = None


class Process(Payload):
    """A process of a pipeline's computation."""

    name: Name = ""
    capsule_id: Text = None
    version: Integer = None
    public: Flag = None
    parameters: Many[Parameter] = Field(default_factory=list)


class InputDataAsset(Payload):
    """A data asset that a computation reads."""

    id: ResponseId = ""
    mount: Text = None


class Computation(Payload):
    """A computation.

    :ivar id: its identifier.
    :ivar created: when it was started, in Unix seconds.
    :ivar name: display name.
    :ivar owner: id of the user that started it.
    :ivar owner_email: email address of that user.
    :ivar run_time: seconds that it has run.
    :ivar state: ``initializing``, ``running``, ``finalizing``, ``completed`` or ``failed``.
    :ivar end_status: ``succeeded``, ``failed`` or ``stopped``, once it is completed.
    :ivar exit_code: exit code of its process.
    :ivar has_results: whether it left results.
    :ivar cloud_workstation: whether it is a cloud workstation.
    :ivar data_assets: data assets that it reads.
    :ivar parameters: its parameters.
    :ivar nextflow_profile: profile of a pipeline's run.
    :ivar processes: processes of a pipeline's run.
    """

    essential = ("id",)

    id: ResponseId = ""
    created: Number = None
    name: Name = ""
    owner: Text = None
    owner_email: Text = None
    run_time: Number = None
    state: Annotated[ComputationState | str | None, BeforeValidator(reader_of(ComputationState))] = None
    end_status: Annotated[
        ComputationEndStatus | str | None, BeforeValidator(reader_of(ComputationEndStatus))
    ] = None
    exit_code: Integer = None
    has_results: Flag = None
    cloud_workstation: Flag = None
    data_assets: Many[InputDataAsset] = Field(default_factory=list)
    parameters: Many[Parameter] = Field(default_factory=list)
    nextflow_profile: Text = None
    processes: Many[Process] = Field(default_factory=list)


class RunDataAsset(Params):
    """A data asset for a run to read.

    :param id: id of the data asset.
    :param mount: folder to mount it at; the data asset's own if left out.
    """

    id: Id
    mount: Folder | None = None


class NamedParameter(Params):
    """A parameter given by name.

    :param param_name: name of the parameter.
    :param value: its value.
    """

    param_name: NonEmpty
    value: AnyText


class ProcessParams(Params):
    """Parameters for one process of a pipeline.

    :param name: name of the process.
    :param parameters: values in order.
    :param named_parameters: values by name.
    """

    name: NonEmpty
    parameters: list[AnyText] | None = None
    named_parameters: list[NamedParameter] | None = None


class RunParams(Params):
    """A capsule or a pipeline to run.

    :param capsule_id: capsule to run; either this or ``pipeline_id``.
    :param pipeline_id: pipeline to run.
    :param version: released version to run, from 1; the code as it is if left out.
    :param resume_run_id: computation of the same pipeline to resume.
    :param nextflow_profile: profile of a pipeline's run.
    :param data_assets: data assets to read beside those that are attached.
    :param parameters: values in order.
    :param named_parameters: values by name.
    :param processes: parameters of a pipeline's processes.
    """

    capsule_id: CapsuleId | None = None
    pipeline_id: CapsuleId | None = None
    version: Version | None = None
    resume_run_id: Id | None = None
    nextflow_profile: NonEmpty | None = None
    data_assets: list[RunDataAsset] | None = None
    parameters: list[AnyText] | None = None
    named_parameters: list[NamedParameter] | None = None
    processes: list[ProcessParams] | None = None

    @model_validator(mode="after")
    def _check_what_runs(self) -> Self:
        if (self.capsule_id is None) == (self.pipeline_id is None):
            raise ValueError("a run takes exactly one of capsule_id and pipeline_id")
        if self.capsule_id is not None:
            for name in ("processes", "nextflow_profile"):
                if getattr(self, name) is not None:
                    raise ValueError(f"{name} goes with pipeline_id only")
        return self
