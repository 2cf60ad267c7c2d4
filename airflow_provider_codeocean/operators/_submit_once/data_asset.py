"""Job type of data assets. A data asset has the idempotency key as a tag."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from typing_extensions import override

from airflow_provider_codeocean.api.errors import CodeOceanError, NotFound
from airflow_provider_codeocean.api.models.data_asset import DataAsset
from airflow_provider_codeocean.api.models.states import DataAssetType
from airflow_provider_codeocean.deletion import data_asset_deletion
from airflow_provider_codeocean.operators._submit_once.runner import SubmissionRunner
from airflow_provider_codeocean.outcomes import data_asset_outcome
from airflow_provider_codeocean.submission.commands import FindResult
from airflow_provider_codeocean.submission.keys import extract_key, is_key

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_provider_codeocean.api.client import CodeOceanClient
    from airflow_provider_codeocean.api.models.data_asset_params import DataAssetParams
    from airflow_provider_codeocean.submission.commands import FindByKey

log = logging.getLogger(__name__)


class DataAssetJob(SubmissionRunner[DataAsset, "DataAssetParams"]):
    """Submits a data asset once.

    :param *args: arguments of :class:`.SubmissionRunner`.
    :param is_name_known: whether the parameters contain the final name and mount.
    :param **options: keyword arguments of :class:`.SubmissionRunner`.
    """

    noun = "data asset"
    job_model = DataAsset
    key_location = "it has the tag"
    outcome = staticmethod(data_asset_outcome)
    deletion = staticmethod(data_asset_deletion)

    def __init__(self, *args: Any, is_name_known: bool = True, **options: Any) -> None:
        super().__init__(*args, **options)
        self._is_name_known = is_name_known

    @override
    def find(self, client: CodeOceanClient, command: FindByKey) -> FindResult:
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
        for result in listed:
            try:
                asset = result if _includes_tags(result) else self.get(client, result.id)
            except NotFound:  # perhaps not visible yet: the protocol reads it again
                own.append(result.id)
                continue
            # Servers may match parts of a tag, so compare the complete key.
            if not _extract_keys(asset).isdisjoint(command.keys):
                (own if _has_same_source(asset, self._params) else others).append(asset.id)
        if others:
            log.warning("Ignoring data assets with this task's key but another source: %s", ", ".join(others))
        return FindResult(own)

    @override
    def get(self, client: CodeOceanClient, external_id: str) -> DataAsset:
        return client.data_assets.get(external_id)

    @override
    def submit(self, client: CodeOceanClient, params: DataAssetParams) -> DataAsset:
        asset = self.job = client.data_assets.create(
            params.model_copy(update={"tags": [*_user_tags(params.tags), self.idempotency_key]})
        )
        log.info("Created data asset %s (%r)", asset.id, asset.name)
        try:
            self.verify(asset if _includes_tags(asset) else self.get(client, asset.id))
        except CodeOceanError as error:  # it is verified again after the wait
            log.info("Data asset %s: could not verify its tags: %s", asset.id, error)
        return asset

    @override
    def has_key(self, job: DataAsset) -> bool:
        return self.idempotency_key in map(str.lower, job.tags)

    @override
    def describe_differences(self, job: DataAsset, params: DataAssetParams) -> list[str]:
        return [
            f"{name} {actual!r} instead of {wanted!r}"
            for name, actual, wanted in (
                ("name", job.name, params.name),
                ("mount", job.mount, params.mount),
                ("description", job.description or "", params.description or ""),
                ("tags", sorted({*_user_tags(job.tags)}), sorted({*_user_tags(params.tags)})),
            )
            if actual != wanted and (self._is_name_known or name not in {"name", "mount"})
        ]

    @override
    def describe(self, job: DataAsset) -> str:
        size = "" if job.files is None else f", {job.files} files, {job.size} bytes"
        return f"{job.id} ({job.state}{size})"


def _includes_tags(asset: DataAsset) -> bool:
    """Return whether a response includes the tags."""
    return "tags" in asset.model_fields_set


def _extract_keys(asset: DataAsset) -> set[str | None]:
    """Return the keys in the tags, with or without a prefix that the server has added."""
    return set(map(extract_key, asset.tags)) | set(map(str.lower, asset.tags))


def _user_tags(tags: Sequence[str]) -> list[str]:
    """Return the tags that are not keys."""
    return [tag for tag in tags if not is_key(tag)]


def _has_same_source(asset: DataAsset, params: DataAssetParams) -> bool:
    """Return whether the parameters may have created a data asset: its tag may be a copy."""
    if asset.type is not None and (asset.type == DataAssetType.COMBINED) is not bool(params.data_asset_ids):
        return False
    source = params.source.computation if params.source else None
    actual = asset.provenance.computation if asset.provenance else None
    return source is None or actual is None or actual.lower() == source.id.lower()
