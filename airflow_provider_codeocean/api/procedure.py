"""Drivers for procedures: generators that yield requests and are sent the responses.

A procedure that several requests belong to is written once, and runs with both clients. An error of a request
is raised at the ``yield`` that requested it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from airflow_provider_codeocean.api.errors import CodeOceanError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator

    from airflow_provider_codeocean.api.request import Request

T = TypeVar("T")


def run(procedure: Generator[Request[Any], Any, T], send: Callable[[Request[Any]], Any]) -> T:
    """Run a procedure.

    :param procedure: the procedure, not started.
    :param send: sends a request and returns the response, such as ``CodeOceanClient.send``.
    :returns: the return value of the procedure.
    :raises CodeOceanError: if the procedure does not handle the error of a request.
    """
    step: Callable[[Any], Request[Any]] = procedure.send
    value: Any = None
    while True:
        try:
            request = step(value)
        except StopIteration as end:
            result: T = end.value
            return result
        try:
            value, step = send(request), procedure.send
        except CodeOceanError as error:
            value, step = error, procedure.throw


async def arun(
    procedure: Generator[Request[Any], Any, T], send: Callable[[Request[Any]], Awaitable[Any]]
) -> T:
    """Run a procedure in an event loop.

    :param procedure: the procedure, not started.
    :param send: sends a request and returns the response, such as ``CodeOceanAsyncClient.send``.
    :returns: the return value of the procedure.
    :raises CodeOceanError: if the procedure does not handle the error of a request.
    """
    step: Callable[[Any], Request[Any]] = procedure.send
    value: Any = None
    while True:
        try:
            request = step(value)
        except StopIteration as end:
            result: T = end.value
            return result
        try:
            value, step = await send(request), procedure.send
        except CodeOceanError as error:
            value, step = error, procedure.throw
