from __future__ import annotations

import json

import pytest

from airflow_provider_codeocean.emulator import Policy
from airflow_provider_codeocean.emulator.domain.config import (
    ConfigError,
    EmulatorConfig,
    Transitions,
    load_config,
)


@pytest.fixture
def write(tmp_path):
    def write(content: object):
        path = tmp_path / "config.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    return write


def test_load_config_keeps_defaults_of_omitted_options(write):
    config = load_config(
        write({"search_lag": 2, "transitions": {"assets": {"reads": 3}}, "users": [{"email": "a@b"}]})
    )
    assert config.search_lag == 2
    assert config.transitions.assets == Policy(reads=3)
    assert config.transitions.computations == Transitions().computations
    assert config.users[0].tokens[0].token is None
    assert load_config(write({})) == EmulatorConfig()


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ({"sarch_lag": 2}, "sarch_lag"),
        ({"transitions": {"assets": {"second": 1}}}, "transitions.assets.second"),
        ({"search_lag": -1}, "search_lag"),
        ({"search_lag": 1e9}, "search_lag"),
        ({"server_version": "latest"}, "server_version"),
        ({"faults": [{"kind": "explode"}]}, "faults.0.kind"),
        ({"users": [{"email": "nobody"}]}, "users.0.email"),
        ({"users": [{"email": "a@b", "tokens": [{"scopes": ["all"]}]}]}, "users.0.tokens.0.scopes.0"),
        ({"url_ttl": 0}, "url_ttl"),
        ([], "body"),
        ("{", "config.json"),
    ],
)
def test_load_config_invalid_file_error_names_the_problem(write, content, named):
    with pytest.raises(ConfigError, match=named):
        load_config(write(content))


def test_load_config_missing_file_error_names_it(tmp_path):
    with pytest.raises(ConfigError, match=r"none\.json"):
        load_config(tmp_path / "none.json")


def test_transitions_all_sets_each_policy():
    transitions = Transitions.all(Policy(reads=2))
    assert {transitions.assets, transitions.computations, transitions.transfers, transitions.releases} == {
        Policy(reads=2)
    }
