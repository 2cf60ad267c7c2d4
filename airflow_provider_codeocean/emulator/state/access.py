"""Who is asking, and whether they may: tokens, scopes and roles."""

import base64
import binascii
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TypeVar

from airflow_provider_codeocean.emulator.domain.config import Scope, UserConfig
from airflow_provider_codeocean.emulator.domain.errors import ApiError, forbidden, not_found
from airflow_provider_codeocean.emulator.domain.permissions import Permissions, Role
from airflow_provider_codeocean.emulator.domain.records import Capsule, Computation, DataAsset, Shared, User
from airflow_provider_codeocean.emulator.state.store import Shelf, Store

S = TypeVar("S", bound=Shared)


@dataclass(frozen=True, kw_only=True)
class Caller:
    """The user behind a request.

    :param user: who.
    :param scopes: what the token may be used for.
    """

    user: User
    scopes: frozenset[str]

    def require_scope(self, scope: Scope) -> None:
        """Refuse a token that lacks a scope.

        :param scope: what is needed; `write` includes `read`.
        :raises ApiError: 403.
        """
        if scope not in self.scopes and scope.replace(":read", ":write") not in self.scopes:
            forbidden(f"the access token lacks the scope {scope}")

    def require_admin(self, action: str) -> None:
        """Refuse who is not an admin.

        :param action: what only admins may do.
        :raises ApiError: 403.
        """
        if not self.user.admin:
            forbidden(f"only admins may {action}")

    def role(self, permissions: Permissions) -> Role:
        """Return the role on an object.

        :param permissions: of the object.
        :returns: an admin is an owner everywhere.
        """
        return Role.OWNER if self.user.admin else permissions.role_of(self.user.email, self.user.groups)


class Directory:
    """The users of the deployment and their tokens.

    :param store: where they are kept.
    :param groups: groups that exist though nobody belongs to them.
    """

    def __init__(self, store: Store, groups: Iterable[str]) -> None:
        self._users = store.users
        self._extra_groups = set(groups)
        self._by_header: dict[bytes, Caller] = {}

    def enroll(self, config: UserConfig, user_id: str, now: float) -> User:
        """Add a user, or change the one with this email, who keeps id and tokens.

        :param config: the user.
        :param user_id: id of a new user.
        :param now: Unix seconds.
        :returns: the user as stored.
        """
        known = self.by_email(config.email)
        kept = [] if known is None else list(known.tokens)
        tokens: dict[str, list[str]] = {}
        for position, token in enumerate(config.tokens):
            made_up = kept[position] if position < len(kept) else f"cop_{secrets.token_urlsafe(30)}"
            tokens[token.token or made_up] = list(token.scopes)
        user = known or User(id=user_id, created=now, email=config.email, name=config.email)
        self._by_header.clear()
        return self._users.put(
            replace(
                user,
                name=config.name or user.name,
                admin=config.admin,
                groups=list(config.groups),
                tokens=tokens,
            )
        )

    def by_email(self, email: str) -> User | None:
        """Find a user.

        :param email: who.
        :returns: the user, or None.
        """
        return next((user for user in self._users.all() if user.email == email), None)

    def email_of(self, user_id: str) -> str | None:
        """Return the email of a user.

        :param user_id: who.
        :returns: the email, or None.
        """
        user = self._users.get(user_id)
        return user.email if user else None

    def groups(self) -> set[str]:
        """Return the groups there are.

        :returns: their names.
        """
        return self._extra_groups.union(*(user.groups for user in self._users.all()))

    def authenticate(self, header: bytes | None) -> Caller:
        """Find out who is asking.

        :param header: value of `Authorization`: Basic, the token as user name, any password.
        :returns: the caller.
        :raises ApiError: 401 if there is no valid token.
        """
        caller = self._by_header.get(header or b"")
        if caller is None:
            caller = self._caller_of(_token_in(header))
            self._by_header[header or b""] = caller
        return caller

    def _caller_of(self, token: str | None) -> Caller:
        for user in self._users.all():
            if token is not None and token in user.tokens:
                return Caller(user=user, scopes=frozenset(user.tokens[token]))
        raise ApiError(401, "the access token is missing or not valid")


def _token_in(header: bytes | None) -> str | None:
    scheme, _, encoded = (header or b"").partition(b" ")
    if scheme.lower() != b"basic":
        return None
    try:
        return base64.b64decode(encoded, validate=True).decode().partition(":")[0]
    except (binascii.Error, UnicodeDecodeError):
        return None


def find_data_asset(
    store: Store, caller: Caller, asset_id: str, needs: Role = Role.DISCOVERABLE
) -> DataAsset:
    """Find a data asset for somebody.

    :param store: where it is.
    :param caller: who wants it.
    :param asset_id: its id.
    :param needs: the role it takes.
    :returns: the asset.
    :raises ApiError: 404 if it does not exist or may not be seen, 403 if the role is too low.
    """
    return _find(store.data_assets, caller, "data asset", asset_id, needs)


def find_capsule(
    store: Store, caller: Caller, kind: str, capsule_id: str, needs: Role = Role.DISCOVERABLE
) -> Capsule:
    """Find a capsule or pipeline for somebody.

    :param store: where it is.
    :param caller: who wants it.
    :param kind: `capsule` or `pipeline`.
    :param capsule_id: its id.
    :param needs: the role it takes.
    :returns: the capsule.
    :raises ApiError: 404 if it does not exist or may not be seen, 403 if the role is too low.
    """
    capsule = _find(store.capsules, caller, kind, capsule_id, needs)
    return capsule if capsule.kind == kind else not_found(kind, capsule_id)


def find_computation(store: Store, caller: Caller, computation_id: str) -> Computation:
    """Find a computation for its owner, an owner of what it runs, or an admin. They may do all with it.

    :param store: where it is.
    :param caller: who wants it.
    :param computation_id: its id.
    :returns: the computation.
    :raises ApiError: 404 if it does not exist or may not be seen.
    """
    computation = store.computations.get(computation_id.lower())
    if computation is None or not may_see_run(store, caller, computation):
        not_found("computation", computation_id)
    return computation


def may_see_run(store: Store, caller: Caller, computation: Computation) -> bool:
    """Tell whether somebody may see a computation.

    :param store: where its capsule is.
    :param caller: who.
    :param computation: the run.
    :returns: whether they may.
    """
    if computation.owner == caller.user.id or caller.user.admin:
        return True
    capsule = store.capsules.get(computation.capsule)
    return capsule is not None and caller.role(capsule.permissions) >= Role.OWNER


def _find(shelf: Shelf[S], caller: Caller, what: str, object_id: str, needs: Role) -> S:
    found = shelf.get(object_id.lower())
    role = Role.NONE if found is None else caller.role(found.permissions)
    if found is None or role is Role.NONE:
        not_found(what, object_id)
    if role < needs:
        forbidden(f"the role {role.name.lower()} on this {what} is too low: it takes {needs.name.lower()}")
    return found
