"""The emulated deployment, independent of HTTP: configuration, clock, state, and faults."""

import random
import secrets
import uuid
from pathlib import Path

from airflow_provider_codeocean.emulator.domain.clock import Clock, ManualClock, Policy, RealClock, Work
from airflow_provider_codeocean.emulator.domain.config import EmulatorConfig, RateLimit, RequestKind
from airflow_provider_codeocean.emulator.domain.errors import raise_bad_request
from airflow_provider_codeocean.emulator.domain.faults import FaultRegistry
from airflow_provider_codeocean.emulator.state.access import UserDirectory
from airflow_provider_codeocean.emulator.state.buckets import DEFAULT_BUCKETS, Buckets
from airflow_provider_codeocean.emulator.state.signing import UrlSigner
from airflow_provider_codeocean.emulator.state.store import Store
from airflow_provider_codeocean.emulator.state.traffic import RateLimiter, TrafficStats


class Emulator:
    """A Code Ocean deployment. `search_lag` and `transitions` may be replaced while it runs.

    :param config: the configuration.
    :param state: the state file; in memory by default.
    :param clock: the clock; the one in the configuration by default.
    """

    def __init__(
        self, config: EmulatorConfig | None = None, *, state: Path | None = None, clock: Clock | None = None
    ) -> None:
        self.config = config or EmulatorConfig()
        self.rng = random.Random(self.config.seed)  # noqa: S311  jitter, not a secret
        self.store = Store(state, self.now)
        self.clock = clock or self._create_clock()
        self.user_directory = UserDirectory(self.store, self.config.groups)
        self.url_signer = UrlSigner(self._load_or_create_secret())
        self.faults = FaultRegistry(self.config.faults, self.rng, self.now)
        self.traffic = TrafficStats()
        self._rate_limiters: dict[RequestKind | None, RateLimiter] = {}
        limits = self.config.rate_limit
        for limit in (limits,) if isinstance(limits, RateLimit) else limits:
            self.set_rate_limit(limit)
        self.transitions = self.config.transitions
        self.search_lag = self.config.search_lag
        buckets = {bucket.name: bucket for bucket in (*DEFAULT_BUCKETS, *self.config.buckets)}
        self.buckets = Buckets(buckets, self.store.files)

    def now(self) -> float:
        """Return the time as Unix seconds."""
        return self.clock.now()

    def search_index_time(self) -> float:
        """Return the time of the search index, in Unix seconds."""
        return self.now() - self.search_lag

    def set_rate_limit(self, limit: RateLimit) -> None:
        """Replace the rate limit for a kind of request, or for all requests.

        :param limit: the rate limit.
        """
        self._rate_limiters[limit.kind] = RateLimiter(limit)

    def get_rate_limiters(self, kind: RequestKind) -> list[RateLimiter]:
        """Return the rate limits for a request.

        :param kind: kind of the request.
        :returns: the applicable limits, the one for its kind first.
        """
        return [self._rate_limiters[key] for key in (kind, None) if key in self._rate_limiters]

    def start_work(self, policy: Policy) -> Work:
        """Start work now.

        :param policy: the duration of the work.
        :returns: the work.
        """
        return policy.start_work(self.now(), self.rng)

    def new_id(self) -> str:
        """Return a new unique id."""
        return str(uuid.uuid4())

    def advance_clock(self, seconds: float) -> float:
        """Advance a manual clock. The time persists across restarts.

        :param seconds: the number of seconds.
        :returns: the new time.
        :raises ApiError: 400 if the clock is not manual.
        """
        if not isinstance(self.clock, ManualClock):
            raise_bad_request('seconds: only a manual clock can be moved (config: "clock": "manual")')
        now = self.clock.advance(seconds)
        self.store.set_meta("clock", now)
        return now

    def _create_clock(self) -> Clock:
        return ManualClock(self.store.get_meta("clock")) if self.config.clock == "manual" else RealClock()

    def _load_or_create_secret(self) -> str:
        # Stored with the state, so that download URLs stay valid after a restart.
        secret: str | None = self.store.get_meta("secret")
        if secret is None:
            secret = secrets.token_hex(32)
            self.store.set_meta("secret", secret)
        return secret
