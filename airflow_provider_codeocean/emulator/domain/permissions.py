"""Permissions on an object."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import IntEnum


class Role(IntEnum):
    """A user's role on an object; each role includes the lower ones."""

    NONE = 0
    DISCOVERABLE = 1
    VIEWER = 2
    EDITOR = 3
    OWNER = 4


ROLES_BY_NAME = {role.name.lower(): role for role in Role}
"""Role by its name in the API."""


@dataclass(frozen=True, kw_only=True)
class Permissions:
    """The roles on one object, by their names in the API.

    :param users: role by email.
    :param groups: role by group.
    :param everyone: role of all other users.
    """

    users: dict[str, str] = field(default_factory=dict)
    groups: dict[str, str] = field(default_factory=dict)
    everyone: str = "none"

    def role_for(self, email: str, groups: Iterable[str]) -> Role:
        """Return the highest role of a user.

        :param email: the user's email.
        :param groups: the user's groups.
        :returns: the highest of the roles of the user, the user's groups, and everyone.
        """
        names = [
            self.users.get(email, "none"),
            self.everyone,
            *(self.groups.get(group, "none") for group in groups),
        ]
        return max(map(ROLES_BY_NAME.__getitem__, names))

    @property
    def is_private(self) -> bool:
        """Whether only one user, an owner, has a role."""
        return len(self.users) <= 1 and not self.groups and self.everyone == "none"

    def merged_with(
        self, *, users: dict[str, str], groups: dict[str, str], everyone: str | None
    ) -> "Permissions":
        """Add or change permissions; no role is removed.

        :param users: role by email.
        :param groups: role by group.
        :param everyone: role of all other users; None keeps the current one.
        :returns: the permissions after the change.
        """
        return Permissions(
            users=self.users | users,
            groups=self.groups | groups,
            everyone=self.everyone if everyone is None else everyone,
        )
