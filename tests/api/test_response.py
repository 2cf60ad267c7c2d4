"""Parsing responses into results and errors."""

from __future__ import annotations

import json
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_codeocean.api.endpoints.capsules import Capsules
from airflow_provider_codeocean.api.endpoints.custom_metadata import CustomMetadataSchema
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
    UnexpectedResponse,
    error_class,
)
from airflow_provider_codeocean.api.models.data_asset import DataAsset
from airflow_provider_codeocean.api.models.data_asset_params import DataAssetSearchParams
from airflow_provider_codeocean.api.request import Idempotency, Request
from airflow_provider_codeocean.api.response import Response, parse_response

GET = DataAssets.get.build_request("data_assets", "a1")
DELETE = DataAssets.delete.build_request("data_assets", "a1")
SEARCH = DataAssets.search.build_request("data_assets", DataAssetSearchParams())
COMPUTATIONS = Capsules.list_computations.build_request("capsules", "c1")
PERMISSIONS = DataAssets.get_permissions.build_request("data_assets", "a1")
FIELDS = CustomMetadataSchema.get.build_request("custom_metadata")
FILES = DataAssets.list_files.build_request("data_assets", "a1")
CREATE: Request[DataAsset] = Request("POST", "data_assets", DataAsset, Idempotency.NON_IDEMPOTENT)
#: Statuses that are Code Ocean's only if the body has a message, or never.
UNEXPECTED = (300, 301, 302, 303, 307, 308, 400, 402, 403, 404, 405, 408, 409, 421, 425, 451)
PAGE = b"<!DOCTYPE html>\n<HTML><head><title>Sign in\n  to proceed</title></head></HTML>"


def answered(call, content=b"", status=200, *, again=False, **headers):
    return parse_response(call, Response(status, headers, content), may_have_been_applied=again)


class TestResult:
    @pytest.mark.parametrize("status", [200, 201, 202, 299])
    def test_parse_object_returns_the_model(self, status):
        assert answered(GET, b'{"id": "a1", "state": "ready"}', status).id == "a1"

    @pytest.mark.parametrize(
        "content", ['{"id": "ä"}'.encode("utf-8-sig"), '{"id": "ä"}'.encode("utf-16"), b'{"id": "\\u00e4"}']
    )
    def test_parse_object_in_any_json_encoding_is_read(self, content):
        assert answered(GET, content).id == "ä"

    def test_parse_bare_list_returns_models(self):
        assert [run.id for run in answered(COMPUTATIONS, b'[{"id": "c1"}, {"id": "c2"}]')] == ["c1", "c2"]
        assert answered(COMPUTATIONS, b"[]") == []

    @pytest.mark.parametrize("content", [b"", b" ", b"null"])
    @pytest.mark.parametrize("status", [200, 204])
    def test_parse_empty_body_without_expected_result_is_none(self, status, content):
        assert answered(DELETE, content, status) is None

    def test_parse_unexpected_empty_id_is_accepted(self):
        assert answered(FILES, b'{"items": [], "id": ""}').items == []


class TestUnexpectedBody:
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
            (DELETE, b"Service temporarily unavailable", "Service temporarily unavailable"),
            (DELETE, b'{"error": "login required"}', "login required"),
            (FILES, b"{}", "an object without items"),
            (FILES, b'{"message": "down for maintenance"}', "an object without items"),
            (PERMISSIONS, b"{}", "an object without users or groups or everyone or share_assets"),
            (FIELDS, b"{}", "an object without fields or categories"),
            (COMPUTATIONS, b'{"computations": []}', "computations"),
            (COMPUTATIONS, b"[1]", "[1]"),
        ],
        ids=lambda value: value.path if isinstance(value, Request) else None,
    )
    def test_parse_unexpected_body_error_describes_it(self, call, content, message):
        with pytest.raises(CodeOceanTransportError) as caught:
            answered(call, content)
        assert f"{call.method} {call.path} got a response that is not Code Ocean's (200)" in str(caught.value)
        assert message in str(caught.value)
        assert len(str(caught.value)) < 1000

    @pytest.mark.parametrize(
        ("call", "maybe_applied"), [(GET, False), (SEARCH, False), (DELETE, True), (CREATE, True)]
    )
    def test_parse_unexpected_body_of_a_write_may_have_been_applied(self, call, maybe_applied):
        with pytest.raises(CodeOceanTransportError) as caught:
            answered(call, PAGE)
        assert caught.value.may_have_been_applied is maybe_applied
        assert caught.value.is_transient


class TestCodeOceanError:
    @pytest.mark.parametrize(
        ("status", "kind"),
        [
            (400, BadRequest),
            (401, Unauthorized),
            (403, Forbidden),
            (404, NotFound),
            (409, CodeOceanApiError),
            (418, CodeOceanApiError),
            (429, RateLimited),
            (500, ServerError),
            (503, ServerError),
            (599, ServerError),
        ],
    )
    def test_parse_json_message_raises_class_of_status(self, status, kind):
        with pytest.raises(CodeOceanApiError) as caught:
            answered(GET, b'{"message": "why"}', status)
        error = caught.value
        assert type(error) is kind is error_class(status)
        assert (error.status, error.method, error.path) == (status, "GET", "data_assets/a1")
        assert str(error) == f"Code Ocean answered {status} to GET data_assets/a1: why"

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b'{"message": " two\\n lines "}', "two lines"),
            (b'{"message": "half \\ud800 a pair"}', "half ? a pair"),
            (json.dumps({"message": "x" * 10_000}).encode(), "x" * 500 + "…"),
            ('{"message": "ä"}'.encode("utf-16"), "ä"),
        ],
    )
    def test_parse_json_message_is_normalized(self, content, message):
        with pytest.raises(NotFound) as caught:
            answered(GET, content, 404)
        assert caught.value.message == message
        assert caught.value.data == json.loads(content)

    @pytest.mark.parametrize(
        ("status", "error_type"),
        [(401, Unauthorized), (429, RateLimited), (502, ServerError), (503, ServerError)],
    )
    @pytest.mark.parametrize("content", [b"", b"no route", b"{}", b'"no"', b"\xff"])
    def test_parse_401_429_5xx_with_any_body_raises_class_of_status(self, status, error_type, content):
        with pytest.raises(error_type) as caught:
            answered(GET, content, status, **{"retry-after": "7"})
        assert caught.value.message
        assert caught.value.retry_after == 7

    @pytest.mark.parametrize("status", [429, 502, 503])
    def test_parse_429_and_5xx_with_page_raise_class_of_status(self, status):
        with pytest.raises((RateLimited, ServerError)):
            answered(GET, PAGE, status)

    def test_parse_401_with_page_is_transient(self):
        with pytest.raises(UnexpectedResponse) as caught:
            answered(GET, PAGE, 401)
        assert caught.value.is_transient


class TestForeignResponse:
    @pytest.mark.fault("A8")
    @pytest.mark.fault("B4")
    @pytest.mark.parametrize(
        "content",
        [
            b"",
            PAGE,
            b"<html>" + b"<p>" * 9999,
            b"no route",
            b"\xff",
            b"null",
            b"0",
            b"{}",
            b'"no way"',
            b'["no", "way"]',
            b'{"error": "no"}',
            b'{"message": ""}',
            b'{"message": " "}',
            b'{"message": {"en": "no"}}',
            b'{"message": "no',
            b"[" * 100_000 + b"]" * 100_000,
        ],
    )
    def test_parse_other_format_raises_transient_unexpected_response(self, content):
        calls = [(GET, False), (SEARCH, False), (DELETE, True), (CREATE, True)]
        for (call, maybe_applied), status in product(calls, UNEXPECTED):
            with pytest.raises(UnexpectedResponse) as caught:
                answered(call, content, status, **{"retry-after": "7"})
            error = caught.value
            assert (error.status, error.retry_after, error.may_have_been_applied) == (
                status,
                7,
                maybe_applied,
            )
            assert error.is_transient
            assert f"({status})" in str(error)
            assert len(str(error)) < 1000

    @pytest.mark.fault("B4")
    @pytest.mark.parametrize("status", [302, 408, 421, 425])
    def test_parse_status_that_asks_for_retry_is_transient_despite_message(self, status):
        with pytest.raises(UnexpectedResponse) as caught:
            answered(GET, b'{"message": "later"}', status)
        assert caught.value.is_transient

    @given(content=st.binary(max_size=60) | st.text().map(str.encode), status=st.integers(300, 999))
    def test_parse_any_error_response_has_printable_message(self, content, status):
        with pytest.raises(CodeOceanError) as caught:
            answered(GET, content, status)
        assert str(caught.value).encode()

    @given(
        message=st.none() | st.text(max_size=5) | st.integers() | st.lists(st.text(), max_size=1),
        more=st.dictionaries(st.text(max_size=5), st.integers(), max_size=2),
    )
    def test_parse_404_is_not_found_only_with_text_message(self, message, more):
        with pytest.raises(CodeOceanError) as caught:
            answered(GET, json.dumps({**more, "message": message}).encode(), 404)
        assert isinstance(caught.value, NotFound) is (isinstance(message, str) and bool(message.strip()))

    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    def test_parse_redirect_names_only_the_host(self, status):
        with pytest.raises(
            UnexpectedResponse, match=r"redirect to https://other\.example\.com\. It may"
        ) as caught:
            answered(GET, PAGE, status, location="https://user:s3cret@other.example.com/api?key=s3cret")
        assert "s3cret" not in str(caught.value)

    @pytest.mark.parametrize(
        "location", ["/sign-in?state=s3cret", "", "https://[s3cret", "https://a:s3cret/"]
    )
    def test_parse_redirect_without_readable_host_omits_the_location(self, location):
        with pytest.raises(
            UnexpectedResponse, match=r"redirect to an(other path of this host| invalid URL)"
        ) as caught:
            answered(GET, PAGE, 302, location=location)
        assert "s3cret" not in str(caught.value)


class TestRepeatedDelete:
    GONE = b'{"message": "data asset not found"}'

    def test_parse_first_delete_of_missing_raises_not_found(self):
        with pytest.raises(NotFound):
            answered(DELETE, self.GONE, 404)

    def test_parse_repeated_delete_of_missing_succeeds(self):
        assert answered(DELETE, self.GONE, 404, again=True) is None

    @pytest.mark.fault("A8")
    def test_parse_repeated_delete_with_404_page_raises(self):
        with pytest.raises(UnexpectedResponse):
            answered(DELETE, PAGE, 404, again=True)

    @pytest.mark.parametrize(("call", "status"), [(DELETE, 403), (DELETE, 500), (GET, 404), (CREATE, 404)])
    def test_parse_other_repeated_error_raises(self, call, status):
        with pytest.raises(CodeOceanError):
            answered(call, self.GONE, status, again=True)
