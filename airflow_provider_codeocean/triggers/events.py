"""Triggers for asset watchers: computations that have finished, data assets that have become ready.

Airflow has asset watchers from 3.0 on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args

from airflow_provider_codeocean.events.filters import (
    TOLD_OF_COMPUTATIONS,
    TOLD_OF_DATA_ASSETS,
    EndStatus,
    described,
    ended,
    has_ended_as,
    ready,
)
from airflow_provider_codeocean.polling.watches import ComputationsWatch, DataAssetsWatch
from airflow_provider_codeocean.submission.keys import extract_key
from airflow_provider_codeocean.triggers._event_base import CodeOceanWatchTriggerBase
from airflow_provider_codeocean.validation import (
    check_choice,
    check_flags,
    check_identifier_early,
    check_no_template,
    check_one_of,
    checked,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow_provider_codeocean.api.models.computation import Computation
    from airflow_provider_codeocean.api.models.data_asset import DataAsset

#: What of a search is not for a DAG's author to say: all pages are asked for.
_OF_THE_WATCH = frozenset({"offset", "limit", "next_token"})


class CodeOceanComputationsFinishedTrigger(CodeOceanWatchTriggerBase):
    """Tell of computations of a capsule or pipeline that have finished.

    Source: ``GET capsules/{id}/computations``, one request a look. Cloud workstations are left out.

    An event's payload has ``capsule_id`` and ``pipeline_id``, of which one is None, and ``computations``: a
    list, the oldest first, of ``id``, ``name``, ``created``, ``run_time``, ``state``, ``end_status``,
    ``exit_code``, ``has_results``, ``owner``, ``parameters``, ``data_assets`` and ``nextflow_profile``.

    :param capsule_id: id of the capsule; either this or ``pipeline_id``.
    :param pipeline_id: id of the pipeline.
    :param status: tell of those that have ``succeeded``, that have ``failed`` (or were stopped), or of
        ``any``.
    :param include_own: also report computations that a task of this provider submitted: their display names
        contain an idempotency key.
    :param **kwargs: what every trigger takes that watches: see
        :class:`~airflow_provider_codeocean.triggers._event_base.CodeOceanWatchTriggerBase`.
    """

    def __init__(
        self,
        *,
        capsule_id: str | None = None,
        pipeline_id: str | None = None,
        status: EndStatus = "succeeded",
        include_own: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        which = check_one_of(capsule_id=capsule_id, pipeline_id=pipeline_id)
        check_identifier_early(which, capsule_id if which == "capsule_id" else pipeline_id)
        self.capsule_id = check_no_template("capsule_id", capsule_id)
        self.pipeline_id = check_no_template("pipeline_id", pipeline_id)
        check_choice("status", status, get_args(EndStatus))
        self.status: EndStatus = status
        check_flags(include_own=include_own)
        self.include_own = include_own

    def arguments(self) -> dict[str, Any]:
        """Return the arguments of its own, as JSON values."""
        return {
            "capsule_id": self.capsule_id,
            "pipeline_id": self.pipeline_id,
            "status": self.status,
            "include_own": self.include_own,
        }

    def new_watch(self) -> ComputationsWatch:
        """Make the watch."""
        root = "capsules" if self.capsule_id else "pipelines"
        watched = self.capsule_id or self.pipeline_id or ""
        return ComputationsWatch(root, watched, poll_interval=self.poll_interval)

    def choose(self, found: Sequence[Computation]) -> list[Computation]:
        """Choose those that have ended; see the base class."""
        return ended(found, self.since)

    def is_wanted(self, one: Computation) -> bool:
        """Return whether it has ended as requested, and is not an own one to skip; see the base class."""
        return has_ended_as(one, self.status) and (self.include_own or extract_key(one.name) is None)

    def payload(self, new: Sequence[Computation]) -> dict[str, Any]:
        """Return what the event says; see the base class."""
        return {
            "capsule_id": self.capsule_id,
            "pipeline_id": self.pipeline_id,
            "computations": [described(each, TOLD_OF_COMPUTATIONS) for each in new],
        }


class CodeOceanDataAssetsReadyTrigger(CodeOceanWatchTriggerBase):
    """Tell of data assets that match a search and have become ready.

    Source: ``POST data_assets/search``, a request a look for each thousand that match: search for little.

    An event's payload has the ``params`` and ``data_assets``: a list, the oldest first, of ``id``, ``name``,
    ``created``, ``type``, ``mount``, ``tags``, ``size``, ``files``, ``custom_metadata`` and ``provenance``.

    :param params: what to search for: the fields of a search of Code Ocean's API (``query``, ``filters``,
        ``type`` and so on), as JSON values.
    :param **kwargs: what every trigger takes that watches: see
        :class:`~airflow_provider_codeocean.triggers._event_base.CodeOceanWatchTriggerBase`.
    """

    def __init__(self, params: Mapping[str, Any], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        from airflow_provider_codeocean.api.models.data_asset_params import DataAssetSearchParams

        # Airflow has params of its own.
        self.search_params = checked(DataAssetSearchParams, {"": "params"}, params).to_json()
        check_no_template("params", self.search_params)
        for name in _OF_THE_WATCH & self.search_params.keys():
            raise ValueError(f"params: {name!r} is given by the trigger itself")

    def arguments(self) -> dict[str, Any]:
        """Return the arguments of its own, as JSON values."""
        return {"params": self.search_params}

    def new_watch(self) -> DataAssetsWatch:
        """Make the watch."""
        return DataAssetsWatch(self.search_params, poll_interval=self.poll_interval)

    def choose(self, found: Sequence[DataAsset]) -> list[DataAsset]:
        """Choose those that are ready; see the base class."""
        return ready(found, self.since)

    def payload(self, new: Sequence[DataAsset]) -> dict[str, Any]:
        """Return what the event says; see the base class."""
        return {
            "params": self.search_params,
            "data_assets": [described(each, TOLD_OF_DATA_ASSETS) for each in new],
        }
