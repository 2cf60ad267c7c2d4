"""What tasks are made of holds neither a client nor a token, and what they keep can be read by anyone."""

from __future__ import annotations

import pickle
import pkgutil
import secrets
from importlib import import_module

import pytest
from airflow.providers.common.compat.sdk import BaseOperator, BaseSensorOperator

from airflow_provider_codeocean import operators, sensors
from airflow_provider_codeocean.compat.features import Feature
from airflow_provider_codeocean.hooks.codeocean import CodeOceanHook
from airflow_provider_codeocean.operators.data_asset import CodeOceanCaptureResultOperator
from airflow_provider_codeocean.triggers.data_asset import CodeOceanDataAssetTrigger


def classes():
    """All operators and sensors of the package."""
    for package in (operators, sensors):
        for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            if module.name.endswith(".from_trigger") and not Feature.TASK_EXECUTION_API.is_available:
                continue  # for Airflow 3.3, and it defines none
            for value in vars(import_module(module.name)).values():
                if isinstance(value, type) and issubclass(value, BaseOperator) and value is not BaseOperator:
                    yield value


@pytest.mark.parametrize("kind", sorted(set(classes()), key=lambda kind: kind.__name__))
def test_template_fields_reach_no_hook_and_no_client(kind):
    """A template may read ``task`` and what it has."""
    own = set(dir(kind)) - set(dir(BaseSensorOperator))
    assert not {name for name in own if "hook" in name or "client" in name or "conn" in name}
    assert not {"token", "password"} & set(kind.template_fields)


@pytest.fixture
def token(connect):
    token = f"cop_{secrets.token_hex(16)}"
    connect("https://codeocean.test", token)
    return token.encode()


def test_hook_pickled_after_connecting_lacks_token(token):
    hook = CodeOceanHook()
    hook.get_conn().close()
    assert hook.url == "https://codeocean.test"
    assert token not in pickle.dumps(hook)
    assert token.decode() not in repr(vars(hook))


def test_operators_and_triggers_hold_connection_id_only(token):
    task = CodeOceanCaptureResultOperator(task_id="t", computation_id="c", name="n")
    trigger = CodeOceanDataAssetTrigger(data_asset_id="a", poll_interval=1)
    for held in (repr(vars(task)), repr(trigger.serialize()), repr(vars(trigger))):
        assert token.decode() not in held
        assert "codeocean_default" in held
