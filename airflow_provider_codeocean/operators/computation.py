"""Operators that run capsules and pipelines, and rename and delete computations."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.common.compat.sdk import BaseOperator

from airflow_provider_codeocean.airflow_errors import no_retry_for_what_it_cannot_mend
from airflow_provider_codeocean.api import text
from airflow_provider_codeocean.deletion import Fate, remove_computation
from airflow_provider_codeocean.hooks.codeocean import CodeOceanHook
from airflow_provider_codeocean.operators._run_base import (
    ARGUMENTS,
    CodeOceanRunBase,
    by_order_or_name,
    with_floats_as_text,
)
from airflow_provider_codeocean.submission.keys import append_key, extract_key
from airflow_provider_codeocean.validation import (
    KnowsTemplates,
    ReadField,
    as_rendered,
    check_identifier,
    check_identifier_early,
    check_text,
    checked,
    known_now,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_codeocean.api.models.computation import RunParams

log = logging.getLogger(__name__)


class CodeOceanRunCapsuleOperator(CodeOceanRunBase):
    """Run a capsule once, wait until it has succeeded, and return the computation.

    Source: ``POST computations``, ``PATCH computations/{id}``, ``GET capsules/{id}/computations``, user guide
    "Run a capsule".

    :param capsule_id: id of the capsule. (templated)
    :param **kwargs: what every operator that runs something takes: see
        :class:`~airflow_provider_codeocean.operators._run_base.CodeOceanRunBase`.
    """

    template_fields: Sequence[str] = ("capsule_id", *CodeOceanRunBase.template_fields)

    def __init__(self, *, capsule_id: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.capsule_id = capsule_id
        check_identifier_early("capsule_id", capsule_id)
        self.run_params(known_now)

    def run_params(self, read: ReadField = as_rendered) -> RunParams:
        """Build what to run; see the base class."""
        from airflow_provider_codeocean.api.models.computation import RunParams

        capsule_id = check_identifier("capsule_id", read(self.capsule_id))
        return checked(RunParams, ARGUMENTS, {"capsule_id": capsule_id, **self.shared_params(read)})


class CodeOceanRunPipelineOperator(CodeOceanRunBase):
    """Run a pipeline once, wait until it has succeeded, and return the computation.

    Source: ``POST computations``, ``PATCH computations/{id}``, ``GET pipelines/{id}/computations``, user
    guide "Run a pipeline".

    :param pipeline_id: id of the pipeline. (templated)
    :param processes: parameters of processes: by the name of each a list of values in order, or a mapping of
        values by name. (templated)
    :param nextflow_profile: profile of Nextflow to run with. (templated)
    :param resume_run_id: computation of the same pipeline to resume. (templated)
    :param **kwargs: what every operator that runs something takes: see
        :class:`~airflow_provider_codeocean.operators._run_base.CodeOceanRunBase`.
    """

    template_fields: Sequence[str] = (
        "pipeline_id",
        "processes",
        "nextflow_profile",
        "resume_run_id",
        *CodeOceanRunBase.template_fields,
    )
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
        self.processes = with_floats_as_text(processes)
        self.nextflow_profile = nextflow_profile
        self.resume_run_id = resume_run_id
        check_identifier_early("pipeline_id", pipeline_id)
        self.run_params(known_now)

    def run_params(self, read: ReadField = as_rendered) -> RunParams:
        """Build what to run; see the base class."""
        from airflow_provider_codeocean.api.models.computation import RunParams

        pipeline_id = check_identifier("pipeline_id", read(self.pipeline_id))
        processes = read(self.processes)
        arguments = dict(ARGUMENTS)
        if isinstance(processes, Mapping):
            arguments |= {
                f"processes.{i}.parameters": f"processes.{each}" for i, each in enumerate(processes)
            }
            processes = [
                {"name": name, **by_order_or_name(f"processes.{name}", each)}
                for name, each in processes.items()
            ]
        return checked(
            RunParams,
            arguments,
            {
                "pipeline_id": pipeline_id,
                "processes": processes,
                "nextflow_profile": read(self.nextflow_profile),
                "resume_run_id": read(self.resume_run_id),
                **self.shared_params(read),
            },
        )


class CodeOceanRenameComputationOperator(KnowsTemplates, BaseOperator):
    """Change the display name of a computation.

    Source: ``PATCH computations/{id}``. If a task submitted the computation, its idempotency key stays in the
    name.

    :param computation_id: id of the computation. (templated)
    :param name: display name. (templated)
    :param codeocean_conn_id: id of the connection. (templated)
    :param **kwargs: what every operator takes.
    """

    template_fields: Sequence[str] = ("computation_id", "name", "codeocean_conn_id")
    ui_color = "#e8f1fb"

    def __init__(
        self,
        *,
        computation_id: str,
        name: str,
        codeocean_conn_id: str = CodeOceanHook.default_conn_name,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.computation_id = computation_id
        self.name = name
        self.codeocean_conn_id = codeocean_conn_id
        check_identifier_early("computation_id", computation_id)
        check_text("name", known_now(name), text.to_name)

    def execute(self, context: Context) -> str:  # noqa: ARG002 - as every operator
        """Rename it, and return the name that Code Ocean reports then."""
        with no_retry_for_what_it_cannot_mend(self):
            self.computation_id = check_identifier("computation_id", self.computation_id)
            name = check_text("name", self.name, text.to_name)
            with CodeOceanHook(self.codeocean_conn_id).get_conn() as client:
                key = extract_key(client.computations.get(self.computation_id).name)
                name = append_key(name, key) if key else name
                client.computations.rename(self.computation_id, name)
                renamed = client.computations.get(self.computation_id).name or ""
        if renamed == name:
            log.info("Renamed computation %s to %r", self.computation_id, name)
        else:
            log.warning("Code Ocean reports %r as the name of %s, not %r", renamed, self.computation_id, name)
        return renamed


class CodeOceanDeleteComputationOperator(KnowsTemplates, BaseOperator):
    """Delete a computation with its results, which stops it. A computation that does not exist is no error.

    Source: ``DELETE computations/{id}``. Data assets that were captured from it stay.

    The result, in XCom, is whether it existed.

    :param computation_id: id of the computation. (templated)
    :param codeocean_conn_id: id of the connection. (templated)
    :param **kwargs: what every operator takes.
    """

    template_fields: Sequence[str] = ("computation_id", "codeocean_conn_id")
    ui_color = "#e8f1fb"

    def __init__(
        self,
        *,
        computation_id: str,
        codeocean_conn_id: str = CodeOceanHook.default_conn_name,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.computation_id = computation_id
        self.codeocean_conn_id = codeocean_conn_id
        check_identifier_early("computation_id", computation_id)

    def execute(self, context: Context) -> bool:  # noqa: ARG002 - as every operator
        """Delete it."""
        with no_retry_for_what_it_cannot_mend(self):
            self.computation_id = check_identifier("computation_id", self.computation_id)
            with CodeOceanHook(self.codeocean_conn_id).get_conn() as client:
                removed = remove_computation(client, self.computation_id, even_if_over=True)
        log.info("%s", removed)
        return removed.fate is Fate.DELETED
