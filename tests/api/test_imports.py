"""Only the HTTP layer imports httpx, and nothing in ``api`` imports Airflow."""

from __future__ import annotations

import json
import pkgutil
import subprocess
import sys

from airflow_provider_codeocean import api

CLIENT = f"{api.__name__}.client"
KNOW_HTTPX = {
    f"{api.__name__}.{name}" for name in ("client", "storage", "_http.body", "_http.errors", "_http.tls")
}
MODULES = [module.name for module in pkgutil.walk_packages(api.__path__, f"{api.__name__}.")]


def imported_by(*modules: str) -> set[str]:
    """Import modules in a new interpreter, and return the top-level packages that are loaded."""
    code = f"import json, sys, {', '.join(modules)}; print(json.dumps([*sys.modules]))"
    process = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return {name.partition(".")[0] for name in json.loads(process.stdout)}


def test_api_modules_without_client_import_no_http_library():
    assert set(MODULES) >= KNOW_HTTPX
    without_client = [module for module in MODULES if module not in KNOW_HTTPX]
    assert len(without_client) > 15
    assert not imported_by(*without_client) & {"httpx", "httpcore", "requests", "airflow"}


def test_client_module_imports_httpx_but_not_airflow():
    packages = imported_by(CLIENT)
    assert "httpx" in packages
    assert "airflow" not in packages
