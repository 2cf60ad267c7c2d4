"""How a capture makes a data asset, and finds it again: it carries its key as a tag."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from airflow_provider_codeocean.api.models.data_asset import DataAsset, DataAssetType
from airflow_provider_codeocean.capture.key import is_key
from airflow_provider_codeocean.capture.steps import Found
from airflow_provider_codeocean.hooks.capture import Capturing
from airflow_provider_codeocean.removal import Removed, remove_data_asset
from airflow_provider_codeocean.states import Verdict, data_asset_verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_provider_codeocean.api.client import CodeOceanClient
    from airflow_provider_codeocean.api.models.data_asset_params import DataAssetParams
    from airflow_provider_codeocean.capture.once import CaptureOnce
    from airflow_provider_codeocean.capture.steps import Find
    from airflow_provider_codeocean.hooks.codeocean import CodeOceanHook

log = logging.getLogger(__name__)


class DataAssetCapturing(Capturing[DataAsset, "DataAssetParams"]):
    """Makes a data asset once.

    :param hook: see :class:`Capturing`.
    :param once: see :class:`Capturing`.
    :param asked: see :class:`Capturing`.
    :param name_is_known: whether the name that was asked for is the one that it gets.
    :param **options: what :class:`Capturing` takes beyond that.
    """

    what = "data asset"
    model = DataAsset
    carries = "it has the tag"

    def __init__(
        self,
        hook: CodeOceanHook,
        once: CaptureOnce[DataAsset],
        asked: DataAssetParams,
        *,
        name_is_known: bool = True,
        **options: Any,
    ) -> None:
        super().__init__(hook, once, asked, **options)
        self._name_is_known = name_is_known

    @staticmethod
    def verdict(made: DataAsset) -> Verdict:
        """Tell what its state means; see the base class."""
        return data_asset_verdict(made)

    @staticmethod
    def remove(client: CodeOceanClient, made_id: str, *, even_if_done: bool) -> Removed:
        """Delete it; see the base class."""
        return remove_data_asset(client, made_id, even_if_ready=even_if_done)

    def find(self, client: CodeOceanClient, step: Find) -> Found:
        """Find what carries one of the keys; see the base class."""
        from airflow_provider_codeocean.api.models.data_asset_params import DataAssetSearchParams

        query = " ".join(f"tag:{key}" for key in step.keys)
        found = [
            asset
            for archived in (False, True)
            for asset in client.data_assets.search_all(
                DataAssetSearchParams(query=query, archived=archived, limit=100)
            )
        ]
        # Whatever a server takes a query for: what does not carry the tag is not ours.
        tagged = [asset for asset in found if not set(step.keys).isdisjoint(map(str.lower, asset.tags))]
        ours = [asset.id for asset in tagged if _may_be_of(asset, self._asked)]
        if others := [asset.id for asset in tagged if asset.id not in ours]:
            log.warning("With this capture's tag, but made of something else: %s", ", ".join(others))
        return Found(ours)

    def look(self, client: CodeOceanClient, made_id: str) -> DataAsset:
        """Read one; see the base class."""
        return client.data_assets.get(made_id)

    def create(self, client: CodeOceanClient, params: DataAssetParams) -> DataAsset:
        """Make one; see the base class."""
        made = self.begun = client.data_assets.create(
            params.model_copy(update={"tags": [*_described(params.tags), self.key]})
        )
        log.info("Created data asset %s (%r)", made.id, made.name)
        return made

    def differences(self, made: DataAsset, asked: DataAssetParams) -> list[str]:
        """Say in what an adopted one differs; see the base class."""
        return [
            f"{name} {has!r} instead of {wanted!r}"
            for name, has, wanted in (
                ("name", made.name, asked.name),
                ("mount", made.mount, asked.mount),
                ("description", made.description or "", asked.description or ""),
                ("tags", sorted({*_described(made.tags)}), sorted({*_described(asked.tags)})),
            )
            if has != wanted and (self._name_is_known or name not in {"name", "mount"})
        ]

    def describe(self, made: DataAsset) -> str:
        """Return its id, its state and, once it is known, its size; see the base class."""
        size = "" if made.files is None else f", {made.files} files, {made.size} bytes"
        return f"{made.id} ({made.state}{size})"


def _described(tags: Sequence[str]) -> list[str]:
    """Return the tags that describe a data asset: keys of captures, which may be copied with them, do not."""
    return [tag for tag in tags if not is_key(tag)]


def _may_be_of(made: DataAsset, asked: DataAssetParams) -> bool:
    """Tell whether a data asset may have been made as asked, as far as the API tells. A tag can be copied."""
    if made.type is not None and (made.type == DataAssetType.COMBINED) is not bool(asked.data_asset_ids):
        return False
    source = asked.source.computation if asked.source else None
    told = made.provenance.computation if made.provenance else None
    return source is None or told is None or told == source.id
