"""The steps of a capture, carried out in a worker for a data asset."""

from __future__ import annotations

import logging
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow_provider_codeocean.api.errors import CodeOceanError, NotFound
from airflow_provider_codeocean.capture.key import Attempt
from airflow_provider_codeocean.capture.steps import (
    Create,
    Find,
    Intent,
    Look,
    Overtaken,
    Pause,
    Recall,
    Remember,
    Remove,
    Step,
    run,
)
from airflow_provider_codeocean.hooks.codeocean import PATIENCE
from airflow_provider_codeocean.removal import remove_data_asset

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_codeocean.api.client import CodeOceanClient
    from airflow_provider_codeocean.api.models.data_asset import DataAsset
    from airflow_provider_codeocean.api.models.data_asset_params import DataAssetParams
    from airflow_provider_codeocean.capture.once import CaptureOnce
    from airflow_provider_codeocean.capture.steps import Capture
    from airflow_provider_codeocean.compat import DurableState
    from airflow_provider_codeocean.hooks.codeocean import CodeOceanHook

log = logging.getLogger(__name__)

#: Where the intent is in a task's durable state.
STATE_KEY = "codeocean_capture"


class DataAssetCapturing:
    """Carries out :class:`~airflow_provider_codeocean.capture.once.CaptureOnce`; the key goes into a tag.

    :param hook: leads to Code Ocean.
    :param once: the protocol.
    :param state: the task's durable state, if there is one.
    :param go_on: called before each step; raises where the task is to go no further.
    :param overtaken: tells whether Airflow has begun a later try.
    :ivar begun: what there is to wait for, as soon as it is known.
    """

    _params: DataAssetParams

    def __init__(
        self,
        hook: CodeOceanHook,
        once: CaptureOnce[DataAsset],
        state: DurableState | None,
        go_on: Callable[[], None],
        overtaken: Callable[[], bool],
    ) -> None:
        self.begun: DataAsset | None = None
        self._hook = hook
        self._once = once
        self._state = state
        self._go_on = go_on
        self._overtaken = overtaken

    @property
    def key(self) -> str:
        """The key."""
        return self._once.keys.own

    def begin(self, params: DataAssetParams) -> Capture[DataAsset]:
        """Go on with what was made before, or make it; see the protocol.

        :param params: what to make.
        :returns: what to go on with.
        """
        self._params = params
        with self._hook.get_conn() as client:
            capture = run(self._once.begin(), partial(self._do, client))
        self.begun = capture.made
        if capture.adopted:
            self._say_what_was_adopted(capture.made, params)
        return capture

    def finish(self, capture: Capture[DataAsset]) -> DataAsset:
        """Make sure that it is the only one; see the protocol.

        :param capture: what was gone on with.
        :returns: what stays.
        """
        if not capture.look_again:
            return capture.made
        with self._hook.get_conn(retry_budget=PATIENCE) as client:
            return run(self._once.finish(capture), partial(self._do, client))

    def rescue(self) -> Capture[DataAsset] | None:
        """Find another one in place of one that is gone; see the protocol.

        :returns: what to go on with, None where there is nothing.
        """
        with self._hook.get_conn() as client:
            capture = run(self._once.rescue(), partial(self._do, client))
        if capture:
            self.begun = capture.made
            log.info("Going on with data asset %s instead", capture.made.id)
        return capture

    def _do(self, client: CodeOceanClient, step: Step) -> Any:
        self._go_on()
        answer: Any = None
        match step:
            case Recall():
                answer = Intent.from_json(self._state.get(STATE_KEY)) if self._state is not None else None
            case Remember(intent):
                self._remember(intent)
            case Find(keys):
                answer = _find(client, keys)
            case Look(data_asset_id):
                answer = _look(client, data_asset_id)
            case Create(key):
                answer = self._create(client, key)
            case Overtaken():
                answer = self._overtaken()
            case Remove(data_asset_id, instead):
                _remove(client, data_asset_id, instead)
            case Pause(seconds):
                log.info("Looking again in %.0f s: what was made just now may not be found yet", seconds)
                time.sleep(seconds)
        return answer

    def _remember(self, intent: Intent) -> None:
        if self._state is None:
            return
        try:
            self._state.set(STATE_KEY, intent.to_json())
        except Exception as error:
            if intent.made is None:
                raise
            # A retry finds it by its key: no reason to give it up.
            log.warning("Could not remember data asset %s: %s", intent.made, error)

    def _create(self, client: CodeOceanClient, key: str) -> DataAsset:
        params = self._params.model_copy(update={"tags": [*self._params.tags, key]})
        try:
            self.begun = client.data_assets.create(params)
        except CodeOceanError as error:
            if error.maybe_applied:
                log.warning("Whether the data asset was created is not known, looking for it: %s", error)
            raise
        log.info("Created data asset %s (%s)", self.begun.id, self.begun.name)
        return self.begun

    def _say_what_was_adopted(self, asset: DataAsset, asked: DataAssetParams) -> None:
        log.info(
            "Going on with data asset %s (%s), made by an earlier or another try of this task",
            asset.id,
            asset.state,
        )
        differs = [
            f"{name} {has!r} instead of {wanted!r}"
            for name, has, wanted in (
                ("name", asset.name, asked.name),
                ("mount", asset.mount, asked.mount),
                ("description", asset.description or "", asked.description or ""),
                ("tags", sorted(set(asset.tags) - {self.key}), sorted(set(asked.tags))),
            )
            if has != wanted
        ]
        if differs:
            log.warning("It was made with %s, which stays", ", ".join(differs))


def attempt_of(context: Context, retries: int) -> Attempt:
    """Tell which try of which task instance this is.

    :param context: context of the running task.
    :param retries: how many retries the task has.
    :returns: the try.
    """
    ti = context["ti"]
    # Clearing a task adds its retries to those that it has used: Airflow itself reckons so.
    first_try = int(ti.max_tries or 0) - retries + 1
    return Attempt(
        dag_id=ti.dag_id,
        run_id=str(ti.run_id),
        task_id=ti.task_id,
        map_index=-1 if ti.map_index is None else ti.map_index,
        try_number=ti.try_number,
        first_try=min(max(1, first_try), max(1, ti.try_number)),
    )


def _find(client: CodeOceanClient, keys: Sequence[str]) -> list[str]:
    from airflow_provider_codeocean.api.models.data_asset_params import DataAssetSearchParams

    query = " ".join(f"tag:{key}" for key in keys)
    found = [
        asset
        for archived in (False, True)
        for asset in client.data_assets.search_all(
            DataAssetSearchParams(query=query, archived=archived, limit=100)
        )
    ]
    # Whatever a server takes a query for: what does not carry the tag is not ours.
    return [asset.id for asset in found if not set(keys).isdisjoint(map(str.lower, asset.tags))]


def _look(client: CodeOceanClient, data_asset_id: str) -> DataAsset | None:
    try:
        return client.data_assets.get(data_asset_id)
    except NotFound:
        return None


def _remove(client: CodeOceanClient, data_asset_id: str, instead: str) -> None:
    log.warning("Two tries made a data asset each: %s stays, %s is removed", instead, data_asset_id)
    try:
        log.info("%s", remove_data_asset(client, data_asset_id, even_if_ready=True))
    except CodeOceanError as error:
        log.warning("Data asset %s could not be removed and is one too many: %s", data_asset_id, error)
