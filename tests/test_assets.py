"""Asset URIs are unique, and invalid ones are rejected when a DAG is parsed."""

from __future__ import annotations

import json
from importlib.metadata import version
from urllib.parse import unquote, urlsplit

import pytest
from airflow.providers.common.compat.sdk import Asset
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_codeocean.api.models.data_asset import DataAsset
from airflow_provider_codeocean.assets import (
    RESOURCE_KINDS,
    asset_event_extra,
    convert_asset_to_openlineage,
    create_asset,
    data_asset_version,
    sanitize_uri,
    uri_name,
    uri_namespace,
)

AIRFLOW_2 = version("apache-airflow").startswith("2.")
HOST = "codeocean.example.com"

names = st.from_regex(
    r"[a-zA-Z0-9]([a-zA-Z0-9-]{0,20}[a-zA-Z0-9])?(\.[a-zA-Z0-9]{1,10}){0,3}", fullmatch=True
)
addresses = st.one_of(names, st.ip_addresses(v=4).map(str), st.ip_addresses(v=6).map(lambda ip: f"[{ip}]"))
hosts = st.builds(
    lambda name, port: name + port, addresses, st.integers(1, 65535).map(":{}".format) | st.just("")
)
texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60)
ids = texts.filter(lambda text: text.strip() and "{{" not in text)


def sanitized(uri):
    return sanitize_uri(urlsplit(uri)).geturl()


@given(host=hosts, kind=st.sampled_from(RESOURCE_KINDS), its_id=ids)
def test_asset_uri_contains_resource_kind_and_id(host, kind, its_id):
    uri = f"{uri_namespace(host)}/{uri_name(kind, its_id)}"
    assert sanitized(uri) == uri
    assert uri.isascii()
    _, its_kind, quoted = urlsplit(uri).path.split("/")
    assert (its_kind, unquote(quoted)) == (kind, its_id)


@given(host=hosts)
def test_uri_namespace_of_equivalent_hosts_is_same(host):
    namespace = uri_namespace(host)
    for written in (f"https://{host}", f"https://{host}/", host.upper(), f" {host} ", namespace):
        assert uri_namespace(written) == namespace
    if urlsplit(f"//{host}").port is None:
        for written in (f"{host}:443", f"http://{host}", f"http://{host}:80", f"http://{host}:443"):
            assert uri_namespace(written) == namespace


@given(
    uri=st.builds("codeocean://{}/{}".format, hosts | texts, texts | st.builds("{}/{}".format, texts, ids))
)
def test_sanitize_uri_with_any_uri_normalizes_or_rejects_it(uri):
    try:
        parts = urlsplit(uri)
    except ValueError:  # Airflow itself rejects it
        return
    try:
        once = sanitize_uri(parts).geturl()
    except ValueError as error:
        sanitized_uri = str(error)
    else:
        sanitized_uri = sanitized(once)
        assert sanitized_uri == once
    assert sanitized_uri.startswith(
        ("an asset URI of Code Ocean must be codeocean://HOST/data_assets/ID", "codeocean://")
    )


@pytest.mark.parametrize(
    ("uri", "normal"),
    [
        ("codeocean://Code.Ocean:443/data_assets/a", "codeocean://code.ocean/data_assets/a"),
        ("codeocean://co:8443/capsules/a b/", "codeocean://co:8443/capsules/a%20b"),
        ("codeocean://co/data_assets/%61%2f", "codeocean://co/data_assets/a%2F"),
        ("codeocean://[::1]:80/computations/a", "codeocean://[::1]:80/computations/a"),
    ],
)
def test_asset_normalizes_uri(uri, normal):
    assert Asset(uri=uri).uri == normal


WRONG = {
    "codeocean:///data_assets/a": "no host",
    "codeocean://co": "the path ''",
    "codeocean://co/data_assets": "no id",
    "codeocean://co/data_assets/%20": "no id",
    "codeocean://co/folders/a": "the path '/folders/a'",
    "codeocean://co/data_assets/a/b": "the path '/data_assets/a/b'",
    "codeocean://co//data_assets/a": "the path '//data_assets/a'",
    "codeocean://co:99999/data_assets/a": "Port",
    "codeocean://co/data_assets/a?token=cop_secret": "no query",
    "codeocean://{{ host }}/data_assets/a": "the host '{{ host }}'",
    "codeocean://co/data_assets/{{ run_id }}": "is not rendered",
    "codeocean://cop_secret@co/data_assets/a": "neither a user nor a token",
}


@pytest.mark.parametrize(("uri", "why"), WRONG.items())
def test_sanitize_uri_with_invalid_uri_raises_without_token(uri, why):
    with pytest.raises(ValueError, match="an asset URI of Code Ocean must be codeocean://HOST") as error:
        sanitized(uri)
    assert why in str(error.value)
    assert "cop_secret" not in str(error.value)


@pytest.mark.skipif(AIRFLOW_2, reason="Airflow 2 warns of it, and drops users itself")
def test_asset_with_invalid_uri_raises():
    with pytest.raises(ValueError, match="an asset URI of Code Ocean must be"):
        Asset(uri="codeocean://co/folders/a")


@pytest.mark.parametrize("argument", ["data_asset_id", "capsule_id", "computation_id"])
def test_create_asset_with_id_builds_uri(argument):
    asset = create_asset(host=f"https://{HOST}/", **{argument: "some id"}, extra={"a": 1})
    assert asset == Asset(uri=f"codeocean://{HOST}/{argument.removesuffix('_id')}s/some%20id", extra={"a": 1})
    assert asset.extra == {"a": 1}


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ({}, "give exactly one of data_asset_id, capsule_id, computation_id, got none"),
        ({"data_asset_id": "a", "capsule_id": "b"}, "got data_asset_id and capsule_id"),
        ({"capsule_id": " "}, "got none"),
        ({"data_asset_id": "{{ ti.xcom_pull('capture') }}"}, "use an AssetAlias as outlet"),
        ({"host": "", "capsule_id": "a"}, "host must be that of a Code Ocean deployment: it has no host"),
        ({"host": "cop_secret@co", "capsule_id": "a"}, "host must be .* neither a user nor a token"),
    ],
)
def test_create_asset_with_invalid_arguments_raises(arguments, why):
    with pytest.raises(ValueError, match=why):
        create_asset(**{"host": HOST} | arguments)


def test_openlineage_dataset_has_same_name_as_asset():
    dataset = convert_asset_to_openlineage(create_asset(host=f"{HOST}:8000", data_asset_id="a b"), None)
    assert (dataset.namespace, dataset.name) == (f"codeocean://{HOST}:8000", "data_assets/a%20b")


def test_asset_event_extra_is_short_json_without_secrets():
    many = [f"{number:0100}" * 20 for number in range(1000)]
    asset = DataAsset.model_validate(
        {
            "id": "a",
            "name": "n" * 10_000,
            "type": "result",
            "created": 5.4,
            "provenance": {"computation": "c", "data_assets": many},
            "contained_data_assets": [{"id": asset_id} for asset_id in many],
            "source_bucket": {"origin": "aws", "bucket": "b", "external": True, "client_secret": "secret"},
            "description": "a" * 100_000,
        }
    )
    event = asset_event_extra(asset, url="u", capsule_id="k")
    text = json.dumps(event)
    assert json.loads(text) == event
    assert len(text) < 250_000
    assert len(event["name"]) == 1024
    assert len(event["provenance"]["data_assets"]) == len(event["contained_data_assets"]) == 100
    assert (event["version"], event["provenance"]["capsule"], type(event["type"])) == ("5", "k", str)
    assert "secret" not in text


def test_asset_event_extra_with_unknown_values_contains_null():
    event = asset_event_extra(DataAsset.model_validate({"id": "a"}), url="u")
    empty = {"data_asset_id": "a", "name": "", "url": "u", "contained_data_assets": []}
    assert {key: value for key, value in event.items() if value is not None} == empty


def test_asset_event_extra_prefers_capsule_of_provenance():
    asset = DataAsset.model_validate({"id": "a", "provenance": {"capsule": "told"}})
    assert asset_event_extra(asset, url="u", capsule_id="given")["provenance"]["capsule"] == "told"


def test_data_asset_version_after_transfer_changes():
    assert data_asset_version(DataAsset.model_validate({"id": "a", "created": 1})) == "1"
    assert (
        data_asset_version(DataAsset.model_validate({"id": "a", "created": 1, "last_transferred": 2})) == "2"
    )
    assert data_asset_version(DataAsset.model_validate({"id": "a"})) is None
