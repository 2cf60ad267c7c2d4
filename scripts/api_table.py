"""Generate ``docs/api.md``: a table of endpoints, client methods, operators, and sensors.

Run it with ``python -m scripts.api_table``. It reads the endpoint declarations and the "Source" lines in the
docstrings of operators and sensors.
"""

from __future__ import annotations

import inspect
import re
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_provider_codeocean.api.client import CodeOceanClient
from airflow_provider_codeocean.provider_info import get_provider_info

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE_PATH = Path(__file__).parent.parent / "docs" / "api.md"
RESOURCES = ("data_assets", "computations", "capsules", "pipelines", "custom_metadata")
_HEADER = """# Endpoints, client methods, and operators

The clients from `CodeOceanHook.get_conn()` and `get_async_conn()` have a method for each endpoint. Prefer an
[operator](operations.md) if there is one: operators check arguments, wait, and can be retried. Otherwise,
call the method in a task of your own. `python -m scripts.api_table` generates this page.

| Endpoint | `client.` | Operators and sensors |
| --- | --- | --- |
"""


def anonymize_parameters(endpoint: str) -> str:
    """Replace the names of path parameters with ``id``, as in docstrings."""
    return re.sub(r"\{[^}]*\}", "{id}", endpoint).rstrip("/")


def iter_endpoint_users() -> Iterator[tuple[str, str]]:
    """Yield each endpoint in the docstring of an operator or a sensor, with the name of that class."""
    info = get_provider_info()
    for kind in ("operators", "sensors"):
        for path in (path for package in info[kind] for path in package["python-modules"]):
            for name, member in inspect.getmembers(import_module(path), inspect.isclass):
                if member.__module__ == path and not name.endswith("Base"):
                    text = member.__doc__ or ""
                    for endpoint in re.findall(r"``((?:GET|POST|PUT|PATCH|DELETE) [^`\s]+)``", text):
                        yield anonymize_parameters(endpoint), name


def iter_client_methods() -> Iterator[tuple[str, str]]:
    """Yield each endpoint with the client's method for it."""
    with CodeOceanClient("https://codeocean.example.com", "token") as client:
        for resource in RESOURCES:
            kind = type(getattr(client, resource))
            for method, endpoint in kind.endpoints().items():
                yield f"{endpoint.method} {kind.path_prefix}{endpoint.path}", f"{resource}.{method}"


def render_page() -> str:
    """Return the Markdown page."""
    used: dict[str, set[str]] = {}
    for endpoint, name in iter_endpoint_users():
        used.setdefault(endpoint, set()).add(name)
    rows = []
    for endpoint, method in sorted(
        iter_client_methods(), key=lambda row: (row[1].split(".")[0], row[0].split()[1], row[0])
    ):
        names = ", ".join(f"`{name}`" for name in sorted(used.get(anonymize_parameters(endpoint), ())))
        rows.append(f"| `{endpoint}` | `{method}` | {names} |")
    return _HEADER + "\n".join(rows) + "\n"


if __name__ == "__main__":
    PAGE_PATH.write_text(render_page())
