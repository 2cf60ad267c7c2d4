"""What operators tell of the data that they have read and made: asset events, and lineage."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AssetAlias

from airflow_provider_codeocean.assets import create_asset, event_of
from airflow_provider_codeocean.compat.assets import is_asset, told_under_alias
from airflow_provider_codeocean.hooks.codeocean import CodeOceanHook
from airflow_provider_codeocean.lineage.hook_lineage import collect

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_codeocean.api.models.data_asset import DataAsset
    from airflow_provider_codeocean.lineage.model import Flow


class TellsLineage:
    """Mixin of a task that data flows through: tells Airflow's hook-level lineage, and OpenLineage, of it."""

    codeocean_conn_id: str
    _flow: Callable[[], Flow] | None = None

    def tell_lineage(self, flow: Callable[[], Flow]) -> None:
        """Tell what the task has read and made.

        :param flow: tells it, without requests; it is asked where somebody wants to know.
        """
        self._flow = flow
        collect(CodeOceanHook(self.codeocean_conn_id), flow)

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> Any:  # noqa: ARG002 - OpenLineage's
        """Tell OpenLineage, where its provider is there, in the process that has ended the task.

        :param task_instance: the task instance.
        :returns: an ``OperatorLineage``; empty where nothing was made.
        """
        from airflow_provider_codeocean.lineage.openlineage import operator_lineage

        return operator_lineage(None if self._flow is None else self._flow())


class AnnouncesDataAsset(TellsLineage):
    """Mixin of a task that makes or moves a data asset: adds it to the events of the task's outlets."""

    codeocean_url: str | None
    outlets: list[Any]

    def announce(
        self,
        context: Context,
        deployment: str,
        asset: DataAsset,
        *,
        done: bool,
        capsule_id: str | None = None,
    ) -> None:
        """Add a data asset to the events that Airflow makes where the task ends with success.

        An alias gets an event of the data asset's own, but only where it is ready; an asset gets what the
        event tells.

        :param context: context of the running task.
        :param deployment: address of the deployment.
        :param asset: the data asset.
        :param done: whether what the task is for is over, and not only begun.
        :param capsule_id: capsule or pipeline that made it, where the data asset does not tell.
        """
        event = None
        for outlet in self.outlets:
            if event is None:
                event = event_of(asset, url=self.codeocean_url or "", capsule_id=capsule_id)
            if is_asset(outlet):
                context["outlet_events"][outlet].extra.update(event)
            elif isinstance(outlet, AssetAlias) and done:
                made = create_asset(host=deployment, data_asset_id=asset.id)
                context["outlet_events"][outlet].add(made, extra=told_under_alias(event))
