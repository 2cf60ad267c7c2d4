"""A DAG file loads no heavy module, only the HTTP layer loads httpx, and ``api`` does not load Airflow."""

from __future__ import annotations

import importlib
import json
import pkgutil
import subprocess
import sys

import pytest

import airflow_provider_codeocean as package
from airflow_provider_codeocean import api, operators, sensors
from airflow_provider_codeocean.api._http.library import httpx

CLIENT = f"{api.__name__}.client"
LIBRARY = f"{api.__name__}._http.library"
KNOW_HTTPX = {
    f"{api.__name__}.{name}"
    for name in ("client", "storage", "_http.body", "_http.errors", "_http.library", "_http.tls")
}
MODULES = [module.name for module in pkgutil.walk_packages(api.__path__, f"{api.__name__}.")]
DAG_FILE_MODULES = [
    module.name
    for folder in (operators, sensors)
    for module in pkgutil.iter_modules(folder.__path__, f"{folder.__name__}.")
]
#: What every DAG file imports, whether or not it uses this package.
BASE_IMPORT = (
    "from airflow.providers.common.compat.sdk import DAG, BaseHook, BaseOperator, BaseSensorOperator"
)
HTTP_LIBRARIES = {"httpcore", "httpcore2", "httpx", "httpx2", "requests"}
HEAVY_PACKAGES = {*HTTP_LIBRARIES, "fsspec", "msgspec", "openlineage", "pydantic", "tenacity"}
#: Modules, and folders of modules, that only a running task or the triggerer needs.
HEAVY_MODULES = (
    "api._http",
    "api.client",
    "api.endpoint",
    "api.endpoints",
    "api.pagination",
    "api.request",
    "api.response",
    "api.retry",
    "api.storage",
    "custom_metadata",
    "emulator",
    "files",
    "lineage.model",
    "lineage.openlineage",
    "polling.poller",
    "submission.commands",
    "submission.protocol",
    "triggers",
)


def modules_after(*imports: str) -> set[str]:
    """Run import statements in a new interpreter, and return the modules that are loaded."""
    code = f"import json, sys; {'; '.join(imports)}; print(json.dumps([*sys.modules]))"
    process = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return set(json.loads(process.stdout.splitlines()[-1]))


def top_level(modules):
    return {name.partition(".")[0] for name in modules}


def test_api_modules_without_client_import_no_http_library():
    assert set(MODULES) >= KNOW_HTTPX
    without_client = [module for module in MODULES if module not in KNOW_HTTPX]
    assert len(without_client) > 15
    packages = top_level(modules_after(f"import {', '.join(without_client)}"))
    assert not packages & {*HTTP_LIBRARIES, "airflow"}


def test_client_module_imports_one_http_library_but_not_airflow():
    packages = top_level(modules_after(f"import {CLIENT}"))
    assert packages & {"httpx", "httpx2"} == {httpx.__name__}
    assert "airflow" not in packages


@pytest.mark.parametrize(
    ("missing", "used"), [("httpx", "httpx2"), ("httpx2", "httpx"), (None, "httpx2"), ("both", None)]
)
def test_library_is_httpx2_if_installed(missing, used, tmp_path, monkeypatch):
    for name in ("httpx", "httpx2"):
        is_missing = missing in {name, "both"}
        text = f"raise ModuleNotFoundError(name={name!r})" if is_missing else ""
        (tmp_path / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    for name in (LIBRARY, "httpx", "httpx2"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    if used is None:
        with pytest.raises(ModuleNotFoundError):
            importlib.import_module(LIBRARY)
    else:
        assert importlib.import_module(LIBRARY).httpx.__name__ == used


def test_dag_file_imports_no_heavy_module():
    public = [name for name in DAG_FILE_MODULES if not name.rpartition(".")[2].startswith("_")]
    assert len(public) > 10
    loaded = modules_after(BASE_IMPORT, f"import {', '.join(public)}")
    added = loaded - modules_after(BASE_IMPORT)
    assert not top_level(added) & HEAVY_PACKAGES
    own = {name.removeprefix(f"{package.__name__}.") for name in added}
    assert own >= {"operators.data_asset", "sensors.search", "hooks.codeocean"}
    assert {name for name in own if name.startswith("api.models.")} == {"api.models.states"}
    assert not {name for name in own for heavy in HEAVY_MODULES if f"{name}.".startswith(f"{heavy}.")}


def test_states_module_imports_no_package():
    code = "import airflow_provider_codeocean.api.models.states, airflow_provider_codeocean.outcomes"
    assert not top_level(modules_after(code)) & (HEAVY_PACKAGES | {"airflow"})
