"""Tasks that capture a finished computation, and share and transfer the captured data asset."""

from __future__ import annotations

import inspect
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow.providers.common.compat.sdk import AirflowException, BaseOperator

from airflow_provider_codeocean.operators.data_asset import CodeOceanCaptureResultOperator
from airflow_provider_codeocean.operators.permissions import CodeOceanSetDataAssetPermissionsOperator
from airflow_provider_codeocean.operators.transfer import CodeOceanTransferDataAssetOperator

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

#: Arguments that only operators have that submit a job.
_SUBMIT_ARGS = frozenset({"on_existing", "on_kill"})
#: Arguments that only operators have that wait.
_WAIT_ARGS = frozenset({"deferrable", "poll_interval", "timeout", "wait_for_completion"})
#: Arguments that the group passes itself.
_RESERVED_ARGS = frozenset({"task_id", "capsule_id", "pipeline_id", "computation_id", "data_asset_id"})


class CaptureTasks(NamedTuple):
    """The tasks; ``share`` and ``transfer`` are None if they were not requested."""

    capture: CodeOceanCaptureResultOperator
    share: CodeOceanSetDataAssetPermissionsOperator | None
    transfer: CodeOceanTransferDataAssetOperator | None


def create_capture_tasks(
    capture_kwargs: Mapping[str, Any],
    *,
    capture: Mapping[str, Any] | None,
    share_with: Mapping[str, Any] | None,
    transfer: Mapping[str, Any] | None,
    operator_kwargs: Mapping[str, Any],
) -> CaptureTasks:
    """Create the tasks, in sequence, in the current task group or DAG.

    :param capture_kwargs: arguments of the capture from the group: ``computation_id``, ``name``, and so on.
    :param capture: arguments of the capture from the DAG's author.
    :param share_with: arguments of the permissions; None creates no such task.
    :param transfer: arguments of the transfer; None creates no such task.
    :param operator_kwargs: arguments of all tasks that accept them.
    :returns: the tasks.
    :raises ValueError: if an argument is invalid.
    """
    transfer_kwargs = {name: value for name, value in operator_kwargs.items() if name not in _SUBMIT_ARGS}
    share_kwargs = {name: value for name, value in transfer_kwargs.items() if name not in _WAIT_ARGS}
    share_task = transfer_task = None
    with prefix_errors("capture", capture):
        capture_task = CodeOceanCaptureResultOperator(
            task_id="capture",
            **capture_kwargs,
            **{**operator_kwargs, "on_no_results": "skip", **(capture or {})},
        )
    output: Any = capture_task.output  # indexing it by a name yields another XCom of the task
    data_asset_id = output["data_asset_id"]
    upstream: Any = capture_task
    if share_with is not None:
        with prefix_errors("share_with", share_with):
            share_task = CodeOceanSetDataAssetPermissionsOperator(
                task_id="share",
                data_asset_id=data_asset_id,
                **{**share_kwargs, "mode": "ensure", **share_with},
            )
        upstream >> share_task
        upstream = share_task
    if transfer is not None:
        with prefix_errors("transfer", transfer):
            transfer_task = CodeOceanTransferDataAssetOperator(
                task_id="transfer", data_asset_id=data_asset_id, **{**transfer_kwargs, **transfer}
            )
        upstream >> transfer_task
    return CaptureTasks(capture_task, share_task, transfer_task)


@contextmanager
def prefix_errors(mapping: str, arguments: Mapping[str, Any] | None) -> Iterator[None]:
    """Reject reserved arguments, and name the mapping in the errors of others."""
    for name in arguments or ():
        if name in _RESERVED_ARGS:
            raise ValueError(f"{mapping}: the group passes {name!r} itself")
        if name == "params":
            raise ValueError(
                f"{mapping}: 'params' are Airflow's own; parameters of a capsule or pipeline are 'parameters'"
            )
    try:
        yield
    except (ValueError, TypeError, AirflowException) as error:
        raise ValueError(f"{mapping}: {error}") from error


def reject_misplaced_args(
    names: Iterable[str], caller: str, container: type, **operators: tuple[type, ...]
) -> None:
    """Reject arguments that belong into the mapping of a task, and name the mapping.

    :param names: names of the arguments that the DAG's author passes to the container.
    :param caller: name of the function or class that the author calls.
    :param container: the DAG or task group class, which has arguments of its own.
    :param **operators: operators of further tasks, by the names of their mappings.
    :raises TypeError: if an argument is misplaced.
    """
    operators |= {
        "capture": (CodeOceanCaptureResultOperator,),
        "share_with": (CodeOceanSetDataAssetPermissionsOperator,),
        "transfer": (CodeOceanTransferDataAssetOperator,),
    }
    shared = _SUBMIT_ARGS | _WAIT_ARGS | {"codeocean_conn_id"} | _parameter_names(BaseOperator)
    for name in set(names) - _parameter_names(container) - _RESERVED_ARGS:
        if name in shared:
            places = [f"operator_kwargs={{{name!r}: …}}"]
        elif name == "share":
            places = ["share_with"]
        else:
            places = [
                f"{mapping}={{{name!r}: …}}"
                for mapping, classes in operators.items()
                if any(name in _parameter_names(operator) for operator in classes)
            ]
        if places:
            raise TypeError(f"{name} is not an argument of {caller}: use {' or '.join(places)}")


@cache  # DAG files create many groups
def _parameter_names(cls: type) -> frozenset[str]:
    initializers = [vars(base)["__init__"] for base in cls.__mro__ if "__init__" in vars(base)]
    return frozenset(name for init in initializers for name in inspect.signature(init).parameters)
