"""Links from a task in Airflow's UI to what it is about in Code Ocean."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from airflow.providers.common.compat.sdk import BaseOperatorLink, XCom

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context, TaskInstanceKey


class CodeOceanDataAssetLink(BaseOperatorLink):
    """Opens the data asset in Code Ocean: as soon as the task knows its id, also while it waits."""

    name = "Open in Code Ocean"

    @property
    def xcom_key(self) -> str:
        """The XCom that holds the address: Airflow 3 shows what it holds, without asking :meth:`get_link`."""
        return "codeocean_data_asset_url"

    def get_link(self, operator: Any, *, ti_key: TaskInstanceKey) -> str:  # noqa: ARG002
        """Return the address that the task has remembered, or an empty string."""
        return XCom.get_value(ti_key=ti_key, key=self.xcom_key) or ""

    def remember(self, context: Context, url: str) -> None:
        """Keep the address for the link to show.

        :param context: context of the running task.
        :param url: the address.
        """
        context["ti"].xcom_push(key=self.xcom_key, value=url)


def data_asset_url(deployment: str, data_asset_id: str) -> str:
    """Return the address of a data asset's page.

    :param deployment: address of the deployment, without a slash at the end.
    :param data_asset_id: id of the data asset.
    :returns: the address.
    """
    return f"{deployment}/data-assets/{quote(data_asset_id, safe='')}"
