"""What only a real network shows: certificates, refused connections, proxies."""

from __future__ import annotations

import ipaddress
import socket
import ssl
import threading
from datetime import UTC, datetime, timedelta
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from airflow_provider_codeocean.api.client import CodeOceanAsyncClient, CodeOceanClient
from airflow_provider_codeocean.api.errors import CodeOceanTransportError
from airflow_provider_codeocean.api.models.data_asset_params import DataAssetParams
from tests.api.fake_server import BOTH

NEW_ASSET = DataAssetParams(name="n", tags=[], mount="m", data_asset_ids=["a1"])


class Handler(BaseHTTPRequestHandler):
    """Answers any GET with a data asset, and keeps what it was asked for."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.server.lines.append(self.requestline)
        body = b'{"id": "a1"}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """Say nothing."""


class LoopbackServer(ThreadingHTTPServer):
    """A real server, which counts the connections made to it. With a context it speaks TLS."""

    daemon_threads = True
    token = "cop_s3cret"
    transport = None

    def __init__(self, context=None):
        super().__init__(("127.0.0.1", 0), Handler)
        self.context = context
        self.connections = 0
        self.lines = []
        self.url = f"{'https' if context else 'http'}://127.0.0.1:{self.server_port}"

    def get_request(self):
        connection, address = super().get_request()
        self.connections += 1
        if self.context:
            connection = self.context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        return connection, address

    def handle_error(self, *_):
        """Bear with a client that hangs up because it does not trust the certificate."""

    def __enter__(self):
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.shutdown()
        self.server_close()


@pytest.fixture(params=BOTH)
def get(request):
    """Get a data asset from a server by means of either client."""
    return partial(BOTH[request.param], use=lambda client: client.data_assets.get("a1"))


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A certificate for 127.0.0.1 that nobody has signed but itself, and its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "codeocean.test")])
    now = datetime.now(UTC)
    usage = dict.fromkeys(
        (
            "content_commitment",
            "key_encipherment",
            "data_encipherment",
            "key_agreement",
            "crl_sign",
            "encipher_only",
            "decipher_only",
        ),
        False,
    )
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.KeyUsage(digital_signature=True, key_cert_sign=True, **usage), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "certificate.pem"
    path.write_bytes(
        certificate.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return path


@pytest.fixture
def tls_server(certificate):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with LoopbackServer(context) as server:
        yield server


class TestCertificate:
    def test_one_that_is_not_trusted_is_an_error_for_good(self, tls_server, get, clock):
        with pytest.raises(
            CodeOceanTransportError, match=r"could not be sent .*CERTIFICATE_VERIFY_FAILED"
        ) as caught:
            get(tls_server)
        assert not caught.value.transient
        assert not caught.value.maybe_applied
        assert (tls_server.connections, clock.waits) == (1, [])

    def test_the_file_that_holds_it_makes_it_trusted(self, tls_server, get, certificate):
        assert get(tls_server, verify=str(certificate)).id == "a1"

    def test_a_folder_trusts_what_is_in_it_alone(self, tls_server, get, tmp_path):
        with pytest.raises(CodeOceanTransportError, match="CERTIFICATE_VERIFY_FAILED"):
            get(tls_server, verify=str(tmp_path))

    def test_it_need_not_be_verified(self, tls_server, get):
        assert get(tls_server, verify=False).id == "a1"

    @pytest.mark.parametrize("client_class", [CodeOceanClient, CodeOceanAsyncClient])
    @pytest.mark.parametrize("path", ["missing.pem", __file__, "x" * 300])
    def test_a_path_without_certificates_is_refused(self, client_class, path):
        with pytest.raises(
            ValueError, match="verify must be true, false or the path of certificates"
        ) as caught:
            client_class("codeocean.test", "cop_s3cret", verify=path)
        assert path in str(caught.value)


class TestConnection:
    @pytest.fixture
    def nobody(self):
        """An address at which nobody listens."""
        with socket.create_server(("127.0.0.1", 0)) as listening:
            port = listening.getsockname()[1]
        return SimpleNamespace(url=f"http://127.0.0.1:{port}", token="cop_s3cret", transport=None)

    @pytest.mark.parametrize("ask_nobody", BOTH.values(), ids=BOTH)
    def test_one_that_is_refused_applied_nothing(self, nobody, ask_nobody):
        with pytest.raises(CodeOceanTransportError, match="could not be sent") as caught:
            ask_nobody(nobody, lambda client: client.data_assets.create(NEW_ASSET), retry_budget=0)
        assert not caught.value.maybe_applied
        assert caught.value.transient

    def test_one_serves_many_requests(self):
        with LoopbackServer() as server, CodeOceanClient(server.url, server.token) as client:
            for _ in range(3):
                client.data_assets.get("a1")
        assert (len(server.lines), server.connections) == (3, 1)

    def test_a_proxy_is_asked_instead(self, get):
        with LoopbackServer() as proxy:
            away = SimpleNamespace(url="http://codeocean.test", token="cop_s3cret", transport=None)
            assert get(away, proxy=proxy.url).id == "a1"
        assert proxy.lines == ["GET http://codeocean.test/api/v1/data_assets/a1 HTTP/1.1"]
