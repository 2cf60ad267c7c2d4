"""Mixins of operators that report lineage and asset events."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AssetAlias

from airflow_provider_codeocean.assets import asset_event_extra, create_asset
from airflow_provider_codeocean.compat.assets import alias_event_extra, hook_lineage_collector, is_asset
from airflow_provider_codeocean.hooks.codeocean import CodeOceanHook

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_codeocean.api.models.data_asset import DataAsset
    from airflow_provider_codeocean.lineage.model import TaskLineage

log = logging.getLogger(__name__)


def emit_hook_lineage(hook: CodeOceanHook, build_lineage: Callable[[], TaskLineage]) -> None:
    """Report lineage to Airflow's hook-level lineage, if a plugin reads it."""
    try:
        collector = hook_lineage_collector()
        if collector is None:
            return
        lineage = build_lineage()
        for dataset in lineage.inputs:
            collector.add_input_asset(hook, uri=dataset.uri)
        for dataset in lineage.outputs:
            collector.add_output_asset(hook, uri=dataset.uri)
    except Exception as error:  # noqa: BLE001 - lineage must not fail a task that has done its work
        log.warning("Could not report hook-level lineage to Airflow: %s", error)


class LineageMixin:
    """Mixin of operators that report lineage to OpenLineage and to Airflow's hook-level lineage."""

    codeocean_conn_id: str
    _build_lineage: Callable[[], TaskLineage] | None = None

    def set_lineage(self, build_lineage: Callable[[], TaskLineage]) -> None:
        """Set the lineage of the task."""
        self._build_lineage = build_lineage
        emit_hook_lineage(CodeOceanHook(self.codeocean_conn_id), build_lineage)

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> Any:  # noqa: ARG002 - OpenLineage's
        """Return the lineage for the OpenLineage provider, which calls it after the task has ended.

        :param task_instance: the task instance.
        :returns: an ``OperatorLineage``; empty if the task has set no lineage.
        """
        from airflow_provider_codeocean.lineage.openlineage import operator_lineage

        return operator_lineage(None if self._build_lineage is None else self._build_lineage())


class AssetEventMixin(LineageMixin):
    """Mixin of operators that create or change a data asset: adds it to the events of the task's outlets."""

    codeocean_url: str | None
    outlets: list[Any]

    def add_asset_event(
        self,
        context: Context,
        deployment: str,
        asset: DataAsset,
        *,
        has_succeeded: bool,
        capsule_id: str | None = None,
    ) -> None:
        """Add a data asset to the events that Airflow creates when the task succeeds.

        The event of an asset outlet gets the data asset's fields. An alias outlet gets an event for the data
        asset itself, but only if ``has_succeeded``.

        :param context: context of the running task.
        :param deployment: URL of the deployment.
        :param asset: the data asset.
        :param has_succeeded: whether the job has succeeded, and was not only submitted.
        :param capsule_id: capsule or pipeline that created it, if its provenance does not name it.
        """
        if not self.outlets:
            return
        extra = asset_event_extra(asset, url=self.codeocean_url or "", capsule_id=capsule_id)
        for outlet in self.outlets:
            if is_asset(outlet):
                context["outlet_events"][outlet].extra.update(extra)
            elif isinstance(outlet, AssetAlias) and has_succeeded:
                created = create_asset(host=deployment, data_asset_id=asset.id)
                context["outlet_events"][outlet].add(created, extra=alias_event_extra(extra))
