"""The documentation says what the code does."""

from __future__ import annotations

import inspect
import re
from importlib import import_module
from pathlib import Path
from typing import get_args

import pytest

from airflow_provider_codeocean.api.call import paginated
from airflow_provider_codeocean.api.client import CodeOceanClient
from airflow_provider_codeocean.emulator.config import EmulatorConfig
from airflow_provider_codeocean.emulator.faults import FaultKind, FaultRule
from airflow_provider_codeocean.operators.base import CodeOceanCreateDataAssetBase
from airflow_provider_codeocean.operators.data_asset import CodeOceanCaptureResultOperator
from airflow_provider_codeocean.operators.files import CodeOceanFilesBase
from scripts import api_table

CHECKOUT = Path(__file__).parent.parent
PAGES = [*CHECKOUT.glob("*.md"), *(CHECKOUT / "docs").glob("*.md")]
OPERATORS = (CHECKOUT / "docs" / "operators.md").read_text()


def test_the_arguments_of_a_capture_are_all_explained():
    own = set(inspect.signature(CodeOceanCaptureResultOperator.__init__).parameters)
    inherited = set(inspect.signature(CodeOceanCreateDataAssetBase.__init__).parameters)
    (section,) = re.findall(r"## Capturing results\n(.*?)\n## ", OPERATORS, re.DOTALL)
    explained = re.findall(r"^\| `(\w+)`( ᵗ)? \|", section, re.MULTILINE)
    assert {name for name, _ in explained} == (own | inherited) - {"self", "kwargs"}
    assert {name for name, mark in explained if mark} == set(CodeOceanCaptureResultOperator.template_fields)


def operations() -> dict[str, str]:
    """What ``operations.md`` and ``files.md`` say of each operator, by the operator's path."""
    page = "".join((CHECKOUT / "docs" / f"{name}.md").read_text() for name in ("operations", "files"))
    sections = re.findall(r"^## `(operators\.\w+\.\w+)`\n(.*?)(?=^## )", page, re.MULTILINE | re.DOTALL)
    return dict(sections)


@pytest.mark.parametrize("path", operations())
def test_the_arguments_of_an_operation_are_all_explained(path):
    module, name = path.rsplit(".", 1)
    operator = getattr(import_module(f"airflow_provider_codeocean.{module}"), name)
    own = set(inspect.signature(operator.__init__).parameters)
    if issubclass(operator, CodeOceanFilesBase):
        own |= set(inspect.signature(CodeOceanFilesBase.__init__).parameters)
    if not operator.__init__.__qualname__.startswith(name):
        own = {"data_asset_id"}
    if "capsule_id" in operator.template_fields:
        own |= set(operator.template_fields)
    own -= {"self", "kwargs", "codeocean_conn_id"}
    explained = re.findall(r"^\| `(\w+)`( ᵗ)? \|", operations()[path], re.MULTILINE)
    assert {name for name, _ in explained} == own
    assert {name for name, mark in explained if mark} == own & set(operator.template_fields)


def test_all_operators_are_explained():
    text = "".join(page.read_text() for page in (CHECKOUT / "docs").glob("*.md"))
    for path in (CHECKOUT / "airflow_provider_codeocean" / "operators").glob("*.py"):
        for name in re.findall(r"^class (CodeOcean\w+Operator)\b", path.read_text(), re.MULTILINE):
            assert f"operators.{path.stem}.{name}" in text


@pytest.mark.parametrize(
    "resources", ["data_assets", "computations", "capsules", "pipelines", "custom_metadata"]
)
def test_the_methods_of_the_client_are_all_listed(resources):
    (row,) = re.findall(rf"^\| (?:`\w+`, )?`{resources}`(?:, `\w+`)? \| (.*) \|$", OPERATORS, re.MULTILINE)
    with CodeOceanClient("https://co.test", "cop_token") as client:
        resource = type(getattr(client, resources))
    methods = set(resource.endpoints()) | {
        name for name in dir(resource) if isinstance(inspect.getattr_static(resource, name), paginated)
    }
    assert set(re.findall(r"`(\w+)`", row)) == methods


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_within_the_project_lead_somewhere(page):
    targets = re.findall(r"\]\((?!https?://|#)([^)#]+)", page.read_text())
    assert [target for target in targets if not (page.parent / target).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_in_it_is_python(page):
    for code in re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL):
        if "…" not in code:
            compile(code, page.name, "exec", flags=0x2000)  # top-level await is allowed


def test_the_dag_of_the_readme_runs_as_it_stands():
    (code,) = [
        code
        for code in re.findall(r"```python\n(.*?)```", (CHECKOUT / "README.md").read_text(), re.DOTALL)
        if "with DAG" in code
    ]
    namespace: dict = {}
    exec(
        code.replace("from airflow.sdk import", "from airflow.providers.common.compat.sdk import"), namespace
    )
    assert namespace["CodeOceanCaptureResultOperator"].operator_extra_links
    assert len([line for line in code.splitlines() if line.strip()]) <= 10


def test_the_emulators_settings_and_faults_are_all_explained():
    page = (CHECKOUT / "docs" / "emulator.md").read_text()
    named = set(re.findall(r"`(\w+)`", page))
    assert set(EmulatorConfig.model_fields) <= named
    assert set(FaultRule.model_fields) <= named
    assert set(get_args(FaultKind)) <= named


def test_the_table_of_endpoints_is_that_of_the_code():
    assert api_table.PAGE.read_text() == api_table.page()


#: What a DAG does not call for: it is in the clients, for tasks of one's own.
FOR_TASKS_OF_ONES_OWN = re.compile(
    r"GET (capsules|pipelines)/.*|POST (capsules|pipelines)/search"
    r"|\w+ (capsules|pipelines)/\{id\}(/archive|/permissions|/sync|/release)?"
    # Not there yet:
    r"|(POST|DELETE|PATCH) computations(/\{id\})?"
)


def test_what_a_dag_calls_for_has_an_operator_or_a_sensor():
    used = {endpoint for endpoint, _ in api_table.users()}
    declared = {api_table.anonymous(endpoint) for endpoint, _ in api_table.endpoints()}
    assert used <= declared
    assert {each for each in declared - used if not FOR_TASKS_OF_ONES_OWN.fullmatch(each)} == set()
