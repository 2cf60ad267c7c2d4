"""Job type of computations. A computation has the idempotency key in its display name.

A computation has no tags, and can be named only after it was submitted. A process that dies between these two
requests leaves a computation without the key. A retry recognizes it by the capsule or pipeline, the creation
time, the data assets, and the parameters, and once no living task can still name it. The retry adds the key
before it adopts the computation, so that no other task adopts it as well. If another task names it later
nevertheless, it belongs to that task.

A server may truncate long names. If a computation does not have the key after it was named, the key moves to
the beginning of the name.
"""

from __future__ import annotations

import logging
import math
import re
from collections import Counter
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from typing_extensions import override

from airflow_provider_codeocean.api.errors import CodeOceanApiError, CodeOceanError
from airflow_provider_codeocean.api.models.computation import Computation
from airflow_provider_codeocean.deletion import computation_deletion
from airflow_provider_codeocean.operators._submit_once.runner import SubmissionRunner
from airflow_provider_codeocean.outcomes import Outcome, computation_outcome, has_started
from airflow_provider_codeocean.submission.commands import FindResult
from airflow_provider_codeocean.submission.keys import append_key, extract_key, has_other_key, strip_keys

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_provider_codeocean.api.client import CodeOceanClient
    from airflow_provider_codeocean.api.endpoint import RequestSender
    from airflow_provider_codeocean.api.endpoints.capsules import Capsules
    from airflow_provider_codeocean.api.models.capsule import AppPanel
    from airflow_provider_codeocean.api.models.computation import (
        Parameter,
        ProcessParams,
        RunParams,
    )
    from airflow_provider_codeocean.submission.commands import FindByKey
    from airflow_provider_codeocean.submission.keys import IdempotencyKeys

log = logging.getLogger(__name__)

#: Seconds for which a request to name a computation is retried.
NAMING_RETRY_SECONDS = 20.0
#: Timeout of a request to name a computation. An exchange takes at most twice as long, and twice as long
#: again after the token was replaced.
NAMING_TIMEOUT_SECONDS = 5.0
#: Seconds after submission by which a living task has named a computation or failed to. The response to the
#: submission takes up to 60 (twice the default ``timeout`` of a connection). Another 10 are for a server that
#: is still processing the request.
MAX_NAMING_SECONDS = 60.0 + NAMING_RETRY_SECONDS + 4 * NAMING_TIMEOUT_SECONDS + 10.0
#: Maximum difference between the server's clock and this one.
MAX_CLOCK_SKEW_SECONDS = 60.0

_NUMBER_PATTERN = re.compile(r"[+-]?(0|[1-9][0-9]{0,30})(\.[0-9]{1,30})?(e[+-]?[0-9]{1,3})?")


class ComputationJob(SubmissionRunner[Computation, "RunParams"]):
    """Submits a computation once.

    :param *args: arguments of :class:`.SubmissionRunner`.
    :param name: display name without the key; None keeps Code Ocean's name.
    :param not_before: earliest possible time of a submission by this task, in Unix seconds.
    :param resumes: whether to resume the last run of this task that failed, instead of starting from scratch.
    :param **options: keyword arguments of :class:`.SubmissionRunner`.
    """

    noun = "computation"
    job_model = Computation
    key_location = "its name has, or gets,"
    outcome = staticmethod(computation_outcome)
    deletion = staticmethod(computation_deletion)

    def __init__(
        self,
        *args: Any,
        name: str | None = None,
        not_before: float = 0.0,
        resumes: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(*args, **options)
        self._resumes = resumes
        self._failed_run: Computation | None = None
        self._name = name
        self._not_before = not_before
        self._first_unlabeled_at: dict[str, float] = {}
        self._unverified_job: Computation | None = None
        self._app_panel: AppPanel | None = None
        self._has_warned_of_parameters = False

    @override
    @staticmethod
    def is_own(job: Computation, keys: IdempotencyKeys) -> bool:
        return extract_key(job.name) in {None, keys.current, *keys.previous}

    @override
    def find(self, client: CodeOceanClient, command: FindByKey) -> FindResult:
        resource, resource_id = runnable_resource(client, self._params.capsule_id, self._params.pipeline_id)
        requested_at = self._protocol.now()
        listed = resource.list_computations(resource_id)
        listed_at = self._protocol.now()
        computations = [computation for computation in listed if not computation.cloud_workstation]
        self._verify_name(client, computations)
        own = [computation for computation in computations if extract_key(computation.name) in command.keys]
        ids = [computation.id for computation in own]
        failed = [run for run in own if self.has_key(run) and computation_outcome(run) is Outcome.FAILED]
        # A run that did not start has nothing to resume.
        self._failed_run = max(failed, key=lambda run: (has_started(run), *_age_key(run)), default=None)
        if command.unlabeled_since is None or any(map(self.is_usable, own)):
            # Next to a usable computation, an unlabeled one belongs to another task. With the key, it would
            # be deleted as a duplicate.
            return FindResult(ids)
        # The attempt that died before it could name its computation is later than all named ones.
        since = max(command.unlabeled_since, self._not_before) - MAX_CLOCK_SKEW_SECONDS
        since = max([since, *(computation.created or 0.0 for computation in own)])
        adoptable_at = {
            computation.id: self._adoptable_at(computation, listed_at)
            for computation in computations
            if self._is_candidate(client, computation, since)
        }
        adoptable = [
            computation
            for computation in computations
            if adoptable_at.get(computation.id, math.inf) <= requested_at
        ]
        next_adoptable_at = max((at for at in adoptable_at.values() if at > requested_at), default=0.0)
        if not adoptable:
            return FindResult(ids, next_adoptable_at)
        oldest = min(adoptable, key=_age_key)
        self._label(oldest)
        return FindResult([*ids, oldest.id], next_adoptable_at, self._protocol.now() + MAX_NAMING_SECONDS)

    @override
    def get(self, client: CodeOceanClient, external_id: str) -> Computation:
        return client.computations.get(external_id)

    @override
    def submit(self, client: CodeOceanClient, params: RunParams) -> Computation:
        with self._open_naming_client() as naming_client:  # opened before, so as not to delay the naming
            computation = self.job = self._run(client, params)
            log.info("Started computation %s (%r)", computation.id, computation.name)
            if computation.parameters or computation.processes:
                self._verify_parameters(computation)
            if self._append_key_to_name(naming_client, computation):
                self._unverified_job = computation
        return computation

    def _run(self, client: CodeOceanClient, params: RunParams) -> Computation:
        """Start the run; resume the last one if that is requested and Code Ocean accepts it."""
        failed_run = self._failed_run if self._resumes else None
        if failed_run is None:
            return client.computations.run(params)
        log.info("Resuming run %s, which failed", failed_run.id)
        try:
            return client.computations.run(params.model_copy(update={"resume_run_id": failed_run.id}))
        except CodeOceanApiError as error:
            if error.is_transient or error.may_have_been_applied:
                raise
            log.warning("Code Ocean does not resume run %s, running from the start: %s", failed_run.id, error)
        return client.computations.run(params)

    @override
    def has_key(self, job: Computation) -> bool:
        return extract_key(job.name) == self.idempotency_key

    @override
    def verify(self, job: Computation) -> None:
        super().verify(job)
        self._verify_parameters(job)

    def _verify_parameters(self, job: Computation) -> None:
        missing = [] if self._has_warned_of_parameters else _missing_parameters(job, self._params)
        if missing:
            self._has_warned_of_parameters = True
            log.warning(
                "Computation %s does not report these requested parameters, so it may have ignored them: %s",
                job.id,
                ", ".join(missing),
            )

    @override
    def describe_differences(self, job: Computation, params: RunParams) -> list[str]:
        return [] if _extra_parameters(job, params) is not None else ["other parameters or data assets"]

    def _is_candidate(self, client: CodeOceanClient, computation: Computation, created_after: float) -> bool:
        """Return whether a computation has no key and may be the result of the parameters.

        If this depends on the App Panel and the App Panel cannot be read, raise: in doubt, neither adopt the
        computation nor submit another one.
        """
        if (computation.created or 0.0) < created_after or extract_key(computation.name) is not None:
            return False
        extra = (
            None
            if has_other_key(computation.name, self.idempotency_key)
            else _extra_parameters(computation, self._params)
        )
        if not extra:
            return extra is not None
        if self._app_panel is None:
            resource, resource_id = runnable_resource(
                client, self._params.capsule_id, self._params.pipeline_id
            )
            try:
                self._app_panel = resource.get_app_panel(resource_id, self._params.version)
            except CodeOceanError as error:
                raise CodeOceanError(
                    f"Computation {computation.id} ({computation.name!r}) may be the one that an earlier "
                    "attempt submitted: it has the requested parameters, and others. Whether those are "
                    f"defaults is not known, because the App Panel cannot be read: {error}. If it is yours, "
                    f"add {self.idempotency_key} to its name. If not, delete it, or add another key to its "
                    "name (airflow and 32 hexadecimal digits)."
                ) from error
        return all(_is_default_value(self._app_panel, process, parameter) for process, parameter in extra)

    def _adoptable_at(self, computation: Computation, listed_at: float) -> float:
        """Return when a living task must have named the computation, in Unix seconds."""
        first_listed_at = self._first_unlabeled_at.setdefault(computation.id, listed_at)
        return (
            min(first_listed_at, (computation.created or listed_at) + MAX_CLOCK_SKEW_SECONDS)
            + MAX_NAMING_SECONDS
        )

    def _label(self, computation: Computation) -> None:
        log.warning(
            "Adopting computation %s (%r): it has this task's parameters, was submitted after the task "
            "started, and has no key of another task",
            computation.id,
            computation.name,
        )
        with self._open_naming_client() as naming_client:
            self._append_key_to_name(naming_client, computation)

    def _open_naming_client(self) -> CodeOceanClient:
        return self.hook.get_conn(retry_budget=NAMING_RETRY_SECONDS, timeout=NAMING_TIMEOUT_SECONDS)

    def _verify_name(self, client: CodeOceanClient, computations: list[Computation]) -> None:
        """Make sure that the name of the computation that was just submitted contains the key."""
        computation, self._unverified_job = self._unverified_job, None
        if computation is None:
            return
        if any(self.has_key(other) for other in computations if other.id.lower() == computation.id.lower()):
            return
        name = self._name_without_key(computation)
        with self._open_naming_client() as naming_client:
            try:
                current = client.computations.get(computation.id)
                for new_name in (append_key(name, self.idempotency_key), f"{self.idempotency_key} {name}"):
                    if self.has_key(current):
                        return
                    naming_client.computations.rename(computation.id, new_name)
                    current = client.computations.get(computation.id)
            except CodeOceanError as error:  # it is verified again after the wait
                log.warning("Computation %s: could not verify its name: %s", computation.id, error)
            else:
                if not self.has_key(current):
                    self._warn_of_missing_key(current)

    def _name_without_key(self, computation: Computation) -> str:
        return strip_keys(self._name or computation.name)

    def _append_key_to_name(self, naming_client: CodeOceanClient, computation: Computation) -> bool:
        """Name a computation; return False if it cannot be named."""
        try:
            naming_client.computations.rename(
                computation.id, append_key(self._name_without_key(computation), self.idempotency_key)
            )
        except CodeOceanError as error:
            log.warning(
                "Computation %s continues, but could not be given the name by which a retry finds it: %s",
                computation.id,
                error,
            )
            self._has_warned_of_missing_key = True
            return error.is_transient
        return True


def _age_key(computation: Computation) -> tuple[float, str]:
    return computation.created or 0.0, computation.id


def runnable_resource(
    client: CodeOceanClient, capsule_id: str | None, pipeline_id: str | None
) -> tuple[Capsules[RequestSender], str]:
    """Return the client's resource for the capsule or pipeline to run, and its id."""
    if capsule_id is not None:
        return client.capsules, capsule_id
    return client.pipelines, pipeline_id or ""


def _extra_parameters(job: Computation, params: RunParams) -> list[tuple[str | None, Parameter]] | None:
    """Return the parameters that a computation has in addition to the requested ones, with their process.

    None if it is not the result of the parameters. It may have more data assets than requested: those
    attached to the capsule. The version of the code is not reported.
    """
    mounted = {data_asset.id.lower() for data_asset in job.data_assets}
    reported = {process.name: process for process in job.processes}
    requested = {process.name: process for process in params.processes or ()}
    if (
        not {data_asset.id.lower() for data_asset in params.data_assets or ()} <= mounted
        or (job.nextflow_profile or None) != params.nextflow_profile
        or not requested.keys() <= reported.keys()
    ):
        return None
    extra: list[tuple[str | None, Parameter]] = []
    for name, parameters, requested_params in (
        (None, job.parameters, params),
        *((name, process.parameters, requested.get(name)) for name, process in reported.items()),
    ):
        process_extra, missing = _compare_parameters(parameters, requested_params)
        if missing:
            return None
        extra += [(name, parameter) for parameter in process_extra]
    return extra


def _missing_parameters(job: Computation, params: RunParams) -> list[str]:
    """Return the requested parameters that a computation does not report, if it reports any."""
    if not {"parameters", "processes"} & job.model_fields_set:
        return []
    # Pipelines may report their own parameters as those of a process: this is not documented.
    process_parameters = [parameter for process in job.processes for parameter in process.parameters]
    missing = _compare_parameters([*job.parameters, *process_parameters], params)[1]
    reported = {process.name: process for process in job.processes}
    for process in params.processes or ():
        parameters = reported.get(process.name, job).parameters
        missing += [f"{process.name}: {value}" for value in _compare_parameters(parameters, process)[1]]
    return missing


def _compare_parameters(
    actual_parameters: Sequence[Parameter], requested_params: RunParams | ProcessParams | None
) -> tuple[list[Parameter], list[str]]:
    """Return the parameters that were not requested, and descriptions of those that are not reported.

    An empty value means that a parameter is not set. An ordered parameter may have any name.
    """
    named_parameters = (requested_params and requested_params.named_parameters) or ()
    named = {parameter.param_name: parameter.value for parameter in named_parameters}
    missing = {name: value for name, value in named.items() if value}
    ordered_values = (requested_params and requested_params.parameters) or ()
    ordered = Counter(_canonical_value(value) for value in ordered_values if value)
    extra: list[Parameter] = []
    for parameter in actual_parameters:
        value, name = _canonical_value(parameter.value or ""), parameter.param_name or ""
        if name in named and value == _canonical_value(named[name]):
            missing.pop(name, None)
        elif ordered[value] > 0:
            ordered[value] -= 1
        elif value:
            extra.append(parameter)
    return extra, [*(f"{name}={value!r}" for name, value in missing.items()), *map(repr, ordered.elements())]


def _is_default_value(app_panel: AppPanel, process: str | None, parameter: Parameter) -> bool:
    """Return whether a parameter has its default value in the App Panel."""
    part = app_panel if process is None else next((p for p in app_panel.processes if p.name == process), None)
    names = {parameter.param_name, parameter.name} - {None, ""}
    return part is not None and any(
        _canonical_value(panel_parameter.default_value or "") == _canonical_value(parameter.value or "")
        and (not names or not names.isdisjoint({panel_parameter.param_name, panel_parameter.name}))
        for panel_parameter in part.parameters
    )


def _canonical_value(value: str) -> str:
    """Return the same text for ``5`` and ``5.0``, and for ``true`` and ``True``."""
    text = value.strip()
    if _NUMBER_PATTERN.fullmatch(text.lower()):
        return f"{Decimal(text).normalize() + 0:f}" if abs(Decimal(text).adjusted()) < 40 else text  # noqa: PLR2004
    return text.lower() if text.lower() in {"true", "false"} else text
