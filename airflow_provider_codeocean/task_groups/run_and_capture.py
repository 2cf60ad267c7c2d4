"""Run a capsule or pipeline, capture its results, share and move them."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowException, TaskGroup

from airflow_provider_codeocean.operators.computation import (
    CodeOceanRunCapsuleOperator,
    CodeOceanRunPipelineOperator,
)
from airflow_provider_codeocean.operators.data_asset import CodeOceanCaptureResultOperator
from airflow_provider_codeocean.operators.permissions import CodeOceanSetDataAssetPermissionsOperator
from airflow_provider_codeocean.operators.transfer import CodeOceanTransferDataAssetOperator

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from airflow_provider_codeocean.operators.running import CodeOceanRunBase

#: Arguments that only tasks have that make something, that the group gives them, and that only those have
#: that wait.
_OF_WHAT_IS_MADE = frozenset({"on_existing", "on_kill"})
_OF_THE_GROUP = frozenset({"task_id", "capsule_id", "pipeline_id", "computation_id", "data_asset_id"})
_OF_WAITS = frozenset({"deferrable", "poll_interval", "timeout", "wait_for_completion"})


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
    :param run: for the run: ``parameters``, ``data_assets``, ``version`` and so on.
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
    """

    run: CodeOceanRunBase
    capture: CodeOceanCaptureResultOperator
    share: CodeOceanSetDataAssetPermissionsOperator | None = None
    transfer: CodeOceanTransferDataAssetOperator | None = None

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
        super().__init__(group_id=group_id, **kwargs)
        waiting = dict(task_arguments or {}) | ({} if deferrable is None else {"deferrable": deferrable})
        moving = {name: value for name, value in waiting.items() if name not in _OF_WHAT_IS_MADE}
        acting = {name: value for name, value in moving.items() if name not in _OF_WAITS}
        with self:
            with _about("run", run):
                if capsule_id is not None:
                    what: dict[str, Any] = {"task_id": "run", "capsule_id": capsule_id}
                    self.run = CodeOceanRunCapsuleOperator(**what, **waiting | dict(run or {}))
                else:
                    what = {"task_id": "run", "pipeline_id": pipeline_id}
                    self.run = CodeOceanRunPipelineOperator(**what, **waiting | dict(run or {}))
            run_left: Any = self.run.output  # its item is one of the XComs that the task leaves
            with _about("capture", capture):
                self.capture = CodeOceanCaptureResultOperator(
                    task_id="capture",
                    computation_id=run_left["computation_id"],
                    name=name,
                    capsule_id=capsule_id or pipeline_id,
                    **waiting | {"on_no_results": "skip"} | dict(capture or {}),
                )
            capture_left: Any = self.capture.output
            data_asset_id = capture_left["data_asset_id"]
            last: Any = self.capture
            if share is not None:
                with _about("share", share):
                    self.share = CodeOceanSetDataAssetPermissionsOperator(
                        task_id="share",
                        data_asset_id=data_asset_id,
                        **acting | {"mode": "ensure"} | dict(share),
                    )
                last >> self.share
                last = self.share
            if transfer is not None:
                with _about("transfer", transfer):
                    self.transfer = CodeOceanTransferDataAssetOperator(
                        task_id="transfer", data_asset_id=data_asset_id, **moving | dict(transfer)
                    )
                last >> self.transfer


@contextmanager
def _about(what: str, arguments: Mapping[str, Any] | None) -> Iterator[None]:
    """Refuse arguments that the group gives itself, and name the mapping in what is wrong with others."""
    for name in arguments or ():
        if name in _OF_THE_GROUP:
            raise ValueError(f"{what}: {name!r} is given by the group itself")
        if name == "params":
            raise ValueError(
                f"{what}: 'params' are Airflow's own; a capsule's or pipeline's are 'parameters'"
            )
    try:
        yield
    except (ValueError, TypeError, AirflowException) as error:
        raise ValueError(f"{what}: {error}") from error
