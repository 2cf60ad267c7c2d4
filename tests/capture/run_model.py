"""The same model for what gets its key only after it was made, as a computation gets its name."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow_provider_codeocean.capture.steps import Create, Find, Step
from airflow_provider_codeocean.hooks.capture_computation import CLOCKS_DIFFER, NAMED_WITHIN
from tests.capture.model import CaptureModel, Try

if TYPE_CHECKING:
    from airflow_provider_codeocean.api.models.data_asset import DataAsset


class RunModel(CaptureModel):
    """Things are made without a key, and get it in a step of its own, before which a process may die.

    Left out is what cannot be recognised, and the documentation says so: what a process has made that dies
    before it has marked it, while another try of the same task is alive.
    """

    marking: dict[int, DataAsset]

    def start(self) -> None:
        """The next try begins."""
        self.marking = getattr(self, "marking", {})
        self.on_existing = "adopt"
        super().start()

    def _kill(self, victim: Try) -> None:
        made = self.marking.pop(victim.number, None)
        alone = self.living == [victim] and victim is self.task.tries[-1]
        if made is not None and not alone:
            self._mark(made.id, victim.once.keys.own)
        if not alone:
            victim.arrives_by = None
        super()._kill(victim)

    def _create(self, key: str, result: str) -> DataAsset:
        unmarked = self.params.model_copy(update={"name": result, "tags": []})
        return self.client.data_assets.create(unmarked)

    def _send(self, each: Try, answer: Any) -> None:
        if isinstance(each.pending, Create) and answer is not None:
            self.marking[each.number] = answer
        else:
            super()._send(each, answer)

    def _step(self, each: Try, request: str = "answered") -> None:
        made = self.marking.pop(each.number, None)
        if made is None:
            super()._step(each, request)
        else:
            self._mark(made.id, each.once.keys.own)
            super()._send(each, made)

    def _mark(self, made_id: str, key: str) -> None:
        shelf = self.server.store.data_assets
        made = shelf.get(made_id)
        if made is not None:
            shelf.put(replace(made, tags=[key]))

    def _carry_out(self, step: Step) -> Any:
        if not isinstance(step, Find):
            return super()._carry_out(step)
        mine = [
            asset
            for asset in self.server.store.data_assets.all()
            if asset.name.startswith(f"{self.task.run_id},")
        ]
        ours = [asset for asset in mine if not set(step.keys).isdisjoint(asset.tags)]
        if step.unmarked_since is not None:
            since = max([step.unmarked_since - CLOCKS_DIFFER, *(asset.created for asset in ours)])
            latest = self.clock.now() - NAMED_WITHIN
            nameless = [each for each in mine if not each.tags and since <= each.created <= latest]
            for asset in sorted(nameless, key=lambda asset: (asset.created, asset.id))[:1]:
                self._mark(asset.id, step.keys[0])
                ours.append(asset)
        return [asset.id for asset in ours]
