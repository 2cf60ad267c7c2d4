"""The emulator on a real socket: in a thread of a test, or as the program itself."""

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
from airflow_provider_codeocean.emulator.domain.faults import FaultBook
from airflow_provider_codeocean.emulator.seeding.env_file import environment
from airflow_provider_codeocean.emulator.server.app import create_app
from airflow_provider_codeocean.emulator.server.connection import Connection
from airflow_provider_codeocean.emulator.state.store import Store

if TYPE_CHECKING:
    from airflow_provider_codeocean.emulator.state.deployment import Emulator

KEEP_ALIVE_SECONDS = 90
"""Longer than clients keep an idle connection, so that it is they who close it."""

START_SECONDS = 30


class HttpServer(uvicorn.Server):
    """uvicorn, told when it listens, stopping quickly and without an error.

    :param app: what it serves.
    :param listening: called once it listens.
    """

    def __init__(self, app: FastAPI, listening: Callable[[], None]) -> None:
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
        self._listening = listening

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to listen.

        :param sockets: where.
        """
        await super().startup(sockets)
        self._listening()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop; requests that a fault holds would wait for ever.

        :param sockets: where it listens.
        """
        self._emulator.faults.clear()
        await super().shutdown(sockets)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Stop on SIGTERM and SIGINT. uvicorn's own would raise the signal again afterwards."""
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


def listen(host: str, port: int) -> socket.socket:
    """Open the socket to listen on.

    :param host: address or name.
    :param port: 0 picks a free one.
    :returns: the socket, listening.
    """
    return socket.create_server((host, port), backlog=2048)


def url_of(host: str, listener: socket.socket) -> str:
    """Return the URL of a listening socket.

    :param host: address or name that it was opened with.
    :param listener: the socket.
    :returns: the URL, without a slash at its end.
    """
    # Whoever listens everywhere is reached here, too.
    reachable = "127.0.0.1" if host in {"", "0.0.0.0"} else host  # noqa: S104
    return f"http://{reachable}:{listener.getsockname()[1]}"


class EmulatorServer:
    """An emulator in a thread, on a real socket: `with EmulatorServer() as server: …`.

    :param config: its configuration.
    :param host: where it listens.
    :param port: 0 picks a free one.
    :param state: the state file; in memory if not given.
    :param clock: the time; what `config.clock` says if not given.
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
        self._listener = listen(host, port)
        self.url = url_of(host, self._listener)
        self._listening = threading.Event()
        self._server = HttpServer(self.app, self._listening.set)
        self._thread = threading.Thread(target=self._serve, name="codeocean-emulator", daemon=True)

    @property
    def env(self) -> dict[str, str]:
        """What the env file would hold."""
        return environment(self.emulator, self.url)

    @property
    def store(self) -> Store:
        """The state."""
        return self.emulator.store

    @property
    def faults(self) -> FaultBook:
        """The faults in use."""
        return self.emulator.faults

    @property
    def clock(self) -> Clock:
        """The time."""
        return self.emulator.clock

    def start(self) -> Self:
        """Start to serve.

        :returns: the server.
        :raises RuntimeError: if it does not come up.
        """
        self._thread.start()
        if not self._listening.wait(START_SECONDS):
            raise RuntimeError(f"the emulator did not listen at {self.url} within {START_SECONDS} s")
        return self

    def stop(self) -> None:
        """Stop and close the state; a server is started once."""
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
