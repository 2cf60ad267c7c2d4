"""The hook, against the emulator."""

from __future__ import annotations

import asyncio
import base64
import secrets
import socket
import time

import pytest
from airflow.providers.common.compat.sdk import redact

from airflow_provider_codeocean.api.errors import (
    DataAssetFailed,
    NotFound,
    WaitTimeout,
)
from airflow_provider_codeocean.api.models.data_asset_params import DataAssetParams
from airflow_provider_codeocean.emulator import FaultRule, Policy
from airflow_provider_codeocean.emulator.domain.config import TokenConfig, Transitions, UserConfig
from airflow_provider_codeocean.hooks.codeocean import CodeOceanHook
from airflow_provider_codeocean.provider_info import CONNECTION_FIELDS, UI_FIELD_BEHAVIOUR


def capture(client, computation_id, **fields):
    source = {"computation": {"id": computation_id}}
    return client.data_assets.create(
        DataAssetParams.model_validate({"name": "n", "mount": "m", "tags": [], "source": source} | fields)
    )


def test_get_conn_uses_url_and_token_of_connection(code_ocean):
    with CodeOceanHook().get_conn() as client:
        assert client.url == code_ocean.url
        computation = client.computations.get(code_ocean.env["CODEOCEAN_COMPUTATION_ID"])
    assert computation.state == "completed"


async def test_get_async_conn_uses_url_and_token_of_connection(code_ocean):
    async with await CodeOceanHook().get_async_conn() as client:
        computation = await client.computations.get(code_ocean.env["CODEOCEAN_COMPUTATION_ID"])
    assert computation.state == "completed"


def test_get_conn_options_override_connection(code_ocean):
    code_ocean.faults.add(FaultRule(kind="status", status=503, times=1))
    with (
        CodeOceanHook().get_conn(retry_budget=0) as client,
        pytest.raises(Exception, match="503"),
    ):
        client.computations.get(code_ocean.env["CODEOCEAN_COMPUTATION_ID"])


def test_client_of_hook_is_cached_until_close(code_ocean):
    hook = CodeOceanHook()
    client = hook.client
    assert hook.client is client
    hook.close()
    hook.close()
    assert hook.client is not client
    hook.close()


class TestWaitForDataAsset:
    """``wait_for_data_asset``."""

    def test_wait_for_ready_data_asset_returns_it(self, code_ocean):
        hook = CodeOceanHook()
        with hook.get_conn() as client:
            draft = capture(client, code_ocean.env["CODEOCEAN_COMPUTATION_ID"])
        asset = hook.wait_for_data_asset(draft.id, poll_interval=0.01, deadline=time.time() + 30)
        assert (asset.id, asset.state) == (draft.id, "ready")

    def test_wait_with_transient_errors_continues(self, code_ocean):
        hook = CodeOceanHook()
        with hook.get_conn() as client:
            draft = capture(client, code_ocean.env["CODEOCEAN_COMPUTATION_ID"])
        faults = [
            code_ocean.faults.add(FaultRule(method="GET", kind=kind, times=1))
            for kind in ("status", "close_before", "html", "half_body")
        ]
        assert hook.wait_for_data_asset(draft.id, poll_interval=0.01).state == "ready"
        assert [fault.hits for fault in faults] == [1, 1, 1, 1]

    def test_wait_for_failed_data_asset_raises_with_reason(self, code_ocean):
        hook = CodeOceanHook()
        with hook.get_conn() as client:
            draft = capture(
                client,
                code_ocean.env["CODEOCEAN_COMPUTATION_ID"],
                target={"aws": {"bucket": "no-such-bucket"}},
            )
        with pytest.raises(DataAssetFailed, match="no-such-bucket"):
            hook.wait_for_data_asset(draft.id, poll_interval=0.01)

    def test_wait_after_deadline_raises_timeout(self, code_ocean):
        code_ocean.emulator.transitions = Transitions(assets=Policy(seconds=3600))
        hook = CodeOceanHook()
        with hook.get_conn() as client:
            draft = capture(client, code_ocean.env["CODEOCEAN_COMPUTATION_ID"])
        with pytest.raises(WaitTimeout, match=f"{draft.id} was not ready in time; its last state was draft"):
            hook.wait_for_data_asset(draft.id, poll_interval=0.01, deadline=time.time() + 0.2)

    def test_wait_for_unknown_data_asset_raises_not_found(self, code_ocean):
        with pytest.raises(NotFound):
            CodeOceanHook().wait_for_data_asset("no-such-asset", poll_interval=0.01)


class TestTestConnection:
    """``test_connection`` tells what is at fault."""

    def test_test_connection_with_valid_token_succeeds(self, code_ocean):
        assert CodeOceanHook().test_connection() == (
            True,
            "Code Ocean knows this access token, and data assets can be read.",
        )

    def test_test_connection_with_wrong_token_names_cause(self, code_ocean, connect):
        connect(code_ocean.url, "cop_wrong")
        works, message = CodeOceanHook().test_connection()
        assert not works
        assert message == (
            "Code Ocean does not know this access token: it is wrong, expired, or revoked. "
            f"Correct the host if it is not Code Ocean [{code_ocean.url}, connection 'codeocean_default']"
        )

    @pytest.mark.fault("N4")
    @pytest.mark.parametrize("status", [429, 500, 503])
    def test_test_connection_with_server_error_does_not_blame_host(self, code_ocean, status):
        code_ocean.faults.add(FaultRule(kind="status", status=status))
        works, message = CodeOceanHook().test_connection()
        assert not works
        assert message.startswith("Code Ocean or a proxy in front of it fails or is overloaded: ")

    def test_test_connection_with_token_without_scope_names_cause(self, connect):
        from airflow_provider_codeocean.emulator import EmulatorConfig, EmulatorServer

        user = UserConfig(
            email="runner@lab.test", tokens=(TokenConfig(token="cop_runs", scopes=("capsule:write",)),)
        )
        with EmulatorServer(EmulatorConfig(users=(user,))) as server:
            connect(server.url, "cop_runs")
            works, message = CodeOceanHook().test_connection()
        assert not works
        assert message.startswith("The access token may not read data assets: ")

    @pytest.mark.fault("N4")
    def test_test_connection_with_closed_port_names_it(self, connect):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
        connect(f"http://127.0.0.1:{port}", "cop_token")
        works, message = CodeOceanHook().test_connection()
        assert not works
        assert message.startswith("Code Ocean cannot be reached: ")
        assert "nothing listens there" in message
        assert f"[http://127.0.0.1:{port}, connection 'codeocean_default']" in message

    @pytest.mark.fault("N4")
    def test_test_connection_with_unknown_host_names_it(self, connect):
        connect("https://no-such-host.invalid", "cop_token", timeout=5)
        works, message = CodeOceanHook().test_connection()
        assert not works
        assert message.startswith("Code Ocean cannot be reached: ")
        assert "the name of the host cannot be resolved" in message
        assert message.endswith("[https://no-such-host.invalid, connection 'codeocean_default']")

    @pytest.mark.fault("N4")
    def test_test_connection_with_https_to_plain_server_names_remedy(self, code_ocean, connect):
        connect(code_ocean.url.replace("http:", "https:"), "cop_token")
        works, message = CodeOceanHook().test_connection()
        assert not works
        assert message.startswith("Code Ocean cannot be reached: ")
        assert "the server speaks http, not https" in message

    @pytest.mark.parametrize(
        "rule",
        [
            FaultRule(kind="html", status=404),
            FaultRule(kind="status", status=405, body="no such method"),
            FaultRule(kind="status", status=200, body={"hello": "world"}),
        ],
    )
    @pytest.mark.fault("N4")
    def test_test_connection_with_different_server_names_it(self, code_ocean, rule):
        code_ocean.faults.add(rule)
        works, message = CodeOceanHook().test_connection()
        assert not works
        assert message.startswith("The host responds, but not as Code Ocean does")
        assert f"[{code_ocean.url}, connection 'codeocean_default']" in message

    def test_test_connection_with_login_page_names_it(self, code_ocean):
        code_ocean.faults.add(FaultRule(kind="html", status=200))
        works, message = CodeOceanHook().test_connection()
        assert not works
        assert "a web page" in message

    def test_test_connection_with_missing_password_names_it(self, connect):
        connect("https://codeocean.test", "")
        works, message = CodeOceanHook().test_connection()
        assert not works
        assert "has no password" in message


class TestTokenMasking:
    """The token is masked, in every form."""

    @pytest.fixture(params=["", " "], ids=["as it is", "with blanks around it"])
    def hidden(self, connect, request):
        """Whether Airflow hides a new token, and how it goes over the wire."""
        token = f"cop_{secrets.token_hex(16)}"
        connect("https://codeocean.test", f"{request.param}{token}{request.param}")
        wire = base64.b64encode(f"{token}:".encode()).decode()
        return lambda: redact(f"{token} Basic {wire}") == "*** Basic ***"

    def test_token_and_its_base64_are_masked_by_client(self, hidden):
        CodeOceanHook().get_conn().close()
        assert hidden()

    async def test_token_and_its_base64_are_masked_by_async_client(self, hidden):
        await (await CodeOceanHook().get_async_conn()).aclose()
        assert hidden()

    def test_token_is_in_no_repr(self, code_ocean):
        token = code_ocean.env["CODEOCEAN_TOKEN"]
        hook = CodeOceanHook()
        with hook.get_conn() as client:
            assert token not in f"{hook!r} {vars(hook)!r} {client!r} {client.data_assets!r}"
        client = asyncio.run(hook.get_async_conn())
        assert token not in repr(client)


class TestConnectionForm:
    """The connection form."""

    def test_connection_form_shows_fields_that_hook_reads(self):
        behaviour = CodeOceanHook.get_ui_field_behaviour()
        assert behaviour["relabeling"] == UI_FIELD_BEHAVIOUR["relabeling"]
        assert set(behaviour) == {"hidden_fields", "relabeling", "placeholders"}
        assert set(CONNECTION_FIELDS) == {"verify", "timeout", "proxy", "require_tls", "token_grace_period"}
