"""Permissions on a data asset, a capsule, or a pipeline."""

from enum import StrEnum
from typing import Annotated, Self

from pydantic import BeforeValidator, Field, model_validator

from airflow_provider_codeocean.api.models.base import (
    NonEmptyStr,
    ObjectList,
    OptionalBool,
    RequestModel,
    ResponseModel,
    StrOrEmpty,
    lenient_enum,
)
from airflow_provider_codeocean.api.text import describe, to_nonempty_text


class UserRole(StrEnum):
    """The role of a user."""

    OWNER = "owner"
    EDITOR = "editor"
    VIEWER = "viewer"


class GroupRole(StrEnum):
    """The role of a group; with ``discoverable``, its members can find the object."""

    OWNER = "owner"
    EDITOR = "editor"
    VIEWER = "viewer"
    DISCOVERABLE = "discoverable"


class EveryoneRole(StrEnum):
    """The role of all users of the deployment."""

    VIEWER = "viewer"
    DISCOVERABLE = "discoverable"
    NONE = "none"


class UserPermission(ResponseModel):
    """A user's role."""

    email: StrOrEmpty = ""
    role: Annotated[UserRole | str | None, BeforeValidator(lenient_enum(UserRole))] = None


class GroupPermission(ResponseModel):
    """A group's role."""

    group: StrOrEmpty = ""
    role: Annotated[GroupRole | str | None, BeforeValidator(lenient_enum(GroupRole))] = None


class Permissions(ResponseModel):
    """The permissions on an object.

    :ivar users: users and their roles.
    :ivar groups: groups and their roles.
    :ivar everyone: the role of all users.
    :ivar share_assets: whether attached assets are shared as well.
    """

    characteristic_fields = ("users", "groups", "everyone", "share_assets")

    users: ObjectList[UserPermission] = Field(default_factory=list)
    groups: ObjectList[GroupPermission] = Field(default_factory=list)
    everyone: Annotated[EveryoneRole | str | None, BeforeValidator(lenient_enum(EveryoneRole))] = None
    share_assets: OptionalBool = None


def _to_email(value: object) -> str:
    email = to_nonempty_text(value)
    user, _, host = email.partition("@")
    if not user or not host or "@" in host or any(map(str.isspace, email)):
        raise ValueError(f"must be an email address, got {describe(email)}")
    return email


class UserGrant(RequestModel):
    """A role for a user.

    :param email: the user's email address.
    :param role: ``owner``, ``editor`` or ``viewer``.
    """

    email: Annotated[str, BeforeValidator(_to_email)]
    role: UserRole


class GroupGrant(RequestModel):
    """A role for a group.

    :param group: the group's name.
    :param role: ``owner``, ``editor``, ``viewer`` or ``discoverable``.
    """

    group: NonEmptyStr
    role: GroupRole


class PermissionsParams(RequestModel):
    """Permissions to add or change.

    :param users: roles for users.
    :param groups: roles for groups.
    :param everyone: role for all users; ``none`` removes it.
    :param share_assets: also share attached data assets (and a pipeline's capsules).
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
        for name, role in [*named, *((f"group {grant.group!r}", grant.role) for grant in self.groups or ())]:
            if roles.setdefault(name.lower(), role) != role:
                raise ValueError(f"{name} is listed with two roles: {roles[name.lower()]} and {role}")
        return self
