"""CONTRIBUTING.md lists all modules of the package and of its client."""

from __future__ import annotations

from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parent.parent
PACKAGE = CHECKOUT / "airflow_provider_codeocean"


def modules_of(folder):
    return {
        path.stem
        for path in folder.iterdir()
        if path.name != "__init__.py" and (path.suffix == ".py" or (path / "__init__.py").exists())
    }


@pytest.mark.parametrize(
    "module", sorted(modules_of(PACKAGE) | {f"api/{each}" for each in modules_of(PACKAGE / "api")})
)
def test_contributing_lists_module(module):
    layout = (CHECKOUT / "CONTRIBUTING.md").read_text().partition("## Map")[2]
    path = PACKAGE / module
    assert f"{path.name}/" in layout if path.is_dir() else f"{path.name}.py" in layout
