"""Neither the token nor a signed URL is where somebody could come upon it."""

from __future__ import annotations

import base64
import json
import traceback
from typing import TYPE_CHECKING

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_codeocean.api.auth import Credentials
from airflow_provider_codeocean.api.client import CodeOceanAsyncClient, CodeOceanClient
from airflow_provider_codeocean.api.errors import CodeOceanError, CodeOceanTransportError
from airflow_provider_codeocean.api.models.data_asset_params import DataAssetSearchParams
from airflow_provider_codeocean.api.models.folder import DownloadURL, FileURLs
from airflow_provider_codeocean.api.secret import Secret
from airflow_provider_codeocean.api.security import check_encryption
from airflow_provider_codeocean.outcomes import as_xcom
from tests.api._http.test_deadline import Dripping
from tests.api.fake_server import BOTH, FakeServer, fail, reply
from tests.api.loopback import LoopbackServer

if TYPE_CHECKING:
    from collections.abc import Iterator

TOKEN = FakeServer.token
WIRE = base64.b64encode(f"{TOKEN}:".encode()).decode()
SIGNED = "https://storage.test/file?signature=of-the-file"
both_classes = pytest.mark.parametrize("client_class", [CodeOceanClient, CodeOceanAsyncClient])


def holders(root: object, secrets: tuple[str, ...]) -> list[str]:
    """Find secrets in an object: in its text, and in all that its attributes and items lead to."""
    found: list[str] = []
    seen: set[int] = set()
    todo: list[tuple[str, object]] = [("it", root)]
    while todo:
        path, value = todo.pop()
        if id(value) in seen or isinstance(value, type):
            continue
        seen.add(id(value))
        text = str(value) + repr(value) if not isinstance(value, bytes) else value.decode(errors="replace")
        if any(secret in text for secret in secrets):
            found.append(path)
        if path.count(".") + path.count("[") < 8:
            todo.extend((f"{path}{name}", part) for name, part in parts_of(value))
    return found


def parts_of(value: object) -> Iterator[tuple[str, object]]:
    """What an object's items and attributes are, also those that are not seen in ``vars``."""
    if isinstance(value, dict):
        yield from ((f"[{key!r}]", item) for key, item in value.items())
    elif isinstance(value, list | tuple | set):
        yield from ((f"[{number}]", item) for number, item in enumerate(value))
    slots = {name for kind in type(value).__mro__ for name in getattr(kind, "__slots__", ())}
    hidden = {"__context__"} if getattr(value, "__suppress_context__", False) else set()  # nothing shows it
    for name in {*getattr(value, "__dict__", ()), *slots, "__cause__", "__context__", "args"} - hidden:
        yield f".{name}", getattr(value, name, None)


def shown(error: BaseException) -> str:
    """What the most talkative traceback shows: every frame with its variables, below the test's own."""
    assert error.__traceback__ is not None
    below = error.with_traceback(error.__traceback__.tb_next)
    return "".join(traceback.TracebackException.from_exception(below, capture_locals=True).format())


def test_what_looks_for_secrets_finds_them():
    error = ValueError("x")
    error.__cause__ = ValueError(f"Basic {WIRE}")
    assert holders(error, (WIRE,))
    assert holders({"a": [httpx.Headers({"x": TOKEN})]}, (TOKEN,))
    request = httpx.Request("GET", "https://co.test", headers={"Authorization": f"Basic {WIRE}"})
    assert holders(httpx.ReadError("x", request=request), (WIRE,))

    def leak(token: str) -> None:
        raise ValueError("nothing")

    with pytest.raises(ValueError, match="nothing") as caught:
        leak(TOKEN)
    assert TOKEN in shown(caught.value)


def test_a_secret_is_a_text_that_its_repr_does_not_tell():
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
        credentials = client._token.credentials
        with pytest.raises(ZeroDivisionError) as caught:
            fail_with(client, vars(client), credentials, [getattr(credentials, name) for name in SLOTS])
        text = shown(caught.value)
        assert "Credentials" in text
        assert TOKEN not in text
        assert WIRE.rstrip("=") not in text

    @pytest.mark.parametrize(
        "wrong",
        [{"url": "ftp://co.test"}, {"verify": "missing.pem"}, {"url": "http://co.test", "require_tls": True}],
    )
    def test_one_that_cannot_be_made_tells_no_token(self, client_class, wrong):
        token = Secret(TOKEN)  # as the hook has it
        with pytest.raises(ValueError, match=r"host must be|verify must be|is not encrypted") as caught:
            client_class(**({"url": "https://co.test", "token": token} | wrong))
        assert TOKEN not in shown(caught.value)


class TestErrors:
    @pytest.mark.parametrize(
        "happens",
        [
            *map(reply, (401, 404, 429, 500, 302)),
            reply(text="no JSON"),
            reply(content=b"{", headers={"Content-Encoding": "gzip"}),
            *map(fail, (httpx.ReadError, httpx.ConnectError, httpx.ReadTimeout, httpx.RemoteProtocolError)),
        ],
    )
    @pytest.mark.parametrize("ask", BOTH.values(), ids=BOTH)
    def test_none_holds_the_token(self, ask, happens):
        server = FakeServer(happens)
        with pytest.raises(CodeOceanError) as caught:
            ask(server, lambda client: client.data_assets.get("a1"), retry_budget=0)
        assert holders(caught.value, (TOKEN, WIRE)) == []
        assert WIRE not in shown(caught.value)

    def test_of_a_connection_that_is_cut_none_holds_it(self):
        """Here the frames of the network libraries are real, which have the headers in their variables."""

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
    @pytest.mark.parametrize("ask", BOTH.values(), ids=BOTH)
    def test_a_server_that_shows_the_request_gives_nothing_away(self, ask, status, echo):
        server = FakeServer(reply(status, text=f"{{You sent {echo}" if status == 200 else echo))
        with pytest.raises(CodeOceanError, match=r"\*\*\*") as caught:
            ask(server, lambda client: client.data_assets.get("a1"), retry_budget=0)
        assert holders(caught.value, (TOKEN, WIRE)) == []

    @pytest.mark.fault("D5")
    @pytest.mark.parametrize("secret", [TOKEN, WIRE])
    @pytest.mark.parametrize("status", [200, 400, 401, 404, 502])
    @pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-7"])
    @pytest.mark.parametrize("text", ['{{"message": "I got {}"}}', "<title>I got {}</title>", "I got {}"])
    def test_error_about_a_body_in_any_encoding_hides_the_token(self, secret, status, encoding, text):
        body = text.format(secret).encode(encoding)
        for headers in ({}, {"Content-Type": f"text/plain; charset={encoding}"}):
            server = FakeServer(reply(status, content=body, headers=headers))
            with pytest.raises(CodeOceanError) as caught:
                BOTH["sync"](server, lambda client: client.data_assets.get("a1"), retry_budget=0)
            error = caught.value
            assert holders(error, (TOKEN, WIRE.rstrip("="))) == []
            hidden = f"{error} {vars(error)}".replace("\\x00", "").replace("\0", "")
            assert TOKEN not in hidden
            if "charset=utf-7" in headers.get("Content-Type", ""):
                assert "cop+AF8-" not in hidden

    @pytest.mark.fault("D5")
    @pytest.mark.parametrize("secret", [TOKEN, WIRE])
    @pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-32-be"])
    @pytest.mark.parametrize("is_escaped", [False, True])
    @pytest.mark.parametrize("ask", BOTH.values(), ids=BOTH)
    def test_result_that_repeats_the_token_hides_it(self, ask, secret, encoding, is_escaped):
        repeated = "".join(f"\\u{ord(each):04x}" for each in secret) if is_escaped else secret
        body = '{"id": "a1", "name": "by _", "tags": ["_"], "custom": {"x": "_"}}'.replace("_", repeated)
        found = ask(
            FakeServer(reply(content=body.encode(encoding))), lambda client: client.data_assets.get("a1")
        )
        assert found.name.startswith("by ***")
        assert holders(as_xcom(found), (TOKEN, WIRE.rstrip("="))) == []

    @pytest.mark.fault("D5")
    @pytest.mark.parametrize("ask", BOTH.values(), ids=BOTH)
    def test_search_page_that_repeats_the_token_hides_it(self, ask):
        page = {"results": [{"id": "a1", "name": TOKEN}, {"id": "a2", "name": "b/c\n"}], "has_more": False}
        found = ask(
            FakeServer(reply(json=page)),
            lambda client: client.data_assets.search_all(DataAssetSearchParams()),
        )
        assert [each.name for each in found] == ["***", "b/c\n"]

    @given(st.binary(), st.sampled_from([None, "utf-8", "utf-16", "utf-7", "punycode", "idna", "hex", "x"]))
    def test_redact_body_without_the_token_keeps_json(self, body, charset):
        credentials = Credentials(TOKEN)
        content = json.dumps({"a": body.decode("latin-1"), "b": [1, None, True, 0.5]}).encode()
        kept = credentials.redact_body(content)
        assert json.loads(kept) == json.loads(content)
        assert TOKEN.encode() not in credentials.redact_body(body + TOKEN.encode() + body, charset)

    def test_redact_body_on_the_common_path_returns_the_same_bytes(self):
        body = json.dumps({"name": "é" * 100, "text": "a\nb, c_d"}).replace(",", "\\u0026").encode()
        assert Credentials(TOKEN).redact_body(body, "utf-8") is body

    def test_redact_body_that_is_nested_too_deep_hides_the_token(self):
        body = b"[" * 100_000 + TOKEN.encode()
        assert TOKEN.encode() not in Credentials(TOKEN).redact_body(body)

    @pytest.mark.parametrize(
        "sent",
        [
            "Authorization: Basic {}\r\n\r\n",
            "HTTP/1.1 200 OK\r\nAuthorization Basic {}\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nAuthorization: Basic {}\r\n\r\n",
        ],
        ids=["first line", "header", "chunk"],
    )
    @pytest.mark.parametrize("ask", BOTH.values(), ids=BOTH)
    def test_nor_one_that_sends_it_back_as_no_http(self, ask, sent):
        with Dripping(sent.format(WIRE).encode(), b"") as server:
            with pytest.raises(
                CodeOceanTransportError, match=r"\(RemoteProtocolError: illegal \w+ \w+\)[^(]*$"
            ) as caught:
                ask(server, lambda client: client.data_assets.get("a1"), retry_budget=0)
            assert holders(caught.value, (WIRE,)) == []

    def test_a_redirection_to_the_token_does_not_tell_it(self):
        server = FakeServer(reply(302, headers={"Location": f"https://{TOKEN}.test/"}))
        with pytest.raises(CodeOceanError, match=r"redirect to https://\*\*\*\.test"):
            BOTH["sync"](server, lambda client: client.data_assets.get("a1"), retry_budget=0)

    def test_a_call_does_not_show_its_body(self):
        from airflow_provider_codeocean.api.request import Call, Effect

        call = Call("POST", "data_assets", dict, Effect.ONCE, body={"source": {"client_secret": "s3cret"}})
        assert "s3cret" not in repr(call)


class TestSignedURL:
    def test_no_answer_shows_it(self):
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
    def test_no_error_holds_it(self, answer):
        def handle(request):
            if isinstance(answer, Exception):
                raise answer
            return answer

        client = CodeOceanClient("https://co.test", TOKEN, transport=httpx.MockTransport(handle))
        with (
            pytest.raises(CodeOceanTransportError) as caught,
            client.storage.read(Secret(SIGNED)),  # as the files' source gives it
        ):
            pass
        assert holders(caught.value, ("of-the-file",)) == []
        assert "of-the-file" not in shown(caught.value)

    @pytest.mark.parametrize("sent", ["GET {} HTTP/1.1\r\n\r\n", "HTTP/1.1 200 OK\r\nGET {}\r\n\r\n"])
    def test_no_error_repeats_it_where_a_host_sends_it_back(self, sent):
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
        monkeypatch.setattr("airflow_provider_codeocean.api.security._reported", set())

    @pytest.mark.parametrize(
        "url", ["https://co.test", "http://127.0.0.1:1", "http://[::1]", "http://localhost"]
    )
    def test_what_nobody_can_read_is_taken(self, url, caplog):
        check_encryption(url, required=True)
        assert caplog.messages == []

    def test_loopback_need_not_be_verified(self, caplog):
        check_encryption("https://127.0.0.1", verify=False, required=True)
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
    def test_what_others_can_read_is_told_once_or_refused(self, url, verify, problem, caplog):
        for _ in range(3):
            check_encryption(url, verify=verify)
        check_encryption("http://another.test")
        first, second = caplog.messages
        assert problem in first
        assert "s3cret" not in first
        assert "another.test" in second
        with pytest.raises(ValueError, match="require_tls is set") as caught:
            check_encryption(url, verify=verify, required=True)
        assert problem in str(caught.value)
        assert "s3cret" not in str(caught.value)

    @both_classes
    def test_the_clients_check(self, client_class, caplog):
        client_class("http://co.test", TOKEN)
        client_class("http://co.test", TOKEN)
        assert len(caplog.messages) == 1
        for how in ({"url": "http://co.test"}, {"url": "https://co.test", "verify": False}):
            with pytest.raises(ValueError, match="require_tls"):
                client_class(**how, token=TOKEN, require_tls=True)

    def test_so_does_what_reads_files_wherever_they_are_sent_on_to(self):
        with LoopbackServer() as server:
            server.answer = (307, {"Location": "http://files.test/file?signature=of-the-file"}, b"")
            client = CodeOceanClient(server.url, TOKEN, require_tls=True)
            for url in ("http://files.test/?signature=of-the-file", server.url):
                with (
                    pytest.raises(CodeOceanTransportError, match=r"to http://files\.test is not") as caught,
                    client.storage.read(url),
                ):
                    pass
                assert caught.value.transient is (url == server.url)  # a redirect may be a proxy's
                assert "of-the-file" not in str(caught.value)
