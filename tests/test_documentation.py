"""The documentation says what the code does."""

from __future__ import annotations

import ast
import inspect
import re
from dataclasses import fields as dataclass_fields
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from pkgutil import walk_packages
from typing import get_args

import pytest
from airflow.providers.common.compat.sdk import DAG
from pydantic import BaseModel

import airflow_provider_codeocean
from airflow_provider_codeocean.api import errors
from airflow_provider_codeocean.api.client import CodeOceanClient
from airflow_provider_codeocean.api.pagination import paginated
from airflow_provider_codeocean.dags.capture_on_completion import capture_on_completion
from airflow_provider_codeocean.emulator import EmulatorConfig
from airflow_provider_codeocean.emulator.domain.faults import FaultKind, FaultRule
from airflow_provider_codeocean.events import filters
from airflow_provider_codeocean.operators._create_base import CodeOceanCreateDataAssetBase
from airflow_provider_codeocean.operators._submit_once.operator import CodeOceanSubmitOnceBase
from airflow_provider_codeocean.operators.data_asset import CodeOceanCaptureResultOperator
from airflow_provider_codeocean.task_groups.run_and_capture import CodeOceanRunAndCaptureTaskGroup
from scripts import api_table

CHECKOUT = Path(__file__).parent.parent
DOCS = CHECKOUT / "docs"
PAGES = [*CHECKOUT.glob("*.md"), *DOCS.rglob("*.md")]
AIRFLOW_2 = version("apache-airflow").startswith("2.")
#: Modules that Airflow 2 cannot import: for asset watchers, and for sensors that start in the triggerer.
NEED_AIRFLOW_3 = {"events", "memory", "watching", "from_trigger"}
CAPTURE = "operators.data_asset.CodeOceanCaptureResultOperator"


def operations() -> dict[str, str]:
    """What the pages say of each operator, under a heading that is its path."""
    sections = [
        section
        for page in DOCS.glob("*.md")
        for section in re.findall(
            r"^## `(operators\.\w+\.\w+)`\n(.*?)(?=^## |\Z)", page.read_text(), re.MULTILINE | re.DOTALL
        )
    ]
    assert len(dict(sections)) == len(sections), "an operator is explained twice"
    return dict(sections)


def classes(kind: str) -> dict[str, type]:
    """The operators, sensors or triggers of the package, by module and name."""
    folder = CHECKOUT / "airflow_provider_codeocean" / f"{kind.lower()}s"
    modules = [
        import_module(f"airflow_provider_codeocean.{folder.name}.{path.stem}")
        for path in folder.glob("[!_]*.py")
        if not (AIRFLOW_2 and path.stem in NEED_AIRFLOW_3)
    ]
    return {
        f"{module.__name__.rsplit('.', 1)[1]}.{name}": member
        for module in modules
        for name, member in inspect.getmembers(module, inspect.isclass)
        if member.__module__ == module.__name__ and name.endswith(kind)
    }


def public_tasks() -> dict[str, type]:
    """The operators, sensors and task groups, by name."""
    tasks = {path.split(".")[1]: member for path, member in (classes("Operator") | classes("Sensor")).items()}
    return tasks | {CodeOceanRunAndCaptureTaskGroup.__name__: CodeOceanRunAndCaptureTaskGroup}


def test_docs_explain_all_arguments_of_capture():
    own = set(inspect.signature(CodeOceanCaptureResultOperator.__init__).parameters)
    inherited = {
        name
        for base in CodeOceanCreateDataAssetBase.__mro__
        if base.__module__.startswith("airflow_provider_codeocean.") and "__init__" in vars(base)
        for name in inspect.signature(base.__init__).parameters
    }
    explained = re.findall(r"^\| `(\w+)`( ᵗ)? \|", operations()[CAPTURE], re.MULTILINE)
    assert {name for name, _ in explained} == (own | inherited) - {"self", "kwargs"}
    assert {name for name, mark in explained if mark} == set(CodeOceanCaptureResultOperator.template_fields)


@pytest.mark.parametrize("path", sorted(operations().keys() - {CAPTURE}))
def test_docs_explain_all_arguments_of_operator(path):
    module, name = path.rsplit(".", 1)
    operator = getattr(import_module(f"airflow_provider_codeocean.{module}"), name)
    # The pages explain the arguments of every submission once.
    shared = CodeOceanSubmitOnceBase.__mro__ if issubclass(operator, CodeOceanSubmitOnceBase) else ()
    own = {
        parameter
        for base in operator.__mro__
        if base.__module__.startswith("airflow_provider_codeocean.") and "__init__" in vars(base)
        if base not in shared
        for parameter in inspect.signature(base.__init__).parameters
    } - {"self", "args", "kwargs", "codeocean_conn_id"}
    explained = re.findall(r"^\| `(\w+)`( ᵗ)? \|", operations()[path], re.MULTILINE)
    assert {name for name, _ in explained} == own
    assert {name for name, mark in explained if mark} == own & set(operator.template_fields)


def test_docs_explain_all_arguments_of_task_group():
    explained = re.findall(r"^\| `(\w+)`", (DOCS / "run_and_capture.md").read_text(), re.MULTILINE)
    own = set(inspect.signature(CodeOceanRunAndCaptureTaskGroup.__init__).parameters)
    assert set(explained) == own - {"self", "kwargs"}


def test_docs_explain_all_arguments_of_capture_on_completion():
    page = (DOCS / "events.md").read_text().partition("\n## Events")[0]
    own = inspect.signature(capture_on_completion).parameters
    assert set(re.findall(r"^\| `(\w+)`", page, re.MULTILINE)) == own.keys()


@pytest.mark.skipif(AIRFLOW_2, reason="Airflow 2 has no asset watchers")
def test_docs_explain_all_event_payload_fields():
    page = (DOCS / "events.md").read_text()
    for kind, told in (
        ("computations", filters.COMPUTATION_EVENT_FIELDS),
        ("data assets", filters.DATA_ASSET_EVENT_FIELDS),
    ):
        (row,) = re.findall(rf"^\| {kind} \| .*the oldest first: (.*) \|$", page, re.MULTILINE)
        assert set(re.findall(r"`(\w+)`", row)) == told


def test_docs_explain_all_operators():
    assert operations().keys() == {f"operators.{path}" for path in classes("Operator")}


@pytest.mark.parametrize("kind", ["Operator", "Sensor", "Trigger"])
def test_docs_list_all_classes_in_overview(kind):
    overview = (DOCS / "operations.md").read_text() + (DOCS / "sensors.md").read_text()
    assert classes(kind)
    assert [path for path in classes(kind) if f"`{path}`" not in overview] == []


def test_docs_explain_all_errors():
    section = (DOCS / "errors.md").read_text().partition("## The error classes")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)
    classes = {
        name: member
        for name, member in inspect.getmembers(errors, inspect.isclass)
        if issubclass(member, errors.CodeOceanError)
    }
    assert set(rows) == classes.keys()


def test_docs_include_all_examples():
    page = (DOCS / "examples.md").read_text()
    shown = re.findall(r'^--8<-- "dags_examples/(\w+)\.py"$', page, re.MULTILINE)
    assert sorted(shown) == sorted(path.stem for path in (CHECKOUT / "dags_examples").glob("*.py"))
    assert shown == re.findall(r"^## (\w+)$", page, re.MULTILINE)
    assert shown == re.findall(r"^\| \[(\w+)\]", page, re.MULTILINE)


@pytest.mark.parametrize(
    "resources", ["data_assets", "computations", "capsules", "pipelines", "custom_metadata"]
)
def test_docs_list_all_client_methods(resources):
    page = (DOCS / "clients.md").read_text()
    (row,) = re.findall(rf"^\| (?:`\w+`, )?`{resources}`(?:, `\w+`)? \| (.*) \|$", page, re.MULTILINE)
    with CodeOceanClient("https://co.test", "cop_token") as client:
        resource = type(getattr(client, resources))
    methods = set(resource.endpoints()) | {
        name for name in dir(resource) if isinstance(inspect.getattr_static(resource, name), paginated)
    }
    assert set(re.findall(r"`(\w+)`", row)) == methods


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_docs_links_within_project_exist(page):
    targets = re.findall(r"\]\((?!https?://|#)([^)#]+)", page.read_text())
    assert [target for target in targets if not (page.parent / target).exists()] == []


def snippets(page: Path) -> list[str]:
    """The Python in a page, with the files that it includes."""
    return [
        re.sub(r'^--8<-- "(.*)"$', lambda file: (CHECKOUT / file[1]).read_text(), code, flags=re.MULTILINE)
        for code in re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_docs_python_snippets_compile(page):
    for code in snippets(page):
        compile(code, page.name, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


#: A call of an operator, a sensor or a task group, also a mapped one.
CONSTRUCTS = re.compile(r"(CodeOcean\w+(?:Operator|Sensor|TaskGroup))(?:\.partial)?\(")
#: Code that creates DAGs that start themselves.
WATCHES = re.compile(r"CodeOceanClaim\w+|CodeOcean\w+(?:Finished|Ready)Trigger\(|capture_on_completion\(")


def constructing() -> list[tuple[str, str]]:
    """The snippets that construct operators or sensors, and where they are."""
    return [
        (f"{page.relative_to(CHECKOUT)}-{number}", code)
        for page in PAGES
        for number, code in enumerate(snippets(page), start=1)
        if CONSTRUCTS.search(code) or WATCHES.search(code)
    ]


@pytest.mark.parametrize(("where", "code"), constructing(), ids=lambda value: value.split("\n")[0][:60])
def test_docs_snippets_construct_tasks(where, code):
    if AIRFLOW_2 and WATCHES.search(code):
        with pytest.raises(ImportError, match=r"Airflow 3\.0|AssetWatcher|airflow\.sdk"):
            exec(compile(code, where, "exec"), dict(public_tasks()))
        return
    if AIRFLOW_2:
        code = code.replace("from airflow.sdk import", "from airflow.providers.common.compat.sdk import")
    with DAG("documentation", schedule=None):
        exec(compile(code, where, "exec"), dict(public_tasks()))


def test_docs_snippets_show_all_operators_and_sensors():
    code = "".join(code for _, code in constructing())
    assert set(CONSTRUCTS.findall(code)) == public_tasks().keys()


def test_readme_dag_runs_unchanged():
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


def test_docs_explain_all_emulator_settings_and_faults():
    page = (CHECKOUT / "docs" / "emulator.md").read_text()
    named = set(re.findall(r"`(\w+)`", page))
    assert set(EmulatorConfig.model_fields) <= named
    assert set(FaultRule.model_fields) <= named
    assert set(get_args(FaultKind)) <= named


def test_docs_endpoint_table_matches_code():
    assert api_table.PAGE_PATH.read_text() == api_table.render_page()


#: What a DAG does not call for: it is in the clients, for tasks of one's own.
FOR_TASKS_OF_ONES_OWN = re.compile(
    r"GET (capsules|pipelines)/.*|POST (capsules|pipelines)/search"
    r"|\w+ (capsules|pipelines)/\{id\}(/archive|/permissions|/sync|/release)?"
    # Not there yet:
    r"|\w+ computations/\{id\}/results.*"
    r"|\w+ data_assets/\{id\}/files.*"
)


def test_endpoints_for_dags_have_operator_or_sensor():
    used = {endpoint for endpoint, _ in api_table.iter_endpoint_users()}
    declared = {api_table.anonymize_parameters(endpoint) for endpoint, _ in api_table.iter_client_methods()}
    assert used <= declared
    assert {each for each in declared - used if not FOR_TASKS_OF_ONES_OWN.fullmatch(each)} == set()


def documented_classes():
    """Yield the classes of the package that have a docstring."""
    for module in walk_packages(airflow_provider_codeocean.__path__, "airflow_provider_codeocean."):
        if not module.name.endswith("__main__"):
            for candidate in vars(import_module(module.name)).values():
                if inspect.isclass(candidate) and candidate.__module__ == module.name and candidate.__doc__:
                    yield candidate


def test_models_document_only_their_own_fields():
    unknown = {}
    for model in documented_classes():
        if issubclass(model, BaseModel):
            fields = set(model.model_fields)
        elif "__dataclass_fields__" in vars(model):
            fields = {field.name for field in dataclass_fields(model) if field.init}
        else:
            continue
        if extra := set(re.findall(r":param (\w+):", model.__doc__)) - fields:
            unknown[model.__qualname__] = extra
    assert not unknown
