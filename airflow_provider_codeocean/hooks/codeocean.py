"""The hook: a client of Code Ocean's REST API, configured by an Airflow connection."""

from __future__ import annotations

import logging
import time
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from airflow.providers.common.compat.connection import get_async_extra_dejson
from airflow.providers.common.compat.sdk import BaseHook, mask_secret

from airflow_provider_codeocean.airflow_errors import add_context_to_task_timeout
from airflow_provider_codeocean.api.errors import (
    NOT_FOUND_GRACE_SECONDS,
    CertificatesNotFound,
    CodeOceanApiError,
    CodeOceanError,
    CodeOceanTransportError,
    Forbidden,
    RateLimited,
    ServerError,
    Unauthorized,
    UnexpectedResponse,
    WaitTimeout,
)
from airflow_provider_codeocean.api.secret import basic_auth_value
from airflow_provider_codeocean.compat.connections import mask_secret_async, read_connection
from airflow_provider_codeocean.hooks._connection import check_extra, merge_options, parse_client_options
from airflow_provider_codeocean.hooks._files import FilesMixin
from airflow_provider_codeocean.hooks.uses import USE_KINDS, search_uses
from airflow_provider_codeocean.polling.shared_client import (
    MIN_RELOAD_INTERVAL_SECONDS,
    RELOAD_INTERVAL_SECONDS,
    AuthGracePeriod,
    may_need_new_client,
)
from airflow_provider_codeocean.polling.waits import DataAssetWait
from airflow_provider_codeocean.validation import check_identifier

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from airflow_provider_codeocean.api.client import CodeOceanAsyncClient, CodeOceanClient
    from airflow_provider_codeocean.api.models.capsule import Capsule
    from airflow_provider_codeocean.api.models.data_asset import DataAsset
    from airflow_provider_codeocean.api.request import Request
    from airflow_provider_codeocean.outcomes import WaitEvent
    from airflow_provider_codeocean.polling.waits import Wait

T = TypeVar("T")

log = logging.getLogger(__name__)

#: Seconds for which a task retries requests for the result after its wait has ended.
RESULT_RETRY_SECONDS = 600.0
#: Seconds between two requests while the access token is refused.
_UNAUTHORIZED_DELAY_SECONDS = 10.0


class CodeOceanHook(FilesMixin, BaseHook):
    """Client of a Code Ocean deployment.

    The connection holds the address of the deployment as host (https unless a scheme is given) and an access
    token as password. Its extras are ``verify`` (true, false, or the path of trusted certificates),
    ``timeout`` (seconds), ``proxy`` (an address), ``require_tls`` (true rejects unencrypted or unverified
    connections, as ``[codeocean] require_tls`` does for all connections), and ``token_grace_period``
    (seconds for which waits tolerate a rejected token). If Code Ocean rejects the token, the connection is
    read again, and the request is retried if the token has changed.

    :param codeocean_conn_id: id of the connection.
    :param **kwargs: arguments of Airflow's ``BaseHook``.
    """

    conn_name_attr = "codeocean_conn_id"
    default_conn_name = "codeocean_default"
    conn_type = "codeocean"
    hook_name = "Code Ocean"

    def __init__(self, codeocean_conn_id: str = default_conn_name, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.codeocean_conn_id = codeocean_conn_id

    @classmethod
    def get_connection_form_widgets(cls) -> dict[str, Any]:
        """Return the fields of the connection form for Airflow before 3.2."""
        from flask_appbuilder.fieldwidgets import BS3TextFieldWidget
        from flask_babel import lazy_gettext
        from wtforms import StringField

        from airflow_provider_codeocean.provider_info import CONNECTION_FIELDS

        return {
            name: StringField(
                lazy_gettext(field["label"]), widget=BS3TextFieldWidget(), description=field["description"]
            )
            for name, field in CONNECTION_FIELDS.items()
        }

    @classmethod
    def get_ui_field_behaviour(cls) -> dict[str, Any]:
        """Return the labels of the standard fields in the connection form, and which fields are hidden."""
        from airflow_provider_codeocean.provider_info import UI_FIELD_BEHAVIOUR

        return {name.replace("-", "_"): value for name, value in UI_FIELD_BEHAVIOUR.items()}

    @cached_property
    def client(self) -> CodeOceanClient:
        """The client, created once. A wait replaces it if the connection was edited."""
        self._last_read_at = time.monotonic()
        self._client_options = self._read_options()
        return self._create_client(self._client_options)

    @contextmanager
    def open_client(self, *, retry_budget: float | None = None) -> Iterator[CodeOceanClient]:
        """Yield :attr:`client`, and close it at the end if it was opened here.

        :param retry_budget: seconds for which requests are retried meanwhile; None keeps the client's budget.
        :yields: the client.
        :raises ValueError: if the connection is incomplete or invalid.
        """
        is_owner = "client" not in self.__dict__
        client = self.client
        budget = client.retry_budget
        if retry_budget is not None:
            client.retry_budget = retry_budget
        try:
            yield client
        finally:
            if is_owner:
                self.close()
            elif "client" in self.__dict__:  # perhaps not the same client
                self.client.retry_budget = budget

    def get_conn(self, **options: Any) -> CodeOceanClient:
        """Create another client.

        :param **options: options of the client that override the connection's, such as ``retry_budget``.
        :returns: a client; close it, or use it with ``with``.
        :raises ValueError: if the connection is incomplete or invalid.
        """
        return self._create_client(self._read_options(), **options)

    def _create_client(self, connection_options: Mapping[str, Any], **options: Any) -> CodeOceanClient:
        from airflow_provider_codeocean.api.client import CodeOceanClient

        all_options = merge_options(connection_options, options)

        def token_provider() -> str:
            return _token_for_deployment(all_options["url"], self._read_options())

        if "token" not in options:  # a given token may belong to another user: keep it
            all_options.setdefault("token_provider", token_provider)
        return self._instantiate_client(CodeOceanClient, all_options)

    def _instantiate_client(self, client_class: Callable[..., T], options: Mapping[str, Any]) -> T:
        """Create a client; name the connection in errors about its options."""
        try:
            return client_class(**options)
        except ValueError as error:
            kind = CertificatesNotFound if isinstance(error, CertificatesNotFound) else ValueError
            raise kind(f"connection {self.codeocean_conn_id!r}: {error}") from error

    def _read_options(self) -> dict[str, Any]:
        connection = self.get_connection(self.codeocean_conn_id)
        check_extra(connection)
        options = parse_client_options(connection, connection.extra_dejson)
        mask_secret(str(options["token"]))  # Airflow masks it with the surrounding white space only
        mask_secret(str(basic_auth_value(options["token"])))
        return options

    async def get_async_conn(self, **options: Any) -> CodeOceanAsyncClient:
        """Create a client for the running event loop; see :meth:`get_conn`.

        :param **options: options of the client that override the connection's.
        :returns: a client; close it, or use it with ``async with``.
        :raises ValueError: if the connection is incomplete or invalid.
        """
        return self.create_async_client(await self.read_options_async(), **options)

    def create_async_client(
        self, connection_options: Mapping[str, Any], **options: Any
    ) -> CodeOceanAsyncClient:
        """Create a client from the result of :meth:`read_options_async`; see :meth:`get_conn`."""
        from airflow_provider_codeocean.api.client import CodeOceanAsyncClient

        all_options = merge_options(connection_options, options)

        async def token_provider() -> str:
            return _token_for_deployment(all_options["url"], await self.read_options_async())

        if "token" not in options:
            all_options.setdefault("token_provider", token_provider)
        return self._instantiate_client(CodeOceanAsyncClient, all_options)

    async def read_options_async(self) -> dict[str, Any]:
        """Read the connection into the options of a client; raise ValueError if it is invalid."""
        connection = await read_connection(self.codeocean_conn_id)
        check_extra(connection)
        options = parse_client_options(connection, await get_async_extra_dejson(connection))
        await mask_secret_async(str(options["token"]))
        await mask_secret_async(str(basic_auth_value(options["token"])))
        return options

    @property
    def url(self) -> str:
        """Address of the deployment, without a slash at the end."""
        return self._normalize_url(self._read_options())

    async def get_async_url(self) -> str:
        """Return the address of the deployment, in a running event loop."""
        return self._normalize_url(await self.read_options_async())

    def _normalize_url(self, options: Mapping[str, Any]) -> str:
        from airflow_provider_codeocean.api.client import normalize_url

        try:
            return normalize_url(options["url"])
        except ValueError as error:
            raise ValueError(f"connection {self.codeocean_conn_id!r}: {error}") from error

    def wait_for_data_asset(
        self, data_asset_id: str, *, poll_interval: float, deadline: float | None = None
    ) -> DataAsset:
        """Wait in this process until a data asset is ready. Transient errors are tolerated.

        :param data_asset_id: id of the data asset.
        :param poll_interval: maximum seconds between two polls, above 0.
        :param deadline: latest time to wait until, in Unix seconds; None waits without a limit.
        :returns: the data asset.
        :raises DataAssetFailed: if its creation failed.
        :raises WaitTimeout: if the deadline has passed.
        :raises CodeOceanError: if a poll fails permanently.
        """
        asset: DataAsset = self.wait_for(
            DataAssetWait(data_asset_id, poll_interval=poll_interval, deadline=deadline)
        )
        return asset

    def wait_for(self, wait: Wait) -> Any:
        """Wait in this process until a target has succeeded. Transient errors are tolerated.

        :param wait: the wait.
        :returns: the target.
        :raises WaitTimeout: if the deadline has passed.
        :raises CodeOceanError: if the target failed, or a poll failed permanently.
        """
        log.info(wait.describe_start(self.codeocean_conn_id))
        return self._poll(wait, wait.check)

    def wait_until_visible(self, wait: Wait) -> Any:
        """Wait until a job that was just submitted can be read, so that other tasks can read it.

        :param wait: the wait for the job, with the time of its submission.
        :returns: the job.
        :raises WaitTimeout: if the job is not visible in time.
        :raises CodeOceanError: if the job is gone.
        """
        wait.deadline = wait.clock() + NOT_FOUND_GRACE_SECONDS
        return self._poll(wait, lambda _: True)

    def resolve_wait(self, event: WaitEvent, wait: Wait) -> Any:
        """Read the target of a deferred wait, and return or raise its result.

        Transient errors are tolerated for some minutes. A rejected token is tolerated if the wait succeeded.

        :param event: the trigger's event.
        :param wait: the trigger's wait.
        :returns: the target, if it has succeeded.
        :raises WaitTimeout: if the deadline has passed and the target is pending.
        :raises CodeOceanError: if the target failed, or the wait failed and the target is pending.
        """

        def is_resolved(target: Any) -> bool:
            if event["status"] == "success":  # this response may be older than the trigger's
                return wait.check(target)
            wait.reconcile(event, target)
            return True

        # After a timeout or a failure, do not wait for the server or a new token once more.
        wait.deadline = wait.clock() + (0.0 if event["status"] == "timeout" else RESULT_RETRY_SECONDS)
        try:
            return self._poll(wait, is_resolved, tolerate_unauthorized=event["status"] == "success")
        except WaitTimeout as error:
            if event["status"] == "timeout" and wait.last_state is None:  # the trigger's message says more
                raise WaitTimeout(event["message"]) from error
            raise

    def _poll(
        self, wait: Wait, should_stop: Callable[[Any], bool], *, tolerate_unauthorized: bool = True
    ) -> Any:
        kind = wait.kind.value.capitalize()
        # No retries in the client: the loop itself retries, and reloads the connection.
        with add_context_to_task_timeout(wait.describe_timeout), self.open_client(retry_budget=0):
            grace = AuthGracePeriod(
                self.codeocean_conn_id, self.client.token_grace_period if tolerate_unauthorized else 0.0
            )
            delays = wait.progress_delays()
            report_at = time.monotonic() + next(delays)
            while True:
                previous_state = wait.last_state
                self._reload_client(RELOAD_INTERVAL_SECONDS)
                try:
                    target = self.client.send(wait.request)
                except CodeOceanError as error:
                    if self._reload_client_after(error):
                        continue
                    wait.handle_error(grace.classify(error))
                    log.warning("%s %s: poll failed, retrying: %s", kind, wait.id, error)
                else:
                    grace.reset()
                    is_done = should_stop(target)
                    if wait.last_state != previous_state:
                        log.info("%s %s is in state %s", kind, wait.id, wait.last_state)
                    if is_done:
                        return target
                if time.monotonic() >= report_at:
                    log.info(wait.describe_progress())
                    report_at = time.monotonic() + next(delays)
                delay = wait.next_delay()
                if grace.is_refused:
                    delay = min(delay, _UNAUTHORIZED_DELAY_SECONDS, grace.remaining())
                time.sleep(delay)

    def _reload_client_after(self, error: CodeOceanError) -> bool:
        """Reload the connection if that may help against an error; return whether the client was replaced."""
        if not may_need_new_client(error):
            return False
        if isinstance(error, CodeOceanTransportError):  # permanent: it would end the wait
            time.sleep(max(0.0, self._last_read_at + MIN_RELOAD_INTERVAL_SECONDS - time.monotonic()))
        return self._reload_client(MIN_RELOAD_INTERVAL_SECONDS)

    def _reload_client(self, min_interval_seconds: float) -> bool:
        """Replace :attr:`client` if the connection was edited; return whether it was."""
        if time.monotonic() - self._last_read_at < min_interval_seconds:
            return False
        self._last_read_at = time.monotonic()
        conn_id, client = self.codeocean_conn_id, self.client
        try:
            options = self._read_options()
            if not has_connection_changed(conn_id, self._client_options, options, client):
                return False
            self.client = self._create_client(options, retry_budget=client.retry_budget)
        except Exception as error:  # noqa: BLE001 - secrets backends have errors of their own
            log.warning(
                "Connection %s: could not reload it, keeping the current settings: %s", conn_id, error
            )
            return False
        self._client_options = options
        client.close()
        return True

    def send_with_auth_grace(self, client: CodeOceanClient, request: Request[T], *, max_seconds: float) -> T:
        """Send a request, and retry it while a rejected access token is tolerated.

        :param client: a client of this connection.
        :param request: the request.
        :param max_seconds: limit on the grace period of the connection.
        :returns: the response.
        :raises CodeOceanError: if the request fails otherwise, or the grace period has ended.
        """
        grace = AuthGracePeriod(self.codeocean_conn_id, min(client.token_grace_period, max_seconds))
        while True:
            try:
                return client.send(request)
            except Unauthorized as error:
                classified = grace.classify(error)
                if not classified.is_transient:
                    raise classified from error.__cause__
            time.sleep(_UNAUTHORIZED_DELAY_SECONDS)

    def find_data_asset_uses(
        self, data_asset_id: str, kinds: Sequence[str] = USE_KINDS
    ) -> list[tuple[str, Capsule | DataAsset]]:
        """Find the capsules, pipelines, and combined data assets that use a data asset.

        Source: ``POST capsules/search`` and ``pipelines/search`` with the id as free text (user guide, "List
        Capsules to which a Data Asset is attached"), and ``POST data_assets/search`` for
        ``contained_data_id``; each also for archived objects. A search shows only objects that the token's
        user can see, and may miss changes of the last seconds.

        :param data_asset_id: id of the data asset.
        :param kinds: kinds of objects to search: ``capsule``, ``pipeline``, ``data_asset``.
        :returns: the kind and the object of each use.
        :raises CodeOceanError: if the search fails.
        """
        with self.open_client() as client:
            return search_uses(client, check_identifier("data_asset_id", data_asset_id).strip(), kinds)

    def test_connection(self) -> tuple[bool, str]:
        """Check the connection by reading data assets.

        :returns: whether it works, and a sentence that names the cause if it does not.
        """
        from airflow_provider_codeocean.api.models.data_asset_params import DataAssetSearchParams

        try:
            with self.get_conn(retry_budget=0) as client:
                client.data_assets.search(DataAssetSearchParams(limit=1))
        except (CodeOceanError, ValueError) as error:
            return False, _describe_connection_error(error)
        return True, "Code Ocean knows this access token, and data assets can be read."

    def close(self) -> None:
        """Close the client, if there is one."""
        client = self.__dict__.pop("client", None)
        if client is not None:
            client.close()


def has_connection_changed(
    conn_id: str,
    options: Mapping[str, Any],
    current_options: Mapping[str, Any],
    client: CodeOceanClient | CodeOceanAsyncClient,
) -> bool:
    """Return whether a connection or its certificates have changed, and log the changes."""
    changed = sorted(
        key for key in {*options, *current_options} if options.get(key) != current_options.get(key)
    )
    if client.has_stale_certificates:
        changed.append("certificates")
    if changed:
        log.warning("Connection %s has changed (%s): using the new settings", conn_id, ", ".join(changed))
    return bool(changed)


def _token_for_deployment(url: str, options: Mapping[str, Any]) -> str:
    """Return the current token of a connection, unless the connection now points to another deployment."""
    from airflow_provider_codeocean.api.client import normalize_url

    if normalize_url(options["url"]) != normalize_url(url):
        raise ValueError(f"the connection now points to {normalize_url(options['url'])}")
    token: str = options["token"]
    return token


def _describe_connection_error(error: CodeOceanError | ValueError) -> str:
    """Return the meaning of an error for the connection, as a sentence."""
    match error:
        case Unauthorized():
            return (
                "Code Ocean does not know this access token: it is wrong, expired, or revoked. Correct the "
                f"host if it is not Code Ocean [{error.server}]"
            )
        case ServerError() | RateLimited():
            return f"Code Ocean or a proxy in front of it fails or is overloaded: {error}"
        case Forbidden():
            return f"The access token may not read data assets: {error.message}"
        case CodeOceanApiError() | UnexpectedResponse():
            return f"The host responds, but not as Code Ocean does: {error}"
        case CodeOceanError():
            return f"Code Ocean cannot be reached: {error}"
        case _:
            return f"The connection cannot be used: {error}"
