"""A task group that runs a capsule or pipeline and captures, shares, and transfers the results."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import TaskGroup

from airflow_provider_codeocean.operators.computation import (
    CodeOceanRunCapsuleOperator,
    CodeOceanRunPipelineOperator,
)
from airflow_provider_codeocean.task_groups._capture_tasks import (
    create_capture_tasks,
    prefix_errors,
    reject_misplaced_args,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider_codeocean.operators._run_base import CodeOceanRunBase
    from airflow_provider_codeocean.operators.data_asset import CodeOceanCaptureResultOperator
    from airflow_provider_codeocean.operators.permissions import CodeOceanSetDataAssetPermissionsOperator
    from airflow_provider_codeocean.operators.transfer import CodeOceanTransferDataAssetOperator


class CodeOceanRunAndCaptureTaskGroup(TaskGroup):
    """Run a capsule or pipeline, capture the results, and optionally share and transfer them.

    The tasks are ``run``, ``capture``, ``share``, and ``transfer``; the last two exist only if requested. The
    capsule or pipeline runs once and is captured once, however often a task is killed and retried. If the run
    leaves no results, the tasks after it are skipped.

    The mappings hold arguments of the operator of that task, templated as there.

    :param group_id: id of the group.
    :param name: display name of the data asset. (templated)
    :param capsule_id: id of the capsule; give either this or ``pipeline_id``. (templated)
    :param pipeline_id: id of the pipeline. (templated)
    :param run: arguments of the run, such as ``parameters``, ``data_assets``, ``version``, ``on_timeout``.
    :param capture: arguments of the capture, such as ``tags``, ``target``, ``name_file``, ``mount``.
    :param share_with: arguments of the permissions: ``users``, ``groups``, ``everyone``; None does not share.
    :param transfer: arguments of the transfer: ``target``, ``force``; None leaves the files in place.
    :param operator_kwargs: arguments of all tasks that accept them, such as ``codeocean_conn_id``,
        ``retries``, ``pool``, ``timeout``.
    :param deferrable: wait in the triggerer instead of in a worker; None follows Airflow's configuration.
    :param **kwargs: arguments of Airflow's ``TaskGroup``.
    :ivar run: the task that runs the capsule or pipeline.
    :ivar capture: the task that captures; its ``output`` is the data asset.
    :ivar share: the task that shares, or None.
    :ivar transfer: the task that transfers the files, or None.
    :raises ValueError: if an argument is invalid.
    :raises TypeError: if an argument of a task is not in the mapping of that task.
    """

    run: CodeOceanRunBase
    capture: CodeOceanCaptureResultOperator
    share: CodeOceanSetDataAssetPermissionsOperator | None
    transfer: CodeOceanTransferDataAssetOperator | None

    def __init__(
        self,
        group_id: str = "run_and_capture",
        *,
        name: str,
        capsule_id: str | None = None,
        pipeline_id: str | None = None,
        run: Mapping[str, Any] | None = None,
        capture: Mapping[str, Any] | None = None,
        share_with: Mapping[str, Any] | None = None,
        transfer: Mapping[str, Any] | None = None,
        operator_kwargs: Mapping[str, Any] | None = None,
        deferrable: bool | None = None,
        **kwargs: Any,
    ) -> None:
        if (capsule_id is None) == (pipeline_id is None):
            raise ValueError("give exactly one of capsule_id and pipeline_id")
        reject_misplaced_args(
            kwargs,
            "CodeOceanRunAndCaptureTaskGroup",
            TaskGroup,
            run=(CodeOceanRunCapsuleOperator, CodeOceanRunPipelineOperator),
        )
        super().__init__(group_id=group_id, **kwargs)
        shared = dict(operator_kwargs or {}) | ({} if deferrable is None else {"deferrable": deferrable})
        run_class: type[CodeOceanRunBase] = CodeOceanRunCapsuleOperator
        run_id: dict[str, Any] = {"capsule_id": capsule_id}
        if capsule_id is None:
            run_class, run_id = CodeOceanRunPipelineOperator, {"pipeline_id": pipeline_id}
        with self:
            with prefix_errors("run", run):
                self.run = run_class(**{"task_id": "run", **run_id, **shared, **(run or {})})
            output: Any = self.run.output  # indexing it by a name yields another XCom of the task
            self.capture, self.share, self.transfer = create_capture_tasks(
                {
                    "computation_id": output["computation_id"],
                    "name": name,
                    "capsule_id": capsule_id or pipeline_id,
                },
                capture=capture,
                share_with=share_with,
                transfer=transfer,
                operator_kwargs={name: value for name, value in shared.items() if name != "on_timeout"},
            )
