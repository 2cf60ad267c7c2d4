"""Run a capsule or pipeline, capture its results, share and move them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import TaskGroup

from airflow_provider_codeocean.operators.computation import (
    CodeOceanRunCapsuleOperator,
    CodeOceanRunPipelineOperator,
)
from airflow_provider_codeocean.task_groups.steps import about, capture_steps, refuse_misplaced

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider_codeocean.operators._run_base import CodeOceanRunBase
    from airflow_provider_codeocean.operators.data_asset import CodeOceanCaptureResultOperator
    from airflow_provider_codeocean.operators.permissions import CodeOceanSetDataAssetPermissionsOperator
    from airflow_provider_codeocean.operators.transfer import CodeOceanTransferDataAssetOperator


class CodeOceanRunAndCaptureTaskGroup(TaskGroup):
    """Run a capsule or pipeline, wait, capture its results, and if asked to share and move them.

    Its tasks are ``run``, ``capture``, ``share`` and ``transfer``, the last two only where they are asked
    for. What is run and captured is so once, however often a task is killed and tried again. Where the run
    leaves no results, the tasks after it are skipped.

    Each argument that is a mapping holds arguments of that task's operator, templated as they are there.

    :param group_id: id of the group.
    :param name: display name of the data asset. (templated)
    :param capsule_id: id of the capsule; either this or ``pipeline_id``. (templated)
    :param pipeline_id: id of the pipeline. (templated)
    :param run: for the run: ``parameters``, ``data_assets``, ``version``, ``on_timeout`` and so on.
    :param capture: for the capture: ``tags``, ``target``, ``name_file``, ``custom_metadata`` and so on.
    :param share: for the permissions: ``users``, ``groups``, ``everyone``; None shares with nobody.
    :param transfer: for the transfer: ``target``, ``force``; None leaves the files where they are.
    :param task_arguments: for all of them that take it: ``codeocean_conn_id``, ``retries``, ``pool``,
        ``timeout`` and so on.
    :param deferrable: wait in the triggerer instead of in a worker; None does as Airflow is configured.
    :param **kwargs: what every task group takes.
    :ivar run: the task that runs it.
    :ivar capture: the task that captures; its ``output`` is the data asset.
    :ivar share: the task that shares, or None.
    :ivar transfer: the task that moves the files, or None.
    :raises ValueError: where an argument is wrong, naming it.
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
        share: Mapping[str, Any] | None = None,
        transfer: Mapping[str, Any] | None = None,
        task_arguments: Mapping[str, Any] | None = None,
        deferrable: bool | None = None,
        **kwargs: Any,
    ) -> None:
        if (capsule_id is None) == (pipeline_id is None):
            raise ValueError("give exactly one of capsule_id and pipeline_id")
        refuse_misplaced(
            kwargs,
            "CodeOceanRunAndCaptureTaskGroup",
            TaskGroup,
            share_is="share",
            run=(CodeOceanRunCapsuleOperator, CodeOceanRunPipelineOperator),
        )
        super().__init__(group_id=group_id, **kwargs)
        waiting = dict(task_arguments or {}) | ({} if deferrable is None else {"deferrable": deferrable})
        with self:
            with about("run", run):
                if capsule_id is not None:
                    what: dict[str, Any] = {"task_id": "run", "capsule_id": capsule_id}
                    self.run = CodeOceanRunCapsuleOperator(**what, **waiting | dict(run or {}))
                else:
                    what = {"task_id": "run", "pipeline_id": pipeline_id}
                    self.run = CodeOceanRunPipelineOperator(**what, **waiting | dict(run or {}))
            run_left: Any = self.run.output  # its item is one of the XComs that the task leaves
            steps = capture_steps(
                {
                    "computation_id": run_left["computation_id"],
                    "name": name,
                    "capsule_id": capsule_id or pipeline_id,
                },
                capture=capture,
                share=share,
                transfer=transfer,
                task_arguments={name: value for name, value in waiting.items() if name != "on_timeout"},
            )
        self.capture, self.share, self.transfer = steps.capture, steps.share, steps.transfer
