"""What all operators that run capsules and pipelines have in common."""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Literal, get_args

from airflow.providers.common.compat.sdk import AirflowException

from airflow_provider_codeocean.api import text
from airflow_provider_codeocean.api.errors import CodeOceanError, ComputationFailed
from airflow_provider_codeocean.deletion import Fate
from airflow_provider_codeocean.hooks.codeocean import CodeOceanHook
from airflow_provider_codeocean.lineage.mixins import TellsLineage
from airflow_provider_codeocean.lineage.model import of_run
from airflow_provider_codeocean.links import CodeOceanCapsuleLink, capsule_url
from airflow_provider_codeocean.operators._submit_once.computation import ComputationJob, what_is_run
from airflow_provider_codeocean.operators._submit_once.operator import CodeOceanMakeOnceBase
from airflow_provider_codeocean.polling.waits import ComputationWait
from airflow_provider_codeocean.triggers.computation import CodeOceanComputationTrigger
from airflow_provider_codeocean.validation import (
    ArgumentError,
    ReadField,
    as_list,
    as_rendered,
    check_choice,
    check_optional,
    check_text,
    is_given,
    is_unknown,
    known_now,
    with_mount,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from airflow.providers.common.compat.sdk import BaseOperatorLink, Context

    from airflow_provider_codeocean.api.models.computation import Computation, RunParams

log = logging.getLogger(__name__)

#: What a task does with its pending computation when ``timeout`` or ``execution_timeout`` has passed.
OnTimeout = Literal["leave", "stop"]

#: Stopping a computation takes two requests. Each is retried for the first number of seconds; an exchange
#: takes at most twice the second number, or four times if the token was replaced: a minute in all.
_STOP_BUDGET, _STOP_TIMEOUT = 10.0, 5.0

#: Where the arguments of a run are found in the request.
ARGUMENTS = {"named_parameters": "parameters"}


class CodeOceanRunBase(TellsLineage, CodeOceanMakeOnceBase):
    """Run a capsule or pipeline once, wait until it has succeeded, and return the computation.

    It has succeeded if the computation is ``completed``, with the end status ``succeeded`` and the exit code
    0, or without these. Otherwise the task fails with the reason; if it has retries, the next attempt submits
    another computation.

    However often the task is killed and retried, it leaves one computation, which carries the idempotency key
    in its display name.

    The result, in XCom, is the computation with the fields of Code Ocean's API (``id``, ``state``,
    ``has_results``, ``run_time`` …). The id is in the XCom ``computation_id`` as soon as it is known.

    :param name: display name of the computation, before the key; if not given, the one that Code Ocean gives.
        (templated)
    :param version: released version to run, from 1 on; if not given, the code as it is. (templated)
    :param data_assets: data assets to read beside those that are attached, each an id or a mapping of ``id``
        and ``mount``. (templated)
    :param parameters: values of the parameters in order, or by name as a mapping. (templated)
    :param on_timeout: what happens to a pending computation when ``timeout`` or the task's
        ``execution_timeout`` has passed: ``leave`` lets it continue, and a retry waits for it again; ``stop``
        stops it, and deletes it with its results, and a retry runs another one. The task fails in any case.
        The ``dagrun_timeout`` of a DAG ends tasks as users do: ``on_kill`` applies.
    :param **kwargs: the arguments of every operator that submits a job: see
        :class:`~airflow_provider_codeocean.operators._submit_once.operator.CodeOceanMakeOnceBase`. With
        ``on_kill="delete"`` the computation is stopped, and deleted with its results: the API has no other
        way to stop it.
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
    job_type = ComputationJob
    wait_type = ComputationWait
    external_id_key = "computation_id"

    def __init__(
        self,
        *,
        name: str | None = None,
        version: int | str | None = None,
        data_assets: Sequence[str | Mapping[str, Any]] | None = None,
        parameters: Sequence[Any] | Mapping[str, Any] | None = None,
        on_timeout: OnTimeout = "leave",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.name = name
        self._display_name(known_now)
        self.version = version
        self.data_assets = data_assets
        self.parameters = with_floats_as_text(parameters)
        check_choice("on_timeout", on_timeout, get_args(OnTimeout))
        self.on_timeout: OnTimeout = on_timeout

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
        data_assets = as_list(read(self.data_assets))
        if isinstance(data_assets, list):
            data_assets = [with_mount(each) for each in data_assets]
        return {
            "version": read(self.version),
            "data_assets": data_assets,
            **by_order_or_name("parameters", read(self.parameters)),
        }

    def build_params(self) -> RunParams:
        """Build the parameters of the run; see the base class."""
        self._display_name()
        return self.run_params()

    def _display_name(self, read: ReadField = as_rendered) -> str | None:
        return check_optional("name", read(self.name), text.to_name)

    def subject(self, params: RunParams) -> dict[str, Any]:
        """Return all parameters of the run; see the base class."""
        return params.to_json()

    def checked_by_server(self, params: RunParams) -> RunParams:
        """Warn of parameters that a pipeline may ignore; see the base class."""
        if params.pipeline_id is not None and params.parameters:
            log.warning(
                "Pipelines may ignore a list of parameters (%r): give them in processes, by the name of each "
                "process",
                params.parameters,
            )
        return params

    def carrier_options(self, context: Context) -> Mapping[str, Any]:
        """Return the name, and the earliest possible time of a submission; see the base class."""
        began = getattr(context.get("dag_run"), "start_date", None)
        return {"name": self._display_name(), "not_before": began.timestamp() if began else 0.0}

    def tell(self, context: Context, job: Computation, *, done: bool) -> None:  # noqa: ARG002
        """Report the inputs and that there are results; see the base class."""
        page = self.codeocean_url or None
        self.tell_lineage(partial(of_run, self.deployment, job, self.run_params(), page=page))

    def new_trigger(
        self, external_id: str, deadline: float, submitted_at: float
    ) -> CodeOceanComputationTrigger:
        """Return the trigger that waits; see the base class."""
        return CodeOceanComputationTrigger(
            external_id,
            codeocean_conn_id=self.codeocean_conn_id,
            poll_interval=self.poll_interval,
            deadline=deadline,
            on_kill=self.when_killed,
            submitted_at=submitted_at,
        )

    def show(self, context: Context, deployment: str, external_id: str) -> str | None:  # noqa: ARG002
        """Link to the capsule or pipeline in the UI, if it can be read; see the base class."""
        try:
            with CodeOceanHook(self.codeocean_conn_id).get_conn(retry_budget=0) as client:
                params = self.run_params()
                resource, its_id = what_is_run(client, params.capsule_id, params.pipeline_id)
                slug = resource.get(its_id).slug
        except CodeOceanError as error:
            log.info("There is no link to the capsule or pipeline: %s", error)
            return None
        if not slug:
            return None
        self.codeocean_url = capsule_url(deployment, slug)
        context["ti"].xcom_push(key=CodeOceanCapsuleLink().xcom_key, value=self.codeocean_url)
        return self.codeocean_url

    def stop_on_timeout(self) -> str:
        """Delete the computation, which stops it, if it is pending; see the base class."""
        if self.on_timeout == "leave":
            return ""
        runner = self._runner
        if runner is None or runner.job is None:
            return "It could not be stopped (on_timeout='stop'): its id is not known."
        computation = f"Computation {runner.job.id}"
        try:
            if runner.overtaken():
                result = f"{computation} continues: a later attempt of this task waits for it"
            else:
                removed = self._remove(runner, retry_budget=_STOP_BUDGET, timeout=_STOP_TIMEOUT)
                is_deleted = removed.fate is Fate.DELETED
                result = f"{computation} was stopped and deleted" if is_deleted else str(removed)
        except Exception as error:  # noqa: BLE001 - whatever it is, the task fails because of the timeout
            why = str(error) or type(error).__name__
            result = f"{computation} could not be stopped and deleted, and may still be running: {why}"
        log.warning("Timeout: %s", result)
        return f"{result}."

    @contextmanager
    def _failing_clearly(self) -> Iterator[None]:
        with super()._failing_clearly():
            try:
                yield
            except ComputationFailed as error:  # another run may succeed: the task keeps its retries
                raise AirflowException(str(error)) from error


def with_floats_as_text(values: Any) -> Any:
    """Return parameters of the DAG file with floats as text.

    There, a float is meant as one. A float that appears later is a text that native rendering has changed.

    :param values: a value, or lists and mappings of values.
    :returns: the same, with the shortest text of each float.
    """
    if isinstance(values, float):
        return repr(values)
    if isinstance(values, list | tuple):
        return [with_floats_as_text(each) for each in values]
    if isinstance(values, dict):
        return {name: with_floats_as_text(each) for name, each in values.items()}
    return values


def by_order_or_name(argument: str, values: Any) -> dict[str, Any]:
    """Return the values of parameters as the API takes them: in order, or by name.

    :param argument: the argument that they are given in.
    :param values: a sequence, or a mapping.
    :returns: fields of the parameters of a run, or of a process.
    :raises ArgumentError: if the values are neither, or a name or a value of a mapping is no text.
    """
    if is_given(values) and isinstance(values, str | int | float) and not is_unknown(values):
        raise ArgumentError((argument, f"must be a list, or a mapping by name, got {text.describe(values)}"))
    if not isinstance(values, Mapping):
        return {"parameters": as_list(values)}
    return {
        "named_parameters": [
            {
                "param_name": check_text(argument, name),
                "value": check_text(f"{argument}.{name}", value, text.to_text),
            }
            for name, value in values.items()
        ]
    }
