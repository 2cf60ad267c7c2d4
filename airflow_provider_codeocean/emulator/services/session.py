"""What an endpoint is given once the token's scope has been checked: emulator, caller and moment."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from airflow_provider_codeocean.emulator.domain.config import Scope
from airflow_provider_codeocean.emulator.domain.content_quirks import stored
from airflow_provider_codeocean.emulator.domain.errors import ApiError
from airflow_provider_codeocean.emulator.domain.faults import Fault, QuirkKind
from airflow_provider_codeocean.emulator.domain.records import Json
from airflow_provider_codeocean.emulator.state.access import Caller
from airflow_provider_codeocean.emulator.state.deployment import Emulator
from airflow_provider_codeocean.emulator.state.store import Store


@dataclass(frozen=True, kw_only=True)
class Session:
    """One request.

    :param emulator: the deployment.
    :param caller: who is asking.
    :param request: the request itself.
    :param now: when it came, Unix seconds.
    """

    emulator: Emulator
    caller: Caller
    request: Request
    now: float

    @property
    def store(self) -> Store:
        """The deployment's state."""
        return self.emulator.store

    def quirk(self, kind: QuirkKind) -> Fault | None:
        """Find a quirk of this request and count the hit.

        :param kind: which quirk.
        :returns: the rule in use, or None.
        """
        return draw_quirk(self.request, kind)

    def stored(self, document: Json) -> Json:
        """Change the tags and name of an object as quirks demand, before it is stored.

        :param document: fields of the request.
        :returns: the fields as they are stored.
        """
        return stored(self.emulator.faults, self.request.method, self.request.scope["path"], document)


def emulator_of(request: Request) -> Emulator:
    """Find the emulator behind a request.

    :param request: the request.
    :returns: the emulator of its app.
    """
    emulator: Emulator = request.app.state.emulator
    return emulator


def draw_quirk(request: Request, kind: QuirkKind) -> Fault | None:
    """Find a quirk of a request and count the hit.

    :param request: the request.
    :param kind: which quirk.
    :returns: the rule in use, or None.
    """
    return emulator_of(request).faults.draw(request.method, request.scope["path"], {kind})


def _requires(scope: Scope) -> Callable[[Request], Awaitable[Session]]:
    async def session(request: Request) -> Session:
        caller: Caller = request.state.caller
        caller.require_scope(scope)
        emulator = emulator_of(request)
        return Session(emulator=emulator, caller=caller, request=request, now=emulator.now())

    return session


def version_numbers(version: str) -> tuple[int, ...]:
    """Split a version, to compare it with another.

    :param version: like 4.8.0; what is no number counts as 0.
    :returns: its numbers.
    """
    return tuple(int(part) if part.isdecimal() else 0 for part in version.split("."))


def since(version: str) -> Callable[[Request], Awaitable[None]]:
    """Make an endpoint unknown to servers older than a version.

    :param version: the version that introduced it.
    :returns: a dependency that answers 404 on an older server.
    """

    async def check(request: Request) -> None:
        if version_numbers(emulator_of(request).config.server_version) < version_numbers(version):
            raise ApiError(404, "not found")

    return check


ReadsCapsules = Annotated[Session, Depends(_requires("capsule:read"))]
WritesCapsules = Annotated[Session, Depends(_requires("capsule:write"))]
ReadsDataAssets = Annotated[Session, Depends(_requires("data_asset:read"))]
WritesDataAssets = Annotated[Session, Depends(_requires("data_asset:write"))]
