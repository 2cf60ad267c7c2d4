"""Who may do what with a data asset, a capsule or a pipeline."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Self

from pydantic import BeforeValidator, Field, model_validator

from airflow_provider_codeocean.api.models.base import Flag, Many, Name, NonEmpty, Params, Payload, reader_of
from airflow_provider_codeocean.api.text import describe, to_nonempty


class UserRole(StrEnum):
    """What a user may do."""

    OWNER = "owner"
    EDITOR = "editor"
    VIEWER = "viewer"


class GroupRole(StrEnum):
    """What the members of a group may do; ``discoverable``: find it and see that it exists."""

    OWNER = "owner"
    EDITOR = "editor"
    VIEWER = "viewer"
    DISCOVERABLE = "discoverable"


class EveryoneRole(StrEnum):
    """What every user of the deployment may do."""

    VIEWER = "viewer"
    DISCOVERABLE = "discoverable"
    NONE = "none"


class UserPermission(Payload):
    """A user's role."""

    email: Name = ""
    role: Annotated[UserRole | str | None, BeforeValidator(reader_of(UserRole))] = None


class GroupPermission(Payload):
    """A group's role."""

    group: Name = ""
    role: Annotated[GroupRole | str | None, BeforeValidator(reader_of(GroupRole))] = None


class Permissions(Payload):
    """The permissions that are set.

    :ivar users: users and their roles.
    :ivar groups: groups and their roles.
    :ivar everyone: the role of everyone.
    :ivar share_assets: whether attached assets are shared as well.
    """

    essential = ("users", "groups", "everyone", "share_assets")

    users: Many[UserPermission] = Field(default_factory=list)
    groups: Many[GroupPermission] = Field(default_factory=list)
    everyone: Annotated[EveryoneRole | str | None, BeforeValidator(reader_of(EveryoneRole))] = None
    share_assets: Flag = None


def _to_email(value: object) -> str:
    email = to_nonempty(value)
    user, _, host = email.partition("@")
    if not user or not host or "@" in host or any(map(str.isspace, email)):
        raise ValueError(f"must be an email address, got {describe(email)}")
    return email


class UserGrant(Params):
    """A role for a user.

    :param email: the user's email address.
    :param role: ``owner``, ``editor`` or ``viewer``.
    """

    email: Annotated[str, BeforeValidator(_to_email)]
    role: UserRole


class GroupGrant(Params):
    """A role for a group.

    :param group: the group's name.
    :param role: ``owner``, ``editor``, ``viewer`` or ``discoverable``.
    """

    group: NonEmpty
    role: GroupRole


class PermissionsParams(Params):
    """Permissions to add to those that are there, or to change among them.

    :param users: roles for users.
    :param groups: roles for groups.
    :param everyone: role for everyone; ``none`` takes it away.
    :param share_assets: share attached data assets (and a pipeline's capsules) with them as well.
    """

    users: list[UserGrant] | None = None
    groups: list[GroupGrant] | None = None
    everyone: EveryoneRole | None = None
    share_assets: bool | None = None

    @model_validator(mode="after")
    def _check_grants(self) -> Self:
        if not self.users and not self.groups and self.everyone is None:
            raise ValueError("permissions need at least one of users, groups and everyone")
        roles: dict[str, str] = {}
        named = [(f"user {user.email!r}", user.role) for user in self.users or ()]
        for name, role in [*named, *((f"group {one.group!r}", one.role) for one in self.groups or ())]:
            if roles.setdefault(name.lower(), role) != role:
                raise ValueError(f"{name} is listed with two roles: {roles[name.lower()]} and {role}")
        return self
