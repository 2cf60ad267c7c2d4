"""The session of an authenticated request: emulator, caller, and time."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from airflow_provider_codeocean.emulator.domain.config import Scope
from airflow_provider_codeocean.emulator.domain.content_quirks import apply_on_write
from airflow_provider_codeocean.emulator.domain.errors import ApiError
from airflow_provider_codeocean.emulator.domain.faults import Fault, QuirkKind
from airflow_provider_codeocean.emulator.domain.records import JsonObject
from airflow_provider_codeocean.emulator.state.access import Caller
from airflow_provider_codeocean.emulator.state.deployment import Emulator
from airflow_provider_codeocean.emulator.state.store import Store


@dataclass(frozen=True, kw_only=True)
class Session:
    """The context of one request.

    :param emulator: the deployment.
    :param caller: the user of the token.
    :param request: the request.
    :param now: time of the request, in Unix seconds.
    """

    emulator: Emulator
    caller: Caller
    request: Request
    now: float

    @property
    def store(self) -> Store:
        """The deployment's state."""
        return self.emulator.store

    def match_quirk(self, kind: QuirkKind) -> Fault | None:
        """Find a quirk of this request and count the hit.

        :param kind: kind of the quirk.
        :returns: the active rule, or None.
        """
        return match_quirk(self.request, kind)

    def apply_write_quirks(self, document: JsonObject) -> JsonObject:
        """Apply quirks to the tags and name of an object before it is stored.

        :param document: fields of the request.
        :returns: the fields to store.
        """
        return apply_on_write(self.emulator.faults, self.request.method, self.request.scope["path"], document)


def get_emulator(request: Request) -> Emulator:
    """Return the emulator that serves a request.

    :param request: the request.
    :returns: the emulator.
    """
    emulator: Emulator = request.app.state.emulator
    return emulator


def match_quirk(request: Request, kind: QuirkKind) -> Fault | None:
    """Find a quirk of a request and count the hit.

    :param request: the request.
    :param kind: kind of the quirk.
    :returns: the active rule, or None.
    """
    return get_emulator(request).faults.match(request.method, request.scope["path"], {kind})


def _require_scope(scope: Scope) -> Callable[[Request], Awaitable[Session]]:
    async def session(request: Request) -> Session:
        caller: Caller = request.state.caller
        caller.require_scope(scope)
        emulator = get_emulator(request)
        return Session(emulator=emulator, caller=caller, request=request, now=emulator.now())

    return session


def parse_version(version: str) -> tuple[int, ...]:
    """Parse a version for comparisons.

    :param version: for example 4.8.0; parts that are not numbers count as 0.
    :returns: the numbers of its parts.
    """
    return tuple(int(part) if part.isdecimal() else 0 for part in version.split("."))


def require_server_version(version: str) -> Callable[[Request], Awaitable[None]]:
    """Hide an endpoint from servers older than a version.

    :param version: the version that introduced it.
    :returns: a dependency that raises 404 on an older server.
    """

    async def check(request: Request) -> None:
        if parse_version(get_emulator(request).config.server_version) < parse_version(version):
            raise ApiError(404, "not found")

    return check


CapsuleReadSession = Annotated[Session, Depends(_require_scope("capsule:read"))]
CapsuleWriteSession = Annotated[Session, Depends(_require_scope("capsule:write"))]
DataAssetReadSession = Annotated[Session, Depends(_require_scope("data_asset:read"))]
DataAssetWriteSession = Annotated[Session, Depends(_require_scope("data_asset:write"))]
