"""Operators that run capsules and pipelines, and rename and delete computations."""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.common.compat.sdk import AirflowException, BaseOperator

from airflow_provider_codeocean.api.errors import CodeOceanError, ComputationFailed
from airflow_provider_codeocean.arguments import ReadField, as_rendered, check_identifier, checked, known_now
from airflow_provider_codeocean.capture.key import key_in
from airflow_provider_codeocean.failures import no_retry_for_what_it_cannot_mend
from airflow_provider_codeocean.hooks.capture_computation import ComputationCapturing
from airflow_provider_codeocean.hooks.codeocean import CodeOceanHook
from airflow_provider_codeocean.links import CodeOceanCapsuleLink, capsule_url
from airflow_provider_codeocean.operators.once import CodeOceanMakeOnceBase
from airflow_provider_codeocean.polling.wait import ComputationWait
from airflow_provider_codeocean.removal import Fate, remove_computation
from airflow_provider_codeocean.triggers.computation import CodeOceanComputationTrigger

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from airflow.providers.common.compat.sdk import BaseOperatorLink, Context

    from airflow_provider_codeocean.api.models.computation import RunParams
    from airflow_provider_codeocean.capture.steps import Capture
    from airflow_provider_codeocean.hooks.capture import Capturing

log = logging.getLogger(__name__)


#: Where the arguments of a run are found in the request.
_ARGUMENTS = {"named_parameters": "parameters"}


class CodeOceanRunBase(CodeOceanMakeOnceBase):
    """Run a capsule or pipeline once, wait until it has succeeded, and return the computation.

    It has succeeded where the computation is ``completed``, with the end status ``succeeded`` and the exit
    code 0, or without these. Where it ended otherwise the task fails and says how; if it has retries, the
    next try runs it anew.

    However often the task is killed and tried again, it goes on with the computation that it has started:
    that has a key in its display name, which tells DAG, run, task and map index.

    The result, in XCom, is the computation with the fields of Code Ocean's API (``id``, ``state``,
    ``has_results``, ``run_time`` …). The id is in the XCom ``computation_id`` as soon as it is known.

    :param name: display name of the computation, before the key; if not given, the one that Code Ocean gives.
        (templated)
    :param version: released version to run, from 1 on; if not given, the code as it is. (templated)
    :param data_assets: data assets to read beside those that are attached, each an id or a mapping of ``id``
        and ``mount``. (templated)
    :param parameters: values of the parameters in order, or by name as a mapping. (templated)
    :param **kwargs: what every operator that makes something once takes: see
        :class:`~airflow_provider_codeocean.operators.once.CodeOceanMakeOnceBase`. With ``on_kill="delete"``
        the computation is stopped, and deleted with its results: the API has no other way to stop it.
    """

    template_fields: Sequence[str] = (
        "name",
        "version",
        "data_assets",
        "parameters",
        *CodeOceanMakeOnceBase.template_fields,
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {"data_assets": "json", "parameters": "json"}
    operator_extra_links: Collection[BaseOperatorLink] = (CodeOceanCapsuleLink(),)
    ui_color = "#e8f1fb"
    carrier = ComputationCapturing
    awaited = ComputationWait
    made_id = "computation_id"

    def __init__(
        self,
        *,
        name: str | None = None,
        version: int | str | None = None,
        data_assets: Sequence[str | Mapping[str, Any]] | None = None,
        parameters: Sequence[Any] | Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if name is not None:
            check_identifier("name", known_now(name))
        self.name = name
        self.version = version
        self.data_assets = data_assets
        self.parameters = parameters

    @abstractmethod
    def run_params(self, read: ReadField = as_rendered) -> RunParams:
        """Build what to run.

        :param read: reads the value of a template field.
        :returns: the parameters.
        :raises ValueError: where an argument is wrong, naming it.
        """

    def shared_params(self, read: ReadField) -> dict[str, Any]:
        """Return what a run of a capsule and one of a pipeline have in common, for their parameters.

        :param read: reads the value of a template field.
        :returns: the values.
        """
        data_assets = read(self.data_assets)
        if isinstance(data_assets, list | tuple):
            data_assets = [{"id": each} if isinstance(each, str) else each for each in data_assets]
        return {
            "version": read(self.version),
            "data_assets": data_assets,
            **_by_order_or_name(read(self.parameters)),
        }

    def asked_for(self) -> RunParams:
        """Return what to run; see the base class."""
        if self.name is not None:
            check_identifier("name", self.name)
        return self.run_params()

    def subject(self, asked: RunParams) -> dict[str, Any]:
        """Return what is run, and with what; see the base class."""
        return asked.to_json()

    def carrier_options(self, context: Context) -> Mapping[str, Any]:
        """Return the name, and when the task can have started it at the earliest; see the base class."""
        began = getattr(context.get("dag_run"), "start_date", None)
        return {"name": self.name, "not_before": began.timestamp() if began else 0.0}

    def new_trigger(self, made_id: str, deadline: float) -> CodeOceanComputationTrigger:
        """Make the trigger that waits; see the base class."""
        return CodeOceanComputationTrigger(
            made_id,
            codeocean_conn_id=self.codeocean_conn_id,
            poll_interval=self.poll_interval,
            deadline=deadline,
            on_kill=self.when_killed,
        )

    def show(self, context: Context, deployment: str, made_id: str) -> str | None:  # noqa: ARG002
        """Show the capsule or pipeline in the UI, if it can be read; see the base class."""
        asked = self.run_params()
        try:
            with CodeOceanHook(self.codeocean_conn_id).get_conn(retry_budget=0) as client:
                if asked.capsule_id is not None:
                    slug = client.capsules.get(asked.capsule_id).slug
                else:
                    slug = client.pipelines.get(asked.pipeline_id or "").slug
        except CodeOceanError as error:
            log.info("There is no link to what is run: %s", error)
            return None
        if not slug:
            return None
        self.codeocean_url = capsule_url(deployment, slug)
        context["ti"].xcom_push(key=CodeOceanCapsuleLink().xcom_key, value=self.codeocean_url)
        return self.codeocean_url

    def _conclude(
        self,
        context: Context,
        capturing: Capturing[Any, Any],
        capture: Capture[Any],
        wait: Callable[[], Any],
    ) -> dict[str, Any]:
        try:
            return super()._conclude(context, capturing, capture, wait)
        except ComputationFailed as error:  # it may succeed if it is run again: the task keeps its retries
            raise AirflowException(str(error)) from error


class CodeOceanRunCapsuleOperator(CodeOceanRunBase):
    """Run a capsule once, wait until it has succeeded, and return the computation.

    Source: ``POST computations``, ``PATCH computations/{id}``, ``GET capsules/{id}/computations``, user guide
    "Run a capsule".

    :param capsule_id: id of the capsule. (templated)
    :param **kwargs: what every operator that runs something takes: see :class:`CodeOceanRunBase`.
    """

    template_fields: Sequence[str] = ("capsule_id", *CodeOceanRunBase.template_fields)

    def __init__(self, *, capsule_id: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.capsule_id = capsule_id
        self.run_params(known_now)

    def run_params(self, read: ReadField = as_rendered) -> RunParams:
        """Build what to run; see the base class."""
        from airflow_provider_codeocean.api.models.computation import RunParams

        check_identifier("capsule_id", read(self.capsule_id))
        return checked(
            RunParams, _ARGUMENTS, {"capsule_id": read(self.capsule_id), **self.shared_params(read)}
        )


class CodeOceanRunPipelineOperator(CodeOceanRunBase):
    """Run a pipeline once, wait until it has succeeded, and return the computation.

    Source: ``POST computations``, ``PATCH computations/{id}``, ``GET pipelines/{id}/computations``, user
    guide "Run a pipeline".

    :param pipeline_id: id of the pipeline. (templated)
    :param processes: parameters of processes: by the name of each a list of values in order, or a mapping of
        values by name. (templated)
    :param nextflow_profile: profile of Nextflow to run with. (templated)
    :param resume_run_id: computation of the same pipeline to resume. (templated)
    :param **kwargs: what every operator that runs something takes: see :class:`CodeOceanRunBase`.
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
        self.processes = processes
        self.nextflow_profile = nextflow_profile
        self.resume_run_id = resume_run_id
        self.run_params(known_now)

    def run_params(self, read: ReadField = as_rendered) -> RunParams:
        """Build what to run; see the base class."""
        from airflow_provider_codeocean.api.models.computation import RunParams

        check_identifier("pipeline_id", read(self.pipeline_id))
        processes = read(self.processes)
        if isinstance(processes, dict):
            processes = [{"name": name, **_by_order_or_name(each)} for name, each in processes.items()]
        return checked(
            RunParams,
            _ARGUMENTS,
            {
                "pipeline_id": read(self.pipeline_id),
                "processes": processes,
                "nextflow_profile": read(self.nextflow_profile),
                "resume_run_id": read(self.resume_run_id),
                **self.shared_params(read),
            },
        )


class CodeOceanRenameComputationOperator(BaseOperator):
    """Change the display name of a computation.

    Source: ``PATCH computations/{id}``. Where a task has started it, the key by which that task finds it
    again stays in the name.

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
        check_identifier("computation_id", known_now(computation_id))
        check_identifier("name", known_now(name))

    def execute(self, context: Context) -> str:  # noqa: ARG002 - as every operator
        """Rename it, and return the name that it has now."""
        with no_retry_for_what_it_cannot_mend():
            check_identifier("computation_id", self.computation_id)
            name = check_identifier("name", self.name).strip()
            with CodeOceanHook(self.codeocean_conn_id).get_conn() as client:
                key = key_in(client.computations.get(self.computation_id).name)
                if key and key not in name:
                    name = f"{name} {key}"
                client.computations.rename(self.computation_id, name)
        log.info("Computation %s is called %s", self.computation_id, name)
        return name


class CodeOceanDeleteComputationOperator(BaseOperator):
    """Delete a computation with its results; one that runs is stopped. That it is not there is no error.

    Source: ``DELETE computations/{id}``. What was captured from it stays.

    The result, in XCom, is whether it was there.

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
        check_identifier("computation_id", known_now(computation_id))

    def execute(self, context: Context) -> bool:  # noqa: ARG002 - as every operator
        """Delete it."""
        with no_retry_for_what_it_cannot_mend():
            check_identifier("computation_id", self.computation_id)
            with CodeOceanHook(self.codeocean_conn_id).get_conn() as client:
                removed = remove_computation(client, self.computation_id, even_if_over=True)
        log.info("%s", removed)
        return removed.fate is Fate.DELETED


def _by_order_or_name(values: Any) -> dict[str, Any]:
    """Return the values of parameters as the API takes them: in order, or by name."""
    if isinstance(values, Mapping):
        named = [{"param_name": name, "value": _as_text(value)} for name, value in values.items()]
        return {"named_parameters": named}
    return {"parameters": [_as_text(each) for each in values] if isinstance(values, list | tuple) else values}


def _as_text(value: Any) -> Any:
    """Return a number as the text that the API takes."""
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value
