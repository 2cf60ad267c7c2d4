"""The metadata of the provider is correct, and cheap to import."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import import_module
from importlib.metadata import entry_points, version
from pathlib import Path

import airflow
import jsonschema
import pytest

from airflow_provider_codeocean import assets
from airflow_provider_codeocean.provider_info import get_provider_info

AIRFLOW_2 = version("apache-airflow").startswith("2.")


@pytest.fixture(scope="module")
def info():
    return get_provider_info()


def test_provider_info_is_registered_as_entry_point(info):
    (entry_point,) = [
        each
        for each in entry_points(group="apache_airflow_provider")
        if each.dist.name == info["package-name"]
    ]
    assert entry_point.load() is get_provider_info
    assert info["versions"] == [version("airflow-provider-codeocean")]


def test_provider_info_matches_schema_of_airflow(info):
    schema = Path(airflow.__path__[0], "provider_info.schema.json")
    jsonschema.validate(info, json.loads(schema.read_text()))


def test_provider_info_names_existing_modules_and_classes(info):
    for kind in ("hooks", "operators", "sensors", "triggers"):
        for integration in info[kind]:
            for module in integration["python-modules"]:
                if AIRFLOW_2 and module.endswith("triggers.events"):
                    with pytest.raises(ImportError, match=r"Asset watchers require Airflow 3\.0 or later"):
                        import_module(module)
                else:
                    import_module(module)
    classes = [*info["extra-links"], *(each["hook-class-name"] for each in info["connection-types"])]
    for name in classes:
        module, _, attribute = name.rpartition(".")
        assert hasattr(import_module(module), attribute)


def test_provider_info_registers_asset_uri_handlers():
    """Without a handler, Airflow would silently ignore the entry; Airflow 2 reads another key."""
    try:  # from 3.2 on, Airflow has a separate registry for tasks
        from airflow.sdk.providers_manager_runtime import ProvidersManagerTaskRuntime as ProvidersManager
    except ImportError:
        from airflow.providers_manager import ProvidersManager

    known, name = ProvidersManager(), "dataset" if version("apache-airflow").startswith("2.") else "asset"
    assert getattr(known, f"{name}_uri_handlers")["codeocean"] is assets.sanitize_uri
    assert getattr(known, f"{name}_factories")["codeocean"] is assets.create_asset
    converters = getattr(known, f"{name}_to_openlineage_converters")
    assert converters["codeocean"] is assets.convert_asset_to_openlineage


@pytest.mark.parametrize("kind", ["operators", "sensors", "triggers"])
def test_provider_info_lists_all_modules(info, kind):
    folder = Path(import_module("airflow_provider_codeocean").__path__[0], kind)
    found = {path.stem for path in folder.glob("*.py") if not path.stem.startswith("_")}
    named = {name.rpartition(".")[2] for each in info[kind] for name in each["python-modules"]}
    assert named == found


def modules_after(code: str) -> set[str]:
    program = f"import json, sys; {code}; print(json.dumps(list(sys.modules)))"
    process = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120
    )
    return set(json.loads(process.stdout.splitlines()[-1]))


def test_provider_info_imports_no_heavy_module():
    modules = modules_after(
        "import airflow_provider_codeocean.provider_info as info; info.get_provider_info()"
    )
    assert modules.isdisjoint({"airflow", "httpx", "httpx2", "pydantic", "tenacity"})


@pytest.mark.long
@pytest.mark.parametrize(
    "module",
    [
        "operators.data_asset",
        "sensors.data_asset",
        "triggers.data_asset",
        pytest.param(
            "dags.capture_on_completion, airflow_provider_codeocean.triggers.events",
            marks=pytest.mark.skipif(AIRFLOW_2, reason="Airflow 2 has no asset watchers"),
        ),
    ],
)
def test_dag_parsing_does_not_import_client(module):
    modules = modules_after(f"import airflow_provider_codeocean.{module}")
    assert "airflow_provider_codeocean.api.client" not in modules
