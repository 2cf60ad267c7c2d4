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
from scripts.fault_table import Group

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from airflow_provider_codeocean.emulator import EmulatorServer

#: Seconds between two looks.
LOOK = 0.02


class TaskInstance:
    """The first try of a task, of a run of its own."""

    dag_id, task_id, map_index, max_tries, try_number, start_date = "d", "t", -1, 0, 1, None

    def __init__(self) -> None:
        self.run_id = str(uuid.uuid4())

    def xcom_push(self, key: str, value: Any) -> None:
        """Take an XCom."""


@dataclass
class Scene:
    """What there is to work with, this time.

    :param server: the emulator.
    :param timeout: seconds for a wait.
    :param deferrable: whether to wait in the triggerer.
    :param beside: triggers of other tasks, in the same triggerer.
    """

    server: EmulatorServer
    timeout: float
    deferrable: bool
    beside: Sequence[Any] = ()

    def __post_init__(self) -> None:
        self.name = f"scene {uuid.uuid4().hex[:8]}"
        emulator = self.server.emulator
        (asset,) = seed_data_assets(emulator, DataAssetSeed(name=self.name, tags=(self.name.split()[1],)))
        (computation,) = seed_computations(emulator, ComputationSeed(name=self.name))
        self.server.store.data_assets.put(replace(asset, last_transferred=1.0))
        self.asset_id, self.computation_id = asset.id, computation.id
        self.capsule_id = self.server.env["CODEOCEAN_CAPSULE_ID"]
        self.attach()

    def attach(self) -> None:
        """Attach the data asset to the capsule."""
        shelf = self.server.store.capsules
        capsule = shelf.get(self.capsule_id)
        attached = [*capsule.data_assets, {"id": self.asset_id, "mount": self.name}]
        shelf.put(replace(capsule, data_assets=attached))

    def run(self, operator: Callable[..., Any], **arguments: Any) -> Any:
        """Run a task to its end, through the triggerer where it defers."""
        task = operator(task_id="t", **arguments)
        context = {"ti": TaskInstance()}
        try:
            return task.execute(context)
        except TaskDeferred as deferred:
            deferred.trigger.poll_interval = LOOK
            event = asyncio.run(_event_of(deferred.trigger, self.beside))
            conclude = getattr(task, deferred.method_name)
            return conclude(context, event=event, **deferred.kwargs or {})

    def make(self, operator: Callable[..., Any], **arguments: Any) -> Any:
        """Run a task that waits after it has done something."""
        return self.run(
            operator,
            poll_interval=LOOK,
            timeout=self.timeout,
            deferrable=self.deferrable,
            **arguments,
        )

    def sense(self, sensor: Callable[..., Any], **arguments: Any) -> Any:
        """Run a sensor."""
        return self.run(
            sensor, poke_interval=LOOK, timeout=self.timeout, deferrable=self.deferrable, **arguments
        )

    def watch(self, trigger: Any, reported: str, object_id: str) -> None:
        """Run the trigger of a watcher until its first event.

        :param trigger: the trigger.
        :param reported: field of the event that lists objects.
        :param object_id: id of the object that the event must report.
        :raises TimeoutError: if no event comes.
        """

        async def first_event() -> Any:
            async with asyncio.timeout(self.timeout):
                return await _event_of(trigger, self.beside)

        try:
            event = asyncio.run(first_event())
        except TimeoutError:
            raise TimeoutError("no event") from None
        assert object_id in [each["id"] for each in event[reported]]
        assert len({each["id"] for each in event[reported]}) == len(event[reported])

    def made(self) -> int:
        """How many there are of what was to be made once."""
        store = self.server.store
        assets = sum(self.name in each.name for each in store.data_assets.all())
        runs = sum(self.name in (each.name or "") for each in store.computations.all())
        return assets - 1 + runs - 1


async def _event_of(trigger: Any, beside: Sequence[Any]) -> Any:
    others = [asyncio.create_task(_first_event(each)) for each in beside]
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
    :param act: does it.
    :param defers: whether it can wait in the triggerer.
    :param comes_second: whether another request of its own comes before that one.
    """

    group: Group
    request: str
    act: Callable[[Scene], Any]
    defers: bool = False
    comes_second: bool = False


def _own(scene: Scene) -> dict[str, Any]:
    return {"data_asset_id": scene.asset_id}


def _public_source(scene: Scene) -> dict[str, Any]:
    return {"aws": {"bucket": scene.server.env["CODEOCEAN_PUBLIC_BUCKET"], "public": True}}


def _transfer(scene: Scene) -> Any:
    target = {"bucket": scene.server.env["CODEOCEAN_ARCHIVE_BUCKET"], "prefix": scene.asset_id}
    return scene.make(CodeOceanTransferDataAssetOperator, target=target, **_own(scene))


def _read_file(scene: Scene) -> bytes:
    hook = CodeOceanHook()
    (first, *_) = scene.server.store.files.tree(
        scene.server.store.data_assets.get(scene.asset_id).location, ""
    )
    return hook.read_file(first.path, data_asset_id=scene.asset_id)


OPERATIONS = {
    "search": Operation(
        Group.ASK,
        "POST data_assets/search",
        lambda scene: scene.run(CodeOceanSearchDataAssetsOperator, query=f"tag:{scene.name.split()[1]}"),
    ),
    "read permissions": Operation(
        Group.ASK,
        "GET data_assets/*/permissions",
        lambda scene: scene.run(CodeOceanGetDataAssetPermissionsOperator, **_own(scene)),
    ),
    "list files": Operation(
        Group.ASK,
        "POST data_assets/*/files",
        lambda scene: scene.run(CodeOceanListFilesOperator, **_own(scene)),
    ),
    "update": Operation(
        Group.ASK,
        "PUT data_assets/*",
        lambda scene: scene.run(CodeOceanUpdateDataAssetOperator, description="new", **_own(scene)),
    ),
    "archive": Operation(
        Group.TELL,
        "PATCH data_assets/*/archive",
        lambda scene: scene.run(CodeOceanArchiveDataAssetOperator, **_own(scene)),
    ),
    "delete": Operation(
        Group.TELL,
        "DELETE data_assets/*",
        lambda scene: scene.run(CodeOceanDeleteDataAssetOperator, **_own(scene)),
    ),
    "set permissions": Operation(
        Group.TELL,
        "POST data_assets/*/permissions",
        lambda scene: scene.run(
            CodeOceanSetDataAssetPermissionsOperator, everyone="discoverable", **_own(scene)
        ),
    ),
    "detach": Operation(
        Group.DETACH,
        "DELETE capsules/*/data_assets/",
        lambda scene: scene.run(
            CodeOceanDetachDataAssetsOperator, capsule_id=scene.capsule_id, data_asset_ids=[scene.asset_id]
        ),
    ),
    "rename a computation": Operation(
        Group.TELL,
        "PATCH computations/*",
        lambda scene: scene.run(
            CodeOceanRenameComputationOperator, computation_id=scene.computation_id, name="renamed"
        ),
    ),
    "delete a computation": Operation(
        Group.TELL,
        "DELETE computations/*",
        lambda scene: scene.run(CodeOceanDeleteComputationOperator, computation_id=scene.computation_id),
    ),
    "capture": Operation(
        Group.MAKE,
        "POST data_assets",
        lambda scene: scene.make(
            CodeOceanCaptureResultOperator, computation_id=scene.computation_id, name=scene.name
        ),
        defers=True,
    ),
    "create": Operation(
        Group.MAKE,
        "POST data_assets",
        lambda scene: scene.make(
            CodeOceanCreateDataAssetOperator, source=_public_source(scene), name=scene.name
        ),
        defers=True,
    ),
    "run": Operation(
        Group.MAKE,
        "POST computations",
        # Its parameters are its own: what lacks a name is recognised by them.
        lambda scene: scene.make(
            CodeOceanRunCapsuleOperator,
            capsule_id=scene.capsule_id,
            parameters=[scene.name],
            name=scene.name,
        ),
        defers=True,
    ),
    "attach": Operation(
        Group.ATTACH,
        "POST capsules/*/data_assets",
        lambda scene: scene.run(
            CodeOceanAttachDataAssetsOperator, capsule_id=scene.capsule_id, data_assets=[scene.asset_id]
        ),
    ),
    "transfer": Operation(Group.TRANSFER, "POST data_assets/*/transfer", _transfer, defers=True),
    "wait for what was captured": Operation(
        Group.WAIT,
        "GET data_assets/*",
        lambda scene: scene.make(
            CodeOceanCaptureResultOperator, computation_id=scene.computation_id, name=scene.name
        ),
        defers=True,
        comes_second=True,
    ),
    "wait for a data asset": Operation(
        Group.WAIT,
        "GET data_assets/*",
        lambda scene: scene.sense(CodeOceanDataAssetSensor, **_own(scene)),
        defers=True,
    ),
    "wait for a computation": Operation(
        Group.WAIT,
        "GET computations/*",
        lambda scene: scene.sense(CodeOceanComputationSensor, computation_id=scene.computation_id),
        defers=True,
    ),
    "wait for a search": Operation(
        Group.WAIT,
        "POST data_assets/search",
        lambda scene: scene.sense(CodeOceanDataAssetSearchSensor, query=f"tag:{scene.name.split()[1]}"),
        defers=True,
    ),
    "wait for a transfer": Operation(
        Group.WAIT,
        "GET data_assets/*",
        lambda scene: scene.sense(CodeOceanTransferSensor, **_own(scene)),
        defers=True,
    ),
    "watch computations": Operation(
        Group.WATCH,
        "GET capsules/*/computations",
        lambda scene: scene.watch(
            CodeOceanComputationsFinishedTrigger(capsule_id=scene.capsule_id, since=0, poll_interval=LOOK),
            "computations",
            scene.computation_id,
        ),
    ),
    "watch data assets": Operation(
        Group.WATCH,
        "POST data_assets/search",
        lambda scene: scene.watch(
            CodeOceanDataAssetsReadyTrigger(
                {"query": f"tag:{scene.name.split()[1]}"}, since=0, poll_interval=LOOK
            ),
            "data_assets",
            scene.asset_id,
        ),
    ),
    "read a file": Operation(Group.FILE, "GET /storage/**", _read_file),
}
