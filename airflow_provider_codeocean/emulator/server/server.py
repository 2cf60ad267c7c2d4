"""Serve the emulator on a real socket, in a thread or as the main program."""

import contextlib
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Self

import uvicorn
from fastapi import FastAPI

from airflow_provider_codeocean.emulator.domain.clock import Clock
from airflow_provider_codeocean.emulator.domain.config import EmulatorConfig
from airflow_provider_codeocean.emulator.domain.faults import FaultRegistry
from airflow_provider_codeocean.emulator.seeding.env_file import env_variables
from airflow_provider_codeocean.emulator.server.app import create_app
from airflow_provider_codeocean.emulator.server.connection import Connection
from airflow_provider_codeocean.emulator.state.store import Store

if TYPE_CHECKING:
    from airflow_provider_codeocean.emulator.state.deployment import Emulator

KEEP_ALIVE_SECONDS = 90
"""Longer than clients keep idle connections, so that clients close them first."""

START_TIMEOUT_SECONDS = 30


class HttpServer(uvicorn.Server):
    """uvicorn with a callback on startup and a fast, silent shutdown.

    :param app: the application.
    :param on_listening: called when the server listens.
    """

    def __init__(self, app: FastAPI, on_listening: Callable[[], None]) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=Connection,
                ws="none",
                lifespan="off",
                access_log=False,
                log_config=None,
                proxy_headers=False,
                timeout_keep_alive=KEEP_ALIVE_SECONDS,
                timeout_graceful_shutdown=1,
            )
        )
        self._emulator: Emulator = app.state.emulator
        self._on_listening = on_listening

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start listening.

        :param sockets: listening sockets.
        """
        await super().startup(sockets)
        self._on_listening()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Shut down without waiting for requests that a fault holds.

        :param sockets: listening sockets.
        """
        self._emulator.faults.clear()
        await super().shutdown(sockets)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Stop on SIGTERM and SIGINT. Unlike uvicorn's method, it does not raise the signal again."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        signals = (signal.SIGTERM, signal.SIGINT)
        before = {number: signal.signal(number, self.handle_exit) for number in signals}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def open_listener(host: str, port: int) -> socket.socket:
    """Open a listening socket.

    :param host: address or host name.
    :param port: 0 picks a free one.
    :returns: the listening socket.
    """
    return socket.create_server((host, port), backlog=2048)


def listener_url(host: str, listener: socket.socket) -> str:
    """Return the URL of a listening socket.

    :param host: address or host name that it was opened with.
    :param listener: the socket.
    :returns: the URL, without a trailing slash.
    """
    # A socket on all interfaces is reachable on loopback, too.
    reachable = "127.0.0.1" if host in {"", "0.0.0.0"} else host  # noqa: S104
    return f"http://{reachable}:{listener.getsockname()[1]}"


class EmulatorServer:
    """An emulator that runs in a thread: `with EmulatorServer() as server: …`.

    :param config: the configuration.
    :param host: address to listen on.
    :param port: 0 picks a free one.
    :param state: the state file; in memory by default.
    :param clock: the clock; the one in the configuration by default.
    """

    def __init__(
        self,
        config: EmulatorConfig | None = None,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        state: Path | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.app = create_app(config, state=state, clock=clock)
        self.emulator: Emulator = self.app.state.emulator
        self._listener = open_listener(host, port)
        self.url = listener_url(host, self._listener)
        self._is_listening = threading.Event()
        self._server = HttpServer(self.app, self._is_listening.set)
        self._thread = threading.Thread(target=self._serve, name="codeocean-emulator", daemon=True)

    @property
    def env(self) -> dict[str, str]:
        """The variables of the env file."""
        return env_variables(self.emulator, self.url)

    @property
    def store(self) -> Store:
        """The state."""
        return self.emulator.store

    @property
    def faults(self) -> FaultRegistry:
        """The active faults."""
        return self.emulator.faults

    @property
    def clock(self) -> Clock:
        """The clock."""
        return self.emulator.clock

    def start(self) -> Self:
        """Start serving.

        :returns: the server.
        :raises RuntimeError: if the server does not start.
        """
        self._thread.start()
        if not self._is_listening.wait(START_TIMEOUT_SECONDS):
            raise RuntimeError(f"the emulator did not listen at {self.url} within {START_TIMEOUT_SECONDS} s")
        return self

    def stop(self) -> None:
        """Stop the server and close the state. It cannot be started again."""
        self._server.should_exit = True
        self._thread.join()
        self._listener.close()
        self.store.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _serve(self) -> None:
        self._server.run(sockets=[self._listener])
