"""Operators on the permissions of data assets."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Literal, get_args

from airflow_provider_codeocean.api.errors import NotFound
from airflow_provider_codeocean.arguments import ReadField, as_rendered, check_choice, checked, known_now
from airflow_provider_codeocean.operators.acting import CodeOceanActOnDataAssetBase

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow_provider_codeocean.api.client import CodeOceanClient
    from airflow_provider_codeocean.api.models.permissions import Permissions, PermissionsParams

log = logging.getLogger(__name__)

#: How permissions are set: send them all, or read what is there and send what is missing.
PermissionsMode = Literal["merge", "ensure"]


class CodeOceanSetDataAssetPermissionsOperator(CodeOceanActOnDataAssetBase):
    """Give users, groups or everyone permissions on a data asset. Those that others have stay.

    Source: ``POST data_assets/{id}/permissions``, and in mode ``ensure``
    ``GET data_assets/{id}/permissions``, which servers have from 4.3 on. The token's user must own the data
    asset.

    The result, in XCom, is what was sent, with the fields of Code Ocean's API; in mode ``ensure`` it is empty
    where nothing was missing.

    :param data_asset_id: id of the data asset. (templated)
    :param users: roles of users: ``email`` and ``role`` (``owner``, ``editor`` or ``viewer``) each.
        (templated)
    :param groups: roles of groups: ``group`` and ``role`` (``owner``, ``editor``, ``viewer`` or
        ``discoverable``) each. (templated)
    :param everyone: role of everyone in the deployment: ``viewer``, ``discoverable`` or ``none``. (templated)
    :param share_assets: share the data assets that a combined one consists of as well. (templated)
    :param mode: ``merge`` sends all that is given; ``ensure`` reads what is there and sends the difference,
        if there is any.
    :param **kwargs: what every operator that is about a data asset takes: see
        :class:`~airflow_provider_codeocean.operators.acting.CodeOceanOneDataAssetBase`.
    """

    template_fields: Sequence[str] = (
        "users",
        "groups",
        "everyone",
        "share_assets",
        *CodeOceanActOnDataAssetBase.template_fields,
    )

    def __init__(
        self,
        *,
        data_asset_id: str,
        users: Sequence[Mapping[str, str]] | None = None,
        groups: Sequence[Mapping[str, str]] | None = None,
        everyone: str | None = None,
        share_assets: bool | None = None,
        mode: PermissionsMode = "merge",
        **kwargs: Any,
    ) -> None:
        super().__init__(data_asset_id=data_asset_id, **kwargs)
        self.users = users
        self.groups = groups
        self.everyone = everyone
        self.share_assets = share_assets
        check_choice("mode", mode, get_args(PermissionsMode))
        self.mode: PermissionsMode = mode
        self.permissions_params(known_now)

    def permissions_params(self, read: ReadField = as_rendered) -> PermissionsParams:
        """Build what to set.

        :param read: reads the value of a template field.
        :returns: the parameters.
        :raises ValueError: where an argument is wrong, naming it.
        """
        from airflow_provider_codeocean.api.models.permissions import PermissionsParams

        return checked(
            PermissionsParams,
            {},
            {
                "users": read(self.users),
                "groups": read(self.groups),
                "everyone": read(self.everyone),
                "share_assets": read(self.share_assets),
            },
        )

    def act(self, client: CodeOceanClient) -> dict[str, Any]:
        """Set them; see the base class."""
        from airflow_provider_codeocean.permissions import missing_permissions

        to_send: PermissionsParams | None = self.permissions_params()
        if to_send and self.mode == "ensure":
            to_send = missing_permissions(to_send, self._there(client))
        if to_send is None:
            log.info("All permissions on data asset %s are there", self.data_asset_id)
            return {}
        client.data_assets.update_permissions(self.data_asset_id, to_send)
        sent = to_send.to_json()
        log.info("Set permissions on data asset %s: %s", self.data_asset_id, sent)
        return sent

    def _there(self, client: CodeOceanClient) -> Permissions:
        try:
            return client.data_assets.get_permissions(self.data_asset_id)
        except NotFound as error:
            raise ValueError(
                f"mode='ensure' could not read the permissions: {error}. If the data asset is there, the "
                "server is older than 4.3: use mode='merge'."
            ) from error


class CodeOceanGetDataAssetPermissionsOperator(CodeOceanActOnDataAssetBase):
    """Read the permissions on a data asset.

    Source: ``GET data_assets/{id}/permissions``, which servers have from 4.3 on.

    The result, in XCom, has the fields ``users``, ``groups``, ``everyone`` and ``share_assets``. It takes
    what every operator that is about a data asset takes: see
    :class:`~airflow_provider_codeocean.operators.acting.CodeOceanOneDataAssetBase`.
    """

    def act(self, client: CodeOceanClient) -> dict[str, Any]:
        """Read them; see the base class."""
        return client.data_assets.get_permissions(self.data_asset_id).model_dump(mode="json")
