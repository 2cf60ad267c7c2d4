"""An emulator of the Code Ocean REST API, to try the provider without an account.

    python -m airflow_provider_codeocean.emulator --port 8000 --env-file code-ocean.env

It is written from the API's documentation and shares no code with `airflow_provider_codeocean.api`, so that a
misunderstanding in one does not confirm itself in the other; contract tests check it with the official SDK.
Tests start it in a thread with `EmulatorServer`. `EmulatorConfig` lists the settings, `FaultRule` the faults
and quirks.

In addition to the API under `/api/v1/` and pages for browsers, it has control endpoints, which need no
credentials and exchange JSON:

| endpoint under `/_emulator/` | |
| --- | --- |
| `GET stats`, `POST stats/reset` | counters of requests, statuses, and connections |
| `GET faults`, `POST faults`, `DELETE faults` | list the rules, add one (`FaultRule`), remove all |
| `DELETE faults/{id}` | remove a rule and close the connections that it holds |
| `POST faults/{id}/release` | continue the requests that a rule holds |
| `GET faults/{id}/wait?hits=&held=&timeout=` | respond after that many hits and held requests; else 408 |
| `PUT search_lag` `{seconds}` | how long search lags behind writes |
| `PUT rate_limit` `{kind, requests_per_second, burst, retry_after}` | 429 above it; 0 is no limit |
| `PUT transitions` `{assets, computations, transfers, releases}` | how long new work takes |
| `PUT users` (`domain.config.UserConfig`) | add or change a user |
| `POST advance` `{seconds}` | move a manual clock |
| `POST computations` (`seeding.bulk.ComputationSeed`) | add computations, finished or not |
| `POST data_assets` (`seeding.bulk.DataAssetSeed`) | add data assets, ready or not |
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider_codeocean.emulator.domain.clock import Policy
    from airflow_provider_codeocean.emulator.domain.config import EmulatorConfig, Transitions
    from airflow_provider_codeocean.emulator.domain.faults import FaultRule
    from airflow_provider_codeocean.emulator.server.server import EmulatorServer

__all__ = ["EmulatorConfig", "EmulatorServer", "FaultRule", "Policy", "Transitions"]

_MODULES = {
    "EmulatorConfig": "domain.config",
    "EmulatorServer": "server.server",
    "FaultRule": "domain.faults",
    "Policy": "domain.clock",
    "Transitions": "domain.config",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
