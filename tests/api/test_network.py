"""Refused connections and proxies, on a real network. Certificates are in ``test_tls.py``."""

from __future__ import annotations

import socket
import time
from contextlib import ExitStack
from functools import partial
from types import SimpleNamespace

import pytest

from airflow_provider_codeocean.api.client import CodeOceanAsyncClient, CodeOceanClient
from airflow_provider_codeocean.api.errors import CodeOceanTransportError
from airflow_provider_codeocean.api.models.data_asset_params import DataAssetParams
from tests.api._http.test_deadline import Dripping
from tests.api.certificates import CertificateAuthority
from tests.api.fake_server import CALLERS
from tests.api.loopback import LoopbackServer

NEW_ASSET = DataAssetParams(name="n", tags=[], mount="m", data_asset_ids=["a1"])


@pytest.fixture(params=CALLERS)
def get(request):
    """Get a data asset from a server with one of the clients."""
    return partial(CALLERS[request.param], action=lambda client: client.data_assets.get("a1"))


@pytest.mark.parametrize("client_class", [CodeOceanClient, CodeOceanAsyncClient])
@pytest.mark.parametrize("proxy", ["http://u:s3cret@pro\u2603xy..test:1", "http://u:s3\x01cret@proxy.test:1"])
def test_client_with_invalid_proxy_is_rejected(client_class, proxy):
    with pytest.raises(ValueError, match=r"^proxy must be the address of an HTTP proxy$"):
        client_class("codeocean.test", "cop_s3cret", proxy=proxy)


class TestConnection:
    @pytest.fixture
    def nobody(self):
        """An address without a server."""
        with socket.create_server(("127.0.0.1", 0)) as listening:
            port = listening.getsockname()[1]
        return SimpleNamespace(url=f"http://127.0.0.1:{port}", token="cop_s3cret", transport=None)

    @pytest.mark.parametrize("ask_nobody", CALLERS.values(), ids=CALLERS)
    def test_refused_connection_is_not_applied_and_transient(self, nobody, ask_nobody):
        with pytest.raises(CodeOceanTransportError, match="could not be sent") as caught:
            ask_nobody(nobody, lambda client: client.data_assets.create(NEW_ASSET), retry_budget=0)
        assert not caught.value.may_have_been_applied
        assert caught.value.is_transient

    def test_connection_serves_many_requests(self):
        with LoopbackServer() as server, CodeOceanClient(server.url, server.token) as client:
            for _ in range(3):
                client.data_assets.get("a1")
        assert (len(server.request_lines), server.connections) == (3, 1)

    def test_connection_with_proxy_sends_the_request_to_it(self, get):
        with LoopbackServer() as proxy:
            away = SimpleNamespace(url="http://codeocean.test", token="cop_s3cret", transport=None)
            assert get(away, proxy=proxy.url).id == "a1"
        assert proxy.request_lines == ["GET http://codeocean.test/api/v1/data_assets/a1 HTTP/1.1"]

    @pytest.mark.parametrize("verify", ["file", "folder"])
    def test_https_proxy_with_custom_authority_is_trusted(self, get, verify, tmp_path):
        authority = CertificateAuthority()
        certificate = authority.write_certificate(tmp_path / "trusted")
        away = SimpleNamespace(url="http://codeocean.test", token="cop_s3cret", transport=None)
        trusted = certificate if verify == "file" else certificate.parent
        with LoopbackServer(authority.issue(tmp_path / "proxy.pem")) as proxy:
            assert get(away, proxy=proxy.url, verify=str(trusted)).id == "a1"
        assert len(proxy.request_lines) == 1

    @pytest.mark.parametrize("verify", [True, False])
    def test_https_proxy_certificate_is_always_verified(self, get, verify, tmp_path):
        """``verify=False`` applies to the server only: the client may send a password to the proxy."""
        away = SimpleNamespace(url="http://codeocean.test", token="cop_s3cret", transport=None)
        with (
            LoopbackServer(CertificateAuthority().issue(tmp_path / "proxy.pem")) as proxy,
            pytest.raises(CodeOceanTransportError, match="CERTIFICATE_VERIFY_FAILED"),
        ):
            get(away, proxy=proxy.url, verify=verify)
        assert proxy.request_lines == []


@pytest.mark.fault("N4")
class TestWrongAddress:
    """Each error names the host, the connection, and the remedy."""

    @staticmethod
    def error_at(get, url, **options):
        away = SimpleNamespace(url=url, token="cop_s3cret", transport=None)
        with pytest.raises(CodeOceanTransportError) as caught:
            get(away, name="connection 'lab'", retry_budget=0, timeout=5, **options)
        assert str(caught.value).endswith(f" [{url}, connection 'lab']")
        return str(caught.value)

    def test_request_to_an_unknown_host_names_it(self, get):
        message = self.error_at(get, "https://no-such-host.invalid")
        assert "the name of the host cannot be resolved. Check its spelling" in message

    @pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
    def test_request_to_a_port_without_a_server_names_it(self, get, host):
        with socket.create_server(("127.0.0.1", 0)) as listening:
            port = listening.getsockname()[1]
        message = self.error_at(get, f"http://{host}:{port}")
        assert "nothing listens there. Check host, port, and proxy" in message

    def test_request_through_a_proxy_that_is_not_there_names_the_remedy(self, get):
        with socket.create_server(("127.0.0.1", 0)) as listening:
            port = listening.getsockname()[1]
        message = self.error_at(get, "http://codeocean.test", proxy=f"http://127.0.0.1:{port}")
        assert "nothing listens there. Check host, port, and proxy" in message

    def test_request_with_https_to_a_server_without_it_names_the_remedy(self, get):
        with LoopbackServer() as server:
            message = self.error_at(get, server.url.replace("http:", "https:"))
        assert "the server speaks http, not https. Check the port" in message

    @pytest.mark.parametrize("scheme", ["http", "https"])
    def test_request_to_a_server_of_another_protocol_names_the_remedy(self, get, scheme):
        with Dripping(b"220 mail.test ESMTP\r\n\r\n", b"") as server:
            message = self.error_at(get, server.url.replace("http:", f"{scheme}:"))
        assert "this is not a web server" in message or "speaks http, not https" in message

    def test_request_to_an_untrusted_server_names_the_remedy(self, get, tmp_path):
        with LoopbackServer(CertificateAuthority().issue(tmp_path / "server.pem")) as server:
            message = self.error_at(get, server.url)
        assert "the certificate is not trusted. Check the host, and the option verify" in message


class TestAddresses:
    """A host name can have several addresses."""

    @pytest.fixture
    def named(self, monkeypatch):
        """Set the addresses of ``codeocean.test``."""
        system = socket.getaddrinfo

        def give(*addresses):
            def getaddrinfo(host, port, *args, **kwargs):
                hosts = addresses if host in {"codeocean.test", b"codeocean.test"} else [host]
                return [info for host in hosts for info in system(host, port, *args, **kwargs)]

            monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)

        return give

    @staticmethod
    def at(port):
        return SimpleNamespace(url=f"http://codeocean.test:{port}", token="cop_s3cret", transport=None)

    def test_refusing_address_falls_back_to_the_next(self, get, named):
        with LoopbackServer() as server:
            named("127.0.0.2", "127.0.0.3", "127.0.0.1")  # only the last one has a server
            assert get(self.at(server.server_port)).id == "a1"

    @pytest.mark.parametrize(
        ("ask_nobody", "addresses"), [(CALLERS["sync"], 3), (CALLERS["async"], 99)], ids=CALLERS
    )
    def test_silent_addresses_share_one_timeout(self, ask_nobody, addresses, named):
        """The sync client waits for each address; the async client for all of them together."""
        with ExitStack() as stack:
            silent = stack.enter_context(socket.create_server(("0.0.0.0", 0), backlog=0))
            for _ in range(2):  # fill the backlog: later connections are not accepted
                waiting = stack.enter_context(socket.socket())
                waiting.setblocking(False)
                waiting.connect_ex(("127.0.0.1", silent.getsockname()[1]))
            named(*(f"127.0.0.{number}" for number in range(1, 1 + addresses)))
            began = time.monotonic()
            with pytest.raises(CodeOceanTransportError) as caught:
                ask_nobody(
                    self.at(silent.getsockname()[1]),
                    lambda client: client.data_assets.create(NEW_ASSET),
                    timeout=0.4,
                    retry_budget=0,
                )
            assert time.monotonic() - began < 20
        assert caught.value.is_transient

    def test_refusing_addresses_with_sync_client_are_not_applied(self, named):
        with socket.create_server(("127.0.0.1", 0)) as listening:
            port = listening.getsockname()[1]
        named("127.0.0.2", "127.0.0.3")
        with (
            CodeOceanClient(f"http://codeocean.test:{port}", "t", retry_budget=0) as client,
            pytest.raises(CodeOceanTransportError, match=r"could not be sent .*refused") as caught,
        ):
            client.data_assets.create(NEW_ASSET)
        assert not caught.value.may_have_been_applied
