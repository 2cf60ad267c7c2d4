"""Triggers for asset watchers (Airflow 3.0 and later)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args

from typing_extensions import override

from airflow_provider_codeocean.events.filters import (
    COMPUTATION_EVENT_FIELDS,
    DATA_ASSET_EVENT_FIELDS,
    StatusFilter,
    matches_filters,
    select_ready_data_assets,
    select_terminal_computations,
    to_event_item,
)
from airflow_provider_codeocean.polling.watches import ComputationsWatch, DataAssetsWatch
from airflow_provider_codeocean.triggers._event_base import CodeOceanWatchTriggerBase
from airflow_provider_codeocean.validation import (
    build_params_model,
    check_choice,
    check_exactly_one,
    check_flags,
    check_no_template,
    check_unrendered_identifier,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow_provider_codeocean.api.models.computation import Computation
    from airflow_provider_codeocean.api.models.data_asset import DataAsset

#: Fields of a search that the trigger sets, as it reads all pages.
_RESERVED_SEARCH_FIELDS = frozenset({"offset", "limit", "next_token"})


class CodeOceanComputationsFinishedTrigger(CodeOceanWatchTriggerBase):
    """Report computations of a capsule or pipeline that have finished, without cloud workstations.

    Source: ``GET capsules/{id}/computations``, one request per poll.

    The payload of an event has ``capsule_id`` and ``pipeline_id``, one of which is None, and
    ``computations``: a list, the oldest first, with ``id``, ``name``, ``created``, ``run_time``, ``state``,
    ``end_status``, ``exit_code``, ``has_results``, ``owner``, ``parameters``, ``data_assets``, and
    ``nextflow_profile``.

    :param capsule_id: id of the capsule; either this or ``pipeline_id``.
    :param pipeline_id: id of the pipeline.
    :param status: report computations that have ``succeeded``, that have ``failed`` (or were stopped), or
        ``any``.
    :param include_own: also report computations that a task of this provider submitted: their display names
        contain an idempotency key.
    :param **kwargs: arguments of
        :class:`~airflow_provider_codeocean.triggers._event_base.CodeOceanWatchTriggerBase`.
    """

    def __init__(
        self,
        *,
        capsule_id: str | None = None,
        pipeline_id: str | None = None,
        status: StatusFilter = "succeeded",
        include_own: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        name = check_exactly_one(capsule_id=capsule_id, pipeline_id=pipeline_id)
        check_unrendered_identifier(name, capsule_id if name == "capsule_id" else pipeline_id)
        self.capsule_id = check_no_template("capsule_id", capsule_id)
        self.pipeline_id = check_no_template("pipeline_id", pipeline_id)
        check_choice("status", status, get_args(StatusFilter))
        self.status: StatusFilter = status
        check_flags(include_own=include_own)
        self.include_own = include_own

    @override
    def trigger_kwargs(self) -> dict[str, Any]:
        return {
            "capsule_id": self.capsule_id,
            "pipeline_id": self.pipeline_id,
            "status": self.status,
            "include_own": self.include_own,
        }

    @override
    def build_watch(self) -> ComputationsWatch:
        path_prefix = "capsules" if self.capsule_id else "pipelines"
        resource_id = self.capsule_id or self.pipeline_id or ""
        return ComputationsWatch(path_prefix, resource_id, poll_interval=self.poll_interval)

    @override
    def select(self, results: Sequence[Computation]) -> list[Computation]:
        return select_terminal_computations(results, self.since)

    @override
    def matches(self, result: Computation) -> bool:
        return matches_filters(result, self.status, include_own=self.include_own)

    @override
    def build_payload(self, results: Sequence[Computation]) -> dict[str, Any]:
        return {
            "capsule_id": self.capsule_id,
            "pipeline_id": self.pipeline_id,
            "computations": [to_event_item(result, COMPUTATION_EVENT_FIELDS) for result in results],
        }


class CodeOceanDataAssetsReadyTrigger(CodeOceanWatchTriggerBase):
    """Report data assets that match a search and have become ready.

    Source: ``POST data_assets/search``, one request per poll and 1,000 matches: use a narrow search.

    The payload of an event has the ``params`` and ``data_assets``: a list, the oldest first, with ``id``,
    ``name``, ``created``, ``type``, ``mount``, ``tags``, ``size``, ``files``, ``custom_metadata``, and
    ``provenance``.

    :param params: fields of a search of Code Ocean's API (such as ``query``, ``filters``, and ``type``), as
        JSON values.
    :param **kwargs: arguments of
        :class:`~airflow_provider_codeocean.triggers._event_base.CodeOceanWatchTriggerBase`.
    """

    def __init__(self, params: Mapping[str, Any], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        from airflow_provider_codeocean.api.models.data_asset_params import DataAssetSearchParams

        # ``params`` is an attribute of Airflow's triggers.
        self.search_params = build_params_model(DataAssetSearchParams, {"": "params"}, params).to_json()
        check_no_template("params", self.search_params)
        for name in _RESERVED_SEARCH_FIELDS & self.search_params.keys():
            raise ValueError(f"params: remove {name!r}, which the trigger sets itself")

    @override
    def trigger_kwargs(self) -> dict[str, Any]:
        return {"params": self.search_params}

    @override
    def build_watch(self) -> DataAssetsWatch:
        return DataAssetsWatch(self.search_params, poll_interval=self.poll_interval)

    @override
    def select(self, results: Sequence[DataAsset]) -> list[DataAsset]:
        return select_ready_data_assets(results, self.since)

    @override
    def build_payload(self, results: Sequence[DataAsset]) -> dict[str, Any]:
        return {
            "params": self.search_params,
            "data_assets": [to_event_item(result, DATA_ASSET_EVENT_FIELDS) for result in results],
        }
