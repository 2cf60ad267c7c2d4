"""Authentication and authorization: tokens, scopes, and roles."""

import base64
import binascii
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TypeVar

from airflow_provider_codeocean.emulator.domain.config import Scope, UserConfig
from airflow_provider_codeocean.emulator.domain.errors import ApiError, raise_forbidden, raise_not_found
from airflow_provider_codeocean.emulator.domain.permissions import Permissions, Role
from airflow_provider_codeocean.emulator.domain.records import (
    Capsule,
    Computation,
    DataAsset,
    SharedRecord,
    User,
)
from airflow_provider_codeocean.emulator.state.store import Store, Table

SharedRecordT = TypeVar("SharedRecordT", bound=SharedRecord)


@dataclass(frozen=True, kw_only=True)
class Caller:
    """The user behind a request.

    :param user: the user.
    :param scopes: scopes of the token.
    """

    user: User
    scopes: frozenset[str]

    def require_scope(self, scope: Scope) -> None:
        """Reject a token that lacks a scope.

        :param scope: the required scope; `write` includes `read`.
        :raises ApiError: 403 if the requirement is not met.
        """
        if scope not in self.scopes and scope.replace(":read", ":write") not in self.scopes:
            raise_forbidden(f"the access token lacks the scope {scope}")

    def require_admin(self, action: str) -> None:
        """Reject users who are not admins.

        :param action: the action, for the error message.
        :raises ApiError: 403 if the requirement is not met.
        """
        if not self.user.admin:
            raise_forbidden(f"only admins may {action}")

    def role_on(self, permissions: Permissions) -> Role:
        """Return the caller's role on an object; an admin is an owner of all objects.

        :param permissions: permissions of the object.
        :returns: the role.
        """
        return Role.OWNER if self.user.admin else permissions.role_for(self.user.email, self.user.groups)


class UserDirectory:
    """The users of the deployment and their tokens.

    :param store: the store.
    :param groups: groups that may have no members.
    """

    def __init__(self, store: Store, groups: Iterable[str]) -> None:
        self._users = store.users
        self._extra_groups = set(groups)
        self._callers_by_header: dict[bytes, Caller] = {}

    def upsert(self, config: UserConfig, user_id: str, now: float) -> User:
        """Add a user, or change the one with this email, keeping id and tokens.

        :param config: the user.
        :param user_id: id of a new user.
        :param now: the current time, in Unix seconds.
        :returns: the stored user.
        """
        existing = self.find_by_email(config.email)
        existing_tokens = [] if existing is None else list(existing.tokens)
        tokens: dict[str, list[str]] = {}
        for position, token in enumerate(config.tokens):
            default_token = (
                existing_tokens[position]
                if position < len(existing_tokens)
                else f"cop_{secrets.token_urlsafe(30)}"
            )
            tokens[token.token or default_token] = list(token.scopes)
        user = existing or User(id=user_id, created=now, email=config.email, name=config.email)
        self._callers_by_header.clear()
        return self._users.put(
            replace(
                user,
                name=config.name or user.name,
                admin=config.admin,
                groups=list(config.groups),
                tokens=tokens,
            )
        )

    def find_by_email(self, email: str) -> User | None:
        """Find a user.

        :param email: email of the user.
        :returns: the user, or None.
        """
        return next((user for user in self._users.all() if user.email == email), None)

    def get_email(self, user_id: str) -> str | None:
        """Return the email of a user.

        :param user_id: id of the user.
        :returns: the email, or None.
        """
        user = self._users.get(user_id)
        return user.email if user else None

    def list_groups(self) -> set[str]:
        """Return the names of all groups.

        :returns: the names.
        """
        return self._extra_groups.union(*(user.groups for user in self._users.all()))

    def authenticate(self, authorization: bytes | None) -> Caller:
        """Return the user of a token.

        :param authorization: value of `Authorization`: Basic, with the token as user name and any password.
        :returns: the caller.
        :raises ApiError: 401 if there is no valid token.
        """
        caller = self._callers_by_header.get(authorization or b"")
        if caller is None:
            caller = self._find_caller(_parse_token(authorization))
            self._callers_by_header[authorization or b""] = caller
        return caller

    def _find_caller(self, token: str | None) -> Caller:
        for user in self._users.all():
            if token is not None and token in user.tokens:
                return Caller(user=user, scopes=frozenset(user.tokens[token]))
        raise ApiError(401, "the access token is missing or not valid")


def _parse_token(authorization: bytes | None) -> str | None:
    scheme, _, encoded = (authorization or b"").partition(b" ")
    if scheme.lower() != b"basic":
        return None
    try:
        return base64.b64decode(encoded, validate=True).decode().partition(":")[0]
    except (binascii.Error, UnicodeDecodeError):
        return None


def find_data_asset(
    store: Store, caller: Caller, asset_id: str, required_role: Role = Role.DISCOVERABLE
) -> DataAsset:
    """Find a data asset, and check the caller's role.

    :param store: the store.
    :param caller: the user of the token.
    :param asset_id: id of the data asset.
    :param required_role: the lowest sufficient role.
    :returns: the data asset.
    :raises ApiError: 404 if it does not exist or is hidden from the caller, 403 if the role is too low.
    """
    return _find_shared_record(store.data_assets, caller, "data asset", asset_id, required_role)


def find_capsule(
    store: Store, caller: Caller, kind: str, capsule_id: str, required_role: Role = Role.DISCOVERABLE
) -> Capsule:
    """Find a capsule or pipeline, and check the caller's role.

    :param store: the store.
    :param caller: the user of the token.
    :param kind: `capsule` or `pipeline`.
    :param capsule_id: id of the capsule or pipeline.
    :param required_role: the lowest sufficient role.
    :returns: the capsule.
    :raises ApiError: 404 if it does not exist or is hidden from the caller, 403 if the role is too low.
    """
    capsule = _find_shared_record(store.capsules, caller, kind, capsule_id, required_role)
    return capsule if capsule.kind == kind else raise_not_found(kind, capsule_id)


def find_computation(store: Store, caller: Caller, computation_id: str) -> Computation:
    """Find a computation for its owner, an owner of its capsule, or an admin, who have all permissions.

    :param store: the store.
    :param caller: the user of the token.
    :param computation_id: id of the computation.
    :returns: the computation.
    :raises ApiError: 404 if it does not exist or is hidden from the caller.
    """
    computation = store.computations.get(computation_id.lower())
    if computation is None or not can_view_computation(store, caller, computation):
        raise_not_found("computation", computation_id)
    return computation


def can_view_computation(store: Store, caller: Caller, computation: Computation) -> bool:
    """Return whether a user may see a computation.

    :param store: the store.
    :param caller: the user of the token.
    :param computation: the computation.
    :returns: whether the user may see it.
    """
    if computation.owner == caller.user.id or caller.user.admin:
        return True
    capsule = store.capsules.get(computation.capsule_id)
    return capsule is not None and caller.role_on(capsule.permissions) >= Role.OWNER


def _find_shared_record(
    table: Table[SharedRecordT], caller: Caller, kind: str, object_id: str, required_role: Role
) -> SharedRecordT:
    record = table.get(object_id.lower())
    role = Role.NONE if record is None else caller.role_on(record.permissions)
    if record is None or role is Role.NONE:
        raise_not_found(kind, object_id)
    if role < required_role:
        raise_forbidden(
            f"the role {role.name.lower()} on this {kind} is too low: it takes {required_role.name.lower()}"
        )
    return record
