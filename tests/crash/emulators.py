"""The Code Ocean of one crash: an emulator of its own, in a thread, or in a process that can be killed."""

from __future__ import annotations

import json
import signal
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol, Self

from airflow_provider_codeocean.api.client import CodeOceanClient
from airflow_provider_codeocean.api.models.data_asset_params import DataAssetSearchParams
from airflow_provider_codeocean.emulator.clock import Policy
from airflow_provider_codeocean.emulator.config import EmulatorConfig, Transitions
from airflow_provider_codeocean.emulator.server import EmulatorServer
from scripts.emulator_process import EmulatorProcess
from scripts.environment import free_ports

if TYPE_CHECKING:
    from pathlib import Path

    from airflow_provider_codeocean.api.models.data_asset import DataAsset
    from airflow_provider_codeocean.emulator.faults import Fault

#: Seconds by which search lags behind writes: a retry comes sooner.
SEARCH_LAG = 3.0


class Emulated(Protocol):
    """What both have."""

    @property
    def connection(self) -> dict[str, object]:
        """The Airflow connection that leads to it."""
        ...

    @property
    def computation_id(self) -> str:
        """A computation whose results can be captured."""
        ...

    def requests(self, endpoint: str) -> int:
        """Return how many requests of a kind it has answered."""
        ...

    def assets(self) -> list[DataAsset]:
        """Return the data assets that were captured and did not fail, all of them and at once."""
        ...

    def __enter__(self) -> Self: ...
    def __exit__(self, *_: object) -> None: ...


class ThreadedEmulator:
    """An emulator in a thread: its faults and its store are at hand.

    :param slow: data assets stay drafts until :meth:`finish_assets`.
    """

    def __init__(self, *, slow: bool) -> None:
        seconds = 3600 if slow else 1
        config = EmulatorConfig(
            transitions=Transitions(assets=Policy(seconds=seconds)), search_lag=SEARCH_LAG
        )
        self.server = EmulatorServer(config)

    def __enter__(self) -> Self:
        self.server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.stop()

    @property
    def connection(self) -> dict[str, object]:
        """The Airflow connection; with a timeout that outlasts what is held."""
        return {
            "conn_type": "codeocean",
            "host": self.server.url,
            "password": self.server.env["CODEOCEAN_TOKEN"],
            "extra": {"timeout": 300},
        }

    @property
    def computation_id(self) -> str:
        """A computation whose results can be captured."""
        return self.server.env["CODEOCEAN_COMPUTATION_ID"]

    def requests(self, endpoint: str) -> int:
        """Return how many requests of a kind it has answered."""
        return self.server.emulator.traffic.requests[endpoint]

    def assets(self) -> list[DataAsset]:
        """Return the data assets that were captured and did not fail."""
        self.server.emulator.search_lag = 0.0
        return _captured(self.server.url, self.server.env["CODEOCEAN_TOKEN"])

    def captured_so_far(self) -> int:
        """Return how many data assets have been captured by now, without touching the search."""
        return sum(asset.name == "captured" for asset in self.server.store.data_assets.all())

    def finish_assets(self) -> None:
        """Let all data assets be ready that are there, and those that come."""
        emulator, shelf = self.server.emulator, self.server.store.data_assets
        emulator.transitions = Transitions(assets=Policy(seconds=1))
        for asset in shelf.all():
            if asset.name == "captured":
                shelf.put(replace(asset, work=replace(asset.work, seconds=0.0)))

    def fault(self, kind: str, method: str, path: str) -> Fault:
        """Let the next request of a kind go wrong."""
        from airflow_provider_codeocean.emulator.faults import FaultRule

        return self.server.faults.add(
            FaultRule.model_validate({"kind": kind, "method": method, "path": path, "timeout": 600})
        )


class RestartableEmulator:
    """An emulator in a process, with a state file, on a port that it keeps.

    :param folder: where its files go.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        config = folder / "config.json"
        config.write_text(json.dumps({"transitions": {"assets": {"seconds": 10}}, "search_lag": SEARCH_LAG}))
        (port,) = free_ports(1)
        self._folder = folder
        self._arguments = ["--port", str(port), "--state", str(folder / "state.db"), "--config", str(config)]
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self._process = self._stack.enter_context(EmulatorProcess(self._folder, arguments=self._arguments))
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def restart(self) -> None:
        """Kill it, and start it again with the state that it has left."""
        self._process.kill(signal.SIGKILL)
        self.__enter__()

    @property
    def connection(self) -> dict[str, object]:
        """The Airflow connection."""
        return dict(self._process.connection)

    @property
    def computation_id(self) -> str:
        """A computation whose results can be captured."""
        return self._process.computation_id

    def requests(self, endpoint: str) -> int:
        """Return how many requests of a kind it has answered."""
        return int(self._process.get("/_emulator/stats")["endpoints"].get(endpoint, 0))

    def assets(self) -> list[DataAsset]:
        """Return the data assets that were captured and did not fail."""
        self._process.call("PUT", "/_emulator/search_lag", {"seconds": 0})
        return _captured(self._process.url, self._process.token)


def _captured(url: str, token: str) -> list[DataAsset]:
    with CodeOceanClient(url, token) as client:
        return [
            asset
            for archived in (False, True)
            for asset in client.data_assets.search_all(
                DataAssetSearchParams(query="name:captured", archived=archived)
            )
            if asset.state != "failed"
        ]
