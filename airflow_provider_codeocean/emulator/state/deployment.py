"""The emulator without HTTP: its configuration, clock, state and faults in one place."""

import random
import secrets
import uuid
from pathlib import Path

from airflow_provider_codeocean.emulator.domain.clock import Clock, ManualClock, Policy, RealClock, Work
from airflow_provider_codeocean.emulator.domain.config import EmulatorConfig, RateLimit, RequestKind
from airflow_provider_codeocean.emulator.domain.errors import bad_request
from airflow_provider_codeocean.emulator.domain.faults import FaultBook
from airflow_provider_codeocean.emulator.state.access import Directory
from airflow_provider_codeocean.emulator.state.buckets import DEFAULT_BUCKETS, Buckets
from airflow_provider_codeocean.emulator.state.signing import Signer
from airflow_provider_codeocean.emulator.state.store import Store
from airflow_provider_codeocean.emulator.state.traffic import RateLimiter, Traffic


class Emulator:
    """A Code Ocean deployment. `search_lag` and `transitions` may be replaced while it runs.

    :param config: its configuration.
    :param state: the state file; in memory if not given.
    :param clock: the time; what `config.clock` says if not given.
    """

    def __init__(
        self, config: EmulatorConfig | None = None, *, state: Path | None = None, clock: Clock | None = None
    ) -> None:
        self.config = config or EmulatorConfig()
        self.rng = random.Random(self.config.seed)  # noqa: S311  jitter, not a secret
        self.store = Store(state, self.now)
        self.clock = clock or self._configured_clock()
        self.directory = Directory(self.store, self.config.groups)
        self.signer = Signer(self._secret())
        self.faults = FaultBook(self.config.faults, self.rng, self.now)
        self.traffic = Traffic()
        self._limiters: dict[RequestKind | None, RateLimiter] = {}
        limits = self.config.rate_limit
        for limit in (limits,) if isinstance(limits, RateLimit) else limits:
            self.limit_rate(limit)
        self.transitions = self.config.transitions
        self.search_lag = self.config.search_lag
        buckets = {bucket.name: bucket for bucket in (*DEFAULT_BUCKETS, *self.config.buckets)}
        self.buckets = Buckets(buckets, self.store.files)

    def now(self) -> float:
        """Return the time as Unix seconds."""
        return self.clock.now()

    def indexed_moment(self) -> float:
        """Return the moment that search shows, Unix seconds."""
        return self.now() - self.search_lag

    def limit_rate(self, limit: RateLimit) -> None:
        """Replace the rate limit for a kind of request, or the one for all requests.

        :param limit: the limit, with its kind.
        """
        self._limiters[limit.kind] = RateLimiter(limit)

    def limiters_of(self, kind: RequestKind) -> list[RateLimiter]:
        """Return the rate limits for a request.

        :param kind: kind of the request.
        :returns: the limits that exist, the one for its kind first.
        """
        return [self._limiters[each] for each in (kind, None) if each in self._limiters]

    def begin(self, policy: Policy) -> Work:
        """Start work now.

        :param policy: how long it takes.
        :returns: the work.
        """
        return policy.begin(self.now(), self.rng)

    def new_id(self) -> str:
        """Return an id that nothing has yet."""
        return str(uuid.uuid4())

    def advance(self, seconds: float) -> float:
        """Move a manual clock forward; it goes on from there after a restart.

        :param seconds: by how much.
        :returns: the new time.
        :raises ApiError: 400 if the clock is not manual.
        """
        if not isinstance(self.clock, ManualClock):
            bad_request('seconds: only a manual clock can be moved (config: "clock": "manual")')
        now = self.clock.advance(seconds)
        self.store.write_note("clock", now)
        return now

    def _configured_clock(self) -> Clock:
        return ManualClock(self.store.note("clock")) if self.config.clock == "manual" else RealClock()

    def _secret(self) -> str:
        # Kept with the state, so that a download URL outlives a restart.
        secret: str | None = self.store.note("secret")
        if secret is None:
            secret = secrets.token_hex(32)
            self.store.write_note("secret", secret)
        return secret
