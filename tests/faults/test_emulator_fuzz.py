"""The emulator under fuzz: nothing that its OpenAPI description allows, or forbids, makes it fall over."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_codeocean.emulator.app import create_app
from airflow_provider_codeocean.emulator.environment import environment
from tests.faults.garbage import nearly_as, values
from tests.faults.test_fuzz import fixed

APP = create_app()
KNOWN = environment(APP.state.emulator, "http://emulator.test")
DESCRIPTION = APP.openapi()
#: Ids of what there is, so that requests get further than to a 404.
IDS = st.sampled_from(sorted(value for name, value in KNOWN.items() if name.endswith("_ID"))) | st.text(
    st.characters(codec="ascii", categories=["L", "N"]), min_size=1, max_size=8
)
OPERATIONS = {
    f"{method.upper()} {path}": operation
    for path, operations in DESCRIPTION["paths"].items()
    if path.startswith("/api/v1/")
    for method, operation in operations.items()
}


def requests(name: str) -> st.SearchStrategy[dict[str, Any]]:
    """Requests to an endpoint, more or less as its description wants them."""
    method, path = name.split()
    operation, defs = OPERATIONS[name], DESCRIPTION["components"]["schemas"]
    content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    queries = [each for each in operation.get("parameters", ()) if each["in"] == "query"]
    bodies = nearly_as(content.get("schema", {}), defs).map(lambda body: json.dumps(body).encode())
    return st.fixed_dictionaries(
        {
            "method": st.just(method),
            "url": st.builds(
                lambda ids: re.sub(r"\{[^}]*\}", lambda _: ids.pop(), path),
                st.lists(IDS, min_size=3, max_size=3),
            ),
            "content": bodies | st.binary(max_size=20) if content else st.just(b""),
            "params": st.fixed_dictionaries(
                {}, optional={each["name"]: values.map(_as_query) for each in queries}
            ),
        }
    )


def _as_query(value: Any) -> str:
    return str(value).encode(errors="replace").decode()


async def ask(request: dict[str, Any]) -> httpx.Response:
    transport = httpx.ASGITransport(APP, raise_app_exceptions=True)
    auth = (KNOWN["CODEOCEAN_TOKEN"], "")
    async with httpx.AsyncClient(transport=transport, base_url="http://emulator.test", auth=auth) as client:
        return await client.request(**request)


@pytest.mark.parametrize("name", OPERATIONS)
@settings(fixed, max_examples=12)
@given(data=st.data())
def test_it_never_falls_over(name, data):
    response = asyncio.run(ask(data.draw(requests(name))))
    assert response.status_code < 500
    if response.status_code >= 400:
        assert response.json()["message"]
