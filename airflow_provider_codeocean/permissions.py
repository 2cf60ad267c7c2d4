"""How permissions that are wanted differ from those that are there."""

from __future__ import annotations

from airflow_provider_codeocean.api.models.permissions import EveryoneRole, Permissions, PermissionsParams


def missing_permissions(wanted: PermissionsParams, there: Permissions) -> PermissionsParams | None:
    """Tell what is to be sent so that all permissions that are wanted are there.

    Users, groups and everyone are compared each; email addresses without regard to case. The API can change
    roles and add some, but take none away, except from everyone: others that are there stay.

    :param wanted: the permissions that are wanted.
    :param there: the permissions that are there.
    :returns: those that are not there; None where all are.
    """
    users = {each.email.lower(): each.role for each in there.users}
    groups = {each.group: each.role for each in there.groups}
    missing = PermissionsParams.model_construct(
        users=[each for each in wanted.users or () if users.get(each.email.lower()) != each.role] or None,
        groups=[each for each in wanted.groups or () if groups.get(each.group) != each.role] or None,
        everyone=None if wanted.everyone in (None, there.everyone or EveryoneRole.NONE) else wanted.everyone,
        share_assets=wanted.share_assets,
    )
    if missing.users or missing.groups or missing.everyone:
        return missing
    # Sharing what is attached is done together with a permission: with all of them, if none is missing.
    return wanted if wanted.share_assets and not there.share_assets else None
