"""Retries: conditions, delays, and the final error."""

from __future__ import annotations

import asyncio
import logging
import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_codeocean.api._http.library import httpx
from airflow_provider_codeocean.api.client import CodeOceanAsyncClient
from airflow_provider_codeocean.api.errors import (
    CodeOceanError,
    CodeOceanTransportError,
    NotFound,
    RateLimited,
    ServerError,
)
from airflow_provider_codeocean.api.models.computation import RunParams
from airflow_provider_codeocean.api.models.data_asset_params import (
    AWSTarget,
    DataAssetParams,
    DataAssetSearchParams,
    DataAssetUpdateParams,
    Target,
    TransferParams,
)
from airflow_provider_codeocean.api.retry import parse_retry_after
from tests.api.fake_server import fail, reply, succeed

NEW_ASSET = DataAssetParams(name="n", tags=[], mount="m", data_asset_ids=["a1"])
MOVE = TransferParams(target=Target(aws=AWSTarget(bucket="lab")))

#: Requests by idempotency.
SAFE = {
    "get": lambda client: client.data_assets.get("a1"),
    "search": lambda client: client.data_assets.search(DataAssetSearchParams()),
}
IDEMPOTENT = {
    "update": lambda client: client.data_assets.update("a1", DataAssetUpdateParams(name="n")),
    "delete": lambda client: client.data_assets.delete("a1"),
    "archive": lambda client: client.data_assets.archive("a1"),
}
NON_IDEMPOTENT = {
    "create": lambda client: client.data_assets.create(NEW_ASSET),
    "run": lambda client: client.computations.run(RunParams(capsule_id="c1")),
    "transfer": lambda client: client.data_assets.transfer("a1", MOVE),
}

#: Outcomes by whether the request may have been applied.
REFUSED = {"429": reply(429)}
NOT_CONNECTED = {
    error.__name__: fail(error)
    for error in (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)
}
PASSING = {str(status): reply(status) for status in (502, 503, 504)}
LOST = {
    error.__name__: fail(error)
    for error in (
        httpx.ReadTimeout,
        httpx.ReadError,
        httpx.WriteTimeout,
        httpx.WriteError,
        httpx.CloseError,
        httpx.RemoteProtocolError,
        httpx.DecodingError,
    )
}
NOT_CODE_OCEANS = {
    "web page": reply(text="<html>Sign in</html>"),
    "redirect": reply(302, headers={"location": "https://sign-in.test/"}),
    "404 page": reply(404, text="<html>no such page</html>"),
    "408": reply(408),
    "421": reply(421),
    "425": reply(425),
}
OTHER = {str(status): reply(status) for status in (400, 401, 403, 404, 409, 418, 422)}
BROKEN = {str(status): reply(status) for status in (500, 501, 520)}


def table(*rows):
    """Yield each request of a row with each of its outcomes, and the expected result."""
    return pytest.mark.parametrize(
        ("action", "outcome", "expected"),
        [
            pytest.param(action, outcome, expected, id=f"{name}-{outcome_name}")
            for requests, outcomes, expected in rows
            for name, action in requests.items()
            for outcome_name, outcome in outcomes.items()
        ],
    )


class TestResend:
    @table(
        (SAFE | IDEMPOTENT | NON_IDEMPOTENT, REFUSED | NOT_CONNECTED, True),
        (SAFE | IDEMPOTENT, PASSING | LOST | NOT_CODE_OCEANS, True),
        (NON_IDEMPOTENT, PASSING | LOST | NOT_CODE_OCEANS, False),
        (SAFE | IDEMPOTENT | NON_IDEMPOTENT, OTHER | BROKEN, False),
    )
    def test_request_is_resent_depending_on_error_and_idempotency(
        self, server, ask, clock, action, outcome, expected
    ):
        server.responders = [outcome, succeed]
        if expected:
            ask(action)
            assert len(server.requests) == 2
            first, second = server.requests
            assert (first.method, first.url, first.content) == (second.method, second.url, second.content)
        else:
            with pytest.raises(CodeOceanError):
                ask(action)
            assert len(server.requests) == 1
        assert len(clock.waits) == len(server.requests) - 1

    @table(
        (SAFE | IDEMPOTENT | NON_IDEMPOTENT, REFUSED | NOT_CONNECTED | PASSING | LOST | NOT_CODE_OCEANS, 1)
    )
    def test_request_without_retry_budget_is_sent_once(self, server, ask, clock, action, outcome, expected):
        server.responders = [outcome, succeed]
        with pytest.raises(CodeOceanError):
            ask(action, retry_budget=0)
        assert len(server.requests) == expected

    def test_request_with_unsupported_protocol_is_sent_once(self, server, ask, clock):
        server.responders = [fail(httpx.UnsupportedProtocol), succeed]
        with pytest.raises(CodeOceanError, match="could not be sent"):
            ask(SAFE["get"])
        assert len(server.requests) == 1

    def test_redirect_to_another_scheme_is_a_transient_error(self, server, ask, clock):
        server.responders = [reply(302, headers={"location": "mailto:admin"})]
        with pytest.raises(CodeOceanTransportError) as caught:
            ask(SAFE["get"], retry_budget=0)
        assert caught.value.is_transient
        assert len(server.requests) == 1

    def test_request_that_is_interrupted_is_not_resent(self, server, ask, clock):
        def interrupt(request):
            raise KeyboardInterrupt

        server.responders = [interrupt, succeed]
        with pytest.raises(KeyboardInterrupt):
            ask(SAFE["get"])
        assert len(server.requests) == 1

    async def test_request_that_is_canceled_is_not_resent(self):
        sent = asyncio.Event()
        requests = []

        async def never_answer(request):
            requests.append(request)
            sent.set()
            await asyncio.Event().wait()

        transport = httpx.MockTransport(never_answer)
        async with CodeOceanAsyncClient("https://codeocean.test", "t", transport=transport) as client:
            asking = asyncio.create_task(client.data_assets.get("a1"))
            await sent.wait()
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking
        assert len(requests) == 1


class TestMayHaveBeenApplied:
    @table(
        (SAFE, REFUSED | NOT_CONNECTED | PASSING | LOST | NOT_CODE_OCEANS | OTHER | BROKEN, False),
        (IDEMPOTENT | NON_IDEMPOTENT, PASSING | LOST | NOT_CODE_OCEANS | BROKEN, True),
        (IDEMPOTENT | NON_IDEMPOTENT, REFUSED | NOT_CONNECTED | OTHER, False),
    )
    def test_error_may_have_been_applied_depending_on_its_kind(self, server, ask, action, outcome, expected):
        server.responders = [outcome]
        with pytest.raises(CodeOceanError) as caught:
            ask(action, retry_budget=0)
        assert caught.value.may_have_been_applied is expected

    @pytest.mark.parametrize("first", PASSING | LOST)
    def test_delete_with_lost_response_then_404_succeeds(self, server, ask, clock, first):
        server.responders = [(PASSING | LOST)[first], reply(429), reply(404)]
        ask(IDEMPOTENT["delete"])
        assert len(server.requests) == 3

    @pytest.mark.parametrize("first", REFUSED | NOT_CONNECTED)
    def test_delete_not_applied_then_404_raises_not_found(self, server, ask, clock, first):
        server.responders = [(REFUSED | NOT_CONNECTED)[first], reply(404)]
        with pytest.raises(NotFound):
            ask(IDEMPOTENT["delete"])
        assert len(server.requests) == 2


class TestBackoff:
    def test_delay_with_retry_after_adds_jitter(self, server, ask, clock):
        server.responders = [
            reply(429, headers={"Retry-After": "7"}),
            reply(503, headers={"retry-after": "0.5"}),
            reply(429, headers={"Retry-After": "0"}),
            succeed,
        ]
        ask(SAFE["get"])
        beyond = [wait - asked_for for wait, asked_for in zip(clock.waits, [7, 0.5, 0], strict=True)]
        assert all(0 <= more <= 0.5 * 2**attempt for attempt, more in enumerate(beyond))

    def test_delay_with_retry_after_date_uses_the_server_clock(self, server, ask, clock):
        date = {"Date": "Wed, 21 Oct 2015 07:28:00 GMT", "Retry-After": "Wed, 21 Oct 2015 07:28:09 GMT"}
        server.responders = [reply(503, headers=date), succeed]
        ask(SAFE["get"])
        (wait,) = clock.waits
        assert 9 <= wait <= 9.5

    @pytest.mark.parametrize("outcome", [reply(503), fail(httpx.ReadTimeout)])
    def test_delay_without_retry_after_grows_within_the_budget(self, server, ask, clock, outcome):
        server.responders = [outcome]
        with pytest.raises(CodeOceanError):
            ask(SAFE["get"], retry_budget=1000)
        longest = [min(0.5 * 2**attempt, 20) for attempt in range(len(clock.waits))]
        assert all(0 <= wait <= limit for wait, limit in zip(clock.waits, longest, strict=True))
        assert len(set(clock.waits)) == len(clock.waits)
        assert 980 <= sum(clock.waits) < 1000

    def test_delay_beyond_the_budget_fails_at_once(self, server, ask, clock):
        server.responders = [reply(429, headers={"Retry-After": "61"}), succeed]
        with pytest.raises(RateLimited) as caught:
            ask(SAFE["get"], retry_budget=60)
        assert caught.value.retry_after == 61
        assert (len(server.requests), clock.waits) == (1, [])

    def test_budget_is_shared_by_all_requests(self, server, ask, clock):
        server.responders = [reply(503, headers={"Retry-After": "25"})]
        with pytest.raises(ServerError):
            ask(SAFE["get"], retry_budget=60)
        assert len(server.requests) == 3
        assert 50 <= sum(clock.waits) <= 51.5

    @pytest.mark.fault("N4")
    def test_retry_is_logged_with_its_reason_first_as_a_warning(self, server, ask, clock, caplog):
        busy = reply(429, headers={"Retry-After": "7"}, json={"message": "slow\ndown"})
        server.responders = [busy, busy, busy, succeed]
        with caplog.at_level(logging.INFO):
            ask(SAFE["get"])
        assert [record.levelname for record in caplog.records] == ["WARNING", "INFO", "INFO"]
        assert re.fullmatch(
            r"Code Ocean answered 429 to GET data_assets/a1: slow down \[https://codeocean.test\]; "
            r"retrying in 7\.\d s",
            caplog.messages[0],
        )


class TestRetryAfter:
    SENT = "Wed, 21 Oct 2015 07:28:00 GMT"

    @pytest.mark.parametrize(
        ("value", "seconds"),
        [
            ("0", 0),
            ("120", 120),
            (" 2.5 ", 2.5),
            ("-3", 0),
            ("Wed, 21 Oct 2015 07:30:00 GMT", 120),
            ("Wed, 21 Oct 2015 09:30:00 +0200", 120),
            ("Wed, 21 Oct 2015 07:30:00 -0000", 120),
            ("Wed, 21 Oct 2015 07:27:00 GMT", 0),
            ("Wednesday, 21-Oct-15 07:29:00 GMT", 60),
            ("", None),
            ("nan", None),
            ("inf", None),
            ("-inf", None),
            ("soon", None),
            ("2015-10-21", None),
            ("Wed, 99 Oct 2015 07:30:00 GMT", None),
            ("Wed, 21 Oct 99999 07:30:00 GMT", None),
            (f"Wed, {10**20} Oct 2015 07:30:00 GMT", None),
        ],
    )
    def test_parse_retry_after_seconds_or_date_returns_seconds(self, value, seconds):
        assert parse_retry_after(httpx.Headers({"Retry-After": value, "Date": self.SENT})) == seconds

    @pytest.mark.parametrize("date", [{}, {"date": "noon"}])
    def test_parse_retry_after_date_without_server_date_uses_local_clock(self, monkeypatch, date):
        monkeypatch.setattr("airflow_provider_codeocean.api.retry.time.time", lambda: 1445412480.0)
        assert parse_retry_after({"retry-after": "Wed, 21 Oct 2015 07:28:05 GMT", **date}) == 5

    def test_parse_retry_after_missing_returns_none(self):
        assert parse_retry_after({}) is None

    @given(
        value=st.text()
        | st.lists(
            st.sampled_from(["Wed,", "21", "Oct", "2015", "99", "07:28:00", "1.2", "PM", "+9999", "-", ":"]),
            max_size=7,
        ).map(" ".join)
    )
    def test_parse_retry_after_any_text_never_raises(self, value):
        for headers in ({"retry-after": value}, {"retry-after": self.SENT, "date": value}):
            seconds = parse_retry_after(headers)
            assert seconds is None or 0 <= seconds < math.inf
