"""What a connection holds, read into a client's options."""

from __future__ import annotations

import asyncio
import json
import re
from types import SimpleNamespace
from urllib.parse import urlsplit

import pytest
from airflow.providers.common.compat.sdk import Connection
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_codeocean.api.client import CodeOceanClient, normalize_url
from airflow_provider_codeocean.api.errors import CertificatesNotFound
from airflow_provider_codeocean.hooks._connection import check_extra, merge_options, parse_client_options
from airflow_provider_codeocean.hooks.codeocean import CodeOceanHook
from tests.faults.test_fuzz import fixed
from tests.sampling import examples


def options(extra=None, **fields):
    fields = {"host": "https://co.test", "password": "cop_token"} | fields
    return parse_client_options(Connection(conn_id="lab", conn_type="codeocean", **fields), extra or {})


NAMES = st.from_regex(r"[a-z]([a-z0-9-]{0,8}[a-z0-9])?(\.test)?", fullmatch=True)
HOSTS = st.one_of(NAMES, st.ip_addresses(v=4).map(str), st.ip_addresses(v=6).map("[{}]".format))
PORTS = st.none() | st.integers(1, 65535)
PATHS = st.lists(st.from_regex(r"[a-z0-9:_.-]*[a-z0-9]", fullmatch=True), max_size=2).map(
    lambda parts: "".join(f"/{part}" for part in parts)
)


@settings(fixed, max_examples=examples(200))
@given(
    st.sampled_from(["", "https://", "http://"]),
    HOSTS,
    PORTS,
    PATHS,
    st.sampled_from(["", "/", "?a=b", "/?a=b:1", "#c"]),
    PORTS,
)
def test_url_port_in_host_field_overrides_port_field(scheme, host, its_port, path, end, port):
    authority = host if its_port is None else f"{host}:{its_port}"
    url = urlsplit(normalize_url(options(host=f"{scheme}{authority}{path}{end}", port=port)["url"]))
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
def test_url_is_built_from_connection_fields(fields, url):
    with CodeOceanClient(**options(**fields)) as client:
        assert client.url == url


@pytest.mark.parametrize("host", ["https://co.test:many", "https://[::1", "https://co.test:1:2"])
def test_url_with_invalid_host_raises(host):
    with pytest.raises(ValueError, match=rf"host must be an address such as .*, got '{re.escape(host)}'"):
        CodeOceanClient(**options(host=host, port=8443))


def test_token_is_password_without_surrounding_blanks():
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
def test_connection_with_missing_field_raises_and_names_it(fields, message):
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
        ({"timeout": None, "extra__codeocean__timeout": "7"}, {"timeout": 7.0}),
        ({"timeout": "5", "extra__codeocean__timeout": "7"}, {"timeout": 5.0}),
        ({"require_tls": "", "extra__codeocean__require_tls": "true"}, {"require_tls": True}),
    ],
)
def test_client_options_read_extras(extra, read):
    plain = {"url": "https://co.test", "token": "cop_token", "name": "connection 'lab'"}
    assert options(extra) == plain | read


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ({"verify": 1}, "'lab': extra 'verify' must be true, false or the path"),
        (
            {"timeout": 0},
            "'lab': extra 'timeout' must be a number of seconds greater than 0, 86400 at most, got 0",
        ),
        ({"timeout": 86401}, "86400 at most, got 86401"),
        ({"timeout": "soon"}, "extra 'timeout' must be a number"),
        ({"timeout": True}, "extra 'timeout' must be a number"),
        ({"timeout": [1]}, "extra 'timeout' must be a number"),
        ({"proxy": "proxy.test:3128"}, "extra 'proxy' must be the address of an HTTP proxy, such as"),
        ({"proxy": "http://proxy.test:many"}, "extra 'proxy' must be the address"),
        ({"proxy": "socks5://proxy.test:1080"}, "extra 'proxy' must be the address"),
        ({"proxy": 3128}, "extra 'proxy' must be the address"),
    ],
)
def test_connection_with_invalid_extra_raises_and_names_it(extra, message):
    with pytest.raises(ValueError, match=message):
        options(extra)


def test_proxy_error_does_not_contain_password():
    with pytest.raises(ValueError, match="'proxy'") as caught:
        options({"proxy": "ftp://user:secret@proxy.test"})
    assert "secret" not in str(caught.value)


class TestBrokenExtra:
    """Airflow reads a broken extra as none at all, which would drop ``require_tls``."""

    @pytest.fixture
    def connect_with(self, monkeypatch):
        def connect(extra):
            fields = {"conn_type": "codeocean", "host": "http://codeocean.test", "password": "cop_token"}
            monkeypatch.setenv("AIRFLOW_CONN_CODEOCEAN_DEFAULT", json.dumps(fields | {"extra": extra}))

        return connect

    @pytest.mark.fault("D3")
    @pytest.mark.parametrize(
        ("extra", "problem"),
        [
            ([1, 2], "JSON of type list"),
            ("[1, 2]", "JSON of type list"),
            ("7", "JSON of type int"),
            ("null", "JSON of type NoneType"),
            ('"require_tls"', "JSON of type str"),
            ("require_tls=true", "text that is not JSON"),
            ('{"require_tls": true', "text that is not JSON"),
            ('{"require_tls": true}\x00', "text that is not JSON"),
        ],
    )
    def test_hook_with_extra_that_is_not_a_json_object_raises(self, connect_with, extra, problem):
        connect_with(extra)
        with pytest.raises(
            ValueError, match="connection 'codeocean_default': extra must be a JSON object"
        ) as caught:
            CodeOceanHook().get_conn()
        assert str(caught.value).endswith(f"got {problem}")
        with pytest.raises(ValueError, match="extra must be a JSON object"):
            asyncio.run(CodeOceanHook().get_async_conn())
        assert CodeOceanHook().test_connection() == (False, f"The connection cannot be used: {caught.value}")

    @pytest.mark.fault("D3")
    @pytest.mark.parametrize(
        ("extra", "field"),
        [
            ({"timeout": 10**400}, "extra 'timeout'"),
            ({"timeout": "1e300"}, "extra 'timeout'"),
            ({"token_grace_period": 10**400}, "extra 'token_grace_period'"),
            ({"verify": "/etc/ssl/a\0b.pem"}, "extra 'verify'"),
            ({"verify": 10**400}, "extra 'verify'"),
            ({"proxy": "http://proxy\0.test:1"}, "proxy"),
            ({"require_tls": 10**400}, "extra 'require_tls'"),
        ],
    )
    def test_hook_with_invalid_field_names_connection_and_field(self, connect_with, extra, field):
        connect_with(extra)
        for create in (CodeOceanHook().get_conn, lambda: asyncio.run(CodeOceanHook().get_async_conn())):
            with pytest.raises(
                ValueError, match=f"connection 'codeocean_default': {field} must be"
            ) as caught:
                create()
            assert len(str(caught.value)) < 300
            assert "\0" not in str(caught.value)

    @pytest.mark.fault("D3")
    @settings(fixed, max_examples=examples(300))
    @given(
        st.dictionaries(
            st.sampled_from(["verify", "timeout", "proxy", "require_tls", "token_grace_period", "x"]),
            st.recursive(
                st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
                lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(), inner, max_size=2),
                max_leaves=3,
            )
            | st.integers(10**300, 10**320),
            max_size=3,
        )
    )
    def test_client_options_returns_options_or_names_the_field(self, extra):
        try:
            timeout = options(extra).get("timeout", 1)
        except ValueError as error:
            field = re.match(r"connection 'lab': extra '(\w+)' must be ", str(error))[1]
            timeout = 1 if field in extra else 0
        assert 0 < timeout <= 86_400

    @pytest.mark.fault("D3")
    def test_check_extra_with_deep_nesting_raises(self):
        with pytest.raises(ValueError, match="connection 'lab': extra must be a JSON object"):
            check_extra(SimpleNamespace(conn_id="lab", extra='{"a": ' + "[" * 100_000))

    @pytest.mark.parametrize("password", ["cop_a\nb", "cop_\x1b", "cop_\udc80"])
    def test_client_options_with_control_characters_in_token_raise(self, password):
        with pytest.raises(ValueError, match="connection 'lab': password must be an access token") as caught:
            options(password=password)
        assert password not in str(caught.value)

    @pytest.mark.parametrize("host", ["https://co.test:many", "https://", "https://user:pass@co.test"])
    def test_hook_with_invalid_host_names_connection(self, connect, host):
        connect(host, "cop_token")
        with pytest.raises(ValueError, match="connection 'codeocean_default': host must be an address"):
            CodeOceanHook().get_conn()

    def test_hook_with_missing_certificates_names_connection(self, connect, tmp_path):
        connect("https://co.test", "cop_token", verify=str(tmp_path / "missing.pem"))
        with pytest.raises(CertificatesNotFound, match="connection 'codeocean_default': verify must be"):
            CodeOceanHook().get_conn()


@pytest.mark.fault("N6")
class TestUnknownExtras:
    @pytest.fixture(autouse=True)
    def nothing_reported(self, monkeypatch):
        monkeypatch.setattr("airflow_provider_codeocean.hooks._connection._reported_extras", set())

    @pytest.mark.parametrize("name", ["verfy", "token", "requre_tls", "Require_TLS", "__extra__", "a\nb"])
    def test_unknown_extra_is_reported_once_with_known_extras(self, name, caplog):
        for _ in range(3):
            options({name: "s3cret", "timeout": 5})
        (record,) = caplog.records
        assert record.levelname == "WARNING"
        assert record.getMessage() == (
            f"Connection 'lab' has unknown extras, which are ignored: {name!r}. The known extras are "
            "'verify', 'timeout', 'proxy', 'require_tls', 'token_grace_period'"
        )

    def test_unknown_extras_not_yet_reported_are_reported(self, caplog):
        options({"a": 1, "b": 1})
        options({"a": 1, "c": 1})
        assert len(caplog.messages) == 2
        assert "'a', 'b'." in caplog.messages[0]

    @pytest.mark.parametrize("extra", [{}, {"verify": ""}, {"extra__codeocean__verify": "true"}])
    def test_known_extras_are_not_reported(self, extra, caplog):
        options(extra)
        assert caplog.messages == []


class TestRequireTLS:
    """What a platform team refuses for all, no connection can allow."""

    @pytest.mark.parametrize(
        ("value", "required"),
        [(True, True), ("true", True), (" True", True), (False, False), ("false", False)],
    )
    def test_require_tls_extra_is_read_as_boolean(self, value, required):
        assert options({"require_tls": value})["require_tls"] is required

    @pytest.mark.parametrize("value", ["yes", 1, ["true"]])
    def test_require_tls_extra_with_invalid_value_raises(self, value):
        with pytest.raises(ValueError, match="extra 'require_tls' must be true or false"):
            options({"require_tls": value})

    def test_require_tls_in_airflow_config_overrides_extra(self, monkeypatch):
        monkeypatch.setenv("AIRFLOW__CODEOCEAN__REQUIRE_TLS", "True")
        read = options({"require_tls": "false"})
        assert read["require_tls"] is True
        assert merge_options(read, {"require_tls": False, "timeout": 1})["require_tls"] is True

    def test_require_tls_in_airflow_config_with_invalid_value_raises(self, monkeypatch):
        monkeypatch.setenv("AIRFLOW__CODEOCEAN__REQUIRE_TLS", "perhaps")
        with pytest.raises(ValueError, match=r"\[codeocean\] require_tls in Airflow's configuration"):
            options()

    def test_require_tls_in_airflow_config_refuses_http_url(self, connect, monkeypatch):
        connect("http://codeocean.test", "cop_token")
        CodeOceanHook().get_conn().close()
        monkeypatch.setenv("AIRFLOW__CODEOCEAN__REQUIRE_TLS", "True")
        with pytest.raises(ValueError, match=r"http://codeocean\.test is not encrypted"):
            CodeOceanHook().get_conn(require_tls=False)
        works, message = CodeOceanHook().test_connection()
        assert not works
        assert "require_tls is set" in message

    def test_token_is_not_in_repr_of_options(self):
        assert "cop_token" not in repr(options())
        assert "cop_token" not in repr(merge_options(options(), {"token": "cop_token"}))
