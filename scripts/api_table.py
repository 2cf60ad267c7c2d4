"""Write ``docs/api.md``: each endpoint of the API, the client's method for it, and what uses it in a DAG.

``python -m scripts.api_table``. What is in it comes from the declarations of the endpoints and from what the
docstrings of operators and sensors name as their source.
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

PAGE = Path(__file__).parent.parent / "docs" / "api.md"
RESOURCES = ("data_assets", "computations", "capsules", "pipelines", "custom_metadata")
_BEGIN = """# The API's endpoints, the clients' methods, and operators

What `CodeOceanHook.get_conn()` and `get_async_conn()` return has a method for each endpoint; where there is
nothing for it in the last column, a task of your own calls that method. [Operators](operations.md) do more
than send one request: they check, wait, and can be run again. Made by `python -m scripts.api_table`.

| Endpoint | `client.` | Operators and sensors |
| --- | --- | --- |
"""


def anonymous(endpoint: str) -> str:
    """Return an endpoint as docstrings write it, whatever its parameters are called."""
    return re.sub(r"\{[^}]*\}", "{id}", endpoint).rstrip("/")


def users() -> Iterator[tuple[str, str]]:
    """Yield each endpoint that an operator or a sensor names as its source, and the name of that."""
    info = get_provider_info()
    for kind in ("operators", "sensors"):
        for path in (path for each in info[kind] for path in each["python-modules"]):
            for name, member in inspect.getmembers(import_module(path), inspect.isclass):
                if member.__module__ == path and not name.endswith("Base"):
                    text = member.__doc__ or ""
                    for endpoint in re.findall(r"``((?:GET|POST|PUT|PATCH|DELETE) [^`\s]+)``", text):
                        yield anonymous(endpoint), name


def endpoints() -> Iterator[tuple[str, str]]:
    """Yield each endpoint and the client's method for it."""
    with CodeOceanClient("https://codeocean.example.com", "token") as client:
        for resource in RESOURCES:
            kind = type(getattr(client, resource))
            for method, endpoint in kind.endpoints().items():
                yield f"{endpoint.method} {kind.root}{endpoint.path}", f"{resource}.{method}"


def page() -> str:
    """Return the page."""
    used: dict[str, set[str]] = {}
    for endpoint, name in users():
        used.setdefault(endpoint, set()).add(name)
    rows = []
    for endpoint, method in sorted(
        endpoints(), key=lambda row: (row[1].split(".")[0], row[0].split()[1], row[0])
    ):
        names = ", ".join(f"`{name}`" for name in sorted(used.get(anonymous(endpoint), ())))
        rows.append(f"| `{endpoint}` | `{method}` | {names} |")
    return _BEGIN + "\n".join(rows) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page())
