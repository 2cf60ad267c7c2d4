"""The operator that claims finished computations, each for one run of its DAG."""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING, Any, get_args

from airflow.providers.common.compat.sdk import AirflowFailException, AssetAlias, conf
from jinja2 import TemplateError

from airflow_provider_codeocean.airflow_errors import (
    OnEmpty,
    fail_without_retry_on_permanent_errors,
    handle_empty_result,
    to_airflow_exception,
)
from airflow_provider_codeocean.api.text import TEMPLATE_ERROR_KEY
from airflow_provider_codeocean.compat.event_trigger import require_asset_watchers
from airflow_provider_codeocean.compat.features import Feature
from airflow_provider_codeocean.compat.state import asset_state
from airflow_provider_codeocean.events.claims import ClaimExpired, ClaimLedger
from airflow_provider_codeocean.events.filters import (
    COMPUTATION_EVENT_FIELDS,
    StatusFilter,
    matches_filters,
    select_terminal_computations,
    to_event_item,
)
from airflow_provider_codeocean.events.seen_set import BASELINE_KEY, CLAIMS_KEY, SeenSet
from airflow_provider_codeocean.hooks.codeocean import CodeOceanHook
from airflow_provider_codeocean.operators._base import CodeOceanOperatorBase
from airflow_provider_codeocean.submission.keys import strip_keys
from airflow_provider_codeocean.validation import (
    check_choice,
    check_count,
    check_exactly_one,
    check_flags,
    check_identifier,
    check_template_syntax,
    check_timestamp,
    check_unrendered_identifier,
    static_value,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import datetime

    from airflow.providers.common.compat.sdk import Asset, Context
    from jinja2 import Environment

    from airflow_provider_codeocean.api.models.computation import Computation
    from airflow_provider_codeocean.compat.state import DurableState

log = logging.getLogger(__name__)

#: Errors of a template itself. Others, such as a failed request for a Variable, keep the task's retries.
_RENDER_ERRORS = (TemplateError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
#: The module in front of a class name in Jinja's messages.
_MODULE_PREFIX = re.compile(rf"\b{__name__.partition('.')[0]}(\.\w+)*\.(?=\w)")


class CodeOceanClaimFinishedComputationsOperator(CodeOceanOperatorBase):
    """Claim the finished computations of a capsule or pipeline that no other run has claimed.

    Source: ``GET capsules/{id}/computations`` or ``GET pipelines/{id}/computations``, one request. Use it in
    a DAG that an asset watcher starts
    (:class:`~airflow_provider_codeocean.triggers.events.CodeOceanComputationsFinishedTrigger`). The operator
    does not read the events, because Airflow may start one run for several of them.

    Each computation belongs to one run. Claims are stored with the asset before they are returned, so a retry
    or a cleared task returns the same list in the same order, even if it is empty. If you clear the task,
    clear its downstream tasks as well. Set ``max_active_runs=1`` on the DAG: concurrent runs could claim the
    same computations. If more computations are left than ``limit``, the task adds an event to the asset,
    which starts the next run.

    The result, in XCom, is a list to ``.expand()`` over, the oldest first. Each item has the fields of an
    event's ``computations``, or those of ``map_fields``.

    :param asset: the watched asset that starts the DAG.
    :param capsule_id: id of the capsule; give either this or ``pipeline_id``. (templated)
    :param pipeline_id: id of the pipeline. (templated)
    :param status: claim computations that ``succeeded``, that ``failed`` (or were stopped), or ``any``.
    :param since: claim computations created at or after this time: a datetime with a time zone, the same as
        an ISO 8601 text, or Unix seconds. None, from Airflow 3.3 on, claims those that were pending or not
        yet created when the watcher polled first.
    :param map_fields: fields to return for each computation, for ``.expand_kwargs()``: templates by name, in
        which ``computation`` has the fields of Code Ocean's API, with the idempotency key removed from its
        name. They render to text, also in DAGs that render native objects. If a template fails for a
        computation, its field becomes a mapping with ``template_error``, with which this package's
        operators fail; if templates fail for all computations, this task fails. None returns the fields of
        events.
    :param limit: maximum number of computations that a run claims, from 1; None means Airflow's
        ``[core] max_map_length``.
    :param include_own: also claim computations that a task of this provider submitted: their display names
        contain an idempotency key.
    :param on_empty: if there is nothing to claim: ``return`` an empty list, ``skip`` the task, or ``fail``
        it, which keeps its retries.
    :param **kwargs: arguments of :class:`~airflow_provider_codeocean.operators._base.CodeOceanOperatorBase`,
        except ``inlets`` and ``outlets``.
    """

    template_fields: Sequence[str] = ("capsule_id", "pipeline_id", *CodeOceanOperatorBase.template_fields)

    def __init__(
        self,
        *,
        asset: Asset,
        capsule_id: str | None = None,
        pipeline_id: str | None = None,
        status: StatusFilter = "succeeded",
        since: datetime | str | float | None = None,
        map_fields: Mapping[str, Any] | None = None,
        limit: int | None = None,
        include_own: bool = True,
        on_empty: OnEmpty = "skip",
        **kwargs: Any,
    ) -> None:
        require_asset_watchers()
        # Through an alias, the task can choose whether to add an event to the asset.
        self._asset_alias = AssetAlias(f"{asset.name} remaining")
        # Airflow provides the state of an asset that is an inlet. dag.test() of Airflow 3.0 accepts no
        # inlets.
        inlets = [asset] if Feature.ASSET_STATE_STORE.is_available else []
        super().__init__(inlets=inlets, outlets=[self._asset_alias], **kwargs)
        self.asset = asset
        self.capsule_id = capsule_id
        self.pipeline_id = pipeline_id
        id_argument = check_exactly_one(
            capsule_id=static_value(capsule_id), pipeline_id=static_value(pipeline_id)
        )
        check_unrendered_identifier(id_argument, getattr(self, id_argument))
        check_choice("status", status, get_args(StatusFilter))
        self.status: StatusFilter = status
        if since is None and not Feature.ASSET_STATE_STORE.is_available:
            raise ValueError(
                "'since' is required on Airflow < 3.3, which cannot store the watcher's starting point"
            )
        self.since = None if since is None else check_timestamp("since", since)
        self.map_fields = (
            None
            if map_fields is None
            else {name: check_template_syntax(name, template) for name, template in map_fields.items()}
        )
        max_mapped_tasks = conf.getint("core", "max_map_length", fallback=1024)
        if limit is not None:
            check_count("limit", limit, max_mapped_tasks)
        self.limit = limit or max_mapped_tasks
        check_flags(include_own=include_own)
        self.include_own = include_own
        check_choice("on_empty", on_empty, get_args(OnEmpty))
        self.on_empty: OnEmpty = on_empty

    def execute(self, context: Context) -> list[dict[str, Any]]:
        """Return the computations that this run claims, or has claimed in an earlier attempt."""
        from airflow_provider_codeocean.api.models.computation import Computation

        with fail_without_retry_on_permanent_errors(self):
            # Before the ledger is read: the shorter the time from reading to writing it, the better.
            finished = {
                computation.id: computation
                for computation in select_terminal_computations(self._list_computations(), self.since)
            }
            state = asset_state(context, self.asset)
            ledger = self._load_ledger(state)
            if ledger is None:
                message = f"The watcher of asset {self.asset.name!r} has not polled yet"
                handle_empty_result(self.on_empty, message)
                return []
            claimed_ids = self._claim(context, ledger, state, finished.values())
            # A computation that was deleted after the claim keeps its place, so that map indexes stay the
            # same.
            claimed = [finished.get(id_) or Computation(id=id_, name=id_) for id_ in claimed_ids]
            return self._render_result(claimed, context)

    def _list_computations(self) -> list[Computation]:
        id_argument = check_exactly_one(capsule_id=self.capsule_id, pipeline_id=self.pipeline_id)
        resource_id = check_identifier(id_argument, getattr(self, id_argument))
        is_capsule = id_argument == "capsule_id"
        with CodeOceanHook(self.codeocean_conn_id).get_conn() as client:
            return (client.capsules if is_capsule else client.pipelines).list_computations(resource_id)

    def _load_ledger(self, state: DurableState) -> ClaimLedger | None:
        """Read the claims. None means that the watcher has not stored its starting point yet."""
        try:
            stored = state.get(CLAIMS_KEY)
            if stored is not None:
                return ClaimLedger.from_json(stored)
            if self.since is not None:
                return ClaimLedger()
            baseline = state.get(BASELINE_KEY)
            return None if baseline is None else ClaimLedger(unavailable=SeenSet.from_json(baseline))
        except ValueError as error:
            raise ValueError(f"asset {self.asset.name!r}: {error}") from error

    def _claim(
        self, context: Context, ledger: ClaimLedger, state: DurableState, computations: Iterable[Computation]
    ) -> list[str]:
        run_id = context["run_id"]
        has_claimed = run_id in ledger.claims_by_run
        candidates = [
            computation.id
            for computation in computations
            if matches_filters(computation, self.status, include_own=self.include_own)
        ]
        try:
            claimed, has_more = ledger.claim(run_id, candidates, self.limit)
        except ClaimExpired as error:
            raise to_airflow_exception(error, AirflowFailException) from error
        # An empty claim is stored too: a cleared task must not claim computations that no downstream task
        # handles. But a task that fails because there are none keeps its retries, and those claim new ones.
        if not has_claimed and (claimed or self.on_empty != "fail"):
            state.set(CLAIMS_KEY, ledger.compacted().to_json())
        log.info(
            "Run %s %s %d computations", run_id, "had claimed" if has_claimed else "claimed", len(claimed)
        )
        if has_more:
            log.info("More than %d computations have finished; the next run claims the others", len(claimed))
            context["outlet_events"][self._asset_alias].add(self.asset)
        if not claimed:
            message = "There is no finished computation that no other run has claimed"
            if has_claimed:
                message = (
                    f"Run {run_id} claimed no computations in an earlier attempt, and cannot claim any now: "
                    "to claim computations that have finished since, trigger the DAG"
                )
            handle_empty_result(self.on_empty, message)
        return claimed

    def _render_result(self, computations: list[Computation], context: Context) -> list[dict[str, Any]]:
        if self.map_fields is None:
            return [to_event_item(computation, COMPUTATION_EVENT_FIELDS) for computation in computations]
        # Not a native environment, even if the DAG asks for one: it would make a number of the name "2024".
        dag = self.get_dag()
        jinja_env = dag.get_template_env(force_sandboxed=True) if dag else self.get_template_env()
        remedy = (
            f". Correct the template, then clear task {self.task_id!r} of this run with its downstream tasks"
        )
        items: list[dict[str, Any]] = []
        failures: list[str] = []
        for computation in computations:
            without_key = computation.model_copy(update={"name": strip_keys(computation.name)})
            template_context = {**context, "computation": without_key}
            item, problems = _render_fields(jinja_env, template_context, self.map_fields, remedy)
            items.append(item)
            if problems:
                failures.append("; ".join(problems) + remedy)
        if failures and len(failures) == len(computations):
            raise ValueError(failures[0])
        for failure in failures:
            log.error("%s", failure)
        return items


def _render_fields(
    jinja_env: Environment, context: dict[str, Any], fields: Mapping[str, Any], remedy: str
) -> tuple[dict[str, Any], list[str]]:
    """Render the fields for one computation. A template that fails is replaced by its error, and reported."""
    problems: list[str] = []

    def render(path: str, template: str) -> Any:
        try:
            return jinja_env.from_string(template).render(context)
        except _RENDER_ERRORS as error:
            reason = _MODULE_PREFIX.sub("", str(error))
            problem = f"{template!r} cannot be rendered for computation {context['computation'].id}: {reason}"
            problems.append(f"{path}: {problem}")
            return {TEMPLATE_ERROR_KEY: f"{problem}{remedy}"}

    return {name: _map_texts(render, name, value) for name, value in fields.items()}, problems


def _map_texts(convert: Callable[[str, str], Any], path: str, value: Any) -> Any:
    """Replace each text in a value by the result of a function that gets the text and its path."""
    if isinstance(value, str):
        return convert(path, value)
    if isinstance(value, dict):
        return {name: _map_texts(convert, f"{path}.{name}", item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_map_texts(convert, f"{path}.{index}", item) for index, item in enumerate(value)]
    return value
