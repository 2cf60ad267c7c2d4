"""Operators that run capsules and pipelines, and rename and delete computations."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, get_args

from typing_extensions import override

from airflow_provider_codeocean.api import text
from airflow_provider_codeocean.deletion import DeletionStatus, delete_computation
from airflow_provider_codeocean.operators._base import CodeOceanActionBase
from airflow_provider_codeocean.operators._run_base import (
    ARGUMENT_NAMES,
    CodeOceanRunBase,
    OnFailure,
    floats_to_str,
    parameter_fields,
)
from airflow_provider_codeocean.submission.keys import append_key, extract_key
from airflow_provider_codeocean.validation import (
    FieldReader,
    build_params_model,
    check_identifier,
    check_text,
    check_unrendered_identifier,
    rendered_value,
    static_value,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_provider_codeocean.api.client import CodeOceanClient
    from airflow_provider_codeocean.api.models.computation import RunParams

log = logging.getLogger(__name__)


class CodeOceanRunCapsuleOperator(CodeOceanRunBase):
    """Run a capsule once, wait until it has succeeded, and return the computation.

    Source: ``POST computations``, ``PATCH computations/{id}``, ``GET capsules/{id}/computations``, user guide
    "Run a capsule".

    :param capsule_id: id of the capsule. (templated)
    :param **kwargs: arguments of :class:`~airflow_provider_codeocean.operators._run_base.CodeOceanRunBase`.
    """

    template_fields: Sequence[str] = ("capsule_id", *CodeOceanRunBase.template_fields)

    def __init__(self, *, capsule_id: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.capsule_id = capsule_id
        check_unrendered_identifier("capsule_id", capsule_id)
        self.build_run_params(static_value)

    @override
    def build_run_params(self, read_field: FieldReader = rendered_value) -> RunParams:
        from airflow_provider_codeocean.api.models.computation import RunParams

        capsule_id = check_identifier("capsule_id", read_field(self.capsule_id))
        return build_params_model(
            RunParams, ARGUMENT_NAMES, {"capsule_id": capsule_id, **self.common_param_fields(read_field)}
        )


class CodeOceanRunPipelineOperator(CodeOceanRunBase):
    """Run a pipeline once, wait until it has succeeded, and return the computation.

    Source: ``POST computations``, ``PATCH computations/{id}``, ``GET pipelines/{id}/computations``, user
    guide "Run a pipeline".

    :param pipeline_id: id of the pipeline. (templated)
    :param processes: parameters of processes, as a mapping: for each process name, a list of values in order,
        or a mapping of values by name. (templated)
    :param nextflow_profile: Nextflow profile to run with. (templated)
    :param resume_run_id: computation of the same pipeline to resume. With ``on_failure="resume"``, retries
        resume their own failed run instead. (templated)
    :param **kwargs: arguments of :class:`~airflow_provider_codeocean.operators._run_base.CodeOceanRunBase`.
    """

    template_fields: Sequence[str] = (
        "pipeline_id",
        "processes",
        "nextflow_profile",
        "resume_run_id",
        *CodeOceanRunBase.template_fields,
    )
    on_failure_choices = get_args(OnFailure)
    template_fields_renderers: ClassVar[dict[str, str]] = {
        "processes": "json",
        **CodeOceanRunBase.template_fields_renderers,
    }

    def __init__(
        self,
        *,
        pipeline_id: str,
        processes: Mapping[str, Sequence[Any] | Mapping[str, Any]] | None = None,
        nextflow_profile: str | None = None,
        resume_run_id: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.pipeline_id = pipeline_id
        self.processes = floats_to_str(processes)
        self.nextflow_profile = nextflow_profile
        self.resume_run_id = resume_run_id
        check_unrendered_identifier("pipeline_id", pipeline_id)
        self.build_run_params(static_value)

    @override
    def build_run_params(self, read_field: FieldReader = rendered_value) -> RunParams:
        from airflow_provider_codeocean.api.models.computation import RunParams

        pipeline_id = check_identifier("pipeline_id", read_field(self.pipeline_id))
        processes = read_field(self.processes)
        argument_names = dict(ARGUMENT_NAMES)
        if isinstance(processes, Mapping):
            for number, name in enumerate(processes):
                argument_names[f"processes.{number}.parameters"] = f"processes.{name}"
            processes = [
                {"name": name, **parameter_fields(f"processes.{name}", parameters)}
                for name, parameters in processes.items()
            ]
        return build_params_model(
            RunParams,
            argument_names,
            {
                "pipeline_id": pipeline_id,
                "processes": processes,
                "nextflow_profile": read_field(self.nextflow_profile),
                "resume_run_id": read_field(self.resume_run_id),
                **self.common_param_fields(read_field),
            },
        )


class CodeOceanRenameComputationOperator(CodeOceanActionBase):
    """Change the display name of a computation.

    Source: ``PATCH computations/{id}``. If a task submitted the computation, its idempotency key stays in the
    name.

    The result, in XCom, is the name that Code Ocean reports after the change.

    :param computation_id: id of the computation. (templated)
    :param name: display name. (templated)
    :param **kwargs: arguments of :class:`~airflow_provider_codeocean.operators._base.CodeOceanOperatorBase`.
    """

    template_fields: Sequence[str] = ("computation_id", "name", *CodeOceanActionBase.template_fields)

    def __init__(self, *, computation_id: str, name: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.computation_id = computation_id
        self.name = name
        check_unrendered_identifier("computation_id", computation_id)
        check_text("name", static_value(name), text.to_display_name)

    @override
    def perform(self, client: CodeOceanClient) -> str:
        self.computation_id = check_identifier("computation_id", self.computation_id)
        name = check_text("name", self.name, text.to_display_name)
        key = extract_key(client.computations.get(self.computation_id).name)
        name = append_key(name, key) if key else name
        client.computations.rename(self.computation_id, name)
        renamed = client.computations.get(self.computation_id).name or ""
        if renamed == name:
            log.info("Renamed computation %s to %r", self.computation_id, name)
        else:
            log.warning("Code Ocean reports %r as the name of %s, not %r", renamed, self.computation_id, name)
        return renamed


class CodeOceanDeleteComputationOperator(CodeOceanActionBase):
    """Delete a computation with its results, which stops it. A computation that does not exist is no error.

    Source: ``DELETE computations/{id}``. Data assets captured from the computation stay.

    The result, in XCom, is whether the computation existed.

    :param computation_id: id of the computation. (templated)
    :param **kwargs: arguments of :class:`~airflow_provider_codeocean.operators._base.CodeOceanOperatorBase`.
    """

    template_fields: Sequence[str] = ("computation_id", *CodeOceanActionBase.template_fields)

    def __init__(self, *, computation_id: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.computation_id = computation_id
        check_unrendered_identifier("computation_id", computation_id)

    @override
    def perform(self, client: CodeOceanClient) -> bool:
        self.computation_id = check_identifier("computation_id", self.computation_id)
        deletion = delete_computation(client, self.computation_id, only_if_pending=False)
        log.info("%s", deletion)
        return deletion.status is DeletionStatus.DELETED
