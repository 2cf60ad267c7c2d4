"""The Code Ocean of one crash: an emulator of its own, in a thread, or in a process that can be killed."""

from __future__ import annotations

import json
import signal
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol, Self

from airflow_provider_codeocean.api.client import CodeOceanClient
from airflow_provider_codeocean.api.models.data_asset_params import DataAssetSearchParams
from airflow_provider_codeocean.emulator import EmulatorConfig, EmulatorServer, Policy, Transitions
from airflow_provider_codeocean.outcomes import Outcome, computation_outcome
from scripts.emulator_process import EmulatorProcess
from scripts.environment import find_free_ports

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from airflow_provider_codeocean.api.models.computation import Computation
    from airflow_provider_codeocean.api.models.data_asset import DataAsset
    from airflow_provider_codeocean.emulator.domain.faults import Fault

#: Seconds by which search lags behind writes: a retry comes sooner.
SEARCH_LAG_SECONDS = 3.0


class CrashEmulator(Protocol):
    """What both have."""

    @property
    def connection(self) -> dict[str, object]:
        """The Airflow connection that leads to it."""
        ...

    @property
    def ids(self) -> dict[str, str]:
        """A computation whose results can be captured, and a capsule that can be run."""
        ...

    def count_requests(self, endpoint: str) -> int:
        """Return how many requests of a kind it has answered."""
        ...

    def find_jobs(self, job_kind: str) -> Sequence[DataAsset | Computation]:
        """Return all that a ``capture`` or a ``run`` has made and that did not fail."""
        ...

    def __enter__(self) -> Self: ...
    def __exit__(self, *_: object) -> None: ...


class ThreadedEmulator:
    """An emulator in a thread: its faults and its store are at hand.

    :param slow: data assets stay drafts and computations run until :meth:`finish_jobs`.
    """

    def __init__(self, *, slow: bool) -> None:
        seconds = 3600 if slow else 1
        config = EmulatorConfig(
            transitions=Transitions(assets=Policy(seconds=seconds), computations=Policy(seconds=seconds)),
            search_lag=SEARCH_LAG_SECONDS,
        )
        self.server = EmulatorServer(config)

    def __enter__(self) -> Self:
        self.server.start()
        self._initial_computation_ids = {each.id for each in self.server.store.computations.all()}
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
    def ids(self) -> dict[str, str]:
        """A computation whose results can be captured, and a capsule that can be run."""
        env = self.server.env
        return {"computation_id": env["CODEOCEAN_COMPUTATION_ID"], "capsule_id": env["CODEOCEAN_CAPSULE_ID"]}

    def count_requests(self, endpoint: str) -> int:
        """Return how many requests of a kind it has answered."""
        return self.server.emulator.traffic.requests[endpoint]

    def find_jobs(self, job_kind: str) -> Sequence[DataAsset | Computation]:
        """Return all that a ``capture`` or a ``run`` has made and that did not fail."""
        self.server.emulator.search_lag = 0.0
        token = self.server.env["CODEOCEAN_TOKEN"]
        if job_kind == "capture":
            return _find_captured_assets(self.server.url, token)
        return _find_started_computations(
            self.server.url, token, self.ids["capsule_id"], self._initial_computation_ids
        )

    def count_captured(self) -> int:
        """Return how many data assets have been captured by now, without touching the search."""
        return sum(asset.name == "captured" for asset in self.server.store.data_assets.all())

    def finish_jobs(self) -> None:
        """Let all that was made be over, and what comes."""
        emulator, store = self.server.emulator, self.server.store
        emulator.transitions = Transitions.all(Policy(seconds=1))
        for asset in store.data_assets.all():
            if asset.name == "captured":
                store.data_assets.put(replace(asset, work=replace(asset.work, duration_seconds=0.0)))
        for run in store.computations.all():
            if run.id not in self._initial_computation_ids:
                store.computations.put(replace(run, work=replace(run.work, duration_seconds=0.0)))

    def add_fault(self, kind: str, method: str, path: str) -> Fault:
        """Let the next request of a kind go wrong."""
        from airflow_provider_codeocean.emulator import FaultRule

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
        config.write_text(
            json.dumps({"transitions": {"assets": {"seconds": 10}}, "search_lag": SEARCH_LAG_SECONDS})
        )
        (port,) = find_free_ports(1)
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
    def ids(self) -> dict[str, str]:
        """A computation whose results can be captured."""
        return {"computation_id": self._process.computation_id}

    def count_requests(self, endpoint: str) -> int:
        """Return how many requests of a kind it has answered."""
        return int(self._process.get("/_emulator/stats")["endpoints"].get(endpoint, 0))

    def find_jobs(self, job_kind: str) -> Sequence[DataAsset | Computation]:
        """Return all that a ``capture`` has made and that did not fail."""
        assert job_kind == "capture", "no point starts Code Ocean anew while something is run"
        self._process.call_api("PUT", "/_emulator/search_lag", {"seconds": 0})
        return _find_captured_assets(self._process.url, self._process.token)


def _find_captured_assets(url: str, token: str) -> list[DataAsset]:
    with CodeOceanClient(url, token) as client:
        return [
            asset
            for archived in (False, True)
            for asset in client.data_assets.search_all(
                DataAssetSearchParams(query="name:captured", archived=archived)
            )
            if asset.state != "failed"
        ]


def _find_started_computations(
    url: str, token: str, capsule_id: str, known_ids: set[str]
) -> list[Computation]:
    with CodeOceanClient(url, token) as client:
        computations = client.capsules.list_computations(capsule_id)
    failed = Outcome.FAILED
    return [
        each for each in computations if each.id not in known_ids and computation_outcome(each) is not failed
    ]
