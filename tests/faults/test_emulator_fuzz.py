"""The emulator under fuzz: nothing that its OpenAPI description allows, or forbids, makes it fall over."""

from __future__ import annotations

import re

import pytest
import schemathesis
from hypothesis import given, note, settings
from hypothesis import strategies as st
from schemathesis.generation import GenerationMode

from airflow_provider_codeocean.emulator.seeding.env_file import env_variables
from airflow_provider_codeocean.emulator.server.app import create_app
from tests.faults.test_fuzz import fixed
from tests.sampling import examples

APP = create_app()
KNOWN = env_variables(APP.state.emulator, "http://emulator.test")
#: How the variables end that tell ids of what there is, by resource: requests get further than to a 404.
KINDS = {
    "data_assets": "DATA_ASSET_ID",
    "computations": ("COMPUTATION_ID", "WORKSTATION_ID"),
    "capsules": "CAPSULE_ID",
    "pipelines": "PIPELINE_ID",
}
SCHEMA = schemathesis.openapi.from_asgi("/openapi.json", APP).include(path_regex="^/api/v1/")
#: What deletes a whole resource comes last.
OPERATIONS = {
    each.label: each
    for each in sorted(
        (found.ok() for found in SCHEMA.get_all_operations()),
        key=lambda each: each.method == "delete" and each.path.endswith("}"),
    )
}
WITH_BODY = {name: each for name, each in OPERATIONS.items() if each.body}
#: Without a query or a body there is nothing to be wrong.
CASES = [
    (name, mode)
    for name, each in OPERATIONS.items()
    for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
    if mode is GenerationMode.POSITIVE or each.body or each.query
]


def ask(case: schemathesis.Case, ids: dict[str, str], **changes) -> None:
    if ids:
        case.path_parameters = ids
    note(case.as_curl_command())
    response = case.call(auth=(KNOWN["CODEOCEAN_TOKEN"], ""), **changes)
    assert response.status_code < 500
    if response.status_code != 204:
        assert response.headers["content-type"][0].startswith("application/json")
    if response.status_code >= 400:
        assert response.json()["message"]


def known_ids(name: str) -> st.SearchStrategy[dict[str, str]]:
    parameters = re.findall(r"\{(.*?)\}", name)
    if not parameters:
        return st.just({})
    kind = KINDS[name.split("/")[3]]
    ids = st.sampled_from([value for name, value in KNOWN.items() if name.endswith(kind)])
    return st.fixed_dictionaries(dict.fromkeys(parameters, ids))


@pytest.mark.parametrize(("name", "mode"), CASES, ids=lambda each: getattr(each, "value", each))
@settings(fixed, max_examples=examples(10))
@given(data=st.data())
def test_emulator_request_of_any_content_is_answered(name, mode, data):
    case = data.draw(OPERATIONS[name].as_strategy(mode))
    ask(case, data.draw(known_ids(name) | st.just({})))


@pytest.mark.parametrize("name", WITH_BODY)
@settings(fixed, max_examples=examples(5))
@given(data=st.data())
def test_emulator_body_that_is_not_json_is_answered(name, data):
    case = data.draw(WITH_BODY[name].as_strategy(GenerationMode.POSITIVE))
    ask(case, data.draw(known_ids(name)), data=data.draw(st.binary(max_size=20)))
