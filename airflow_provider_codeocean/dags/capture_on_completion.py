"""A DAG that captures each computation that finishes, whoever has started it."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import DAG, Asset, task_group

from airflow_provider_codeocean.hooks.codeocean import CodeOceanHook
from airflow_provider_codeocean.operators.events import CodeOceanTakeFinishedComputationsOperator
from airflow_provider_codeocean.task_groups.steps import capture_steps, refuse_misplaced
from airflow_provider_codeocean.validation import check_one_of, check_template, check_text

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from airflow_provider_codeocean.events.filters import EndStatus
    from airflow_provider_codeocean.triggers.events import CodeOceanComputationsFinishedTrigger

#: How long the DAG tries to see what has finished, where the server is in trouble: about an hour.
_TAKING: dict[str, Any] = {
    "retries": 10,
    "retry_delay": timedelta(seconds=10),
    "retry_exponential_backoff": True,
    "max_retry_delay": timedelta(minutes=10),
}
#: How often the tasks of each computation are tried, if nothing else is said.
_RETRIES = 2
#: What the DAG sets itself.
_OF_THE_DAG = frozenset({"schedule", "max_active_runs", "catchup"})


def capture_on_completion(
    dag_id: str | None = None,
    *,
    name: str,
    capsule_id: str | None = None,
    pipeline_id: str | None = None,
    status: EndStatus = "succeeded",
    since: datetime | str | float | None = None,
    description: str | None = None,
    capture: Mapping[str, Any] | None = None,
    share_with: Mapping[str, Any] | None = None,
    transfer: Mapping[str, Any] | None = None,
    task_arguments: Mapping[str, Any] | None = None,
    limit: int | None = None,
    include_own: bool = False,
    codeocean_conn_id: str = CodeOceanHook.default_conn_name,
    poll_interval: float = 60.0,
    deferrable: bool | None = None,
    **dag_arguments: Any,
) -> DAG:
    """Make a DAG that captures each computation of a capsule or pipeline that finishes, once.

    However many finish at the same moment, and also what finishes while Airflow is down. Its tasks are
    ``take`` and, for each computation, ``finished.capture``, ``finished.share`` and ``finished.transfer``,
    the last two only where they are asked for. What becomes of one computation does not hold back the others,
    and the next run does not repeat it: where a task has failed, clear it.

    The DAG's file must give it a name of its own at its top level: ``dag = capture_on_completion(…)``.
    Airflow 3.0 or later.

    Each argument that is a mapping holds arguments of that task's operator, templated as they are there.

    :param dag_id: id of the DAG; with the id of the capsule or pipeline if not given.
    :param name: display name of the data asset; a template may name the ``computation`` with the fields of
        Code Ocean's API: ``{{ computation.name }}``.
    :param capsule_id: id of the capsule; either this or ``pipeline_id``.
    :param pipeline_id: id of the pipeline.
    :param status: capture those that have ``succeeded``, that have ``failed`` (or were stopped), or ``any``.
    :param since: capture what was created at this moment or later: a time with a zone, as a datetime or as an
        ISO 8601 text, or Unix seconds. None captures what was not over when the DAG was switched on; before
        Airflow 3.3 it must be given.
    :param description: description of the data asset, a template as ``name`` is.
    :param capture: for the captures: ``tags``, ``mount``, ``target``, ``custom_metadata`` and so on.
    :param share_with: for the permissions: ``users``, ``groups``, ``everyone``; None shares with nobody.
    :param transfer: for the transfers: ``target``, ``force``; None leaves the files where they are.
    :param task_arguments: for all tasks of a computation that take it: ``retries``, ``pool``, ``timeout`` …
    :param limit: the most computations that a run takes, from 1; None takes as many as Airflow can map. The
        next run takes what is left.
    :param include_own: also capture computations that a task of this provider submitted. By default they are
        skipped, because their own DAG usually captures them; their display names contain an idempotency key.
    :param codeocean_conn_id: id of the connection.
    :param poll_interval: seconds between two looks, above 0.
    :param deferrable: wait in the triggerer instead of in a worker; None does as Airflow is configured.
    :param **dag_arguments: what every DAG takes, but ``schedule``, ``max_active_runs`` and ``catchup``.
    :returns: the DAG.
    :raises ValueError: where an argument is wrong, naming it.
    :raises TypeError: if an argument of a task is not in the mapping of that task.
    :raises ImportError: before Airflow 3.0.
    """
    # Not above: Airflow 2 cannot import it, and is told so when it makes a DAG.
    from airflow_provider_codeocean.triggers.events import CodeOceanComputationsFinishedTrigger

    which = check_one_of(capsule_id=capsule_id, pipeline_id=pipeline_id)
    for argument in _OF_THE_DAG & dag_arguments.keys():
        raise ValueError(f"{argument} is given by the DAG itself")
    refuse_misplaced(dag_arguments, "capture_on_completion", DAG, share_is="share_with")
    dag_id = dag_id or f"capture_on_completion_{capsule_id or pipeline_id}"
    what: dict[str, Any] = {
        which: capsule_id or pipeline_id,
        "status": status,
        "since": since,
        "include_own": include_own,
        "codeocean_conn_id": codeocean_conn_id,
    }
    trigger = CodeOceanComputationsFinishedTrigger(**what, poll_interval=poll_interval, watcher=dag_id)
    asset = _watched_asset(dag_id, trigger)
    each = {
        "computation_id": "{{ computation.id }}",
        "name": check_template("name", check_text("name", name)),
        "description": check_template("description", description),
    }
    waiting = {"retries": _RETRIES, "codeocean_conn_id": codeocean_conn_id, **(task_arguments or {})}
    if deferrable is not None:
        waiting["deferrable"] = deferrable
    with DAG(dag_id, schedule=[asset], max_active_runs=1, catchup=False, **dag_arguments) as dag:
        take = CodeOceanTakeFinishedComputationsOperator(
            task_id="take", asset=asset, each=each, limit=limit, **what, **_TAKING
        )

        def finished(computation_id: str, name: str, description: str | None) -> None:
            capture_steps(
                {
                    "computation_id": computation_id,
                    "name": name,
                    "description": description,
                    "capsule_id": capsule_id or pipeline_id,
                },
                capture=capture,
                share=share_with,
                transfer=transfer,
                task_arguments=waiting,
                share_is="share_with",
            )

        task_group(group_id="finished")(finished).expand_kwargs(take.output)
    return dag


def _watched_asset(dag_id: str, trigger: CodeOceanComputationsFinishedTrigger) -> Asset:
    from airflow.sdk import AssetWatcher

    watcher = AssetWatcher(name=f"{dag_id} watcher", trigger=trigger)
    return Asset(name=f"finished computations of {dag_id}", watchers=[watcher])
