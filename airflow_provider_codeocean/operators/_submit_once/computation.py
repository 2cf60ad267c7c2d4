"""How a task submits a computation and finds it again: it carries the idempotency key in its display name.

A computation has no tags, and can be named only after it was submitted. A process that dies between these two
requests leaves a computation without the key. It is recognized by everything else that the API reports: it is
of the same capsule or pipeline, was submitted since the task was about to, reads the same data assets with
the same parameters, and has had no key for longer than a living task takes to name it. Before a task adopts
it, it gets the key, so that no other task adopts it as well. If another task names it all the same later, it
is that task's.

A server may cut off long names. If a computation does not have its key after it was named, the key moves to
the beginning of the name.
"""

from __future__ import annotations

import logging
import re
from collections import Counter
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from airflow_provider_codeocean.api.errors import CodeOceanError
from airflow_provider_codeocean.api.models.computation import Computation
from airflow_provider_codeocean.deletion import Removed, remove_computation
from airflow_provider_codeocean.operators._submit_once.runner import SubmissionRunner
from airflow_provider_codeocean.outcomes import Verdict, computation_verdict
from airflow_provider_codeocean.submission.commands import FindResult
from airflow_provider_codeocean.submission.keys import append_key, extract_key, has_other_key, strip_keys

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_provider_codeocean.api.client import CodeOceanClient
    from airflow_provider_codeocean.api.endpoint import Sender
    from airflow_provider_codeocean.api.endpoints.capsules import Capsules
    from airflow_provider_codeocean.api.models.capsule import AppPanel
    from airflow_provider_codeocean.api.models.computation import (
        Parameter,
        ProcessParams,
        RunParams,
    )
    from airflow_provider_codeocean.hooks.codeocean import CodeOceanHook
    from airflow_provider_codeocean.submission.commands import FindByKey
    from airflow_provider_codeocean.submission.keys import IdempotencyKeys
    from airflow_provider_codeocean.submission.protocol import SubmitOnce

log = logging.getLogger(__name__)

#: Seconds within which the last request to name a computation is sent, and those to wait for each part of its
#: response.
NAMING_BUDGET, NAMING_TIMEOUT = 20.0, 5.0
#: Seconds after which a computation that a living task has submitted has its name, or could not be named: the
#: response to the submission takes 60 (twice the default ``timeout`` of a connection); then the last request
#: to name it starts within ``NAMING_BUDGET``, and takes twice ``NAMING_TIMEOUT``, and as long again if the
#: token was replaced; 10 more are for a server that is still processing it.
NAMED_WITHIN = 60.0 + NAMING_BUDGET + 4 * NAMING_TIMEOUT + 10.0
#: Seconds by which the server's clock may differ from this one's.
CLOCKS_DIFFER = 60.0

_NUMBER = re.compile(r"[+-]?(0|[1-9][0-9]{0,30})(\.[0-9]{1,30})?(e[+-]?[0-9]{1,3})?")


class ComputationJob(SubmissionRunner[Computation, "RunParams"]):
    """Submits a computation once.

    :param hook: see :class:`SubmissionRunner`.
    :param once: see :class:`SubmissionRunner`.
    :param params: see :class:`SubmissionRunner`.
    :param name: display name, before the key; None keeps the one that Code Ocean gives.
    :param not_before: when the task can have submitted a computation at the earliest, in Unix seconds.
    :param **options: the other arguments of :class:`SubmissionRunner`.
    """

    what = "computation"
    model = Computation
    carries = "its name has, or gets,"

    def __init__(
        self,
        hook: CodeOceanHook,
        once: SubmitOnce[Computation],
        params: RunParams,
        *,
        name: str | None = None,
        not_before: float = 0.0,
        **options: Any,
    ) -> None:
        super().__init__(hook, once, params, **options)
        self._name = name
        self._not_before = not_before
        self._unlabelled_since: dict[str, float] = {}
        self._to_verify: Computation | None = None
        self._app_panel: AppPanel | None = None
        self._has_warned_of_parameters = False

    @staticmethod
    def verdict(job: Computation) -> Verdict:
        """Return its outcome; see the base class."""
        return computation_verdict(job)

    @staticmethod
    def remove(
        client: CodeOceanClient, external_id: str, *, even_if_done: bool, submitted_at: float | None = None
    ) -> Removed:
        """Delete it, which stops it; see the base class."""
        return remove_computation(client, external_id, even_if_over=even_if_done, submitted_at=submitted_at)

    @staticmethod
    def is_own(job: Computation, keys: IdempotencyKeys) -> bool:
        """Return whether its name does not contain the key of another task; see the base class."""
        return extract_key(job.name) in {None, keys.current, *keys.previous}

    def find(self, client: CodeOceanClient, command: FindByKey) -> FindResult:
        """Find the computations with one of the keys; see the base class."""
        resource, its_id = what_is_run(client, self._params.capsule_id, self._params.pipeline_id)
        requested_at = self._once.now()
        listed = resource.list_computations(its_id)
        listed_at = self._once.now()
        computations = [each for each in listed if not each.cloud_workstation]
        self._verify_name(client, computations)
        own = [each for each in computations if extract_key(each.name) in command.keys]
        ids = [each.id for each in own]
        is_usable = any(self.verdict(each) is not Verdict.FAILED for each in own)
        if command.unlabelled_since is None or is_usable:
            # Beside a usable one, an unlabelled one is somebody else's: with the key, it would be deleted.
            return FindResult(ids)
        # A computation from before the last own one is not of the attempt that died after that.
        since = max(command.unlabelled_since, self._not_before) - CLOCKS_DIFFER
        since = max([since, *(each.created or 0.0 for each in own)])
        unlabelled = [each for each in computations if self._may_be_own(client, each, since)]
        claimable = [each for each in unlabelled if self._claimable_at(each, listed_at) <= requested_at]
        later = [self._claimable_at(each, listed_at) for each in unlabelled if each not in claimable]
        claimable_at = max(later, default=0.0)
        if not claimable:
            return FindResult(ids, claimable_at)
        oldest = min(claimable, key=lambda each: (each.created or 0.0, each.id))
        self._claim(oldest)
        return FindResult([*ids, oldest.id], claimable_at, self._once.now() + NAMED_WITHIN)

    def get(self, client: CodeOceanClient, external_id: str) -> Computation:
        """Read a computation; see the base class."""
        return client.computations.get(external_id)

    def submit(self, client: CodeOceanClient, params: RunParams) -> Computation:
        """Submit a computation, and name it; see the base class."""
        with self._naming_client() as naming:  # opened first, so that it takes no time before the naming
            computation = self.job = client.computations.run(params)
            log.info("Started computation %s (%r)", computation.id, computation.name)
            if computation.parameters or computation.processes:
                self._verify_parameters(computation)
            if self._give_name(naming, computation):
                self._to_verify = computation
        return computation

    def has_key(self, job: Computation) -> bool:
        """Return whether its name contains the key; see the base class."""
        return extract_key(job.name) == self.key

    def verify(self, job: Computation) -> None:
        """Warn of a missing key, and of requested parameters that the computation does not report."""
        super().verify(job)
        self._verify_parameters(job)

    def _verify_parameters(self, job: Computation) -> None:
        missing = [] if self._has_warned_of_parameters else _unreported(job, self._params)
        if missing:
            self._has_warned_of_parameters = True
            log.warning(
                "Computation %s does not report these requested parameters, so it may have ignored them: %s",
                job.id,
                ", ".join(missing),
            )

    def differences(self, job: Computation, params: RunParams) -> list[str]:
        """Return how an adopted computation differs; see the base class."""
        return [] if _unrequested(job, params) is not None else ["other parameters or data assets"]

    def _may_be_own(self, client: CodeOceanClient, computation: Computation, since: float) -> bool:
        """Return whether a computation has no key, and may be the result of the parameters.

        If that depends on the App Panel, and it cannot be read, raise: doubt leads neither to another
        computation nor to the adoption of this one.
        """
        if (computation.created or 0.0) < since or extract_key(computation.name) is not None:
            return False
        extra = None if has_other_key(computation.name, self.key) else _unrequested(computation, self._params)
        if not extra:
            return extra is not None
        if self._app_panel is None:
            resource, its_id = what_is_run(client, self._params.capsule_id, self._params.pipeline_id)
            try:
                self._app_panel = resource.get_app_panel(its_id, self._params.version)
            except CodeOceanError as error:
                raise CodeOceanError(
                    f"Computation {computation.id} ({computation.name!r}) may be the one that an earlier "
                    "attempt submitted: it has the requested parameters, and others. Whether those are "
                    f"defaults is not known, because the App Panel cannot be read: {error}. If it is yours, "
                    f"add {self.key} to its name. If not, delete it, or add another key to its name (airflow "
                    "and 32 hexadecimal digits)."
                ) from error
        return all(_is_default(self._app_panel, process, parameter) for process, parameter in extra)

    def _claimable_at(self, unlabelled: Computation, listed_at: float) -> float:
        """Return when a living task would have named it."""
        first_listed_at = self._unlabelled_since.setdefault(unlabelled.id, listed_at)
        return min(first_listed_at, (unlabelled.created or listed_at) + CLOCKS_DIFFER) + NAMED_WITHIN

    def _claim(self, unlabelled: Computation) -> None:
        log.warning(
            "Computation %s (%r) has the parameters of this task, was submitted since it started, and has no "
            "key of another task: it is adopted as the one that an earlier attempt submitted",
            unlabelled.id,
            unlabelled.name,
        )
        with self._naming_client() as naming:
            self._give_name(naming, unlabelled)

    def _naming_client(self) -> CodeOceanClient:
        return self._hook.get_conn(retry_budget=NAMING_BUDGET, timeout=NAMING_TIMEOUT)

    def _verify_name(self, client: CodeOceanClient, listed: list[Computation]) -> None:
        """Make sure that the computation that was submitted just now has its key, wherever in its name."""
        computation, self._to_verify = self._to_verify, None
        if computation is None:
            return
        lines = [each for each in listed if each.id.lower() == computation.id.lower()]
        if any(extract_key(each.name) == self.key for each in lines):
            return
        plain = self._plain_name(computation)
        with self._naming_client() as naming:
            try:
                if extract_key(client.computations.get(computation.id).name) == self.key:
                    return
                for name in (append_key(plain, self.key), f"{self.key} {plain}"):
                    naming.computations.rename(computation.id, name)
                    named = client.computations.get(computation.id)
                    if self.has_key(named):
                        return
            except CodeOceanError as error:  # it is verified once more when the wait is over
                log.warning("The name of computation %s could not be verified: %s", computation.id, error)
            else:
                self._warn_of_missing_key(named)

    def _plain_name(self, computation: Computation) -> str:
        return strip_keys(self._name or computation.name)

    def _give_name(self, naming: CodeOceanClient, computation: Computation) -> bool:
        """Name a computation, and return whether it has the name or may get it later."""
        try:
            naming.computations.rename(computation.id, append_key(self._plain_name(computation), self.key))
        except CodeOceanError as error:
            log.warning(
                "Computation %s could not be given the name by which a retry finds it; it continues: %s",
                computation.id,
                error,
            )
            self._has_warned_of_key = True
            return error.transient
        return True


def what_is_run(
    client: CodeOceanClient, capsule_id: str | None, pipeline_id: str | None
) -> tuple[Capsules[Sender], str]:
    """Return the methods for the capsule or pipeline that is run.

    :param client: the client.
    :param capsule_id: id of the capsule, None for a pipeline.
    :param pipeline_id: id of the pipeline.
    :returns: the client's methods for it, and its id.
    """
    if capsule_id is not None:
        return client.capsules, capsule_id
    return client.pipelines, pipeline_id or ""


def _unrequested(job: Computation, params: RunParams) -> list[tuple[str | None, Parameter]] | None:
    """Return the parameters that a computation reports beyond the requested ones, with their process.

    None if it is not the result of the parameters. It may read more data assets than requested: those
    attached to the capsule. The version of the code is not reported.
    """
    mounted = {each.id.lower() for each in job.data_assets}
    reported = {each.name: each for each in job.processes}
    requested = {each.name: each for each in params.processes or ()}
    if (
        not {each.id.lower() for each in params.data_assets or ()} <= mounted
        or (job.nextflow_profile or None) != params.nextflow_profile
        or not requested.keys() <= reported.keys()
    ):
        return None
    extra: list[tuple[str | None, Parameter]] = []
    for name, parameters, wanted in (
        (None, job.parameters, params),
        *((name, process.parameters, requested.get(name)) for name, process in reported.items()),
    ):
        rest, missing = _compare(parameters, wanted)
        if missing:
            return None
        extra += [(name, parameter) for parameter in rest]
    return extra


def _unreported(job: Computation, params: RunParams) -> list[str]:
    """Return the requested parameters that a computation does not report, if it reports any."""
    if not {"parameters", "processes"} & job.model_fields_set:
        return []
    # Where a pipeline reports its own parameters is not documented.
    everything = [*job.parameters, *(each for process in job.processes for each in process.parameters)]
    missing = _compare(everything, params)[1]
    reported = {each.name: each for each in job.processes}
    for process in params.processes or ():
        part = reported.get(process.name, job).parameters
        missing += [f"{process.name}: {each}" for each in _compare(part, process)[1]]
    return missing


def _compare(
    reported: Sequence[Parameter], requested: RunParams | ProcessParams | None
) -> tuple[list[Parameter], list[str]]:
    """Return the parameters that were not requested, and those that are not reported.

    An empty value stands for a parameter that is not set. One that was given in order may have any name.
    """
    named = {each.param_name: each.value for each in (requested and requested.named_parameters) or ()}
    missing = {name: value for name, value in named.items() if value}
    ordered = Counter(_canonical(each) for each in (requested and requested.parameters) or () if each)
    extra: list[Parameter] = []
    for parameter in reported:
        value, name = _canonical(parameter.value or ""), parameter.param_name or ""
        if name in named and value == _canonical(named[name]):
            missing.pop(name, None)
        elif ordered[value] > 0:
            ordered[value] -= 1
        elif value:
            extra.append(parameter)
    return extra, [*(f"{name}={value!r}" for name, value in missing.items()), *map(repr, ordered.elements())]


def _is_default(panel: AppPanel, process: str | None, parameter: Parameter) -> bool:
    """Return whether the App Panel has the value of a parameter as a default."""
    part = panel if process is None else next((p for p in panel.processes if p.name == process), None)
    names = {parameter.param_name, parameter.name} - {None, ""}
    return part is not None and any(
        _canonical(each.default_value or "") == _canonical(parameter.value or "")
        and (not names or not names.isdisjoint({each.param_name, each.name}))
        for each in part.parameters
    )


def _canonical(value: str) -> str:
    """Return one form of a value that servers write in several: ``5`` and ``5.0``, ``true`` and ``True``."""
    text = value.strip()
    if _NUMBER.fullmatch(text.lower()):
        return f"{Decimal(text).normalize() + 0:f}" if abs(Decimal(text).adjusted()) < 40 else text  # noqa: PLR2004
    return text.lower() if text.lower() in {"true", "false"} else text
