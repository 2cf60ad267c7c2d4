"""Base class of the operators that run capsules and pipelines."""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Literal, get_args

from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException
from typing_extensions import override

from airflow_provider_codeocean.airflow_errors import to_airflow_exception
from airflow_provider_codeocean.api import text
from airflow_provider_codeocean.api.errors import CodeOceanError, ComputationFailed
from airflow_provider_codeocean.deletion import DeletionStatus
from airflow_provider_codeocean.hooks._output import LogOutput, explain_failure, log_output_tail
from airflow_provider_codeocean.lineage.mixins import LineageMixin
from airflow_provider_codeocean.links import CodeOceanCapsuleLink, capsule_url
from airflow_provider_codeocean.operators._submit_once.operator import CodeOceanSubmitOnceBase
from airflow_provider_codeocean.outcomes import Outcome
from airflow_provider_codeocean.polling.waits import ComputationWait
from airflow_provider_codeocean.validation import (
    ArgumentError,
    FieldReader,
    check_choice,
    check_duration,
    check_flags,
    check_optional_text,
    check_text,
    has_value,
    is_unrendered,
    rendered_value,
    static_value,
    to_data_asset_mount,
    to_list,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from datetime import timedelta

    from airflow.providers.common.compat.sdk import BaseOperatorLink, Context

    from airflow_provider_codeocean.api.models.computation import Computation, RunParams
    from airflow_provider_codeocean.hooks.codeocean import CodeOceanHook
    from airflow_provider_codeocean.operators._submit_once.computation import ComputationJob
    from airflow_provider_codeocean.operators._submit_once.runner import SubmissionRunner
    from airflow_provider_codeocean.outcomes import WaitEvent
    from airflow_provider_codeocean.submission.commands import Submission
    from airflow_provider_codeocean.triggers.computation import CodeOceanComputationTrigger

log = logging.getLogger(__name__)

#: What happens to a pending computation after ``timeout``, ``max_run_time``, or ``execution_timeout``.
OnTimeout = Literal["leave", "stop"]

#: What a retry does after a run has failed.
OnFailure = Literal["rerun", "resume", "fail"]

#: Seconds for which each of the two requests that stop a computation is retried. Together with their
#: exchanges, they take at most a minute.
_STOP_RETRY_SECONDS = 10.0
_STOP_TIMEOUT_SECONDS = 5.0

#: Arguments of the operators, by the path in the request.
ARGUMENT_NAMES = {"named_parameters": "parameters"}


class CodeOceanRunBase(LineageMixin, CodeOceanSubmitOnceBase):
    """Run a capsule or pipeline once, wait until it has succeeded, and return the computation.

    It has succeeded if the computation is ``completed`` and its end status and exit code, if any, are
    ``succeeded`` and 0. Otherwise the task fails with the reason, and ``on_failure`` applies.

    However often the task is killed and retried, it leaves one computation, which has the idempotency key in
    its display name.

    The result, in XCom, is the computation with the fields of Code Ocean's API (``id``, ``state``,
    ``has_results``, ``run_time`` …). The id is in the XCom ``computation_id`` as soon as it is known.

    :param name: display name of the computation, without the key; by default, Code Ocean's name. (templated)
    :param version: released version to run, from 1; by default, the current code. (templated)
    :param data_assets: data assets to read in addition to the attached ones, each an id or a mapping of
        ``id`` and ``mount``. (templated)
    :param parameters: values of the parameters in order, or a mapping by name. (templated)
    :param max_run_time: how long the computation may run, in seconds or as a timedelta, above 0; by default,
        without limit. It is compared with the run time that Code Ocean reports, at each poll.
    :param on_timeout: what happens to a pending computation after ``timeout``, ``max_run_time``, or
        ``execution_timeout``: ``leave`` lets it continue, and a retry waits for it again; ``stop`` stops it
        and deletes it with its results, and a retry runs another one. The task fails in both cases. A DAG's
        ``dagrun_timeout`` ends tasks like a user does: ``on_kill`` applies.
    :param on_failure: what happens if the computation fails, or is stopped in Code Ocean: ``rerun`` keeps the
        task's retries, and a retry submits another computation; ``resume``, for pipelines only, does the
        same, but the new computation resumes the failed one; ``fail`` fails the task without retries.
    :param log_output: when the last lines of the computation's file ``output`` are logged: ``on_failure``,
        ``always``, or ``never``. After a failure, the error contains some of them.
    :param check_parameters: whether to compare the parameters with the App Panel before the run: unknown and
        missing ones, types, ranges, patterns, and options. If one is invalid, nothing is run.
    :param **kwargs: arguments of
        :class:`~airflow_provider_codeocean.operators._submit_once.operator.CodeOceanSubmitOnceBase`.
        ``on_kill="delete"`` stops the computation and deletes it with its results: the API has no other way
        to stop it.
    """

    template_fields: Sequence[str] = (
        "name",
        "version",
        "data_assets",
        "parameters",
        *CodeOceanSubmitOnceBase.template_fields,
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {"data_assets": "json", "parameters": "json"}
    operator_extra_links: Collection[BaseOperatorLink] = (CodeOceanCapsuleLink(),)
    ui_color = "#e8f1fb"
    wait_type = ComputationWait
    external_id_key = "computation_id"
    on_failure_choices: ClassVar[tuple[OnFailure, ...]] = ("rerun", "fail")

    def __init__(
        self,
        *,
        name: str | None = None,
        version: int | str | None = None,
        data_assets: Sequence[str | Mapping[str, Any]] | None = None,
        parameters: Sequence[Any] | Mapping[str, Any] | None = None,
        max_run_time: float | timedelta | None = None,
        on_timeout: OnTimeout = "leave",
        on_failure: OnFailure = "rerun",
        log_output: LogOutput = "on_failure",
        check_parameters: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.name = name
        self._display_name(static_value)
        self.version = version
        self.data_assets = data_assets
        self.parameters = floats_to_str(parameters)
        check_choice("on_timeout", on_timeout, get_args(OnTimeout))
        self.on_timeout: OnTimeout = on_timeout
        self.max_run_time = None if max_run_time is None else check_duration("max_run_time", max_run_time)
        check_choice("on_failure", on_failure, self.on_failure_choices)
        self.on_failure: OnFailure = on_failure
        check_flags(check_parameters=check_parameters)
        self.check_parameters = check_parameters
        check_choice("log_output", log_output, get_args(LogOutput))
        self.log_output: LogOutput = log_output
        self.needs_worker_at_end = log_output == "always"

    @property
    @override
    def job_type(self) -> type[ComputationJob]:
        from airflow_provider_codeocean.operators._submit_once.computation import ComputationJob

        return ComputationJob

    @property
    @override
    def trigger_type(self) -> type[CodeOceanComputationTrigger]:
        from airflow_provider_codeocean.triggers.computation import CodeOceanComputationTrigger

        return CodeOceanComputationTrigger

    @abstractmethod
    def build_run_params(self, read_field: FieldReader = rendered_value) -> RunParams:
        """Build the parameters of the run; raise ValueError if an argument is invalid."""

    def common_param_fields(self, read_field: FieldReader) -> dict[str, Any]:
        """Return the parameters that runs of capsules and pipelines share."""
        data_assets = to_list(read_field(self.data_assets))
        if isinstance(data_assets, list):
            data_assets = [to_data_asset_mount(data_asset) for data_asset in data_assets]
        return {
            "version": read_field(self.version),
            "data_assets": data_assets,
            **parameter_fields("parameters", read_field(self.parameters)),
        }

    @override
    def build_params(self) -> RunParams:
        self._display_name()
        return self.build_run_params()

    def _display_name(self, read_field: FieldReader = rendered_value) -> str | None:
        return check_optional_text("name", read_field(self.name), text.to_display_name)

    @override
    def job_identity(self, params: RunParams) -> dict[str, Any]:
        return params.to_json()

    @override
    def validate_against_server(self, params: RunParams, hook: CodeOceanHook) -> RunParams:
        if params.pipeline_id is not None and params.parameters:
            log.warning(
                "Pipelines may ignore a list of parameters (%r): pass them in processes, by the name of each "
                "process",
                params.parameters,
            )
        if self.check_parameters:
            self._check_against_app_panel(params, hook)
        return params

    def _check_against_app_panel(self, params: RunParams, hook: CodeOceanHook) -> None:
        from airflow_provider_codeocean.app_panel import find_parameter_problems
        from airflow_provider_codeocean.operators._submit_once.computation import runnable_resource

        try:
            with hook.open_client() as client:
                resource, resource_id = runnable_resource(client, params.capsule_id, params.pipeline_id)
                panel = resource.get_app_panel(resource_id, params.version)
        except CodeOceanError as error:
            if error.is_transient:  # the run would fail as well
                raise
            log.info("The parameters are not checked, because the App Panel cannot be read: %s", error)
            return
        if problems := find_parameter_problems(panel, params):
            raise ArgumentError(*problems, ("", "check_parameters=False omits this check"))

    @override
    def job_options(self, context: Context) -> Mapping[str, Any]:
        started_at = getattr(context.get("dag_run"), "start_date", None)
        return {
            "name": self._display_name(),
            "not_before": started_at.timestamp() if started_at else 0.0,
            "resumes": self.on_failure == "resume",
        }

    @override
    def record_outputs(self, context: Context, job: Computation, *, has_succeeded: bool) -> None:
        from airflow_provider_codeocean.lineage.model import run_lineage

        page = self.codeocean_url or None
        self.set_lineage(
            partial(run_lineage, self.deployment_url, job, self.build_run_params(), code_url=page)
        )

    @override
    def set_link(self, context: Context, hook: CodeOceanHook, external_id: str) -> str | None:
        """Link to the capsule or pipeline: computations have no page."""
        from airflow_provider_codeocean.operators._submit_once.computation import runnable_resource

        params = self.build_run_params()
        try:
            with hook.open_client(retry_budget=0) as client:
                resource, resource_id = runnable_resource(client, params.capsule_id, params.pipeline_id)
                slug = resource.get(resource_id).slug
        except CodeOceanError as error:
            log.info("No link to the capsule or pipeline: %s", error)
            return None
        if not slug:
            return None
        self.codeocean_url = capsule_url(self.deployment_url, slug)
        context["ti"].xcom_push(key=CodeOceanCapsuleLink().xcom_key, value=self.codeocean_url)
        return self.codeocean_url

    @property
    @override
    def wait_arguments(self) -> Mapping[str, Any]:
        return {} if self.max_run_time is None else {"max_run_time": self.max_run_time}

    @override
    def poll_until_complete(
        self,
        runner: SubmissionRunner[Any, Any],
        submission: Submission[Any],
        context: Context,
        event: WaitEvent | None = None,
    ) -> Any:
        try:
            return super().poll_until_complete(runner, submission, context, event)
        except ComputationFailed as error:
            url = self.codeocean_url or None
            raise explain_failure(runner.hook, runner.external_id, error, self.log_output, url) from error

    @override
    def get_job_result(
        self, runner: SubmissionRunner[Any, Any], job: Any, context: Context
    ) -> dict[str, Any]:
        if self.log_output == "always" and runner.outcome(job) is Outcome.SUCCEEDED:
            log_output_tail(runner.hook, job.id)
        return super().get_job_result(runner, job, context)

    @override
    def stop_on_timeout(self) -> str:
        if self.on_timeout == "leave":
            return ""
        runner = self._runner
        if runner is None or runner.job is None:
            return "It could not be stopped (on_timeout='stop'): its id is not known."
        computation = f"Computation {runner.job.id}"
        try:
            if runner.is_superseded():
                result = f"{computation} continues: a later attempt of this task waits for it"
            else:
                deletion = self._delete_if_pending(
                    runner, retry_budget=_STOP_RETRY_SECONDS, timeout=_STOP_TIMEOUT_SECONDS
                )
                is_deleted = deletion.status is DeletionStatus.DELETED
                result = f"{computation} was stopped and deleted" if is_deleted else str(deletion)
        except Exception as error:  # noqa: BLE001 - the task must fail with the timeout
            reason = str(error) or type(error).__name__
            result = f"{computation} could not be stopped and deleted, and may still be running: {reason}"
        log.warning("Timeout: %s", result)
        return f"{result}."

    @contextmanager
    def _convert_errors(self) -> Iterator[None]:
        with super()._convert_errors():
            try:
                yield
            except ComputationFailed as error:
                airflow_class = AirflowFailException if self.on_failure == "fail" else AirflowException
                raise to_airflow_exception(error, airflow_class) from error


def floats_to_str(values: Any) -> Any:
    """Convert floats in parameters, also in lists and mappings, to their shortest text.

    In the DAG file, a float is intended. A float that appears later is text that native rendering has
    changed.
    """
    if isinstance(values, float):
        return repr(values)
    if isinstance(values, list | tuple):
        return [floats_to_str(value) for value in values]
    if isinstance(values, dict):
        return {name: floats_to_str(value) for name, value in values.items()}
    return values


def parameter_fields(argument: str, values: Any) -> dict[str, Any]:
    """Return the fields of a request for parameters in order or by name; raise ArgumentError if invalid."""
    if has_value(values) and isinstance(values, str | int | float) and not is_unrendered(values):
        raise ArgumentError((argument, f"must be a list, or a mapping by name, got {text.describe(values)}"))
    if not isinstance(values, Mapping):
        return {"parameters": to_list(values)}
    return {
        "named_parameters": [
            {
                "param_name": check_text(argument, name),
                "value": check_text(f"{argument}.{name}", value, text.to_text),
            }
            for name, value in values.items()
        ]
    }
