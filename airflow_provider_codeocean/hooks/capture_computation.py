"""How a task starts a computation, and finds it again: it carries its key in its display name.

A computation has no tags, and its name can be given only after it has started. A process that dies between
these two requests leaves one without the key. It is recognised then by all else that the API tells: it is of
the same capsule or pipeline, was started since the task was about to, reads the same data assets with the
same parameters, and has been nameless for longer than a living task takes to name it. Before it is gone on
with, it is given the key, so that no other task takes it as well, and where another task has named it all the
same as much later, it is that one's.
"""

from __future__ import annotations

import logging
from collections import Counter
from typing import TYPE_CHECKING, Any

from airflow_provider_codeocean.api.errors import CodeOceanError
from airflow_provider_codeocean.api.models.computation import Computation
from airflow_provider_codeocean.capture.key import key_in, with_key
from airflow_provider_codeocean.capture.steps import Found
from airflow_provider_codeocean.hooks.capture import Capturing
from airflow_provider_codeocean.removal import Removed, remove_computation
from airflow_provider_codeocean.states import Verdict, computation_verdict

if TYPE_CHECKING:
    from airflow_provider_codeocean.api.call import Sender
    from airflow_provider_codeocean.api.client import CodeOceanClient
    from airflow_provider_codeocean.api.endpoints.capsules import Capsules
    from airflow_provider_codeocean.api.models.computation import Process, ProcessParams, RunParams
    from airflow_provider_codeocean.capture.key import Keys
    from airflow_provider_codeocean.capture.once import CaptureOnce
    from airflow_provider_codeocean.capture.steps import Find
    from airflow_provider_codeocean.hooks.codeocean import CodeOceanHook

log = logging.getLogger(__name__)

#: Seconds within which the last request to name one is sent, and those to wait for each part of its answer.
NAMING_BUDGET, NAMING_TIMEOUT = 20.0, 5.0
#: Seconds after which one that a living task has started has its name, or could not be given it: the answer
#: to the start takes 60 (twice the ``timeout`` of a connection that says nothing else); then the last request
#: to name it begins within ``NAMING_BUDGET``, and takes twice ``NAMING_TIMEOUT``, and as long again where the
#: token was replaced; 10 more are for a server that is still at work on it.
NAMED_WITHIN = 60.0 + NAMING_BUDGET + 4 * NAMING_TIMEOUT + 10.0
#: Seconds by which the server's clock may differ from this one's.
CLOCKS_DIFFER = 60.0


class ComputationCapturing(Capturing[Computation, "RunParams"]):
    """Starts a computation once.

    :param hook: see :class:`Capturing`.
    :param once: see :class:`Capturing`.
    :param asked: see :class:`Capturing`.
    :param name: display name, before the key; None keeps the one that Code Ocean gives.
    :param not_before: when the task can have started one at the earliest, in Unix seconds.
    :param **options: what :class:`Capturing` takes beyond that.
    """

    what = "computation"
    model = Computation
    carries = "its name has, or gets,"

    def __init__(
        self,
        hook: CodeOceanHook,
        once: CaptureOnce[Computation],
        asked: RunParams,
        *,
        name: str | None = None,
        not_before: float = 0.0,
        **options: Any,
    ) -> None:
        super().__init__(hook, once, asked, **options)
        self._name = name
        self._not_before = not_before
        self._nameless_since: dict[str, float] = {}
        self._to_name: Computation | None = None

    @staticmethod
    def verdict(made: Computation) -> Verdict:
        """Tell what its state means; see the base class."""
        return computation_verdict(made)

    @staticmethod
    def remove(client: CodeOceanClient, made_id: str, *, even_if_done: bool) -> Removed:
        """Delete it, which stops it; see the base class."""
        return remove_computation(client, made_id, even_if_over=even_if_done)

    @staticmethod
    def is_ours(made: Computation, keys: Keys) -> bool:
        """Tell whether its name does not hold the key of another task; see the base class."""
        return key_in(made.name) in {None, keys.own, *keys.former}

    def find(self, client: CodeOceanClient, step: Find) -> Found:
        """Find what carries one of the keys, and give the key to what is to carry it; see the base class."""
        resource, its_id = what_is_run(client, self._asked.capsule_id, self._asked.pipeline_id)
        asked_at = self._once.now()
        listed = resource.list_computations(its_id)
        seen_at = self._once.now()
        computations = [each for each in listed if not each.cloud_workstation]
        if self._to_name is not None and not self._name_it(self._to_name):  # Code Ocean answers again
            self._to_name = None
        ours = [each for each in computations if key_in(each.name) in step.keys]
        ids = [each.id for each in ours]
        if step.unmarked_since is None or any(self.verdict(each) is not Verdict.FAILED for each in ours):
            # Beside one to go on with, what is nameless is somebody else's: with the key it would be removed.
            return Found(ids)
        since = max(step.unmarked_since, self._not_before) - CLOCKS_DIFFER
        # What was started before the last of ours is not of the try that died after that.
        since = max([since, *(each.created or 0.0 for each in ours)])
        nameless = [each for each in computations if self._may_be_ours(each, since)]
        ripe = [each for each in nameless if self._ripe_at(each, seen_at) <= asked_at]
        unripe = [self._ripe_at(each, seen_at) for each in nameless if each not in ripe]
        ripens_at = max(unripe, default=0.0)
        if not ripe:
            return Found(ids, ripens_at)
        oldest = min(ripe, key=lambda each: (each.created or 0.0, each.id))
        self._claim(oldest)
        return Found([*ids, oldest.id], ripens_at, self._once.now() + NAMED_WITHIN)

    def look(self, client: CodeOceanClient, made_id: str) -> Computation:
        """Read one; see the base class."""
        return client.computations.get(made_id)

    def create(self, client: CodeOceanClient, params: RunParams) -> Computation:
        """Start one, and name it; see the base class."""
        with self._naming_client() as naming:  # made first: between start and name it would take its time
            made = self.begun = client.computations.run(params)
            log.info("Started computation %s (%r)", made.id, made.name)
            self._to_name = made if self._give_name(naming, made) else None
        return made

    def differences(self, made: Computation, asked: RunParams) -> list[str]:
        """Say in what an adopted one differs; see the base class."""
        return [] if _was_asked_for(made, asked) else ["other parameters or data assets"]

    def _may_be_ours(self, computation: Computation, since: float) -> bool:
        """Tell whether it was asked for as ours, and is nameless."""
        return (
            key_in(computation.name) is None
            and (computation.created or 0.0) >= since
            and _was_asked_for(computation, self._asked)
        )

    def _ripe_at(self, nameless: Computation, seen_at: float) -> float:
        """Return when a living task would have named it."""
        first_seen_at = self._nameless_since.setdefault(nameless.id, seen_at)
        return min(first_seen_at, (nameless.created or seen_at) + CLOCKS_DIFFER) + NAMED_WITHIN

    def _claim(self, nameless: Computation) -> None:
        log.warning(
            "Computation %s (%r) has the parameters of this task, was started since it began, and is nobody "
            "else's: it is taken for the one that an earlier try has started",
            nameless.id,
            nameless.name,
        )
        self._name_it(nameless)

    def _naming_client(self) -> CodeOceanClient:
        return self._hook.get_conn(retry_budget=NAMING_BUDGET, timeout=NAMING_TIMEOUT)

    def _name_it(self, computation: Computation) -> bool:
        with self._naming_client() as naming:
            return self._give_name(naming, computation)

    def _give_name(self, naming: CodeOceanClient, computation: Computation) -> bool:
        """Name it, and tell whether that failed but may succeed later."""
        try:
            naming.computations.rename(computation.id, with_key(self._name or computation.name, self.key))
        except CodeOceanError as error:
            log.warning(
                "Computation %s could not be given the name by which a retry finds it; it goes on: %s",
                computation.id,
                error,
            )
            return error.transient
        return False


def what_is_run(
    client: CodeOceanClient, capsule_id: str | None, pipeline_id: str | None
) -> tuple[Capsules[Sender], str]:
    """Return what has the capsule or pipeline that is run.

    :param client: the client.
    :param capsule_id: id of the capsule, None where it is a pipeline.
    :param pipeline_id: id of the pipeline.
    :returns: the client's methods for it, and its id.
    """
    if capsule_id is not None:
        return client.capsules, capsule_id
    return client.pipelines, pipeline_id or ""


def _was_asked_for(made: Computation, asked: RunParams) -> bool:
    """Tell whether a computation is one that was asked for so, as far as the API tells.

    What it reads may be more than that: a capsule's own data assets come on top. The version of the code is
    not told.
    """
    mounted = {each.id for each in made.data_assets}
    had = {each.name: each for each in made.processes}
    wanted = {each.name: each for each in asked.processes or ()}
    return (
        {each.id for each in asked.data_assets or ()} <= mounted
        and (made.nextflow_profile or None) == asked.nextflow_profile
        and _same_values(made, asked)
        and wanted.keys() <= had.keys()
        and all(_same_values(process, wanted.get(name)) for name, process in had.items())
    )


def _same_values(made: Computation | Process, asked: RunParams | ProcessParams | None) -> bool:
    """Tell whether the parameters are those that were asked for; what was given in order may have no name."""
    named = {each.param_name: each.value for each in (asked and asked.named_parameters) or ()}
    wanted = [*((asked and asked.parameters) or ()), *named.values()]
    had = {each.param_name: each.value for each in made.parameters}
    return (
        Counter(wanted) == Counter(each.value or "" for each in made.parameters)
        and named.items() <= had.items()
    )
