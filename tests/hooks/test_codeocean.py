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


def test_its_client_talks_to_the_deployment_of_the_connection(code_ocean):
    with CodeOceanHook().get_conn() as client:
        assert client.url == code_ocean.url
        computation = client.computations.get(code_ocean.env["CODEOCEAN_COMPUTATION_ID"])
    assert computation.state == "completed"


async def test_its_async_client_talks_to_the_deployment_of_the_connection(code_ocean):
    async with await CodeOceanHook().get_async_conn() as client:
        computation = await client.computations.get(code_ocean.env["CODEOCEAN_COMPUTATION_ID"])
    assert computation.state == "completed"


def test_options_take_precedence_over_the_connection(code_ocean):
    code_ocean.faults.add(FaultRule(kind="status", status=503, times=1))
    with (
        CodeOceanHook().get_conn(retry_budget=0) as client,
        pytest.raises(Exception, match="503"),
    ):
        client.computations.get(code_ocean.env["CODEOCEAN_COMPUTATION_ID"])


def test_the_client_is_made_once_and_closed_with_the_hook(code_ocean):
    hook = CodeOceanHook()
    client = hook.client
    assert hook.client is client
    hook.close()
    hook.close()
    assert hook.client is not client
    hook.close()


class TestWaiting:
    """``wait_for_data_asset``."""

    def test_it_returns_the_data_asset_when_it_is_ready(self, code_ocean):
        hook = CodeOceanHook()
        with hook.get_conn() as client:
            draft = capture(client, code_ocean.env["CODEOCEAN_COMPUTATION_ID"])
        asset = hook.wait_for_data_asset(draft.id, poll_interval=0.01, deadline=time.time() + 30)
        assert (asset.id, asset.state) == (draft.id, "ready")

    def test_it_outlasts_a_server_in_trouble(self, code_ocean):
        hook = CodeOceanHook()
        with hook.get_conn() as client:
            draft = capture(client, code_ocean.env["CODEOCEAN_COMPUTATION_ID"])
        faults = [
            code_ocean.faults.add(FaultRule(method="GET", kind=kind, times=1))
            for kind in ("status", "close_before", "html", "half_body")
        ]
        assert hook.wait_for_data_asset(draft.id, poll_interval=0.01).state == "ready"
        assert [fault.hits for fault in faults] == [1, 1, 1, 1]

    def test_a_failed_data_asset_raises_with_the_reason(self, code_ocean):
        hook = CodeOceanHook()
        with hook.get_conn() as client:
            draft = capture(
                client,
                code_ocean.env["CODEOCEAN_COMPUTATION_ID"],
                target={"aws": {"bucket": "no-such-bucket"}},
            )
        with pytest.raises(DataAssetFailed, match="no-such-bucket"):
            hook.wait_for_data_asset(draft.id, poll_interval=0.01)

    def test_time_runs_out(self, code_ocean):
        code_ocean.emulator.transitions = Transitions(assets=Policy(seconds=3600))
        hook = CodeOceanHook()
        with hook.get_conn() as client:
            draft = capture(client, code_ocean.env["CODEOCEAN_COMPUTATION_ID"])
        with pytest.raises(WaitTimeout, match=f"{draft.id} was not ready in time; its last state was draft"):
            hook.wait_for_data_asset(draft.id, poll_interval=0.01, deadline=time.time() + 0.2)

    def test_what_is_not_there_is_not_waited_for(self, code_ocean):
        with pytest.raises(NotFound):
            CodeOceanHook().wait_for_data_asset("no-such-asset", poll_interval=0.01)


class TestTheTestOfAConnection:
    """``test_connection`` tells what is at fault."""

    def test_all_is_well(self, code_ocean):
        assert CodeOceanHook().test_connection() == (
            True,
            "Code Ocean knows this access token, and data assets can be read.",
        )

    def test_a_wrong_token(self, code_ocean, connect):
        connect(code_ocean.url, "cop_wrong")
        works, message = CodeOceanHook().test_connection()
        assert not works
        assert message == (
            "Code Ocean does not know this access token: it is wrong, expired, or revoked. "
            f"Correct the host if it is not Code Ocean [{code_ocean.url}, connection 'codeocean_default']"
        )

    @pytest.mark.fault("N4")
    @pytest.mark.parametrize("status", [429, 500, 503])
    def test_connection_of_a_server_in_trouble_does_not_blame_the_host(self, code_ocean, status):
        code_ocean.faults.add(FaultRule(kind="status", status=status))
        works, message = CodeOceanHook().test_connection()
        assert not works
        assert message.startswith("Code Ocean, or a proxy in front of it, is in trouble or busy: ")

    def test_a_token_without_the_scope(self, connect):
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
    def test_connection_to_a_port_without_a_server_names_it(self, connect):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
        connect(f"http://127.0.0.1:{port}", "cop_token")
        works, message = CodeOceanHook().test_connection()
        assert not works
        assert message.startswith("Code Ocean cannot be reached: ")
        assert "nothing listens there" in message
        assert f"[http://127.0.0.1:{port}, connection 'codeocean_default']" in message

    @pytest.mark.fault("N4")
    def test_connection_to_an_unknown_host_names_it(self, connect):
        connect("https://no-such-host.invalid", "cop_token", timeout=5)
        works, message = CodeOceanHook().test_connection()
        assert not works
        assert message.startswith("Code Ocean cannot be reached: ")
        assert "the name of the host cannot be resolved" in message
        assert message.endswith("[https://no-such-host.invalid, connection 'codeocean_default']")

    @pytest.mark.fault("N4")
    def test_connection_with_https_to_a_server_without_it_names_the_remedy(self, code_ocean, connect):
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
    def test_connection_to_a_different_server_names_it(self, code_ocean, rule):
        code_ocean.faults.add(rule)
        works, message = CodeOceanHook().test_connection()
        assert not works
        assert message.startswith("The host answers, but not as Code Ocean does")
        assert f"[{code_ocean.url}, connection 'codeocean_default']" in message

    def test_a_host_that_shows_a_page_to_log_in_at(self, code_ocean):
        code_ocean.faults.add(FaultRule(kind="html", status=200))
        works, message = CodeOceanHook().test_connection()
        assert not works
        assert "a web page" in message

    def test_a_connection_that_lacks_something(self, connect):
        connect("https://codeocean.test", "")
        works, message = CodeOceanHook().test_connection()
        assert not works
        assert "has no password" in message


class TestTheToken:
    """The token is masked, in every form."""

    @pytest.fixture(params=["", " "], ids=["as it is", "with blanks around it"])
    def hidden(self, connect, request):
        """Whether Airflow hides a new token, and how it goes over the wire."""
        token = f"cop_{secrets.token_hex(16)}"
        connect("https://codeocean.test", f"{request.param}{token}{request.param}")
        wire = base64.b64encode(f"{token}:".encode()).decode()
        return lambda: redact(f"{token} Basic {wire}") == "*** Basic ***"

    def test_it_and_its_base64_are_masked(self, hidden):
        CodeOceanHook().get_conn().close()
        assert hidden()

    async def test_so_they_are_for_a_client_of_an_event_loop(self, hidden):
        await (await CodeOceanHook().get_async_conn()).aclose()
        assert hidden()

    def test_no_repr_shows_it(self, code_ocean):
        token = code_ocean.env["CODEOCEAN_TOKEN"]
        hook = CodeOceanHook()
        with hook.get_conn() as client:
            assert token not in f"{hook!r} {vars(hook)!r} {client!r} {client.data_assets!r}"
        client = asyncio.run(hook.get_async_conn())
        assert token not in repr(client)


class TestTheForm:
    """The connection form."""

    def test_it_shows_the_fields_that_the_hook_reads(self):
        behaviour = CodeOceanHook.get_ui_field_behaviour()
        assert behaviour["relabeling"] == UI_FIELD_BEHAVIOUR["relabeling"]
        assert set(behaviour) == {"hidden_fields", "relabeling", "placeholders"}
        assert set(CONNECTION_FIELDS) == {"verify", "timeout", "proxy", "require_tls", "token_grace"}
