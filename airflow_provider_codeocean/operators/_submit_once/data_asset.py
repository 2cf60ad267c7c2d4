"""How a task submits a data asset and finds it again: the data asset carries the idempotency key as a tag."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from airflow_provider_codeocean.api.errors import CodeOceanError
from airflow_provider_codeocean.api.models.data_asset import DataAsset, DataAssetType
from airflow_provider_codeocean.deletion import Removed, remove_data_asset
from airflow_provider_codeocean.operators._submit_once.runner import SubmissionRunner
from airflow_provider_codeocean.outcomes import Verdict, data_asset_verdict
from airflow_provider_codeocean.submission.commands import FindResult
from airflow_provider_codeocean.submission.keys import extract_key, is_key

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_provider_codeocean.api.client import CodeOceanClient
    from airflow_provider_codeocean.api.models.data_asset_params import DataAssetParams
    from airflow_provider_codeocean.hooks.codeocean import CodeOceanHook
    from airflow_provider_codeocean.submission.commands import FindByKey
    from airflow_provider_codeocean.submission.protocol import SubmitOnce

log = logging.getLogger(__name__)


class DataAssetJob(SubmissionRunner[DataAsset, "DataAssetParams"]):
    """Submits a data asset once.

    :param hook: see :class:`SubmissionRunner`.
    :param once: see :class:`SubmissionRunner`.
    :param params: see :class:`SubmissionRunner`.
    :param name_is_known: whether the requested name is the one that the data asset gets.
    :param **options: the other arguments of :class:`SubmissionRunner`.
    """

    what = "data asset"
    model = DataAsset
    carries = "it has the tag"

    def __init__(
        self,
        hook: CodeOceanHook,
        once: SubmitOnce[DataAsset],
        params: DataAssetParams,
        *,
        name_is_known: bool = True,
        **options: Any,
    ) -> None:
        super().__init__(hook, once, params, **options)
        self._name_is_known = name_is_known

    @staticmethod
    def verdict(job: DataAsset) -> Verdict:
        """Return its outcome; see the base class."""
        return data_asset_verdict(job)

    @staticmethod
    def remove(
        client: CodeOceanClient, external_id: str, *, even_if_done: bool, submitted_at: float | None = None
    ) -> Removed:
        """Delete it; see the base class."""
        return remove_data_asset(client, external_id, even_if_ready=even_if_done, submitted_at=submitted_at)

    def find(self, client: CodeOceanClient, command: FindByKey) -> FindResult:
        """Find the data assets with one of the keys; see the base class."""
        from airflow_provider_codeocean.api.models.data_asset_params import DataAssetSearchParams

        query = " ".join(f"tag:{key}" for key in command.keys)
        listed = [
            asset
            for archived in (False, True)
            for asset in client.data_assets.search_all(
                DataAssetSearchParams(query=query, archived=archived, limit=100)
            )
        ]
        own: list[str] = []
        others: list[str] = []
        for line in listed:
            asset = line if _has_tags(line) else self._get(client, line.id)
            if asset is None:  # not visible yet, perhaps: the protocol reads it again
                own.append(line.id)
            # Whatever a server understands by the query: a data asset without the complete key is not ours.
            elif not _keys_of(asset).isdisjoint(command.keys):
                (own if _may_be_of(asset, self._params) else others).append(asset.id)
        if others:
            log.warning("Data assets with this task's key, but made of something else: %s", ", ".join(others))
        return FindResult(own)

    def get(self, client: CodeOceanClient, external_id: str) -> DataAsset:
        """Read a data asset; see the base class."""
        return client.data_assets.get(external_id)

    def submit(self, client: CodeOceanClient, params: DataAssetParams) -> DataAsset:
        """Create a data asset; see the base class."""
        asset = self.job = client.data_assets.create(
            params.model_copy(update={"tags": [*_descriptive(params.tags), self.key]})
        )
        log.info("Created data asset %s (%r)", asset.id, asset.name)
        try:
            self.verify(asset if _has_tags(asset) else self.get(client, asset.id))
        except CodeOceanError as error:  # it is verified once more when the wait is over
            log.info("Data asset %s could not be read to verify its tags: %s", asset.id, error)
        return asset

    def has_key(self, job: DataAsset) -> bool:
        """Return whether it has the key as a tag of its own; see the base class."""
        return self.key in map(str.lower, job.tags)

    def differences(self, job: DataAsset, params: DataAssetParams) -> list[str]:
        """Return how an adopted data asset differs; see the base class."""
        return [
            f"{name} {actual!r} instead of {wanted!r}"
            for name, actual, wanted in (
                ("name", job.name, params.name),
                ("mount", job.mount, params.mount),
                ("description", job.description or "", params.description or ""),
                ("tags", sorted({*_descriptive(job.tags)}), sorted({*_descriptive(params.tags)})),
            )
            if actual != wanted and (self._name_is_known or name not in {"name", "mount"})
        ]

    def describe(self, job: DataAsset) -> str:
        """Return its id, its state and, once it is known, its size; see the base class."""
        size = "" if job.files is None else f", {job.files} files, {job.size} bytes"
        return f"{job.id} ({job.state}{size})"


def _has_tags(asset: DataAsset) -> bool:
    """Return whether a response includes the tags."""
    return "tags" in asset.model_fields_set


def _keys_of(asset: DataAsset) -> set[str | None]:
    """Return the keys among the tags, also if the server has put a prefix before them."""
    return set(map(extract_key, asset.tags)) | set(map(str.lower, asset.tags))


def _descriptive(tags: Sequence[str]) -> list[str]:
    """Return the tags that describe a data asset: not the keys, which may be copied with them."""
    return [tag for tag in tags if not is_key(tag)]


def _may_be_of(asset: DataAsset, params: DataAssetParams) -> bool:
    """Return whether a data asset may be the result of the parameters. A tag can be copied."""
    if asset.type is not None and (asset.type == DataAssetType.COMBINED) is not bool(params.data_asset_ids):
        return False
    source = params.source.computation if params.source else None
    actual = asset.provenance.computation if asset.provenance else None
    return source is None or actual is None or actual.lower() == source.id.lower()
