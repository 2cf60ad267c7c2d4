"""What a connection holds, read into a client's options."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

import pytest
from airflow.providers.common.compat.sdk import Connection
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_codeocean.api.client import CodeOceanClient, base_url
from airflow_provider_codeocean.hooks.codeocean import CodeOceanHook
from airflow_provider_codeocean.hooks.connection import client_options, with_precedence
from tests.faults.test_fuzz import fixed


def options(extra=None, **fields):
    fields = {"host": "https://co.test", "password": "cop_token"} | fields
    return client_options(Connection(conn_id="lab", conn_type="codeocean", **fields), extra or {})


NAMES = st.from_regex(r"[a-z]([a-z0-9-]{0,8}[a-z0-9])?(\.test)?", fullmatch=True)
HOSTS = st.one_of(NAMES, st.ip_addresses(v=4).map(str), st.ip_addresses(v=6).map("[{}]".format))
PORTS = st.none() | st.integers(1, 65535)
PATHS = st.lists(st.from_regex(r"[a-z0-9:_.-]*[a-z0-9]", fullmatch=True), max_size=2).map(
    lambda parts: "".join(f"/{part}" for part in parts)
)


@settings(fixed, max_examples=200)
@given(
    st.sampled_from(["", "https://", "http://"]),
    HOSTS,
    PORTS,
    PATHS,
    st.sampled_from(["", "/", "?a=b", "/?a=b:1", "#c"]),
    PORTS,
)
def test_the_port_is_that_of_the_host_field_or_else_that_of_the_port_field(
    scheme, host, its_port, path, end, port
):
    authority = host if its_port is None else f"{host}:{its_port}"
    url = urlsplit(base_url(options(host=f"{scheme}{authority}{path}{end}", port=port)["url"]))
    default = 80 if scheme == "http://" else 443
    assert url.scheme == scheme.removesuffix("://") or "https"
    assert url.hostname == host.strip("[]")
    assert (url.port or default) == (its_port or port or default)
    assert url.path == path


@pytest.mark.parametrize(
    ("fields", "url"),
    [
        ({"host": "co.test"}, "https://co.test"),
        ({"host": "https://co.test/"}, "https://co.test"),
        ({"host": "http://127.0.0.1:8000"}, "http://127.0.0.1:8000"),
        ({"host": "co.test", "schema": "http", "port": 8080}, "http://co.test:8080"),
        ({"host": "co.test", "schema": "public"}, "https://co.test"),
        ({"host": "https://co.test", "port": 8443}, "https://co.test:8443"),
        ({"host": "https://co.test:1/", "port": 8443}, "https://co.test:1"),
        ({"host": " https://co.test/api/v1/ "}, "https://co.test"),
        ({"host": "https://co.test/prefix", "port": 8443}, "https://co.test:8443/prefix"),
        ({"host": "co.test/prefix/", "port": 8443}, "https://co.test:8443/prefix"),
        ({"host": "::1", "schema": "http", "port": 8000}, "http://[::1]:8000"),
        ({"host": "http://[::1]/prefix", "port": 8000}, "http://[::1]:8000/prefix"),
        ({"host": "[::1]:8000", "port": 1}, "https://[::1]:8000"),
    ],
)
def test_the_address(fields, url):
    with CodeOceanClient(**options(**fields)) as client:
        assert client.url == url


@pytest.mark.parametrize("host", ["https://co.test:many", "https://[::1", "https://co.test:1:2"])
def test_what_is_no_address_is_refused(host):
    with pytest.raises(ValueError, match=rf"host must be an address such as .*, got '{re.escape(host)}'"):
        CodeOceanClient(**options(host=host, port=8443))


def test_the_token_is_the_password_without_blanks_around_it():
    assert options(password=" cop_token\n")["token"] == "cop_token"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"host": None}, "connection 'lab' has no host"),
        ({"host": "  "}, "connection 'lab' has no host"),
        ({"password": None}, "connection 'lab' has no password: give an access token"),
        ({"password": " "}, "connection 'lab' has no password"),
    ],
)
def test_what_lacks_is_named(fields, message):
    with pytest.raises(ValueError, match=message):
        options(**fields)


@pytest.mark.parametrize(
    ("extra", "read"),
    [
        ({"verify": True}, {"verify": True}),
        ({"verify": "False"}, {"verify": False}),
        ({"verify": "/etc/ssl/lab.pem"}, {"verify": "/etc/ssl/lab.pem"}),
        ({"timeout": 5}, {"timeout": 5.0}),
        ({"timeout": "2.5"}, {"timeout": 2.5}),
        ({"proxy": "http://proxy.test:3128"}, {"proxy": "http://proxy.test:3128"}),
        ({"verify": "", "timeout": None, "proxy": ""}, {}),
        ({"of_another_provider": 1}, {}),
    ],
)
def test_the_extras(extra, read):
    assert options(extra) == {"url": "https://co.test", "token": "cop_token"} | read


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ({"verify": 1}, "'lab': extra 'verify' must be true, false or the path"),
        ({"timeout": 0}, "'lab': extra 'timeout' must be a number of seconds greater than 0, got 0"),
        ({"timeout": "soon"}, "extra 'timeout' must be a number"),
        ({"timeout": True}, "extra 'timeout' must be a number"),
        ({"timeout": [1]}, "extra 'timeout' must be a number"),
        ({"proxy": "proxy.test:3128"}, "extra 'proxy' must be the address of an HTTP proxy, such as"),
        ({"proxy": "http://proxy.test:many"}, "extra 'proxy' must be the address"),
        ({"proxy": "socks5://proxy.test:1080"}, "extra 'proxy' must be the address"),
        ({"proxy": 3128}, "extra 'proxy' must be the address"),
    ],
)
def test_a_wrong_extra_is_named(extra, message):
    with pytest.raises(ValueError, match=message):
        options(extra)


def test_the_error_of_a_proxy_does_not_repeat_its_password():
    with pytest.raises(ValueError, match="'proxy'") as caught:
        options({"proxy": "ftp://user:secret@proxy.test"})
    assert "secret" not in str(caught.value)


class TestRequireTLS:
    """What a platform team refuses for all, no connection can allow."""

    @pytest.mark.parametrize(
        ("value", "required"),
        [(True, True), ("true", True), (" True", True), (False, False), ("false", False)],
    )
    def test_a_connection_may_ask_for_it(self, value, required):
        assert options({"require_tls": value})["require_tls"] is required

    @pytest.mark.parametrize("value", ["yes", 1, ["true"]])
    def test_what_is_neither_is_refused(self, value):
        with pytest.raises(ValueError, match="extra 'require_tls' must be true or false"):
            options({"require_tls": value})

    def test_airflows_configuration_asks_for_all(self, monkeypatch):
        monkeypatch.setenv("AIRFLOW__CODEOCEAN__REQUIRE_TLS", "True")
        read = options({"require_tls": "false"})
        assert read["require_tls"] is True
        assert with_precedence(read, {"require_tls": False, "timeout": 1})["require_tls"] is True

    def test_a_configuration_that_is_wrong_is_an_error(self, monkeypatch):
        monkeypatch.setenv("AIRFLOW__CODEOCEAN__REQUIRE_TLS", "perhaps")
        with pytest.raises(ValueError, match=r"\[codeocean\] require_tls in Airflow's configuration"):
            options()

    def test_a_hook_refuses_then(self, connect, monkeypatch):
        connect("http://codeocean.test", "cop_token")
        CodeOceanHook().get_conn().close()
        monkeypatch.setenv("AIRFLOW__CODEOCEAN__REQUIRE_TLS", "True")
        with pytest.raises(ValueError, match=r"http://codeocean\.test is not encrypted"):
            CodeOceanHook().get_conn(require_tls=False)
        works, message = CodeOceanHook().test_connection()
        assert not works
        assert "require_tls is set" in message

    def test_the_token_that_is_read_is_not_shown(self):
        assert "cop_token" not in repr(options())
        assert "cop_token" not in repr(with_precedence(options(), {"token": "cop_token"}))
