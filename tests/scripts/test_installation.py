"""Checks of an installation, and the quick start of the documentation."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from scripts.import_modules import find_public_modules, required_extra
from scripts.installation import Installation, read_quick_start
from scripts.steps import StepError, StepRunner
from scripts.terminal import Terminal

CHECKOUT = Path(__file__).parent.parent.parent
PAGE = (CHECKOUT / "docs" / "index.md").read_text()
PACKAGE = "airflow_provider_codeocean"


def test_read_quick_start_returns_the_commands_of_the_page():
    quick_start = read_quick_start(PAGE)
    assert quick_start.start_emulator.startswith("python -m airflow_provider_codeocean.emulator --port 8000 ")
    assert "export AIRFLOW_CONN_CODEOCEAN_DEFAULT=" in quick_start.connect
    assert quick_start.file_name == "first_capture.py"
    assert 'DAG("first_capture"' in quick_start.dag
    assert "airflow dags test first_capture" in quick_start.run


def test_read_quick_start_accepts_an_installation_from_the_index():
    page = PAGE.replace('pip install ".[emulator]"', 'pip install "airflow-provider-codeocean[emulator]"')
    assert page != PAGE
    assert read_quick_start(page) == read_quick_start(PAGE)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("## Start in five minutes", "## Start"),
        ('pip install ".[emulator]"', "pip install ."),
        ("--port 8000", "--port 80"),
        ("```python", "```"),
        ("`first_capture.py`", "a file"),
    ],
)
def test_read_quick_start_with_another_page_fails(old, new):
    assert old in PAGE
    with pytest.raises(StepError, match="The quick start has other"):
        read_quick_start(PAGE.replace(old, new, 1))


def make_installation(tmp_path, release, report):
    """Return an installation whose interpreter prints a report."""
    folder = tmp_path / "user"
    runner = StepRunner(Terminal(io.StringIO()), tmp_path / "logs")
    made = Installation("python3", tmp_path / "a.whl", Path(f"airflow-{release}.txt"), folder, runner)
    python = Path(made.python)
    python.parent.mkdir(parents=True)
    python.write_text(f"#!/bin/sh\necho a warning\necho '{json.dumps(report)}'\n")
    python.chmod(0o700)
    (folder / "home").mkdir()
    return made


def make_report(tmp_path, **changes):
    file = tmp_path / "user/environment/lib/python3.11/site-packages/airflow_provider_codeocean/__init__.py"
    return {"file": str(file), "airflow": "3.3.2", "imported": 9, "errors": {}, "unwanted": []} | changes


NEEDS_AIRFLOW_3 = "ImportError: Asset watchers require Airflow 3.0 or later; use a sensor"


def test_imports_from_the_environment_pass(tmp_path):
    make_installation(tmp_path, "3.3", make_report(tmp_path)).check_imports()


def test_imports_from_the_checkout_fail(tmp_path):
    report = make_report(tmp_path, file=str(CHECKOUT / PACKAGE / "__init__.py"))
    with pytest.raises(StepError, match="The package comes from"):
        make_installation(tmp_path, "3.3", report).check_imports()


def test_imports_of_the_emulator_without_its_extra_fail(tmp_path):
    report = make_report(tmp_path, unwanted=[f"{PACKAGE}.emulator"])
    with pytest.raises(StepError, match="were imported without need"):
        make_installation(tmp_path, "3.3", report).check_imports()


@pytest.mark.parametrize(
    ("release", "text", "is_accepted"),
    [("2.11", NEEDS_AIRFLOW_3, True), ("3.3", NEEDS_AIRFLOW_3, False), ("2.11", "ImportError: x", False)],
)
def test_import_error_passes_only_if_the_module_needs_airflow_3(tmp_path, release, text, is_accepted):
    installation = make_installation(tmp_path, release, make_report(tmp_path, errors={"a.events": text}))
    if is_accepted:
        installation.check_imports()
    else:
        with pytest.raises(StepError, match="cannot be imported"):
            installation.check_imports()


def test_find_public_modules_lists_modules_and_packages_without_private_parts():
    names = find_public_modules()
    assert {PACKAGE, f"{PACKAGE}.operators", f"{PACKAGE}.operators.data_asset"} <= set(names)
    assert [name for name in names if "._" in name] == []


@pytest.mark.parametrize(
    ("name", "extra"),
    [
        ("emulator", "emulator"),
        ("emulator.domain.faults", "emulator"),
        ("emulators", None),
        ("lineage.openlineage", "openlineage"),
        ("lineage.model", None),
    ],
)
def test_required_extra_of_module(name, extra):
    assert required_extra(f"{PACKAGE}.{name}") == extra
