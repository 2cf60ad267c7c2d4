"""Links from a task in Airflow's UI to what it is about in Code Ocean."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from airflow.providers.common.compat.sdk import BaseOperatorLink, XCom

if TYPE_CHECKING:
    from collections.abc import Collection

    from airflow.providers.common.compat.sdk import Context, TaskInstanceKey


class CodeOceanLinkBase(BaseOperatorLink):
    """Opens what a task is about in Code Ocean: as soon as the task knows it, also while it waits."""

    name = "Open in Code Ocean"

    def get_link(self, operator: Any, *, ti_key: TaskInstanceKey) -> str:
        """Return the address, or an empty string where there is none yet."""
        known: str | None = getattr(operator, "codeocean_url", None)
        if known is None:  # not in the process that ran the task
            known = XCom.get_value(ti_key=ti_key, key=self.xcom_key)
        return known or ""


class CodeOceanDataAssetLink(CodeOceanLinkBase):
    """Opens the data asset."""

    @property
    def xcom_key(self) -> str:
        """The XCom that holds the address: Airflow 3 shows what it holds, without asking :meth:`get_link`."""
        return "codeocean_data_asset_url"


class CodeOceanCapsuleLink(CodeOceanLinkBase):
    """Opens the capsule or pipeline that is run."""

    @property
    def xcom_key(self) -> str:
        """The XCom that holds the address: Airflow 3 shows what it holds, without asking :meth:`get_link`."""
        return "codeocean_capsule_url"


class ShowsDataAsset:
    """Mixin of a task that is about one data asset: keeps its address for the link to show.

    :ivar codeocean_url: the address; empty while the task knows none, None in a process that does not run it.
    """

    operator_extra_links: Collection[BaseOperatorLink] = (CodeOceanDataAssetLink(),)
    ui_color = "#e8f1fb"
    codeocean_url: str | None = None

    def show_data_asset(self, context: Context, deployment: str, data_asset_id: str) -> str:
        """Make the link lead to a data asset.

        :param context: context of the running task.
        :param deployment: address of the deployment, without a slash at the end.
        :param data_asset_id: id of the data asset.
        :returns: the address of its page.
        """
        self.codeocean_url = data_asset_url(deployment, data_asset_id)
        context["ti"].xcom_push(key=CodeOceanDataAssetLink().xcom_key, value=self.codeocean_url)
        return self.codeocean_url


def data_asset_url(deployment: str, data_asset_id: str) -> str:
    """Return the address of a data asset's page.

    :param deployment: address of the deployment, without a slash at the end.
    :param data_asset_id: id of the data asset.
    :returns: the address.
    """
    return f"{deployment}/data-assets/{quote(data_asset_id, safe='')}"


def capsule_url(deployment: str, slug: str) -> str:
    """Return the address of the page of a capsule or pipeline.

    :param deployment: address of the deployment, without a slash at the end.
    :param slug: its slug.
    :returns: the address.
    """
    return f"{deployment}/capsule/{quote(slug, safe='')}/tree"
