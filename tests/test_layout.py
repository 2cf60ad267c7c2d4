"""What names the package's modules names them all: the contracts of import-linter, and CONTRIBUTING.md."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parent.parent
PACKAGE = CHECKOUT / "airflow_provider_codeocean"
CONTRACTS = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
KNOW_HTTPX = {"client", "deadline", "storage", "wire"}


def modules_of(folder):
    return {
        path.stem
        for path in folder.iterdir()
        if path.name != "__init__.py" and (path.suffix == ".py" or (path / "__init__.py").exists())
    }


def listed_in(contract):
    (modules,) = (each["source_modules"] for each in CONTRACTS if each["name"].startswith(contract))
    return {module.removeprefix(f"{PACKAGE.name}.") for module in modules}


SHIPPED = modules_of(PACKAGE) - {"emulator"}


def test_nothing_shipped_may_import_the_emulator():
    assert listed_in("Nothing shipped imports the emulator") == SHIPPED


def test_few_may_import_httpx():
    few = {f"api.{each}" for each in modules_of(PACKAGE / "api") - KNOW_HTTPX}
    assert listed_in("httpx is known to") == SHIPPED - {"api"} | few


@pytest.mark.parametrize("module", sorted(SHIPPED | {f"api/{each}" for each in modules_of(PACKAGE / "api")}))
def test_each_is_in_the_list_for_contributors(module):
    layout = (CHECKOUT / "CONTRIBUTING.md").read_text().partition("## How the code is laid out")[2]
    path = PACKAGE / module
    assert f"{path.name}/" in layout if path.is_dir() else f"{path.name}.py" in layout
