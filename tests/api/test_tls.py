"""Whose certificates are trusted: by the clients, and by what reads files."""

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
from airflow_provider_codeocean.api.errors import CodeOceanTransportError, NoCertificates
from tests.api.certificates import Authority
from tests.api.fake_server import BOTH
from tests.api.loopback import LoopbackServer

NOT_TRUSTED = r"CERTIFICATE_VERIFY_FAILED.*"


def _get(ask, server, **options):
    return ask(server, lambda client: client.data_assets.get("a1"), **options).id


def _read(server, **options):
    """Read a file, as it is kept by a host of files."""
    with CodeOceanClient("https://localhost", "cop_s3cret", **options) as client:
        with client.storage.read(f"{server.url}/file?signature=s3cret") as part:
            assert b"".join(part.chunks) == server.answer[2]
        return "a1"


#: All that connects to a server.
ALL = {name: partial(_get, ask) for name, ask in BOTH.items()} | {"storage": _read}


@pytest.fixture(params=ALL)
def get(request):
    """Get something from a server."""
    return ALL[request.param]


@pytest.fixture(scope="module")
def authority():
    return Authority()


@pytest.fixture(scope="module")
def trusted(authority, tmp_path_factory):
    """A folder with the authority's certificate."""
    folder = tmp_path_factory.mktemp("trusted")
    authority.write(folder)
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
    """A server whose certificate the authority has signed."""
    return serve(authority.issue(tmp_path / "server.pem"))


def refused(get, server, clock, problem="", **options):
    """Check that there is one error, for good, before anything is sent."""
    with pytest.raises(CodeOceanTransportError, match=NOT_TRUSTED + problem) as caught:
        get(server, **options)
    assert not caught.value.transient
    assert not caught.value.maybe_applied
    assert (server.connections, server.lines, clock.waits) == (1, [], [])


def test_an_authority_of_ones_own_is_not_trusted_unless_told(get, server, clock):
    refused(get, server, clock, "unable to get local issuer certificate")


def test_one_that_nobody_has_signed_is_not_trusted(get, serve, clock, tmp_path):
    refused(get, serve(Authority().write_with_key(tmp_path / "own.pem")), clock, "self-signed certificate")


def test_a_file_makes_it_trusted(get, server, trusted):
    (certificate,) = trusted.iterdir()
    assert get(server, verify=str(certificate)) == "a1"


def test_a_folder_makes_it_trusted(get, server, trusted):
    assert get(server, verify=str(trusted)) == "a1"


def test_a_folder_with_nothing_in_it_does_not(get, server, tmp_path, clock):
    empty = tmp_path / "empty"
    empty.mkdir()
    refused(get, server, clock, verify=str(empty))


def test_another_authority_does_not(get, server, tmp_path, clock):
    other = Authority("other.test").write(tmp_path / "other")
    refused(get, server, clock, verify=str(other))


def test_one_that_has_expired_is_refused(get, serve, authority, trusted, clock, tmp_path):
    server = serve(authority.issue(tmp_path / "expired.pem", days=-1))
    refused(get, server, clock, "certificate has expired", verify=str(trusted))


def test_one_for_another_host_is_refused(get, serve, authority, trusted, clock, tmp_path):
    server = serve(authority.issue(tmp_path / "other.pem", x509.DNSName("codeocean.example.com")))
    refused(get, server, clock, "IP address mismatch", verify=str(trusted))


def test_it_need_not_be_verified(get, server):
    assert get(server, verify=False) == "a1"


def test_a_path_replaces_whom_the_clients_trust_and_adds_to_whom_the_storage_does(trusted):
    (certificate,) = trusted.iterdir()
    public = ssl_context(True).get_ca_certs()
    own = ssl_context(str(certificate)).get_ca_certs()
    assert len(own) == 1
    both = storage_ssl_context(str(certificate)).get_ca_certs()
    assert own[0] in both
    assert len(both) == len(public) + 1


@pytest.fixture(params=["file", "folder", "environment"])
def place(request, tmp_path, monkeypatch):
    """Return where certificates are, what `verify` is then, and what puts those of an authority there."""
    path = Authority().write(tmp_path / "place")
    place = path.parent if request.param == "folder" else path
    if request.param == "environment":
        monkeypatch.setenv("SSL_CERT_FILE", str(path))
    written_at = count(10**18, 10**9)  # whatever a file system's clock tells apart

    def put(authority):
        authority.write(tmp_path / "new").replace(path)
        moment = next(written_at)
        os.utime(place, ns=(moment, moment))

    return True if request.param == "environment" else str(place), put


def test_a_new_client_trusts_who_is_trusted_now(get, serve, place, clock, tmp_path):
    verify, put = place
    before, after = Authority(), Authority()
    put(before)
    assert get(serve(before.issue(tmp_path / "before.pem")), verify=verify) == "a1"
    put(after)
    assert get(serve(after.issue(tmp_path / "after.pem")), verify=verify) == "a1"
    refused(get, serve(before.issue(tmp_path / "before.pem")), clock, verify=verify)


def test_a_client_tells_that_its_certificates_were_replaced(place):
    verify, put = place
    put(Authority())
    with CodeOceanClient("codeocean.test", "cop_s3cret", verify=verify) as client:
        assert not client.is_outdated
        put(Authority())
        assert client.is_outdated
        with CodeOceanClient("codeocean.test", "cop_s3cret", verify=verify) as new:
            assert not new.is_outdated


def test_certificates_that_are_not_there_at_the_moment_were_not_replaced(tmp_path):
    path = Authority().write(tmp_path)
    with CodeOceanClient("codeocean.test", "cop_s3cret", verify=str(path)) as client:
        path.unlink()
        assert not client.is_outdated


@pytest.mark.parametrize("client_class", [CodeOceanClient, CodeOceanAsyncClient])
@pytest.mark.parametrize("path", ["missing.pem", __file__, "x" * 300])
def test_a_path_without_certificates_is_refused(client_class, path):
    with pytest.raises(ValueError, match="verify must be true, false or the path of certificates") as caught:
        client_class("codeocean.test", "cop_s3cret", verify=path)
    assert path in str(caught.value)


@pytest.mark.parametrize("client_class", [CodeOceanClient, CodeOceanAsyncClient])
@pytest.mark.parametrize("path", ["missing.pem", __file__])
def test_a_path_without_certificates_in_the_environment_is_refused(client_class, path, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", path)
    with pytest.raises(ValueError, match="the environment variable SSL_CERT_FILE or SSL_CERT_DIR must be"):
        client_class("codeocean.test", "cop_s3cret")


def test_hosts_of_files_are_trusted_by_the_environment_as_well(trusted, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", __file__)  # one that has no context yet
    with pytest.raises(
        NoCertificates, match="the environment variable SSL_CERT_FILE or SSL_CERT_DIR must be"
    ):
        CodeOceanClient("codeocean.test", "cop_s3cret", verify=str(trusted))


@pytest.mark.parametrize("ask", BOTH.values(), ids=BOTH)
@pytest.mark.parametrize("damaged", [b"\x17\x03\x03\x00\x40" + 64 * b"x", b"\x15\x03\x03\x00\x02\x02\x28"])
def test_what_is_damaged_after_the_greeting_is_an_error_of_the_way(
    ask, authority, trusted, tmp_path, damaged
):
    """A record that was changed on its way, and an alert of one that speaks no TLS any more."""
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
    assert caught.value.transient


@pytest.mark.parametrize("verify", [True, False])
def test_old_versions_of_tls_are_not_spoken(verify):
    assert ssl_context(verify).minimum_version == ssl.TLSVersion.TLSv1_2
