"""Drivers for procedures: generators that yield requests and are sent the responses.

A procedure that several requests belong to is written once, and runs with both clients. An error of a request
is raised at the ``yield`` that requested it. The submission protocol yields commands instead of requests.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from airflow_provider_codeocean.api.errors import CodeOceanError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator

T = TypeVar("T")
RequestT = TypeVar("RequestT")


def run(procedure: Generator[RequestT, Any, T], send: Callable[[RequestT], Any]) -> T:
    """Run a procedure.

    :param procedure: the procedure, not started.
    :param send: sends a request and returns the response, such as ``CodeOceanClient.send``.
    :returns: the return value of the procedure.
    :raises CodeOceanError: if the procedure does not handle the error of a request.
    """
    response: Any = None
    while True:
        try:
            request = _resume(procedure, response)
        except StopIteration as end:
            result: T = end.value
            return result
        try:
            response = send(request)
        except CodeOceanError as error:
            response = error


async def arun(procedure: Generator[RequestT, Any, T], send: Callable[[RequestT], Awaitable[Any]]) -> T:
    """Run a procedure in an event loop.

    :param procedure: the procedure, not started.
    :param send: sends a request and returns the response, such as ``CodeOceanAsyncClient.send``.
    :returns: the return value of the procedure.
    :raises CodeOceanError: if the procedure does not handle the error of a request.
    """
    response: Any = None
    while True:
        try:
            request = _resume(procedure, response)
        except StopIteration as end:
            result: T = end.value
            return result
        try:
            response = await send(request)
        except CodeOceanError as error:
            response = error


def _resume(procedure: Generator[RequestT, Any, T], response: Any) -> RequestT:
    if isinstance(response, CodeOceanError):
        return procedure.throw(response)
    return procedure.send(response)
