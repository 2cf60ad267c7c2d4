"""What becomes of a response: the answer, or an error that says what a person needs to know."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_codeocean.api.answer import Response, conclude
from airflow_provider_codeocean.api.call import Call, Effect
from airflow_provider_codeocean.api.endpoints.capsules import Capsules
from airflow_provider_codeocean.api.endpoints.data_assets import DataAssets
from airflow_provider_codeocean.api.errors import (
    BadRequest,
    CodeOceanApiError,
    CodeOceanError,
    CodeOceanTransportError,
    Forbidden,
    NotFound,
    RateLimited,
    ServerError,
    Unauthorized,
    error_class,
)
from airflow_provider_codeocean.api.models.data_asset import DataAsset
from airflow_provider_codeocean.api.models.data_asset_params import DataAssetSearchParams

GET = DataAssets.get.call("data_assets", "a1")
DELETE = DataAssets.delete.call("data_assets", "a1")
SEARCH = DataAssets.search.call("data_assets", DataAssetSearchParams())
COMPUTATIONS = Capsules.list_computations.call("capsules", "c1")
FILES = DataAssets.list_files.call("data_assets", "a1")
CREATE: Call[DataAsset] = Call("POST", "data_assets", DataAsset, Effect.ONCE)
PAGE = b"<!DOCTYPE html>\n<HTML><head><title>Sign in\n  to proceed</title></head></HTML>"


def answered(call, content=b"", status=200, *, again=False, **headers):
    return conclude(call, Response(status, headers, content), again=again)


class TestAnswer:
    @pytest.mark.parametrize("status", [200, 201, 202, 299])
    def test_an_object(self, status):
        assert answered(GET, b'{"id": "a1", "state": "ready"}', status).id == "a1"

    @pytest.mark.parametrize(
        "content", ['{"id": "ä"}'.encode("utf-8-sig"), '{"id": "ä"}'.encode("utf-16"), b'{"id": "\\u00e4"}']
    )
    def test_an_object_in_any_encoding_of_json(self, content):
        assert answered(GET, content).id == "ä"

    def test_a_bare_list(self):
        assert [run.id for run in answered(COMPUTATIONS, b'[{"id": "c1"}, {"id": "c2"}]')] == ["c1", "c2"]
        assert answered(COMPUTATIONS, b"[]") == []

    @pytest.mark.parametrize("content", [b"", b"null", b"{}", b'{"message": "done"}', b"OK"])
    @pytest.mark.parametrize("status", [200, 204])
    def test_where_none_is_due_the_body_does_not_matter(self, status, content):
        assert answered(DELETE, content, status) is None

    def test_an_identifier_that_is_new_to_a_kind_of_answer_may_be_empty(self):
        assert answered(FILES, b'{"items": [], "id": ""}').items == []


class TestWhatIsNotTheApis:
    @pytest.mark.parametrize(
        ("call", "content", "message"),
        [
            (GET, b"", "nothing"),
            (GET, b"   ", "nothing"),
            (GET, b'{"id": "a1', '{"id": "a1'),
            (GET, b'"a1"', '"a1"'),
            (GET, b"null", "null"),
            (GET, b"[]", "[]"),
            (GET, b'{"name": "x"}', "an object without id"),
            (GET, b'{"id": null}', "an object without id"),
            (SEARCH, b"{}", "an object without results or has_more"),
            (SEARCH, b'{"message": "hello"}', "an object without results or has_more"),
            (GET, b"\xff\xfe\xff", "�"),
            (GET, b"[" * 100_000, "[[["),
            (GET, PAGE, "a web page, 'Sign in to proceed'"),
            (GET, b"<html><body>Sign in</body></html>", "a web page"),
            (SEARCH, PAGE, "a web page, 'Sign in to proceed'"),
            (DELETE, PAGE, "a web page, 'Sign in to proceed'"),
            (COMPUTATIONS, b'{"computations": []}', "computations"),
            (COMPUTATIONS, b"[1]", "[1]"),
        ],
        ids=lambda value: value.path if isinstance(value, Call) else None,
    )
    def test_it_is_said_what_came_instead(self, call, content, message):
        with pytest.raises(CodeOceanTransportError) as caught:
            answered(call, content)
        assert str(caught.value).startswith(f"{call.method} {call.path} was answered with 200, but not as")
        assert message in str(caught.value)
        assert len(str(caught.value)) < 1000

    @pytest.mark.parametrize(
        ("call", "maybe_applied"), [(GET, False), (SEARCH, False), (DELETE, True), (CREATE, True)]
    )
    def test_what_changes_something_may_have_been_done(self, call, maybe_applied):
        with pytest.raises(CodeOceanTransportError) as caught:
            answered(call, PAGE)
        assert caught.value.maybe_applied is maybe_applied
        assert caught.value.transient


class TestErrorStatus:
    @pytest.mark.parametrize(
        ("status", "kind"),
        [
            (400, BadRequest),
            (401, Unauthorized),
            (403, Forbidden),
            (404, NotFound),
            (429, RateLimited),
            (500, ServerError),
            (503, ServerError),
            (599, ServerError),
            (301, CodeOceanApiError),
            (409, CodeOceanApiError),
            (418, CodeOceanApiError),
        ],
    )
    def test_its_class(self, status, kind):
        with pytest.raises(CodeOceanApiError) as caught:
            answered(GET, b'{"message": "why"}', status)
        assert type(caught.value) is kind is error_class(status)
        assert (caught.value.status, caught.value.method, caught.value.path) == (
            status,
            "GET",
            "data_assets/a1",
        )

    @pytest.mark.parametrize(
        ("content", "message", "data"),
        [
            (b'{"message": "no such asset"}', "no such asset", {"message": "no such asset"}),
            (b'{"message": " two\\n lines "}', "two lines", {"message": " two\n lines "}),
            (b'{"message": "half \\ud800 a pair"}', "half ? a pair", {"message": "half \ud800 a pair"}),
            (b'{"message": ""}', '{"message": ""}', {"message": ""}),
            (b'{"message": {"en": "no"}}', '{"message": {"en": "no"}}', {"message": {"en": "no"}}),
            (b'{"error": "no"}', '{"error": "no"}', {"error": "no"}),
            (b'["no", "way"]', '["no", "way"]', ["no", "way"]),
            (b'"no way"', "no way", "no way"),
            (b"{}", "Not Found", {}),
            (b"null", "Not Found", None),
            (b"0", "Not Found", 0),
            (b"", "Not Found", None),
            (b"no route", "no route", None),
            (b'{"message": "no', '{"message": "no', None),
            (PAGE, "a web page, 'Sign in to proceed'", None),
            (b"<html>" + b"<p>" * 9999, "a web page", None),
            (b"\xff", "�", None),
        ],
    )
    def test_its_message(self, content, message, data):
        with pytest.raises(NotFound) as caught:
            answered(GET, content, 404)
        assert (caught.value.message, caught.value.data) == (message, data)
        assert str(caught.value) == f"Code Ocean answered 404 to GET data_assets/a1: {message}"

    @pytest.mark.parametrize("content", [b"x" * 10_000, json.dumps({"message": "x" * 10_000}).encode()])
    def test_a_long_message_is_cut(self, content):
        with pytest.raises(NotFound) as caught:
            answered(GET, content, 404)
        assert caught.value.message == "x" * 500 + "…"

    @given(content=st.binary(max_size=60) | st.text().map(str.encode), status=st.integers(300, 999))
    def test_whatever_is_in_it_the_message_can_be_read_and_written(self, content, status):
        with pytest.raises(CodeOceanApiError) as caught:
            answered(GET, content, status)
        assert caught.value.message
        assert str(caught.value).encode()

    @pytest.mark.parametrize("depth", [500, 900, 990, 5000, 100_000])
    def test_deep_nesting_in_it_is_no_other_error(self, depth):
        with pytest.raises(BadRequest):
            answered(GET, b"[" * depth + b"]" * depth, 400)

    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    def test_a_redirection_says_where_it_leads(self, status):
        with pytest.raises(CodeOceanApiError, match=r"https://other\.example\.com; give") as caught:
            answered(GET, PAGE, status, location="https://user:s3cret@other.example.com/api?key=s3cret")
        assert caught.value.data is None
        assert "s3cret" not in str(caught.value)

    @pytest.mark.parametrize(
        "location", ["/sign-in?state=s3cret", "", "https://[s3cret", "https://a:s3cret/"]
    )
    def test_of_a_redirection_to_no_other_host_it_says_nothing_more(self, location):
        with pytest.raises(
            CodeOceanApiError, match="redirected to another path of this host; give"
        ) as caught:
            answered(GET, PAGE, 302, location=location)
        assert "s3cret" not in str(caught.value)

    def test_it_says_when_to_come_back(self):
        with pytest.raises(RateLimited) as caught:
            answered(GET, b"", 429, **{"retry-after": "7"})
        assert caught.value.retry_after == 7


class TestDeleteThatFindsNothing:
    def test_at_first_it_is_an_error(self):
        with pytest.raises(NotFound):
            answered(DELETE, b"", 404)

    def test_after_an_attempt_that_may_have_deleted_it_is_success(self):
        assert answered(DELETE, b"", 404, again=True) is None

    @pytest.mark.parametrize(("call", "status"), [(DELETE, 403), (DELETE, 500), (GET, 404), (CREATE, 404)])
    def test_nothing_else_is(self, call, status):
        with pytest.raises(CodeOceanError):
            answered(call, b"", status, again=True)
