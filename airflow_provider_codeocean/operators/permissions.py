"""Operators that set and read the permissions on data assets."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Literal, get_args

from airflow_provider_codeocean.api.errors import CodeOceanError, Forbidden
from airflow_provider_codeocean.api.models.permissions import EveryoneRole, Permissions, PermissionsParams
from airflow_provider_codeocean.operators._data_asset_base import CodeOceanActOnDataAssetBase, check_effect
from airflow_provider_codeocean.validation import ReadField, as_rendered, check_choice, checked, known_now

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow_provider_codeocean.api.client import CodeOceanClient
    from airflow_provider_codeocean.api.models.permissions import Permissions

_CHECK_SPELLING = (
    "check the spelling of groups and email addresses: Code Ocean ignores unknown ones without an error"
)


def missing_permissions(wanted: PermissionsParams, current: Permissions) -> PermissionsParams | None:
    """Return the permissions to send so that all requested ones are set.

    Email addresses and groups are compared without regard to case. The API can change and add roles but
    cannot remove them, except from everyone, so other permissions stay as they are.

    :param wanted: the requested permissions.
    :param current: the permissions that are set.
    :returns: the permissions that are missing, or None if there are none.
    """
    users, groups = _roles(current)
    missing = PermissionsParams.model_construct(
        users=[user for user in wanted.users or () if users.get(user.email.lower()) != user.role] or None,
        groups=[one for one in wanted.groups or () if groups.get(one.group.lower()) != one.role] or None,
        everyone=None if wanted.everyone in (None, _everyone(current)) else wanted.everyone,
        share_assets=wanted.share_assets,
    )
    if missing.users or missing.groups or missing.everyone:
        return missing
    # share_assets takes effect only together with a permission, so all of them are sent.
    return wanted if wanted.share_assets and not current.share_assets else None


def describe_missing(wanted: PermissionsParams, current: Permissions) -> list[str]:
    """Describe each requested permission that is not set.

    :param wanted: the requested permissions.
    :param current: the permissions that are set.
    :returns: a clause for each, such as ``group 'imaging' has no role instead of viewer``, and the remedy if
        a user or group has no role.
    """
    users, groups = _roles(current)
    roles = [
        *((f"user {one.email!r}", one.role, users.get(one.email.lower())) for one in wanted.users or ()),
        *((f"group {one.group!r}", one.role, groups.get(one.group.lower())) for one in wanted.groups or ()),
        *([("everyone", wanted.everyone, _everyone(current))] if wanted.everyone else []),
    ]
    missing = [f"{who} has {has or 'no role'} instead of {role}" for who, role, has in roles if has != role]
    if any(has is None for _, _, has in roles):
        missing.append(_CHECK_SPELLING)
    if wanted.share_assets and current.share_assets is False:
        missing.append("share_assets is false instead of true")
    return missing


def _roles(current: Permissions) -> tuple[dict[str, str | None], dict[str, str | None]]:
    return (
        {user.email.lower(): user.role for user in current.users},
        {group.group.lower(): group.role for group in current.groups},
    )


def _everyone(current: Permissions) -> str:
    return current.everyone or EveryoneRole.NONE


log = logging.getLogger(__name__)
#: Statuses with which a server answers if it has no endpoint that returns permissions.
_NO_ENDPOINT = (404, 405)
#: Send all permissions, or read the current ones and send the difference.
PermissionsMode = Literal["merge", "ensure"]


class CodeOceanSetDataAssetPermissionsOperator(CodeOceanActOnDataAssetBase):
    """Give users, groups, or everyone permissions on a data asset. Other permissions stay as they are.

    Source: ``POST data_assets/{id}/permissions``. The token's user must own the data asset.

    Code Ocean may ignore a user or group that it does not know. Therefore the permissions are read back
    (``GET data_assets/{id}/permissions``, servers from 4.3 on), and the task fails, with its retries, if one
    of them is not set within 15 seconds. If the server does not return permissions, a warning is logged.

    The result, in XCom, is the permissions that were sent, with the fields of Code Ocean's API; in mode
    ``ensure`` it is empty if none were missing.

    :param data_asset_id: id of the data asset. (templated)
    :param users: roles of users, each with ``email`` and ``role`` (``owner``, ``editor``, or ``viewer``).
        (templated)
    :param groups: roles of groups, each with ``group`` and ``role`` (``owner``, ``editor``, ``viewer``, or
        ``discoverable``). (templated)
    :param everyone: role of all users of the deployment: ``viewer``, ``discoverable``, or ``none``.
        (templated)
    :param share_assets: also share the data assets that a combined one consists of. (templated)
    :param mode: ``merge`` sends all permissions; ``ensure`` reads the current ones first (servers from 4.3
        on) and sends the difference, if there is any.
    :param **kwargs: arguments of
        :class:`~airflow_provider_codeocean.operators._data_asset_base.CodeOceanOneDataAssetBase`.
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
        """Return the permissions to set.

        :param read: reads the value of a template field.
        :returns: the parameters.
        :raises ValueError: if an argument is invalid.
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
        """Set the permissions and verify them; see the base class."""
        from airflow_provider_codeocean.operators.permissions import missing_permissions

        wanted = self.permissions_params()
        to_send: PermissionsParams | None = wanted
        if self.mode == "ensure":
            to_send = missing_permissions(wanted, self._current(client))
        if to_send is None:
            log.info("All permissions on data asset %s are set already", self.data_asset_id)
            return {}
        client.data_assets.update_permissions(self.data_asset_id, to_send)
        sent = to_send.to_json()
        log.info("Sent permissions on data asset %s: %s", self.data_asset_id, sent)
        self._verify(client, wanted)
        return sent

    def _verify(self, client: CodeOceanClient, wanted: PermissionsParams) -> None:
        from airflow_provider_codeocean.operators.permissions import describe_missing

        unverified: object = None
        try:
            current = check_effect(
                client,
                f"the permissions on data asset {self.data_asset_id}",
                lambda: client.data_assets.get_permissions(self.data_asset_id),
                lambda current: describe_missing(wanted, current),
            )
        except CodeOceanError as error:
            if not isinstance(error, Forbidden) and not self._lacks_endpoint(client, error):
                raise
            unverified = error
        else:
            if wanted.share_assets and current.share_assets is None:
                unverified = "the server does not return share_assets"
        if unverified:
            log.warning(
                "The permissions on data asset %s were sent but could not be verified: %s",
                self.data_asset_id,
                unverified,
            )

    def _current(self, client: CodeOceanClient) -> Permissions:
        try:
            return client.data_assets.get_permissions(self.data_asset_id)
        except CodeOceanError as error:
            if not self._lacks_endpoint(client, error):
                raise
            raise ValueError(
                f"mode='ensure' needs a server that returns permissions (4.3 or later): use mode='merge'. "
                f"{error}"
            ) from error

    def _lacks_endpoint(self, client: CodeOceanClient, error: CodeOceanError) -> bool:
        """Return whether reading permissions failed because the server is older than 4.3.

        Older servers answer in Code Ocean's way or in that of their web framework. That the data asset itself
        can be read shows that it exists, and that nothing else answers in Code Ocean's place.
        """
        if getattr(error, "status", None) not in _NO_ENDPOINT:
            return False
        client.data_assets.get(self.data_asset_id)
        return True


class CodeOceanGetDataAssetPermissionsOperator(CodeOceanActOnDataAssetBase):
    """Read the permissions on a data asset.

    Source: ``GET data_assets/{id}/permissions``, which servers have from 4.3 on.

    The result, in XCom, has the fields ``users``, ``groups``, ``everyone``, and ``share_assets``. The
    arguments are those of
    :class:`~airflow_provider_codeocean.operators._data_asset_base.CodeOceanOneDataAssetBase`.
    """

    def act(self, client: CodeOceanClient) -> dict[str, Any]:
        """Read the permissions; see the base class."""
        return client.data_assets.get_permissions(self.data_asset_id).model_dump(mode="json")
