"""Links from a task in Airflow's UI to Code Ocean."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from airflow.providers.common.compat.sdk import BaseOperatorLink, XCom
from typing_extensions import override

if TYPE_CHECKING:
    from collections.abc import Collection

    from airflow.providers.common.compat.sdk import Context, TaskInstanceKey


class CodeOceanLinkBase(BaseOperatorLink):
    """Base of links. A link works as soon as the task knows its URL, also while the task waits."""

    name = "Open in Code Ocean"

    def get_link(self, operator: Any, *, ti_key: TaskInstanceKey) -> str:
        """Return the URL, or an empty string if it is not known yet.

        Airflow 3 does not call this method, but reads the XCom ``xcom_key``.
        """
        url: str | None = getattr(operator, "codeocean_url", None)
        if url is None:  # in another process than the task's
            url = XCom.get_value(ti_key=ti_key, key=self.xcom_key)
        return url or ""


class CodeOceanDataAssetLink(CodeOceanLinkBase):
    """Link to a data asset."""

    @property
    @override
    def xcom_key(self) -> str:
        return "codeocean_data_asset_url"


class CodeOceanCapsuleLink(CodeOceanLinkBase):
    """Link to a capsule or pipeline."""

    @property
    @override
    def xcom_key(self) -> str:
        return "codeocean_capsule_url"


class DataAssetLinkMixin:
    """Mixin of operators with a link to one data asset.

    :ivar codeocean_url: URL of the data asset; empty until it is known, None in a process that does not run
        the task.
    """

    operator_extra_links: Collection[BaseOperatorLink] = (CodeOceanDataAssetLink(),)
    ui_color = "#e8f1fb"
    codeocean_url: str | None = None

    def set_data_asset_link(self, context: Context, deployment: str, data_asset_id: str) -> str:
        """Set the link to a data asset."""
        self.codeocean_url = data_asset_url(deployment, data_asset_id)
        context["ti"].xcom_push(key=CodeOceanDataAssetLink().xcom_key, value=self.codeocean_url)
        return self.codeocean_url


def data_asset_url(deployment: str, data_asset_id: str) -> str:
    """Return the URL of a data asset's page."""
    return f"{deployment}/data-assets/{quote(data_asset_id, safe='')}"


def capsule_url(deployment: str, slug: str) -> str:
    """Return the URL of the page of a capsule or pipeline."""
    return f"{deployment}/capsule/{quote(slug, safe='')}/tree"
