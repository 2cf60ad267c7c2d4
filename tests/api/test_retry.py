"""When a request is sent again, how long is waited before, and what is known if it fails."""

from __future__ import annotations

import asyncio
import logging
import math
import re

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

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
from airflow_provider_codeocean.api.retry import retry_after
from tests.api.fake_server import fail, reply, succeed

NEW_ASSET = DataAssetParams(name="n", tags=[], mount="m", data_asset_ids=["a1"])
MOVE = TransferParams(target=Target(aws=AWSTarget(bucket="lab")))

#: Requests by what sending them does.
READ = {
    "get": lambda client: client.data_assets.get("a1"),
    "search": lambda client: client.data_assets.search(DataAssetSearchParams()),
}
REPEATABLE = {
    "update": lambda client: client.data_assets.update("a1", DataAssetUpdateParams(name="n")),
    "delete": lambda client: client.data_assets.delete("a1"),
    "archive": lambda client: client.data_assets.archive("a1"),
}
ONCE = {
    "create": lambda client: client.data_assets.create(NEW_ASSET),
    "run": lambda client: client.computations.run(RunParams(capsule_id="c1")),
    "transfer": lambda client: client.data_assets.transfer("a1", MOVE),
}

#: What can happen, by what is known of it.
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
    """Every request of a row with everything that can happen in it, and what is expected."""
    return pytest.mark.parametrize(
        ("use", "happens", "expected"),
        [
            pytest.param(use, happens, expected, id=f"{name}-{what}")
            for requests, outcomes, expected in rows
            for name, use in requests.items()
            for what, happens in outcomes.items()
        ],
    )


class TestWhetherItIsSentAgain:
    @table(
        (READ | REPEATABLE | ONCE, REFUSED | NOT_CONNECTED, True),
        (READ | REPEATABLE, PASSING | LOST | NOT_CODE_OCEANS, True),
        (ONCE, PASSING | LOST | NOT_CODE_OCEANS, False),
        (READ | REPEATABLE | ONCE, OTHER | BROKEN, False),
    )
    def test_by_what_happened(self, server, ask, clock, use, happens, expected):
        server.answers = [happens, succeed]
        if expected:
            ask(use)
            assert len(server.requests) == 2
            first, second = server.requests
            assert (first.method, first.url, first.content) == (second.method, second.url, second.content)
        else:
            with pytest.raises(CodeOceanError):
                ask(use)
            assert len(server.requests) == 1
        assert len(clock.waits) == len(server.requests) - 1

    @table((READ | REPEATABLE | ONCE, REFUSED | NOT_CONNECTED | PASSING | LOST | NOT_CODE_OCEANS, 1))
    def test_without_a_budget_it_is_sent_once(self, server, ask, clock, use, happens, expected):
        server.answers = [happens, succeed]
        with pytest.raises(CodeOceanError):
            ask(use, retry_budget=0)
        assert len(server.requests) == expected

    def test_an_address_that_cannot_be_asked_is_asked_once(self, server, ask, clock):
        server.answers = [fail(httpx.UnsupportedProtocol), succeed]
        with pytest.raises(CodeOceanError, match="could not be sent"):
            ask(READ["get"])
        assert len(server.requests) == 1

    def test_a_redirection_to_no_address_is_an_answer_all_the_same(self, server, ask, clock):
        server.answers = [reply(302, headers={"location": "mailto:admin"})]
        with pytest.raises(CodeOceanTransportError) as caught:
            ask(READ["get"], retry_budget=0)
        assert caught.value.transient
        assert len(server.requests) == 1

    def test_an_interruption_is_not_an_error_of_the_server(self, server, ask, clock):
        def interrupt(request):
            raise KeyboardInterrupt

        server.answers = [interrupt, succeed]
        with pytest.raises(KeyboardInterrupt):
            ask(READ["get"])
        assert len(server.requests) == 1

    async def test_a_request_that_is_cancelled_is_not_sent_again(self):
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


class TestWhetherItMayHaveBeenDone:
    @table(
        (READ, REFUSED | NOT_CONNECTED | PASSING | LOST | NOT_CODE_OCEANS | OTHER | BROKEN, False),
        (REPEATABLE | ONCE, PASSING | LOST | NOT_CODE_OCEANS | BROKEN, True),
        (REPEATABLE | ONCE, REFUSED | NOT_CONNECTED | OTHER, False),
    )
    def test_by_what_happened(self, server, ask, use, happens, expected):
        server.answers = [happens]
        with pytest.raises(CodeOceanError) as caught:
            ask(use, retry_budget=0)
        assert caught.value.maybe_applied is expected

    @pytest.mark.parametrize("first", PASSING | LOST)
    def test_a_delete_whose_answer_was_lost_has_done_its_work_if_nothing_is_there(
        self, server, ask, clock, first
    ):
        server.answers = [(PASSING | LOST)[first], reply(429), reply(404)]
        ask(REPEATABLE["delete"])
        assert len(server.requests) == 3

    @pytest.mark.parametrize("first", REFUSED | NOT_CONNECTED)
    def test_a_delete_that_was_not_carried_out_has_not(self, server, ask, clock, first):
        server.answers = [(REFUSED | NOT_CONNECTED)[first], reply(404)]
        with pytest.raises(NotFound):
            ask(REPEATABLE["delete"])
        assert len(server.requests) == 2


class TestHowLongIsWaited:
    def test_a_little_longer_than_the_server_asks(self, server, ask, clock):
        server.answers = [
            reply(429, headers={"Retry-After": "7"}),
            reply(503, headers={"retry-after": "0.5"}),
            reply(429, headers={"Retry-After": "0"}),
            succeed,
        ]
        ask(READ["get"])
        beyond = [wait - asked_for for wait, asked_for in zip(clock.waits, [7, 0.5, 0], strict=True)]
        assert all(0 <= more <= 0.5 * 2**attempt for attempt, more in enumerate(beyond))

    def test_until_the_date_that_the_server_names_by_its_own_clock(self, server, ask, clock):
        date = {"Date": "Wed, 21 Oct 2015 07:28:00 GMT", "Retry-After": "Wed, 21 Oct 2015 07:28:09 GMT"}
        server.answers = [reply(503, headers=date), succeed]
        ask(READ["get"])
        (wait,) = clock.waits
        assert 9 <= wait <= 9.5

    @pytest.mark.parametrize("happens", [reply(503), fail(httpx.ReadTimeout)])
    def test_else_ever_longer_within_the_budget(self, server, ask, clock, happens):
        server.answers = [happens]
        with pytest.raises(CodeOceanError):
            ask(READ["get"], retry_budget=1000)
        longest = [min(0.5 * 2**attempt, 20) for attempt in range(len(clock.waits))]
        assert all(0 <= wait <= limit for wait, limit in zip(clock.waits, longest, strict=True))
        assert len(set(clock.waits)) == len(clock.waits)
        assert 980 <= sum(clock.waits) < 1000

    def test_it_gives_up_before_a_wait_beyond_the_budget(self, server, ask, clock):
        server.answers = [reply(429, headers={"Retry-After": "61"}), succeed]
        with pytest.raises(RateLimited) as caught:
            ask(READ["get"], retry_budget=60)
        assert caught.value.retry_after == 61
        assert (len(server.requests), clock.waits) == (1, [])

    def test_the_budget_is_for_all_attempts_together(self, server, ask, clock):
        server.answers = [reply(503, headers={"Retry-After": "25"})]
        with pytest.raises(ServerError):
            ask(READ["get"], retry_budget=60)
        assert len(server.requests) == 3
        assert 50 <= sum(clock.waits) <= 51.5

    @pytest.mark.fault("N4")
    def test_retry_is_logged_with_its_reason_first_as_a_warning(self, server, ask, clock, caplog):
        busy = reply(429, headers={"Retry-After": "7"}, json={"message": "slow\ndown"})
        server.answers = [busy, busy, busy, succeed]
        with caplog.at_level(logging.INFO):
            ask(READ["get"])
        assert [each.levelname for each in caplog.records] == ["WARNING", "INFO", "INFO"]
        assert re.fullmatch(
            r"Code Ocean answered 429 to GET data_assets/a1: slow down \[https://codeocean.test\]; "
            r"trying again in 7\.\d s",
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
    def test_seconds_or_a_date(self, value, seconds):
        assert retry_after(httpx.Headers({"Retry-After": value, "Date": self.SENT})) == seconds

    @pytest.mark.parametrize("date", [{}, {"date": "noon"}])
    def test_a_date_of_a_server_that_does_not_tell_its_own(self, monkeypatch, date):
        monkeypatch.setattr("airflow_provider_codeocean.api.retry.time.time", lambda: 1445412480.0)
        assert retry_after({"retry-after": "Wed, 21 Oct 2015 07:28:05 GMT", **date}) == 5

    def test_there_need_not_be_one(self):
        assert retry_after({}) is None

    @given(
        value=st.text()
        | st.lists(
            st.sampled_from(["Wed,", "21", "Oct", "2015", "99", "07:28:00", "1.2", "PM", "+9999", "-", ":"]),
            max_size=7,
        ).map(" ".join)
    )
    def test_whatever_it_says_it_is_read(self, value):
        for headers in ({"retry-after": value}, {"retry-after": self.SENT, "date": value}):
            seconds = retry_after(headers)
            assert seconds is None or 0 <= seconds < math.inf
