"""Operators that set and read the permissions on data assets."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, get_args

from typing_extensions import override

from airflow_provider_codeocean.api.errors import CodeOceanError, Forbidden
from airflow_provider_codeocean.operators._base import CodeOceanDataAssetActionBase, verify_change
from airflow_provider_codeocean.validation import (
    FieldReader,
    build_params_model,
    check_choice,
    rendered_value,
    static_value,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow_provider_codeocean.api.client import CodeOceanClient
    from airflow_provider_codeocean.api.models.permissions import Permissions, PermissionsParams

log = logging.getLogger(__name__)

#: Send all permissions, or read the current ones and send the difference.
PermissionsMode = Literal["merge", "ensure"]

#: Responses of servers that have no endpoint to read permissions.
_MISSING_ENDPOINT_STATUSES = (404, 405)
_SPELLING_HINT = (
    "check the spelling of groups and email addresses: Code Ocean ignores unknown ones without an error"
)


def permissions_to_add(requested: PermissionsParams, current: Permissions) -> PermissionsParams | None:
    """Return the permissions to send so that all requested ones are set.

    Email addresses and groups are compared without regard to case. None means that all are set.
    """
    user_roles, group_roles = _roles_by_name(current)
    users = [user for user in requested.users or () if user_roles.get(user.email.lower()) != user.role]
    groups = [group for group in requested.groups or () if group_roles.get(group.group.lower()) != group.role]
    everyone = None if requested.everyone in (None, _everyone_role(current)) else requested.everyone
    if users or groups or everyone:
        changes = {"users": users or None, "groups": groups or None, "everyone": everyone}
        return requested.model_copy(update=changes)
    # share_assets takes effect only together with a permission, so all of them are sent.
    return requested if requested.share_assets and not current.share_assets else None


def describe_missing_permissions(requested: PermissionsParams, current: Permissions) -> list[str]:
    """Describe, in clauses, each requested permission that is not set, and the remedy."""
    users, groups = _roles_by_name(current)
    roles: list[tuple[str, str, str | None]] = [
        *(
            (f"user {user.email!r}", user.role, users.get(user.email.lower()))
            for user in requested.users or ()
        ),
        *(
            (f"group {group.group!r}", group.role, groups.get(group.group.lower()))
            for group in requested.groups or ()
        ),
    ]
    if requested.everyone:
        roles.append(("everyone", requested.everyone, _everyone_role(current)))
    clauses = [
        f"{holder} has {actual or 'no role'} instead of {role}"
        for holder, role, actual in roles
        if actual != role
    ]
    if any(actual is None for _, _, actual in roles):
        clauses.append(_SPELLING_HINT)
    if requested.share_assets and current.share_assets is False:
        clauses.append("share_assets is false instead of true")
    return clauses


def _roles_by_name(current: Permissions) -> tuple[dict[str, str | None], dict[str, str | None]]:
    return (
        {user.email.lower(): user.role for user in current.users},
        {group.group.lower(): group.role for group in current.groups},
    )


def _everyone_role(current: Permissions) -> str:
    return current.everyone or "none"


class CodeOceanSetDataAssetPermissionsOperator(CodeOceanDataAssetActionBase):
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
    :param **kwargs: arguments of :class:`~airflow_provider_codeocean.operators._base.CodeOceanOperatorBase`.
    """

    template_fields: Sequence[str] = (
        "users",
        "groups",
        "everyone",
        "share_assets",
        *CodeOceanDataAssetActionBase.template_fields,
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
        self.permissions_params(static_value)

    def permissions_params(self, read: FieldReader = rendered_value) -> PermissionsParams:
        """Return the permissions to set."""
        from airflow_provider_codeocean.api.models.permissions import PermissionsParams

        names = ("users", "groups", "everyone", "share_assets")
        return build_params_model(PermissionsParams, {}, {name: read(getattr(self, name)) for name in names})

    @override
    def perform(self, client: CodeOceanClient) -> dict[str, Any]:
        requested = self.permissions_params()
        to_send: PermissionsParams | None = requested
        if self.mode == "ensure":
            to_send = permissions_to_add(requested, self._get_current(client))
        if to_send is None:
            log.info("All permissions on data asset %s are set already", self.data_asset_id)
            return {}
        client.data_assets.update_permissions(self.data_asset_id, to_send)
        sent = to_send.to_json()
        log.info("Sent permissions on data asset %s: %s", self.data_asset_id, sent)
        self._verify(client, requested)
        return sent

    def _verify(self, client: CodeOceanClient, requested: PermissionsParams) -> None:
        reason: object = None
        try:
            current = verify_change(
                client,
                f"the permissions on data asset {self.data_asset_id}",
                lambda: client.data_assets.get_permissions(self.data_asset_id),
                partial(describe_missing_permissions, requested),
            )
        except CodeOceanError as error:
            if not isinstance(error, Forbidden) and not self._is_endpoint_missing(client, error):
                raise
            reason = error
        else:
            if requested.share_assets and current.share_assets is None:
                reason = "the server does not return share_assets"
        if reason:
            log.warning(
                "The permissions on data asset %s were sent but could not be verified: %s",
                self.data_asset_id,
                reason,
            )

    def _get_current(self, client: CodeOceanClient) -> Permissions:
        try:
            return client.data_assets.get_permissions(self.data_asset_id)
        except CodeOceanError as error:
            if not self._is_endpoint_missing(client, error):
                raise
            raise ValueError(
                "mode='ensure' needs a server that returns permissions (4.3 or later): use mode='merge'. "
                f"{error}"
            ) from error

    def _is_endpoint_missing(self, client: CodeOceanClient, error: CodeOceanError) -> bool:
        """Return whether reading permissions failed because the server is older than 4.3."""
        if getattr(error, "status", None) not in _MISSING_ENDPOINT_STATUSES:
            return False
        # Raises if the data asset does not exist, or if a proxy answers instead of Code Ocean.
        client.data_assets.get(self.data_asset_id)
        return True


class CodeOceanGetDataAssetPermissionsOperator(CodeOceanDataAssetActionBase):
    """Read the permissions on a data asset.

    Source: ``GET data_assets/{id}/permissions``, which servers have from 4.3 on.

    The result, in XCom, has the fields ``users``, ``groups``, ``everyone``, and ``share_assets``. The
    arguments are those of :class:`~airflow_provider_codeocean.operators._base.CodeOceanDataAssetActionBase`.
    """

    @override
    def perform(self, client: CodeOceanClient) -> dict[str, Any]:
        return client.data_assets.get_permissions(self.data_asset_id).model_dump(mode="json")
