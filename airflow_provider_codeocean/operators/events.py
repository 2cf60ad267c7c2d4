"""The operator that takes computations that have finished, each for one run of its DAG."""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, get_args

from airflow.providers.common.compat.sdk import AirflowFailException, AssetAlias, BaseOperator, conf
from jinja2 import TemplateError

from airflow_provider_codeocean.airflow_errors import (
    OnEmpty,
    end_as_asked_for,
    no_retry_for_what_it_cannot_mend,
)
from airflow_provider_codeocean.api.text import TEMPLATE_ERROR
from airflow_provider_codeocean.compat.event_trigger import need_asset_watchers
from airflow_provider_codeocean.compat.features import Feature
from airflow_provider_codeocean.compat.state import state_of_asset
from airflow_provider_codeocean.events.claims import Forgotten, Ledger
from airflow_provider_codeocean.events.filters import (
    TOLD_OF_COMPUTATIONS,
    EndStatus,
    described,
    ended,
    has_ended_as,
)
from airflow_provider_codeocean.events.seen_set import BASELINE, TAKEN, Seen
from airflow_provider_codeocean.hooks.codeocean import CodeOceanHook
from airflow_provider_codeocean.operators._submit_once.computation import what_is_run
from airflow_provider_codeocean.submission.keys import extract_key, strip_keys
from airflow_provider_codeocean.validation import (
    KnowsTemplates,
    check_choice,
    check_count,
    check_flags,
    check_identifier,
    check_identifier_early,
    check_moment,
    check_one_of,
    check_template,
    known_now,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from airflow.providers.common.compat.sdk import Asset, Context
    from jinja2 import Environment

    from airflow_provider_codeocean.api.models.computation import Computation
    from airflow_provider_codeocean.compat.state import DurableState

log = logging.getLogger(__name__)

#: How templates fail over what they are given, and not because Airflow does not answer them.
_OF_TEMPLATES = (TemplateError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
#: The module in front of the name of a class in Jinja's messages.
_MODULES = re.compile(rf"\b{__name__.partition('.')[0]}(\.\w+)*\.(?=\w)")


class CodeOceanTakeFinishedComputationsOperator(KnowsTemplates, BaseOperator):
    """Take the computations of a capsule or pipeline that have finished and that no other run has taken.

    Source: ``GET capsules/{id}/computations``, one request. For a DAG that an asset's watcher starts
    (:class:`~airflow_provider_codeocean.triggers.events.CodeOceanComputationsFinishedTrigger`): what the
    events say is not asked, because Airflow may start one run for several of them and show it the first only.

    Each computation belongs to one run: what a run has taken is written down with the asset before it is
    returned, and a retry of the task, or the task cleared, returns the same list in the same order, also if
    it is empty. If you clear the task, clear its downstream tasks as well. Give the
    DAG ``max_active_runs=1``: runs at the same time could take the same. Where more are left than a run may
    take, the task makes an event of the asset, which starts the next run.

    The result, in XCom, is a list to ``.expand()`` over: the oldest first, each with the fields of an event's
    ``computations``, or with what ``each`` makes of it.

    :param asset: the asset that is watched, and that starts the DAG.
    :param capsule_id: id of the capsule; either this or ``pipeline_id``. (templated)
    :param pipeline_id: id of the pipeline. (templated)
    :param status: take those that have ``succeeded``, that have ``failed`` (or were stopped), or ``any``.
    :param since: take what was created at this moment or later: a time with a zone, as a datetime or as an
        ISO 8601 text, or Unix seconds. None, from Airflow 3.3 on, takes what was not over when the watcher
        looked for the first time.
    :param each: what to return of each computation: templates by name, in which ``computation`` has the
        fields of Code Ocean's API, but for the key that a task may have put into its name; for
        ``.expand_kwargs()``. They make text, in any DAG. A template that cannot be rendered for a computation
        makes a mapping with a ``template_error``, with which this package's operators fail; if there is one
        for each computation, this task fails. None returns its fields.
    :param limit: the most that a run takes, from 1; None takes as many as Airflow can map
        (``[core] max_map_length``).
    :param include_own: also take computations that a task of this provider submitted: their display names
        contain an idempotency key.
    :param on_empty: what to do where there is nothing to take: ``return`` an empty list, ``skip`` the task or
        ``fail`` it, which keeps its retries.
    :param codeocean_conn_id: id of the connection. (templated)
    :param **kwargs: what every operator takes, but inlets and outlets.
    """

    template_fields: Sequence[str] = ("capsule_id", "pipeline_id", "codeocean_conn_id")
    ui_color = "#e8f1fb"

    def __init__(
        self,
        *,
        asset: Asset,
        capsule_id: str | None = None,
        pipeline_id: str | None = None,
        status: EndStatus = "succeeded",
        since: datetime | str | float | None = None,
        each: Mapping[str, Any] | None = None,
        limit: int | None = None,
        include_own: bool = True,
        on_empty: OnEmpty = "skip",
        codeocean_conn_id: str = CodeOceanHook.default_conn_name,
        **kwargs: Any,
    ) -> None:
        need_asset_watchers()
        # An event of the asset is made where it is asked for, and not each time: that takes an alias.
        self._alias = AssetAlias(f"{asset.name} again")
        # The state of an asset is reached through an inlet; dag.test() of Airflow 3.0 takes none.
        inlets = [asset] if Feature.ASSET_STATE.is_there else []
        super().__init__(inlets=inlets, outlets=[self._alias], **kwargs)
        self.asset = asset
        which = check_one_of(capsule_id=known_now(capsule_id), pipeline_id=known_now(pipeline_id))
        check_identifier_early(which, capsule_id if which == "capsule_id" else pipeline_id)
        self.capsule_id = capsule_id
        self.pipeline_id = pipeline_id
        check_choice("status", status, get_args(EndStatus))
        self.status: EndStatus = status
        if since is None and not Feature.ASSET_STATE.is_there:
            raise ValueError(
                "since must be given: before Airflow 3.3 nobody knows what was over when the watch began"
            )
        self.since = None if since is None else check_moment("since", since)
        self.each = None if each is None else {key: check_template(key, each[key]) for key in each}
        most = conf.getint("core", "max_map_length", fallback=1024)
        if limit is not None:
            check_count("limit", limit, most)
        self.limit = limit or most
        check_flags(include_own=include_own)
        self.include_own = include_own
        check_choice("on_empty", on_empty, get_args(OnEmpty))
        self.on_empty: OnEmpty = on_empty
        self.codeocean_conn_id = codeocean_conn_id

    def execute(self, context: Context) -> list[dict[str, Any]]:
        """Take what there is, or what an earlier try has taken."""
        with no_retry_for_what_it_cannot_mend(self):
            # First: the less there is between reading and writing what was taken, the better.
            there = {each.id: each for each in ended(self._computations(), self.since)}
            state = state_of_asset(context, self.asset)
            ledger = self._ledger(state)
            if ledger is None:
                end_as_asked_for(
                    self.on_empty, f"The watcher of asset {self.asset.name!r} has not looked yet"
                )
                return []
            run_id = context["run_id"]
            has_taken = run_id in ledger.runs
            mine = self._take(run_id, ledger, state, list(there.values()), context)
            if not mine:
                nothing = "No computation has finished that no other run has taken"
                if has_taken:
                    nothing = (
                        f"Run {run_id} took no computations before this attempt, and takes none now: trigger "
                        "the DAG to take those that have finished since"
                    )
                end_as_asked_for(self.on_empty, nothing)
            # One that was deleted since keeps its place: the others are not to change theirs.
            taken = [there.get(each) or _gone(each) for each in mine]
            return self._returned(taken, context)

    def _computations(self) -> list[Computation]:
        which = check_one_of(capsule_id=self.capsule_id, pipeline_id=self.pipeline_id)
        ids = {"capsule_id": None, "pipeline_id": None, which: check_identifier(which, getattr(self, which))}
        with CodeOceanHook(self.codeocean_conn_id).get_conn() as client:
            resource, its_id = what_is_run(client, ids["capsule_id"], ids["pipeline_id"])
            return resource.list_computations(its_id)

    def _ledger(self, state: DurableState) -> Ledger | None:
        """Read what was taken; None where nobody knows yet what was over when the watch began."""
        try:
            written = state.get(TAKEN)
            if written is not None:
                return Ledger.read(written)
            if self.since is not None:
                return Ledger()
            baseline = state.get(BASELINE)
            return None if baseline is None else Ledger(taken=Seen.read(baseline))
        except ValueError as error:
            raise ValueError(f"asset {self.asset.name!r}: {error}") from error

    def _take(
        self, run_id: str, ledger: Ledger, state: DurableState, there: list[Computation], context: Context
    ) -> list[str]:
        wanted = [
            each.id
            for each in there
            if has_ended_as(each, self.status) and (self.include_own or extract_key(each.name) is None)
        ]
        has_taken = run_id in ledger.runs
        try:
            mine, is_more_left = ledger.take(run_id, wanted, self.limit)
        except Forgotten as error:
            raise AirflowFailException(str(error)) from error
        # An empty claim too: a cleared task must not claim computations that no task after it handles. But a
        # task that fails because there are none keeps its retries, and those look for new ones.
        if not has_taken and (mine or self.on_empty != "fail"):
            state.set(TAKEN, ledger.shortened().written())
        log.info("Run %s %s %d computations", run_id, "had taken" if has_taken else "has taken", len(mine))
        if is_more_left:
            log.info("More than %d have finished: the next run takes the others", len(mine))
            context["outlet_events"][self._alias].add(self.asset)
        return mine

    def _returned(self, taken: list[Computation], context: Context) -> list[dict[str, Any]]:
        if self.each is None:
            return [described(each, TOLD_OF_COMPUTATIONS) for each in taken]
        # Text also where the DAG makes objects of what it renders: what others call "2024" is no number.
        dag = self.get_dag()
        jinja = dag.get_template_env(force_sandboxed=True) if dag else self.get_template_env()
        returned: list[dict[str, Any]] = []
        problems: list[str] = []
        remedy = (
            f". Correct the template, then clear task {self.task_id!r} of this run with its downstream tasks"
        )
        for computation in taken:
            as_named = computation.model_copy(update={"name": strip_keys(computation.name)})
            rendering = _Rendering(jinja, {**context, "computation": as_named}, computation.id, remedy)
            returned.append(rendering.render(self.each))
            if rendering.problems:
                problems.append("; ".join(rendering.problems) + remedy)
        if problems and len(problems) == len(taken):
            raise ValueError(problems[0])
        for problem in problems:
            log.error("%s", problem)
        return returned


@dataclass
class _Rendering:
    """Renders the templates for one computation, and records those that fail.

    :param jinja: environment of the templates.
    :param known: names that templates can use.
    :param computation_id: the computation, for messages.
    :param remedy: how to fix a template that fails, for messages.
    :ivar problems: a message for each template that failed.
    """

    jinja: Environment
    known: Mapping[str, Any]
    computation_id: str
    remedy: str
    problems: list[str] = field(default_factory=list)

    def render(self, value: Any, path: str = "") -> Any:
        """Return a value with its texts rendered, and an error in place of each text that cannot be."""
        prefix = f"{path}." if path else ""
        if isinstance(value, dict):
            return {name: self.render(item, f"{prefix}{name}") for name, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.render(item, f"{prefix}{index}") for index, item in enumerate(value)]
        if not isinstance(value, str):
            return value
        try:
            return self.jinja.from_string(value).render(self.known)
        except _OF_TEMPLATES as error:
            reason = _MODULES.sub("", str(error))
            problem = f"{value!r} cannot be rendered for computation {self.computation_id}: {reason}"
            self.problems.append(f"{path}: {problem}")
            return {TEMPLATE_ERROR: f"{problem}{self.remedy}"}


def _gone(computation_id: str) -> Computation:
    from airflow_provider_codeocean.api.models.computation import Computation

    return Computation(id=computation_id, name=computation_id)
