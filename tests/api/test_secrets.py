"""Results, errors, tracebacks, and log lines contain neither the token nor a signed URL."""

from __future__ import annotations

import base64
import traceback
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_codeocean.api._http.library import httpx
from airflow_provider_codeocean.api.auth import Credentials
from airflow_provider_codeocean.api.client import CodeOceanAsyncClient, CodeOceanClient
from airflow_provider_codeocean.api.errors import CodeOceanError, CodeOceanTransportError
from airflow_provider_codeocean.api.models.data_asset_params import DataAssetSearchParams
from airflow_provider_codeocean.api.models.folder import DownloadURL, FileURLs
from airflow_provider_codeocean.api.secret import Secret
from airflow_provider_codeocean.api.security import check_encryption
from airflow_provider_codeocean.outcomes import to_xcom
from tests.api._http.test_deadline import Dripping
from tests.api.fake_server import CALLERS, FakeServer, fail, reply
from tests.api.loopback import LoopbackServer

if TYPE_CHECKING:
    from collections.abc import Iterator

TOKEN = FakeServer.token
WIRE = base64.b64encode(f"{TOKEN}:".encode()).decode()
SIGNED = "https://storage.test/file?signature=of-the-file"
both_classes = pytest.mark.parametrize("client_class", [CodeOceanClient, CodeOceanAsyncClient])


def holders(root: object, secrets: tuple[str, ...]) -> list[str]:
    """Find secrets in the text of an object, and of everything that its attributes and items lead to.

    The requests and responses that httpx's errors refer to are skipped: nothing logs their attributes.
    """
    found: list[str] = []
    seen: set[int] = set()
    todo: list[tuple[str, object]] = [("it", root)]
    while todo:
        path, value = todo.pop()
        if id(value) in seen or isinstance(value, type | httpx.Request | httpx.Response):
            continue
        seen.add(id(value))
        text = str(value) + repr(value) if not isinstance(value, bytes) else value.decode(errors="replace")
        if any(secret in text for secret in secrets):
            found.append(path)
        if path.count(".") + path.count("[") < 8:
            todo.extend((f"{path}{name}", part) for name, part in parts_of(value))
    return found


def parts_of(value: object) -> Iterator[tuple[str, object]]:
    """Yield the items and attributes of an object, including slots."""
    if isinstance(value, dict):
        yield from ((f"[{key!r}]", item) for key, item in value.items())
    elif isinstance(value, list | tuple | set):
        yield from ((f"[{number}]", item) for number, item in enumerate(value))
    slots = {name for kind in type(value).__mro__ for name in getattr(kind, "__slots__", ())}
    hidden = (
        {"__context__"} if getattr(value, "__suppress_context__", False) else set()
    )  # no traceback shows it
    for name in {*getattr(value, "__dict__", ()), *slots, "__cause__", "__context__", "args"} - hidden:
        yield f".{name}", getattr(value, name, None)


def shown(error: BaseException, *, with_locals: bool = False) -> str:
    """Return the traceback of an error, without the test's own frame."""
    assert error.__traceback__ is not None
    below = error.with_traceback(error.__traceback__.tb_next)
    return "".join(traceback.TracebackException.from_exception(below, capture_locals=with_locals).format())


def test_secret_search_finds_leaked_secrets():
    error = ValueError("x")
    error.__cause__ = ValueError(f"Basic {WIRE}")
    assert holders(error, (WIRE,))
    assert holders({"a": [httpx.Headers({"x": TOKEN})]}, (TOKEN,))

    def leak(token: str) -> None:
        raise ValueError("nothing")

    with pytest.raises(ValueError, match="nothing") as caught:
        leak(TOKEN)
    assert TOKEN in shown(caught.value, with_locals=True)


def test_secret_is_text_with_a_masked_repr():
    secret = Secret("s3cret")
    assert (secret, f"{secret}", len(secret)) == ("s3cret", "s3cret", 6)
    assert repr({"token": secret}) == "{'token': '***'}"


SLOTS = Credentials.__slots__


def fail_with(*variables: object) -> None:
    """Raise an error whose frame has variables."""
    raise ZeroDivisionError(len(variables))


@both_classes
class TestClient:
    def test_client_in_a_traceback_with_variables_hides_the_token(self, client_class):
        client = client_class("codeocean.test", TOKEN)
        credentials = client._access_token.credentials
        with pytest.raises(ZeroDivisionError) as caught:
            fail_with(client, vars(client), credentials, [getattr(credentials, name) for name in SLOTS])
        text = shown(caught.value, with_locals=True)
        assert "Credentials" in text
        assert TOKEN not in text
        assert WIRE.rstrip("=") not in text

    @pytest.mark.parametrize(
        "wrong",
        [{"url": "ftp://co.test"}, {"verify": "missing.pem"}, {"url": "http://co.test", "require_tls": True}],
    )
    def test_client_with_invalid_options_error_hides_the_token(self, client_class, wrong):
        token = Secret(TOKEN)  # as in the hook
        with pytest.raises(ValueError, match=r"host must be|verify must be|is not encrypted") as caught:
            client_class(**({"url": "https://co.test", "token": token} | wrong))
        assert TOKEN not in shown(caught.value, with_locals=True)


class TestErrors:
    @pytest.mark.parametrize(
        "outcome",
        [
            *map(reply, (401, 404, 429, 500, 302)),
            reply(text="no JSON"),
            reply(content=b"{", headers={"Content-Encoding": "gzip"}),
            *map(fail, (httpx.ReadError, httpx.ConnectError, httpx.ReadTimeout, httpx.RemoteProtocolError)),
        ],
    )
    @pytest.mark.parametrize("ask", CALLERS.values(), ids=CALLERS)
    def test_error_of_failed_request_hides_the_token(self, ask, outcome):
        server = FakeServer(outcome)
        with pytest.raises(CodeOceanError) as caught:
            ask(server, lambda client: client.data_assets.get("a1"), retry_budget=0)
        assert holders(caught.value, (TOKEN, WIRE)) == []
        assert WIRE not in shown(caught.value)

    def test_error_of_broken_connection_hides_the_token(self):
        class Cut(httpx.HTTPTransport):
            def handle_request(self, request):
                raw = bytes(request.headers.raw[0][1])
                headers = [*request.headers.raw, (b"x", raw)]
                raise httpx.WriteError(f"cut after {len(headers)} headers")

        client = CodeOceanClient("https://co.test", TOKEN, retry_budget=0, transport=Cut())
        with pytest.raises(CodeOceanTransportError, match="cut after") as caught:
            client.data_assets.get("a1")
        assert holders(caught.value, (TOKEN, WIRE)) == []
        assert WIRE not in shown(caught.value)

    @pytest.mark.parametrize("status", [200, 400, 502])
    @pytest.mark.parametrize(
        "echo", [TOKEN, f"Authorization: Basic {WIRE}", f'{{"message": "Basic {WIRE}"}}']
    )
    @pytest.mark.parametrize("ask", CALLERS.values(), ids=CALLERS)
    def test_error_of_server_that_echoes_the_request_hides_the_token(self, ask, status, echo):
        server = FakeServer(reply(status, text=f"{{You sent {echo}" if status == 200 else echo))
        with pytest.raises(CodeOceanError, match=r"\*\*\*") as caught:
            ask(server, lambda client: client.data_assets.get("a1"), retry_budget=0)
        assert holders(caught.value, (TOKEN, WIRE)) == []

    @pytest.mark.fault("D5")
    @pytest.mark.parametrize("secret", [TOKEN, WIRE])
    @pytest.mark.parametrize("status", [200, 400, 401, 404, 502])
    @pytest.mark.parametrize("text", ['{{"message": "I got {}"}}', "<title>I got {}</title>", "I got {}"])
    def test_error_about_a_body_hides_the_token(self, secret, status, text):
        server = FakeServer(reply(status, text=text.format(secret)))
        with pytest.raises(CodeOceanError) as caught:
            CALLERS["sync"](server, lambda client: client.data_assets.get("a1"), retry_budget=0)
        assert holders(caught.value, (TOKEN, WIRE.rstrip("="))) == []

    @pytest.mark.fault("D5")
    @pytest.mark.parametrize("secret", [TOKEN, WIRE])
    @pytest.mark.parametrize("ask", CALLERS.values(), ids=CALLERS)
    def test_result_that_repeats_the_token_hides_it(self, ask, secret):
        body = '{"id": "a1", "name": "by _", "tags": ["_"], "custom": {"x": "_"}}'.replace("_", secret)
        asset = ask(FakeServer(reply(text=body)), lambda client: client.data_assets.get("a1"))
        assert asset.name.startswith("by ***")
        assert holders(to_xcom(asset), (TOKEN, WIRE.rstrip("="))) == []

    @pytest.mark.fault("D5")
    @pytest.mark.parametrize("ask", CALLERS.values(), ids=CALLERS)
    def test_search_page_that_repeats_the_token_hides_it(self, ask):
        page = {"results": [{"id": "a1", "name": TOKEN}, {"id": "a2", "name": "b/c\n"}], "has_more": False}
        assets = ask(
            FakeServer(reply(json=page)),
            lambda client: client.data_assets.search_all(DataAssetSearchParams()),
        )
        assert [asset.name for asset in assets] == ["***", "b/c\n"]

    @given(st.binary())
    def test_redact_body_removes_the_token_and_nothing_else(self, body):
        credentials = Credentials(TOKEN)
        assert credentials.redact_body(body) is body
        assert credentials.redact_body(body + TOKEN.encode() + body) == body + b"***" + body

    @pytest.mark.parametrize(
        "sent",
        [
            "Authorization: Basic {}\r\n\r\n",
            "HTTP/1.1 200 OK\r\nAuthorization Basic {}\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nAuthorization: Basic {}\r\n\r\n",
        ],
        ids=["first line", "header", "chunk"],
    )
    @pytest.mark.parametrize("ask", CALLERS.values(), ids=CALLERS)
    def test_error_of_server_that_echoes_invalid_http_hides_the_token(self, ask, sent):
        with Dripping(sent.format(WIRE).encode(), b"") as server:
            with pytest.raises(
                CodeOceanTransportError, match=r"\(RemoteProtocolError: illegal \w+ \w+\)[^(]*$"
            ) as caught:
                ask(server, lambda client: client.data_assets.get("a1"), retry_budget=0)
            assert holders(caught.value, (WIRE,)) == []

    def test_error_of_redirect_to_the_token_hides_it(self):
        server = FakeServer(reply(302, headers={"Location": f"https://{TOKEN}.test/"}))
        with pytest.raises(CodeOceanError, match=r"redirect to https://\*\*\*\.test"):
            CALLERS["sync"](server, lambda client: client.data_assets.get("a1"), retry_budget=0)

    def test_request_repr_hides_its_body(self):
        from airflow_provider_codeocean.api.request import Idempotency, Request

        call = Request(
            "POST",
            "data_assets",
            dict,
            Idempotency.NON_IDEMPOTENT,
            body={"source": {"client_secret": "s3cret"}},
        )
        assert "s3cret" not in repr(call)


class TestSignedURL:
    def test_signed_url_in_result_repr_is_hidden(self):
        for answer in (FileURLs(download_url=SIGNED, view_url=SIGNED), DownloadURL(url=SIGNED)):
            assert "of-the-file" not in repr(answer)

    @pytest.mark.parametrize(
        "answer",
        [
            httpx.ConnectError("refused"),
            httpx.ReadTimeout("slow"),
            httpx.Response(403),
            httpx.Response(307, headers={"Location": f"{SIGNED}&x=2"}),
            httpx.Response(307, headers={"Location": "ftp://storage.test/?signature=of-the-file"}),
        ],
    )
    def test_signed_url_in_storage_error_is_hidden(self, answer):
        def handle(request):
            if isinstance(answer, Exception):
                raise answer
            return answer

        client = CodeOceanClient("https://co.test", TOKEN, transport=httpx.MockTransport(handle))
        with (
            pytest.raises(CodeOceanTransportError) as caught,
            client.storage.read(Secret(SIGNED)),  # as in the list of files
        ):
            pass
        assert holders(caught.value, ("of-the-file",)) == []
        assert "of-the-file" not in shown(caught.value)

    @pytest.mark.parametrize("sent", ["GET {} HTTP/1.1\r\n\r\n", "HTTP/1.1 200 OK\r\nGET {}\r\n\r\n"])
    def test_signed_url_echoed_as_invalid_http_is_hidden(self, sent):
        path = "/file?signature=of-the-file"
        with Dripping(sent.format(path).encode(), b"") as host:
            client = CodeOceanClient(host.url, TOKEN)
            with (
                pytest.raises(CodeOceanTransportError, match="RemoteProtocolError: illegal") as caught,
                client.storage.read(host.url + path),
            ):
                pass
        assert holders(caught.value, ("of-the-file",)) == []


class TestEncryption:
    @pytest.fixture(autouse=True)
    def nothing_told(self, monkeypatch):
        monkeypatch.setattr("airflow_provider_codeocean.api.security._warned", set())

    @pytest.mark.parametrize(
        "url", ["https://co.test", "http://127.0.0.1:1", "http://[::1]", "http://localhost"]
    )
    def test_check_encryption_encrypted_or_loopback_url_is_accepted(self, url, caplog):
        check_encryption(url, require_tls=True)
        assert caplog.messages == []

    def test_check_encryption_unverified_loopback_is_accepted(self, caplog):
        check_encryption("https://127.0.0.1", verify=False, require_tls=True)
        assert caplog.messages == []

    @pytest.mark.parametrize(
        ("url", "verify", "problem"),
        [
            ("http://co.test:8080/a?s3cret", True, "to http://co.test:8080 is not encrypted"),
            ("http://127.0.0.1.co.test", True, "to http://127.0.0.1.co.test is not encrypted"),
            ("http://localhost.co.test", True, "to http://localhost.co.test is not encrypted"),
            ("http://10.0.0.1", True, "to http://10.0.0.1 is not encrypted"),
            ("https://co.test/a?s3cret", False, "to https://co.test is not verified"),
        ],
    )
    def test_check_encryption_unprotected_url_warns_once_or_raises(self, url, verify, problem, caplog):
        for _ in range(3):
            check_encryption(url, verify=verify)
        check_encryption("http://another.test")
        first, second = caplog.messages
        assert problem in first
        assert "s3cret" not in first
        assert "another.test" in second
        with pytest.raises(ValueError, match="require_tls is set") as caught:
            check_encryption(url, verify=verify, require_tls=True)
        assert problem in str(caught.value)
        assert "s3cret" not in str(caught.value)

    @both_classes
    def test_client_with_unprotected_url_warns_once_or_raises(self, client_class, caplog):
        client_class("http://co.test", TOKEN)
        client_class("http://co.test", TOKEN)
        assert len(caplog.messages) == 1
        for how in ({"url": "http://co.test"}, {"url": "https://co.test", "verify": False}):
            with pytest.raises(ValueError, match="require_tls"):
                client_class(**how, token=TOKEN, require_tls=True)

    def test_storage_with_require_tls_rejects_unencrypted_redirect(self):
        with LoopbackServer() as server:
            server.response = (307, {"Location": "http://files.test/file?signature=of-the-file"}, b"")
            client = CodeOceanClient(server.url, TOKEN, require_tls=True)
            for url in ("http://files.test/?signature=of-the-file", server.url):
                with (
                    pytest.raises(CodeOceanTransportError, match=r"to http://files\.test is not") as caught,
                    client.storage.read(url),
                ):
                    pass
                assert caught.value.is_transient is (url == server.url)  # a redirect may be a proxy's
                assert "of-the-file" not in str(caught.value)
