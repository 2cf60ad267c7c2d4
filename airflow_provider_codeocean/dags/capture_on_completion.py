"""A DAG that captures each computation that finishes, also those started outside Airflow."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import DAG, Asset, task_group

from airflow_provider_codeocean.hooks.codeocean import CodeOceanHook
from airflow_provider_codeocean.operators.events import CodeOceanClaimFinishedComputationsOperator
from airflow_provider_codeocean.task_groups._capture_tasks import create_capture_tasks, reject_misplaced_args
from airflow_provider_codeocean.validation import check_exactly_one, check_template_syntax, check_text

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from airflow_provider_codeocean.events.filters import StatusFilter

#: Retries of the claim, to survive an outage of about an hour.
_CLAIM_RETRY_ARGS: dict[str, Any] = {
    "retries": 10,
    "retry_delay": timedelta(seconds=10),
    "retry_exponential_backoff": True,
    "max_retry_delay": timedelta(minutes=10),
}
#: Default of ``retries`` for the tasks of each computation.
_DEFAULT_RETRIES = 2
_RESERVED_DAG_ARGS = frozenset({"schedule", "max_active_runs", "catchup"})


def capture_on_completion(
    dag_id: str | None = None,
    *,
    name: str,
    capsule_id: str | None = None,
    pipeline_id: str | None = None,
    status: StatusFilter = "succeeded",
    since: datetime | str | float | None = None,
    description: str | None = None,
    capture: Mapping[str, Any] | None = None,
    share_with: Mapping[str, Any] | None = None,
    transfer: Mapping[str, Any] | None = None,
    operator_kwargs: Mapping[str, Any] | None = None,
    limit: int | None = None,
    include_own: bool = False,
    codeocean_conn_id: str = CodeOceanHook.default_conn_name,
    poll_interval: float = 60.0,
    deferrable: bool | None = None,
    **dag_kwargs: Any,
) -> DAG:
    """Create a DAG that captures each computation of a capsule or pipeline once, when it finishes.

    No computation is missed if several finish at the same moment or while Airflow is down. The tasks are
    ``claim`` and, for each computation, ``computation.capture``, ``computation.share``, and
    ``computation.transfer``; the last two exist only if requested. If a task of one computation fails, the
    others continue, and later runs do not repeat it: clear the failed task.

    Assign the DAG to a name at the top level of its file: ``dag = capture_on_completion(…)``. Requires
    Airflow 3.0 or later.

    The mappings hold arguments of the operator of that task, templated as there.

    :param dag_id: id of the DAG; by default ``capture_on_completion_`` and the capsule or pipeline id.
    :param name: display name of the data asset, a template in which ``computation`` has the fields of Code
        Ocean's API: ``{{ computation.name }}``.
    :param capsule_id: id of the capsule; give either this or ``pipeline_id``.
    :param pipeline_id: id of the pipeline.
    :param status: capture computations that ``succeeded``, that ``failed`` (or were stopped), or ``any``.
    :param since: capture computations created at or after this time: a datetime with a time zone, the same as
        an ISO 8601 text, or Unix seconds. None captures those that were pending or not yet created when the
        DAG was unpaused; before Airflow 3.3 it is required.
    :param description: description of the data asset, a template like ``name``.
    :param capture: arguments of the captures, such as ``tags``, ``mount``, ``target``, ``custom_metadata``.
    :param share_with: arguments of the permissions: ``users``, ``groups``, ``everyone``; None does not share.
    :param transfer: arguments of the transfers: ``target``, ``force``; None leaves the files in place.
    :param operator_kwargs: arguments of all tasks of a computation that accept them, such as ``retries``,
        ``pool``, ``timeout``.
    :param limit: maximum number of computations per run, from 1; None means ``[core] max_map_length``. The
        next run captures the others.
    :param include_own: also capture computations that a task of this provider submitted. By default they are
        skipped, because their own DAG usually captures them; their display names contain an idempotency key.
    :param codeocean_conn_id: id of the connection.
    :param poll_interval: seconds between two polls, above 0.
    :param deferrable: wait in the triggerer instead of in a worker; None follows Airflow's configuration.
    :param **dag_kwargs: arguments of Airflow's ``DAG``, except ``schedule``, ``max_active_runs``, and
        ``catchup``.
    :returns: the DAG.
    :raises ValueError: if an argument is invalid.
    :raises TypeError: if an argument of a task is not in the mapping of that task.
    :raises ImportError: before Airflow 3.0.
    """
    # Airflow 2 can import this module, and this import explains the requirement; Airflow's own would not.
    from airflow_provider_codeocean.triggers.events import CodeOceanComputationsFinishedTrigger

    id_argument = check_exactly_one(capsule_id=capsule_id, pipeline_id=pipeline_id)
    for argument in _RESERVED_DAG_ARGS & dag_kwargs.keys():
        raise ValueError(f"capture_on_completion sets {argument} itself")
    reject_misplaced_args(dag_kwargs, "capture_on_completion", DAG)
    dag_id = dag_id or f"capture_on_completion_{capsule_id or pipeline_id}"
    selection: dict[str, Any] = {
        id_argument: capsule_id or pipeline_id,
        "status": status,
        "since": since,
        "include_own": include_own,
        "codeocean_conn_id": codeocean_conn_id,
    }
    trigger = CodeOceanComputationsFinishedTrigger(**selection, poll_interval=poll_interval, watcher=dag_id)
    from airflow.sdk import AssetWatcher

    watcher = AssetWatcher(name=f"{dag_id} watcher", trigger=trigger)
    asset = Asset(name=f"finished computations of {dag_id}", watchers=[watcher])
    map_fields = {
        "computation_id": "{{ computation.id }}",
        "name": check_template_syntax("name", check_text("name", name)),
        "description": check_template_syntax("description", description),
    }
    shared = {"retries": _DEFAULT_RETRIES, "codeocean_conn_id": codeocean_conn_id, **(operator_kwargs or {})}
    if deferrable is not None:
        shared["deferrable"] = deferrable
    with DAG(dag_id, schedule=[asset], max_active_runs=1, catchup=False, **dag_kwargs) as dag:
        claim = CodeOceanClaimFinishedComputationsOperator(
            task_id="claim", asset=asset, map_fields=map_fields, limit=limit, **selection, **_CLAIM_RETRY_ARGS
        )

        @task_group(group_id="computation")
        def capture_computation(computation_id: str, name: str, description: str | None) -> None:
            create_capture_tasks(
                {
                    "computation_id": computation_id,
                    "name": name,
                    "description": description,
                    "capsule_id": capsule_id or pipeline_id,
                },
                capture=capture,
                share_with=share_with,
                transfer=transfer,
                operator_kwargs=shared,
            )

        capture_computation.expand_kwargs(claim.output)
    return dag
