"""Compare the permissions that were requested with those that are set."""

from __future__ import annotations

from airflow_provider_codeocean.api.models.permissions import EveryoneRole, Permissions, PermissionsParams

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
