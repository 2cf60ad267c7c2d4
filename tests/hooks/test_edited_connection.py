"""The connection is edited while waits and watchers use it. With real servers."""

from __future__ import annotations

import asyncio
import json
import re
import ssl
import threading
import time
from contextlib import ExitStack, aclosing

import pytest

from airflow_provider_codeocean.api.errors import CodeOceanTransportError
from airflow_provider_codeocean.api.secret import Secret, basic_auth_value
from airflow_provider_codeocean.compat.features import Feature
from airflow_provider_codeocean.hooks import codeocean as hooks
from airflow_provider_codeocean.hooks.codeocean import CodeOceanHook
from airflow_provider_codeocean.polling import shared_client
from airflow_provider_codeocean.polling.waits import DataAssetWait
from airflow_provider_codeocean.triggers._base import wait_in_triggerer
from scripts.waiting import wait_until
from tests.api.certificates import CertificateAuthority
from tests.api.loopback import LoopbackServer

DRAFT = b'{"id": "a", "state": "draft"}'
READY = b'{"id": "a", "state": "ready"}'
OLD_TOKEN, NEW_TOKEN = "cop_old", "cop_new"


class CodeOcean(LoopbackServer):
    """A server with one data asset.

    :ivar state: what it answers.
    :ivar delay: seconds that it takes.
    """

    def __init__(self, state, *, certificate=None):
        super().__init__(certificate)
        self.state, self.delay = state, 0.0

    @property
    def response(self):
        time.sleep(self.delay)
        close = {"Connection": "close"} if self.context else {}
        return 200, close, self.state

    @response.setter
    def response(self, _):
        """Leave it."""

    @property
    def tokens(self):
        """The tokens that it was sent."""
        return {each["Authorization"] for each in self.request_headers}


def header(token):
    return f"Basic {basic_auth_value(Secret(token))!s}"


@pytest.fixture(autouse=True)
def _short_minute(monkeypatch):
    for module in (shared_client, hooks):
        monkeypatch.setattr(module, "RELOAD_INTERVAL_SECONDS", 0.4)
        monkeypatch.setattr(module, "MIN_RELOAD_INTERVAL_SECONDS", 0.2)


@pytest.fixture
def serve():
    with ExitStack() as servers:
        yield lambda *args, **options: servers.enter_context(CodeOcean(*args, **options))


def new_wait():
    return DataAssetWait("a", poll_interval=0.05, deadline=time.time() + 60)


def was_polled(server):
    """Wait until a server has answered a request."""
    return wait_until(lambda: len(server.request_headers) > 1, description="polls", timeout=20, interval=0.02)


def wait_in_worker(server, edit):
    editing = threading.Thread(target=lambda: was_polled(server) and edit())
    editing.start()
    CodeOceanHook().wait_for(new_wait())
    editing.join()


def wait_deferred(server, edit):
    async def scene():
        async with asyncio.TaskGroup() as tasks:
            waits = [tasks.create_task(wait_in_triggerer("codeocean_default", new_wait())) for _ in range(3)]
            await asyncio.to_thread(was_polled, server)
            assert not any(each.done() for each in waits)
            await asyncio.to_thread(edit)

    asyncio.run(scene())


def watch(server, edit):
    if not Feature.ASSET_WATCHERS.is_available:
        pytest.skip("Airflow 2 has no asset watchers")
    from airflow_provider_codeocean.triggers.events import CodeOceanDataAssetsReadyTrigger

    async def scene():
        trigger = CodeOceanDataAssetsReadyTrigger({"query": "x"}, since=0, poll_interval=0.05)
        async with asyncio.timeout(60), aclosing(trigger.run()) as events:
            event = asyncio.ensure_future(anext(events))
            await asyncio.to_thread(was_polled, server)
            assert not event.done()
            await asyncio.to_thread(edit)
            assert [each["id"] for each in (await event).payload["data_assets"]] == ["a"]

    asyncio.run(scene())


def as_page(state):
    return b'{"has_more": false, "results": [%b]}' % state


waits = pytest.mark.parametrize("wait", [wait_in_worker, wait_deferred, watch])


@pytest.fixture
def states(request):
    """The two responses of a server: as a watcher or as a wait expects them."""
    is_watcher = request.node.callspec.params["wait"] is watch
    return (as_page(DRAFT), as_page(READY)) if is_watcher else (DRAFT, READY)


@pytest.mark.fault("B6")
@waits
def test_edited_host_is_used_with_its_own_token(wait, states, serve, connect, caplog):
    old, new = map(serve, states)
    connect(old.url, OLD_TOKEN)
    wait(old, lambda: connect(new.url, NEW_TOKEN))
    assert old.tokens == {header(OLD_TOKEN)}
    assert new.tokens == {header(NEW_TOKEN)}
    assert "Connection codeocean_default has changed (token, url)" in caplog.text


@pytest.mark.fault("B6")
@waits
def test_edited_proxy_is_used(wait, states, serve, connect):
    old, proxy = map(serve, states)
    connect(old.url, OLD_TOKEN)
    wait(old, lambda: connect(old.url, OLD_TOKEN, proxy=proxy.url))
    assert proxy.request_lines[0].split()[1].startswith(old.url)


@pytest.mark.fault("B6")
@waits
def test_edited_token_is_used_while_old_one_is_valid(wait, states, serve, connect):
    server = serve(states[0])
    connect(server.url, OLD_TOKEN)

    def edit():
        connect(server.url, NEW_TOKEN)
        deadline = time.monotonic() + 10
        while header(NEW_TOKEN) not in server.tokens and time.monotonic() < deadline:
            time.sleep(0.01)
        server.state = states[1]

    wait(server, edit)
    assert server.tokens == {header(OLD_TOKEN), header(NEW_TOKEN)}


@pytest.mark.fault("B6")
@waits
def test_edited_timeout_is_used(wait, states, serve, connect):
    server = serve(states[1])
    server.delay = 0.5
    connect(server.url, OLD_TOKEN, timeout=0.1)
    wait(server, lambda: connect(server.url, OLD_TOKEN, timeout=10))


@pytest.mark.fault("B6")
@waits
def test_edited_verify_is_used(wait, states, serve, connect, tmp_path):
    authorities = [CertificateAuthority(), CertificateAuthority("another.test")]
    trusted = [str(each.write_certificate(tmp_path / str(number))) for number, each in enumerate(authorities)]
    old, new = (
        serve(state, certificate=authority.issue(tmp_path / f"{number}.pem"))
        for number, (state, authority) in enumerate(zip(states, authorities, strict=True))
    )
    connect(old.url, OLD_TOKEN, verify=trusted[0])
    wait(old, lambda: connect(new.url, OLD_TOKEN, verify=trusted[1]))


@pytest.mark.fault("B6")
@waits
def test_replaced_certificates_are_used(wait, states, serve, connect, tmp_path):
    authorities = [CertificateAuthority(), CertificateAuthority("another.test")]
    trusted = authorities[0].write_certificate(tmp_path / "trusted")
    certificates = [each.issue(tmp_path / f"{number}.pem") for number, each in enumerate(authorities)]
    server = serve(states[0], certificate=certificates[0])
    connect(server.url, OLD_TOKEN, verify=str(trusted))

    def edit():
        authorities[1].write_certificate(tmp_path / "new").replace(trusted)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificates[1])
        server.context, server.state = context, states[1]

    wait(server, edit)


@pytest.mark.fault("B6")
@pytest.mark.parametrize("wait", [wait_in_worker, wait_deferred])
def test_untrusted_server_with_unchanged_connection_ends_wait(wait, states, serve, connect, tmp_path):
    authorities = [CertificateAuthority(), CertificateAuthority("another.test")]
    trusted = authorities[0].write_certificate(tmp_path / "trusted")
    certificates = [each.issue(tmp_path / f"{number}.pem") for number, each in enumerate(authorities)]
    server = serve(states[0], certificate=certificates[0])
    connect(server.url, OLD_TOKEN, verify=str(trusted))

    def edit():
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificates[1])
        server.context = context

    with pytest.raises((CodeOceanTransportError, ExceptionGroup)) as caught:
        wait(server, edit)
    errors = caught.value.exceptions if isinstance(caught.value, ExceptionGroup) else [caught.value]
    assert not any(each.is_transient for each in errors)


@pytest.mark.fault("B6")
@waits
def test_unreadable_connection_keeps_previous_options(wait, states, serve, connect, monkeypatch, caplog):
    server = serve(states[0])
    connect(server.url, OLD_TOKEN)

    def edit():
        monkeypatch.setenv("AIRFLOW_CONN_CODEOCEAN_DEFAULT", json.dumps({"conn_type": "codeocean"}))
        time.sleep(1)
        server.state = states[1]

    wait(server, edit)
    assert re.search("could not reload .*keeping (the current|its) settings", caplog.text, re.IGNORECASE)
