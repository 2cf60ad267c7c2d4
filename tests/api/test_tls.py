"""Certificates that the clients and the reader of signed URLs trust."""

from __future__ import annotations

import os
import socket
import ssl
import threading
from functools import partial
from itertools import count
from types import SimpleNamespace

import pytest
from cryptography import x509

from airflow_provider_codeocean.api._http.tls import ssl_context, storage_ssl_context
from airflow_provider_codeocean.api.client import CodeOceanAsyncClient, CodeOceanClient
from airflow_provider_codeocean.api.errors import CertificatesNotFound, CodeOceanTransportError
from tests.api.certificates import CertificateAuthority
from tests.api.fake_server import CALLERS
from tests.api.loopback import LoopbackServer

NOT_TRUSTED = r"CERTIFICATE_VERIFY_FAILED.*"


def _get(ask, server, **options):
    return ask(server, lambda client: client.data_assets.get("a1"), **options).id


def _read(server, **options):
    """Read a file behind a signed URL."""
    with CodeOceanClient("https://localhost", "cop_s3cret", **options) as client:
        with client.storage.read(f"{server.url}/file?signature=s3cret") as part:
            assert b"".join(part.chunks) == server.response[2]
        return "a1"


#: Both clients, and the reader of signed URLs.
ALL = {name: partial(_get, ask) for name, ask in CALLERS.items()} | {"storage": _read}


@pytest.fixture(params=ALL)
def get(request):
    """Send a request to a server."""
    return ALL[request.param]


@pytest.fixture(scope="module")
def authority():
    return CertificateAuthority()


@pytest.fixture(scope="module")
def trusted(authority, tmp_path_factory):
    """A folder with the authority's certificate."""
    folder = tmp_path_factory.mktemp("trusted")
    authority.write_certificate(folder)
    return folder


@pytest.fixture
def serve(tmp_path):
    """Run a server with a certificate."""
    running = []

    def start(certificate):
        running.append(LoopbackServer(certificate).__enter__())
        return running[-1]

    yield start
    for server in running:
        server.__exit__()


@pytest.fixture
def server(serve, authority, tmp_path):
    """A server with a certificate of the authority."""
    return serve(authority.issue(tmp_path / "server.pem"))


def refused(get, server, clock, problem="", **options):
    """Check that the request fails permanently, before anything is sent."""
    with pytest.raises(CodeOceanTransportError, match=NOT_TRUSTED + problem) as caught:
        get(server, **options)
    assert not caught.value.is_transient
    assert not caught.value.may_have_been_applied
    assert (server.connections, server.request_lines, clock.waits) == (1, [], [])


def test_custom_authority_by_default_is_not_trusted(get, server, clock):
    refused(get, server, clock, "unable to get local issuer certificate")


def test_self_signed_certificate_by_default_is_not_trusted(get, serve, clock, tmp_path):
    refused(
        get,
        serve(CertificateAuthority().write_with_key(tmp_path / "own.pem")),
        clock,
        "self-signed certificate",
    )


def test_verify_with_a_certificate_file_is_trusted(get, server, trusted):
    (certificate,) = trusted.iterdir()
    assert get(server, verify=str(certificate)) == "a1"


def test_verify_with_a_certificate_folder_is_trusted(get, server, trusted):
    assert get(server, verify=str(trusted)) == "a1"


def test_verify_with_an_empty_folder_is_not_trusted(get, server, tmp_path, clock):
    empty = tmp_path / "empty"
    empty.mkdir()
    refused(get, server, clock, verify=str(empty))


def test_verify_with_another_authority_is_not_trusted(get, server, tmp_path, clock):
    other = CertificateAuthority("other.test").write_certificate(tmp_path / "other")
    refused(get, server, clock, verify=str(other))


def test_expired_certificate_is_rejected(get, serve, authority, trusted, clock, tmp_path):
    server = serve(authority.issue(tmp_path / "expired.pem", days=-1))
    refused(get, server, clock, "certificate has expired", verify=str(trusted))


def test_certificate_for_another_host_is_rejected(get, serve, authority, trusted, clock, tmp_path):
    server = serve(authority.issue(tmp_path / "other.pem", x509.DNSName("codeocean.example.com")))
    refused(get, server, clock, "IP address mismatch", verify=str(trusted))


def test_verify_false_accepts_any_certificate(get, server):
    assert get(server, verify=False) == "a1"


def test_verify_path_replaces_client_trust_and_extends_storage_trust(trusted):
    (certificate,) = trusted.iterdir()
    public = ssl_context(True).get_ca_certs()
    own = ssl_context(str(certificate)).get_ca_certs()
    assert len(own) == 1
    both = storage_ssl_context(str(certificate)).get_ca_certs()
    assert own[0] in both
    assert len(both) == len(public) + 1


@pytest.fixture(params=["file", "folder", "environment"])
def place(request, tmp_path, monkeypatch):
    """Return a value of ``verify``, and a function that puts an authority's certificate there."""
    path = CertificateAuthority().write_certificate(tmp_path / "place")
    place = path.parent if request.param == "folder" else path
    if request.param == "environment":
        monkeypatch.setenv("SSL_CERT_FILE", str(path))
    written_at = count(10**18, 10**9)  # independent of the file system's clock

    def put(authority):
        authority.write_certificate(tmp_path / "new").replace(path)
        moment = next(written_at)
        os.utime(place, ns=(moment, moment))

    return True if request.param == "environment" else str(place), put


def test_new_client_after_replacement_trusts_the_new_authority(get, serve, place, clock, tmp_path):
    verify, put = place
    before, after = CertificateAuthority(), CertificateAuthority()
    put(before)
    assert get(serve(before.issue(tmp_path / "before.pem")), verify=verify) == "a1"
    put(after)
    assert get(serve(after.issue(tmp_path / "after.pem")), verify=verify) == "a1"
    refused(get, serve(before.issue(tmp_path / "before.pem")), clock, verify=verify)


def test_a_client_whose_server_is_not_trusted_any_more_has_stale_certificates(serve, place, clock, tmp_path):
    verify, put = place
    before, after = CertificateAuthority(), CertificateAuthority()
    put(before)
    server = serve(before.issue(tmp_path / "before.pem"))
    server.response[1]["Connection"] = "close"
    with CodeOceanClient(server.url, "cop_s3cret", verify=verify) as client:
        assert client.data_assets.get("a1").id == "a1"
        put(after)
        assert not client.has_stale_certificates
        server.context.load_cert_chain(after.issue(tmp_path / "after.pem"))
        with pytest.raises(CodeOceanTransportError, match=NOT_TRUSTED):
            client.data_assets.get("a1")
        assert client.has_stale_certificates
    with CodeOceanClient(server.url, "cop_s3cret", verify=verify) as client:
        assert client.data_assets.get("a1").id == "a1"
        assert not client.has_stale_certificates


def test_a_client_whose_server_was_never_trusted_has_no_stale_certificates(server):
    with CodeOceanClient(server.url, "cop_s3cret") as client:
        with pytest.raises(CodeOceanTransportError, match=NOT_TRUSTED):
            client.data_assets.get("a1")
        assert not client.has_stale_certificates


@pytest.mark.parametrize("client_class", [CodeOceanClient, CodeOceanAsyncClient])
@pytest.mark.parametrize("path", ["missing.pem", __file__, "x" * 300])
def test_verify_path_without_certificates_is_rejected(client_class, path):
    with pytest.raises(ValueError, match="verify must be true, false or the path of certificates") as caught:
        client_class("codeocean.test", "cop_s3cret", verify=path)
    assert path in str(caught.value)


@pytest.mark.parametrize("client_class", [CodeOceanClient, CodeOceanAsyncClient])
@pytest.mark.parametrize("path", ["missing.pem", __file__])
def test_environment_path_without_certificates_is_rejected(client_class, path, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", path)
    with pytest.raises(ValueError, match="the environment variable SSL_CERT_FILE or SSL_CERT_DIR must be"):
        client_class("codeocean.test", "cop_s3cret")


def test_storage_with_invalid_environment_path_is_rejected(trusted, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", __file__)  # one that is not cached
    with pytest.raises(
        CertificatesNotFound, match="the environment variable SSL_CERT_FILE or SSL_CERT_DIR must be"
    ):
        CodeOceanClient("codeocean.test", "cop_s3cret", verify=str(trusted)).storage  # noqa: B018


@pytest.mark.parametrize("ask", CALLERS.values(), ids=CALLERS)
@pytest.mark.parametrize("damaged", [b"\x17\x03\x03\x00\x40" + 64 * b"x", b"\x15\x03\x03\x00\x02\x02\x28"])
def test_damaged_tls_record_is_a_transient_transport_error(ask, authority, trusted, tmp_path, damaged):
    """A corrupt record, and an alert."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority.issue(tmp_path / "server.pem"))

    def answer(listening):
        connection, _ = listening.accept()
        raw = os.dup(connection.fileno())
        with context.wrap_socket(connection, server_side=True) as encrypted:
            encrypted.recv(65536)
            os.write(raw, damaged)
            os.close(raw)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = threading.Thread(target=answer, args=[listening])
        server.start()
        url = f"https://127.0.0.1:{listening.getsockname()[1]}"
        to = SimpleNamespace(url=url, transport=None, token="cop_s3cret")
        with pytest.raises(CodeOceanTransportError, match=r"got no answer \(ReadError: \[SSL: ") as caught:
            ask(to, lambda client: client.data_assets.get("a1"), verify=str(trusted), retry_budget=0)
        server.join(10)
    assert caught.value.is_transient


@pytest.mark.parametrize("verify", [True, False])
def test_ssl_context_rejects_old_tls_versions(verify):
    assert ssl_context(verify).minimum_version == ssl.TLSVersion.TLSv1_2


def test_context_of_unencrypted_address_trusts_nobody():
    context = ssl_context(True, is_encrypted=False)
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert context.get_ca_certs() == []


@pytest.mark.parametrize(
    ("url", "loads_authorities"), [("http://127.0.0.1", False), ("https://co.test", True)]
)
def test_client_loads_public_authorities_only_for_https(url, loads_authorities):
    with CodeOceanClient(url, "cop_s3cret") as client:
        context = client._httpx_options()["verify"]
    assert (context is ssl_context(True)) is loads_authorities
