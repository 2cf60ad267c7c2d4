"""What is done with a computation that has ended: capture it, share and move what was captured."""

from __future__ import annotations

import inspect
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowException, BaseOperator

from airflow_provider_codeocean.operators.data_asset import CodeOceanCaptureResultOperator
from airflow_provider_codeocean.operators.permissions import CodeOceanSetDataAssetPermissionsOperator
from airflow_provider_codeocean.operators.transfer import CodeOceanTransferDataAssetOperator

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

#: Arguments that only tasks have that make something, that the tasks are given anyway, and that only those
#: have that wait.
_OF_WHAT_IS_MADE = frozenset({"on_existing", "on_kill"})
_GIVEN = frozenset({"task_id", "capsule_id", "pipeline_id", "computation_id", "data_asset_id"})
_OF_WAITS = frozenset({"deferrable", "poll_interval", "timeout", "wait_for_completion"})
#: Arguments that several tasks have, beside those of all operators.
_OF_SEVERAL = _OF_WHAT_IS_MADE | _OF_WAITS | {"codeocean_conn_id"}


@dataclass(frozen=True)
class CaptureSteps:
    """The tasks.

    :param capture: captures.
    :param share: shares, or None.
    :param transfer: moves the files, or None.
    """

    capture: CodeOceanCaptureResultOperator
    share: CodeOceanSetDataAssetPermissionsOperator | None = None
    transfer: CodeOceanTransferDataAssetOperator | None = None


def capture_steps(
    what: Mapping[str, Any],
    *,
    capture: Mapping[str, Any] | None,
    share: Mapping[str, Any] | None,
    transfer: Mapping[str, Any] | None,
    task_arguments: Mapping[str, Any],
    share_is: str = "share",
) -> CaptureSteps:
    """Make the tasks, one after the other, in the task group or DAG of the moment.

    :param what: for the capture: ``computation_id``, and what describes the data asset.
    :param capture: for the capture: what the DAG's author gives.
    :param share: for the permissions; None shares with nobody.
    :param transfer: for the transfer; None leaves the files where they are.
    :param task_arguments: for all of them that take it.
    :param share_is: what ``share`` is called where the DAG's author gives it.
    :returns: the tasks.
    :raises ValueError: where an argument is wrong, naming it.
    """
    moving = {name: value for name, value in task_arguments.items() if name not in _OF_WHAT_IS_MADE}
    acting = {name: value for name, value in moving.items() if name not in _OF_WAITS}
    shares = moves = None
    with about("capture", capture):
        captures = CodeOceanCaptureResultOperator(
            task_id="capture", **what, **{**task_arguments, "on_no_results": "skip", **(capture or {})}
        )
    captured: Any = captures.output  # its item is one of the XComs that the task leaves
    data_asset_id = captured["data_asset_id"]
    last: Any = captures
    if share is not None:
        with about(share_is, share):
            shares = CodeOceanSetDataAssetPermissionsOperator(
                task_id="share", data_asset_id=data_asset_id, **{**acting, "mode": "ensure", **share}
            )
        last >> shares
        last = shares
    if transfer is not None:
        with about("transfer", transfer):
            moves = CodeOceanTransferDataAssetOperator(
                task_id="transfer", data_asset_id=data_asset_id, **moving | dict(transfer)
            )
        last >> moves
    return CaptureSteps(captures, shares, moves)


@contextmanager
def about(what: str, arguments: Mapping[str, Any] | None) -> Iterator[None]:
    """Refuse arguments that are given anyway, and name the mapping in what is wrong with others.

    :param what: the mapping.
    :param arguments: what is in it.
    :raises ValueError: where an argument is wrong, naming it.
    """
    for name in arguments or ():
        if name in _GIVEN:
            raise ValueError(f"{what}: {name!r} is given by the group itself")
        if name == "params":
            raise ValueError(
                f"{what}: 'params' are Airflow's own; a capsule's or pipeline's are 'parameters'"
            )
    try:
        yield
    except (ValueError, TypeError, AirflowException) as error:
        raise ValueError(f"{what}: {error}") from error


def refuse_misplaced(
    given: Iterable[str], caller: str, container: type, *, share_is: str, **operators: tuple[type, ...]
) -> None:
    """Refuse arguments of a task that are not in the mapping for that task, and name the mapping.

    :param given: names of the arguments that the DAG's author gives for the container.
    :param caller: name of the function or class that the author calls.
    :param container: the DAG or task group, which accepts arguments of its own.
    :param share_is: name of the mapping for the permissions.
    :param **operators: operators of the other tasks by the names of their mappings.
    :raises TypeError: if an argument is misplaced.
    """
    mappings = {
        **operators,
        "capture": (CodeOceanCaptureResultOperator,),
        share_is: (CodeOceanSetDataAssetPermissionsOperator,),
        "transfer": (CodeOceanTransferDataAssetOperator,),
    }
    of_all = _OF_SEVERAL | _argument_names(BaseOperator)
    for name in set(given) - _argument_names(container) - _GIVEN:
        places = [
            f"{mapping}={{{name!r}: …}}"
            for mapping, classes in mappings.items()
            if any(name in _argument_names(operator) for operator in classes)
        ]
        if name in of_all:
            places = [f"task_arguments={{{name!r}: …}}"]
        elif name in {"share", "share_with"}:
            places = [share_is]
        if places:
            raise TypeError(f"{name} is not an argument of {caller}: use {' or '.join(places)}")


@cache  # for each task group of a DAG file
def _argument_names(cls: type) -> frozenset[str]:
    initializers = [vars(base)["__init__"] for base in cls.__mro__ if "__init__" in vars(base)]
    return frozenset(
        name for initializer in initializers for name in inspect.signature(initializer).parameters
    )
