"""Who may do what with an object."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import IntEnum


class Role(IntEnum):
    """What somebody may do with an object, each role including those before it."""

    NONE = 0
    DISCOVERABLE = 1
    VIEWER = 2
    EDITOR = 3
    OWNER = 4


ROLES = {role.name.lower(): role for role in Role}
"""Role by the API's name of it."""


@dataclass(frozen=True, kw_only=True)
class Permissions:
    """The roles given on one object, by the API's names of them.

    :param users: role by email.
    :param groups: role by group.
    :param everyone: role of all others.
    """

    users: dict[str, str] = field(default_factory=dict)
    groups: dict[str, str] = field(default_factory=dict)
    everyone: str = "none"

    def role_of(self, email: str, groups: Iterable[str]) -> Role:
        """Return the highest role that a user has here.

        :param email: who.
        :param groups: the user's groups.
        :returns: the role by name, by group or as one of everyone.
        """
        names = [
            self.users.get(email, "none"),
            self.everyone,
            *(self.groups.get(group, "none") for group in groups),
        ]
        return max(map(ROLES.__getitem__, names))

    @property
    def private(self) -> bool:
        """Whether nobody but one owner has any role."""
        return len(self.users) <= 1 and not self.groups and self.everyone == "none"

    def merged(self, *, users: dict[str, str], groups: dict[str, str], everyone: str | None) -> "Permissions":
        """Add to or change what is there; nobody is removed.

        :param users: role by email.
        :param groups: role by group.
        :param everyone: role of all others; None leaves it.
        :returns: the permissions after the change.
        """
        return Permissions(
            users=self.users | users,
            groups=self.groups | groups,
            everyone=self.everyone if everyone is None else everyone,
        )
