"""What the operators and sensors do, each in a few lines, and the request of theirs that is to go wrong."""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import TaskDeferred

from airflow_provider_codeocean.emulator.seeding.bulk import (
    ComputationSeed,
    DataAssetSeed,
    seed_computations,
    seed_data_assets,
)
from airflow_provider_codeocean.hooks.codeocean import CodeOceanHook
from airflow_provider_codeocean.operators.attachment import (
    CodeOceanAttachDataAssetsOperator,
    CodeOceanDetachDataAssetsOperator,
)
from airflow_provider_codeocean.operators.computation import (
    CodeOceanDeleteComputationOperator,
    CodeOceanRenameComputationOperator,
    CodeOceanRunCapsuleOperator,
)
from airflow_provider_codeocean.operators.data_asset import (
    CodeOceanArchiveDataAssetOperator,
    CodeOceanCaptureResultOperator,
    CodeOceanCreateDataAssetOperator,
    CodeOceanDeleteDataAssetOperator,
    CodeOceanUpdateDataAssetOperator,
)
from airflow_provider_codeocean.operators.files import CodeOceanListFilesOperator
from airflow_provider_codeocean.operators.permissions import (
    CodeOceanGetDataAssetPermissionsOperator,
    CodeOceanSetDataAssetPermissionsOperator,
)
from airflow_provider_codeocean.operators.search import CodeOceanSearchDataAssetsOperator
from airflow_provider_codeocean.operators.transfer import CodeOceanTransferDataAssetOperator
from airflow_provider_codeocean.sensors.computation import CodeOceanComputationSensor
from airflow_provider_codeocean.sensors.data_asset import CodeOceanDataAssetSensor
from airflow_provider_codeocean.sensors.search import CodeOceanDataAssetSearchSensor
from airflow_provider_codeocean.sensors.transfer import CodeOceanTransferSensor
from airflow_provider_codeocean.triggers.events import (
    CodeOceanComputationsFinishedTrigger,
    CodeOceanDataAssetsReadyTrigger,
)
from scripts.fault_table import OperationGroup

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from airflow_provider_codeocean.emulator import EmulatorServer

#: Seconds between two looks.
POLL_INTERVAL_SECONDS = 0.02


class TaskInstance:
    """The first try of a task, of a run of its own."""

    dag_id, task_id, map_index, max_tries, try_number, start_date = "d", "t", -1, 0, 1, None

    def __init__(self) -> None:
        self.run_id = str(uuid.uuid4())

    def xcom_push(self, key: str, value: Any) -> None:
        """Take an XCom."""


@dataclass
class Scenario:
    """What there is to work with, this time.

    :param server: the emulator.
    :param timeout: seconds for a wait.
    :param deferrable: whether to wait in the triggerer.
    :param concurrent_triggers: triggers of other tasks, in the same triggerer.
    """

    server: EmulatorServer
    timeout: float
    deferrable: bool
    concurrent_triggers: Sequence[Any] = ()

    def __post_init__(self) -> None:
        self.name = f"scene {uuid.uuid4().hex[:8]}"
        emulator = self.server.emulator
        (asset,) = seed_data_assets(emulator, DataAssetSeed(name=self.name, tags=(self.name.split()[1],)))
        (computation,) = seed_computations(emulator, ComputationSeed(name=self.name))
        self.server.store.data_assets.put(replace(asset, last_transferred=1.0))
        self.asset_id, self.computation_id = asset.id, computation.id
        self.capsule_id = self.server.env["CODEOCEAN_CAPSULE_ID"]
        self.attach_asset()

    def attach_asset(self) -> None:
        """Attach the data asset to the capsule."""
        shelf = self.server.store.capsules
        capsule = shelf.get(self.capsule_id)
        attached = [*capsule.data_assets, {"id": self.asset_id, "mount": self.name}]
        shelf.put(replace(capsule, data_assets=attached))

    def run_task(self, operator: Callable[..., Any], **arguments: Any) -> Any:
        """Run a task to its end, through the triggerer where it defers."""
        task = operator(task_id="t", **arguments)
        context = {"ti": TaskInstance()}
        try:
            return task.execute(context)
        except TaskDeferred as deferred:
            deferred.trigger.poll_interval = POLL_INTERVAL_SECONDS
            event = asyncio.run(_run_beside(deferred.trigger, self.concurrent_triggers))
            conclude = getattr(task, deferred.method_name)
            return conclude(context, event=event, **deferred.kwargs or {})

    def run_waiting_operator(self, operator: Callable[..., Any], **arguments: Any) -> Any:
        """Run a task that waits after it has done something."""
        return self.run_task(
            operator,
            poll_interval=POLL_INTERVAL_SECONDS,
            timeout=self.timeout,
            deferrable=self.deferrable,
            **arguments,
        )

    def run_sensor(self, sensor: Callable[..., Any], **arguments: Any) -> Any:
        """Run a sensor."""
        return self.run_task(
            sensor,
            poke_interval=POLL_INTERVAL_SECONDS,
            timeout=self.timeout,
            deferrable=self.deferrable,
            **arguments,
        )

    def run_event_trigger(self, trigger: Any, event_field: str, object_id: str) -> None:
        """Run the trigger of a watcher until its first event.

        :param trigger: the trigger.
        :param event_field: field of the event that lists objects.
        :param object_id: id of the object that the event must report.
        :raises TimeoutError: if no event comes.
        """

        async def first_event() -> Any:
            async with asyncio.timeout(self.timeout):
                return await _run_beside(trigger, self.concurrent_triggers)

        try:
            event = asyncio.run(first_event())
        except TimeoutError:
            raise TimeoutError("no event") from None
        assert object_id in [each["id"] for each in event[event_field]]
        assert len({each["id"] for each in event[event_field]}) == len(event[event_field])

    def count_created(self) -> int:
        """How many there are of what was to be made once."""
        store = self.server.store
        assets = sum(self.name in each.name for each in store.data_assets.all())
        runs = sum(self.name in (each.name or "") for each in store.computations.all())
        return assets - 1 + runs - 1


async def _run_beside(trigger: Any, concurrent_triggers: Sequence[Any]) -> Any:
    others = [asyncio.create_task(_first_event(each)) for each in concurrent_triggers]
    try:
        return await _first_event(trigger)
    finally:
        for each in others:
            assert not each.done(), "the fault is permanent: the wait beside has no reason to end"
            each.cancel()
        await asyncio.gather(*others, return_exceptions=True)


async def _first_event(trigger: Any) -> Any:
    async for event in trigger.run():
        return event.payload
    raise AssertionError("the trigger ended without an event")


@dataclass(frozen=True)
class Operation:
    """Something that an operator or sensor does.

    :param group: how it ends when things go wrong.
    :param request: method and path of the request that is to go wrong, below ``/api/v1/``.
    :param run: does it.
    :param can_defer: whether it can wait in the triggerer.
    :param is_second_request: whether another request of its own comes before that one.
    """

    group: OperationGroup
    request: str
    run: Callable[[Scenario], Any]
    can_defer: bool = False
    is_second_request: bool = False


def _asset_arguments(scene: Scenario) -> dict[str, Any]:
    return {"data_asset_id": scene.asset_id}


def _public_source(scene: Scenario) -> dict[str, Any]:
    return {"aws": {"bucket": scene.server.env["CODEOCEAN_PUBLIC_BUCKET"], "public": True}}


def _run_transfer(scene: Scenario) -> Any:
    target = {"bucket": scene.server.env["CODEOCEAN_ARCHIVE_BUCKET"], "prefix": scene.asset_id}
    return scene.run_waiting_operator(
        CodeOceanTransferDataAssetOperator, target=target, **_asset_arguments(scene)
    )


def _read_file(scene: Scenario) -> bytes:
    hook = CodeOceanHook()
    (first, *_) = scene.server.store.files.list_files(
        scene.server.store.data_assets.get(scene.asset_id).location, ""
    )
    return hook.read_file(first.path, data_asset_id=scene.asset_id)


OPERATIONS = {
    "search": Operation(
        OperationGroup.READ,
        "POST data_assets/search",
        lambda scene: scene.run_task(CodeOceanSearchDataAssetsOperator, query=f"tag:{scene.name.split()[1]}"),
    ),
    "read permissions": Operation(
        OperationGroup.READ,
        "GET data_assets/*/permissions",
        lambda scene: scene.run_task(CodeOceanGetDataAssetPermissionsOperator, **_asset_arguments(scene)),
    ),
    "list files": Operation(
        OperationGroup.READ,
        "POST data_assets/*/files",
        lambda scene: scene.run_task(CodeOceanListFilesOperator, **_asset_arguments(scene)),
    ),
    "update": Operation(
        OperationGroup.READ,
        "PUT data_assets/*",
        lambda scene: scene.run_task(
            CodeOceanUpdateDataAssetOperator, description="new", **_asset_arguments(scene)
        ),
    ),
    "archive": Operation(
        OperationGroup.SET_STATE,
        "PATCH data_assets/*/archive",
        lambda scene: scene.run_task(CodeOceanArchiveDataAssetOperator, **_asset_arguments(scene)),
    ),
    "delete": Operation(
        OperationGroup.SET_STATE,
        "DELETE data_assets/*",
        lambda scene: scene.run_task(CodeOceanDeleteDataAssetOperator, **_asset_arguments(scene)),
    ),
    "set permissions": Operation(
        OperationGroup.SET_STATE,
        "POST data_assets/*/permissions",
        lambda scene: scene.run_task(
            CodeOceanSetDataAssetPermissionsOperator, everyone="discoverable", **_asset_arguments(scene)
        ),
    ),
    "detach": Operation(
        OperationGroup.DETACH,
        "DELETE capsules/*/data_assets/",
        lambda scene: scene.run_task(
            CodeOceanDetachDataAssetsOperator, capsule_id=scene.capsule_id, data_asset_ids=[scene.asset_id]
        ),
    ),
    "rename a computation": Operation(
        OperationGroup.SET_STATE,
        "PATCH computations/*",
        lambda scene: scene.run_task(
            CodeOceanRenameComputationOperator, computation_id=scene.computation_id, name="renamed"
        ),
    ),
    "delete a computation": Operation(
        OperationGroup.SET_STATE,
        "DELETE computations/*",
        lambda scene: scene.run_task(CodeOceanDeleteComputationOperator, computation_id=scene.computation_id),
    ),
    "capture": Operation(
        OperationGroup.SUBMIT,
        "POST data_assets",
        lambda scene: scene.run_waiting_operator(
            CodeOceanCaptureResultOperator, computation_id=scene.computation_id, name=scene.name
        ),
        can_defer=True,
    ),
    "create": Operation(
        OperationGroup.SUBMIT,
        "POST data_assets",
        lambda scene: scene.run_waiting_operator(
            CodeOceanCreateDataAssetOperator, source=_public_source(scene), name=scene.name
        ),
        can_defer=True,
    ),
    "run": Operation(
        OperationGroup.SUBMIT,
        "POST computations",
        # Its parameters are its own: what lacks a name is recognised by them.
        lambda scene: scene.run_waiting_operator(
            CodeOceanRunCapsuleOperator,
            capsule_id=scene.capsule_id,
            parameters=[scene.name],
            name=scene.name,
        ),
        can_defer=True,
    ),
    "attach": Operation(
        OperationGroup.ATTACH,
        "POST capsules/*/data_assets",
        lambda scene: scene.run_task(
            CodeOceanAttachDataAssetsOperator, capsule_id=scene.capsule_id, data_assets=[scene.asset_id]
        ),
    ),
    "transfer": Operation(
        OperationGroup.TRANSFER, "POST data_assets/*/transfer", _run_transfer, can_defer=True
    ),
    "wait for what was captured": Operation(
        OperationGroup.WAIT,
        "GET data_assets/*",
        lambda scene: scene.run_waiting_operator(
            CodeOceanCaptureResultOperator, computation_id=scene.computation_id, name=scene.name
        ),
        can_defer=True,
        is_second_request=True,
    ),
    "wait for a data asset": Operation(
        OperationGroup.WAIT,
        "GET data_assets/*",
        lambda scene: scene.run_sensor(CodeOceanDataAssetSensor, **_asset_arguments(scene)),
        can_defer=True,
    ),
    "wait for a computation": Operation(
        OperationGroup.WAIT,
        "GET computations/*",
        lambda scene: scene.run_sensor(CodeOceanComputationSensor, computation_id=scene.computation_id),
        can_defer=True,
    ),
    "wait for a search": Operation(
        OperationGroup.WAIT,
        "POST data_assets/search",
        lambda scene: scene.run_sensor(CodeOceanDataAssetSearchSensor, query=f"tag:{scene.name.split()[1]}"),
        can_defer=True,
    ),
    "wait for a transfer": Operation(
        OperationGroup.WAIT,
        "GET data_assets/*",
        lambda scene: scene.run_sensor(CodeOceanTransferSensor, **_asset_arguments(scene)),
        can_defer=True,
    ),
    "watch computations": Operation(
        OperationGroup.WATCH,
        "GET capsules/*/computations",
        lambda scene: scene.run_event_trigger(
            CodeOceanComputationsFinishedTrigger(
                capsule_id=scene.capsule_id, since=0, poll_interval=POLL_INTERVAL_SECONDS
            ),
            "computations",
            scene.computation_id,
        ),
    ),
    "watch data assets": Operation(
        OperationGroup.WATCH,
        "POST data_assets/search",
        lambda scene: scene.run_event_trigger(
            CodeOceanDataAssetsReadyTrigger(
                {"query": f"tag:{scene.name.split()[1]}"}, since=0, poll_interval=POLL_INTERVAL_SECONDS
            ),
            "data_assets",
            scene.asset_id,
        ),
    ),
    "read a file": Operation(OperationGroup.DOWNLOAD, "GET /storage/**", _read_file),
}
