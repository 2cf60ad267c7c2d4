"""Airflow's connection to Code Ocean, as a client of its REST API."""

from __future__ import annotations

import logging
import time
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self, TypeVar

from airflow.providers.common.compat.connection import get_async_extra_dejson
from airflow.providers.common.compat.sdk import BaseHook, mask_secret

from airflow_provider_codeocean.airflow_errors import naming_what_ran_out_of_time
from airflow_provider_codeocean.api.errors import (
    VISIBILITY_SECONDS,
    CodeOceanApiError,
    CodeOceanError,
    CodeOceanTransportError,
    Forbidden,
    NoCertificates,
    RateLimited,
    ServerError,
    Unauthorized,
    UnexpectedAnswer,
    WaitTimeout,
)
from airflow_provider_codeocean.api.secret import basic
from airflow_provider_codeocean.compat.connections import read_connection
from airflow_provider_codeocean.compat.logs import mask_secret_async
from airflow_provider_codeocean.hooks._connection import check_extra, client_options, with_precedence
from airflow_provider_codeocean.hooks._files import HandlesFiles
from airflow_provider_codeocean.hooks.uses import USE_KINDS, uses_of
from airflow_provider_codeocean.polling.auth_grace import AuthGracePeriod
from airflow_provider_codeocean.polling.shared_client import (
    MIN_REREAD_SECONDS,
    REREAD_SECONDS,
    may_need_another_client,
)
from airflow_provider_codeocean.polling.waits import DataAssetWait
from airflow_provider_codeocean.validation import check_identifier

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from airflow_provider_codeocean.api.client import CodeOceanAsyncClient, CodeOceanClient
    from airflow_provider_codeocean.api.models.capsule import Capsule
    from airflow_provider_codeocean.api.models.data_asset import DataAsset
    from airflow_provider_codeocean.api.request import Call
    from airflow_provider_codeocean.outcomes import WaitEvent
    from airflow_provider_codeocean.polling.waits import Wait

T = TypeVar("T")

log = logging.getLogger(__name__)

#: Seconds for which a task whose wait is over goes on asking for the result, if the server is in trouble
#: then.
PATIENCE = 600.0
#: Seconds between two requests while the access token is refused.
_REFUSED_PAUSE = 10.0


class CodeOceanHook(HandlesFiles, BaseHook):
    """Talk to a Code Ocean deployment.

    The connection holds the deployment's address as host (https unless a scheme is given) and an access
    token as password; extras are ``verify`` (true, false, or the path of certificates to trust), ``timeout``
    (seconds), ``proxy`` (an address), ``require_tls`` (true refuses connections that are not encrypted and
    verified, as ``[codeocean] require_tls`` in Airflow's configuration does for all connections) and
    ``token_grace`` (seconds for which waits tolerate that the token is refused). If Code Ocean refuses the
    token, the connection is read again, and the request is retried if it holds another one.

    :param codeocean_conn_id: id of the connection.
    :param **kwargs: what every hook takes.
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
        """Return the connection form's fields for Airflow 2.11 to 3.1; newer ones read the provider info."""
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
        """Return which standard fields the connection form shows, and under what names."""
        from airflow_provider_codeocean.provider_info import UI_FIELD_BEHAVIOUR

        return {name.replace("-", "_"): value for name, value in UI_FIELD_BEHAVIOUR.items()}

    @cached_property
    def client(self) -> CodeOceanClient:
        """The client, made once for this hook."""
        return self.get_conn()

    def get_conn(self, **options: Any) -> CodeOceanClient:
        """Make a client.

        :param **options: options of the client that take precedence over the connection's, such as
            ``retry_budget``.
        :returns: a client; close it, or use it with ``with``.
        :raises ValueError: if the connection lacks something or holds something wrong.
        """
        return self._make_client(self._read(), **options)

    def _make_client(self, read: Mapping[str, Any], **options: Any) -> CodeOceanClient:
        from airflow_provider_codeocean.api.client import CodeOceanClient

        all_options = with_precedence(read, options)

        def new_token() -> str:
            return _token_for(all_options["url"], self._read())

        if "token" not in options:  # one that is given stays: the connection's may be another user's
            all_options.setdefault("new_token", new_token)
        return self._new_client(CodeOceanClient, all_options)

    def _new_client(self, client_class: Callable[..., T], options: Mapping[str, Any]) -> T:
        """Create a client; an error about one of its options names the connection."""
        try:
            return client_class(**options)
        except ValueError as error:
            kind = NoCertificates if isinstance(error, NoCertificates) else ValueError
            raise kind(f"connection {self.codeocean_conn_id!r}: {error}") from error

    def _read(self) -> dict[str, Any]:
        """Read the connection into a client's options."""
        connection = self.get_connection(self.codeocean_conn_id)
        check_extra(connection)
        options = client_options(connection, connection.extra_dejson)
        mask_secret(str(options["token"]))  # Airflow itself has masked it with the blanks around it
        mask_secret(str(basic(options["token"])))  # as it goes over the wire
        return options

    async def get_async_conn(self, **options: Any) -> CodeOceanAsyncClient:
        """Make a client for the running event loop.

        :param **options: options of the client that take precedence over the connection's.
        :returns: a client; close it, or use it with ``async with``.
        :raises ValueError: if the connection lacks something or holds something wrong.
        """
        return self.make_async_client(await self.read_options_async(), **options)

    def make_async_client(self, read: Mapping[str, Any], **options: Any) -> CodeOceanAsyncClient:
        """Make a client for the running event loop from options that were read before.

        :param read: the connection's options.
        :param **options: options of the client that take precedence over the connection's.
        :returns: a client.
        :raises ValueError: if an option cannot be used.
        """
        from airflow_provider_codeocean.api.client import CodeOceanAsyncClient

        all_options = with_precedence(read, options)

        async def new_token() -> str:
            return _token_for(all_options["url"], await self.read_options_async())

        if "token" not in options:  # as above
            all_options.setdefault("new_token", new_token)
        return self._new_client(CodeOceanAsyncClient, all_options)

    async def read_options_async(self) -> dict[str, Any]:
        """Read the connection into a client's options, in a running event loop.

        :returns: the options.
        :raises ValueError: if the connection lacks something or holds something wrong.
        """
        connection = await read_connection(self.codeocean_conn_id)
        check_extra(connection)
        options = client_options(connection, await get_async_extra_dejson(connection))
        await mask_secret_async(str(options["token"]))  # as above
        await mask_secret_async(str(basic(options["token"])))
        return options

    @property
    def url(self) -> str:
        """The deployment's address, without a slash at the end."""
        with self.get_conn() as client:
            return client.url

    async def get_async_url(self) -> str:
        """Return the deployment's address, without a slash at the end, in a running event loop.

        :returns: the address.
        :raises ValueError: where the connection lacks something or holds something wrong.
        """
        from airflow_provider_codeocean.api.client import base_url

        return base_url((await self.read_options_async())["url"])

    def wait_for_data_asset(
        self, data_asset_id: str, *, poll_interval: float, deadline: float | None = None
    ) -> DataAsset:
        """Wait, in this process, until a data asset is ready. A server out of reach is waited for.

        :param data_asset_id: id of the data asset.
        :param poll_interval: seconds between two looks, above 0.
        :param deadline: when to give up, in Unix seconds; None never gives up.
        :returns: the data asset, ready.
        :raises DataAssetFailed: where its creation failed.
        :raises WaitTimeout: where the deadline passed before.
        :raises CodeOceanError: where Code Ocean refuses to tell.
        """
        asset: DataAsset = self.wait_for(
            DataAssetWait(data_asset_id, poll_interval=poll_interval, deadline=deadline)
        )
        return asset

    def wait_for(self, wait: Wait) -> Any:
        """Wait, in this process, until a target has succeeded. A server out of reach is waited for.

        :param wait: the wait.
        :returns: the target, as it is now.
        :raises WaitTimeout: if the deadline passed before.
        :raises CodeOceanError: if the wait failed otherwise.
        """
        log.info(wait.describe_begin(self.codeocean_conn_id))
        return self._poll(wait, wait.is_over)

    def wait_until_visible(self, wait: Wait) -> Any:
        """Wait, in this process, until a job that was just submitted can be read: other tasks will read it.

        :param wait: the wait for the job, with the time of its submission.
        :returns: the job, as it is now.
        :raises WaitTimeout: if it is not visible in time.
        :raises CodeOceanError: if it is gone.
        """
        wait.deadline = wait.clock() + VISIBILITY_SECONDS
        return self._poll(wait, lambda _: True)

    def conclude(self, event: WaitEvent, wait: Wait) -> Any:
        """Conclude from a trigger's event and from the target as it is now.

        A server out of reach is waited for. A refused access token is tolerated if the wait has succeeded.

        :param event: the trigger's event.
        :param wait: the wait of the trigger.
        :returns: the target, which has succeeded.
        :raises WaitTimeout: if the deadline passed and it is still pending.
        :raises CodeOceanError: if it failed, or the wait did and it is still pending.
        """

        def concluded(seen: Any) -> bool:
            if event["status"] == "success":  # a poll may show less than the one before
                return wait.is_over(seen)
            wait.conclude(event, seen)
            return True

        # After a timeout or a failure, the wait is over: it does not wait again for a server or for a token.
        wait.deadline = wait.clock() + (0.0 if event["status"] == "timeout" else PATIENCE)
        try:
            return self._poll(wait, concluded, tolerates_refusals=event["status"] == "success")
        except WaitTimeout as error:
            if event["status"] == "timeout" and wait.last_state is None:  # the trigger knows more
                raise WaitTimeout(event["message"]) from error
            raise

    def _poll(self, wait: Wait, is_over: Callable[[Any], bool], *, tolerates_refusals: bool = True) -> Any:
        with naming_what_ran_out_of_time(wait.describe), _CurrentClient(self) as current:
            kind = wait.kind.value
            grace = AuthGracePeriod(
                self.codeocean_conn_id, current.client.token_grace if tolerates_refusals else 0.0
            )
            while True:
                before = wait.last_state
                current.refresh(REREAD_SECONDS)
                try:
                    seen = current.client.send(wait.call)
                except CodeOceanError as error:
                    if may_need_another_client(error):
                        if isinstance(error, CodeOceanTransportError):  # which ends the wait
                            time.sleep(max(0.0, current.read_at + MIN_REREAD_SECONDS - time.monotonic()))
                        if current.refresh(MIN_REREAD_SECONDS):
                            continue
                    wait.bear(grace.classify(error))
                    log.warning(
                        "%s %s could not be polled, trying again: %s", kind.capitalize(), wait.id, error
                    )
                else:
                    grace.reset()
                    over = is_over(seen)
                    if wait.last_state != before:
                        log.info("%s %s is in state %s", kind.capitalize(), wait.id, wait.last_state)
                    if over:
                        return seen
                pause = wait.pause()
                if grace.is_refused:
                    pause = min(pause, _REFUSED_PAUSE, grace.remaining())
                time.sleep(pause)

    def send_patiently(self, client: CodeOceanClient, call: Call[T], *, at_most: float) -> T:
        """Send a request, and retry it while the access token is refused and that is tolerated.

        :param client: a client of this connection.
        :param call: the request.
        :param at_most: seconds for which that is tolerated at most, if the connection says more.
        :returns: the response.
        :raises CodeOceanError: if there is none, or it is an error.
        """
        grace = AuthGracePeriod(self.codeocean_conn_id, min(client.token_grace, at_most))
        while True:
            try:
                return client.send(call)
            except Unauthorized as error:
                classified = grace.classify(error)
                if not classified.transient:
                    raise classified from error.__cause__
            time.sleep(_REFUSED_PAUSE)

    def find_data_asset_uses(
        self, data_asset_id: str, kinds: Sequence[str] = USE_KINDS
    ) -> list[tuple[str, Capsule | DataAsset]]:
        """Find the capsules, pipelines, and combined data assets that use a data asset, archived ones too.

        Source: ``POST capsules/search`` and ``pipelines/search`` for the id as free text, which finds those
        that it is attached to (user guide, "List Capsules to which a Data Asset is attached"), and
        ``POST data_assets/search`` for ``contained_data_id``. Search finds only what the token's user can
        see, and possibly nothing that was changed seconds ago.

        :param data_asset_id: id of the data asset.
        :param kinds: where to search: ``capsule``, ``pipeline``, ``data_asset``.
        :returns: the kind and the object, for each use.
        :raises CodeOceanError: if Code Ocean cannot be reached or rejects the search.
        """
        with self.get_conn() as client:
            return uses_of(client, check_identifier("data_asset_id", data_asset_id).strip(), kinds)

    def test_connection(self) -> tuple[bool, str]:
        """Check whether the connection works, and if not, whether token, host, or network are at fault.

        :returns: whether it works, and a sentence to show.
        """
        from airflow_provider_codeocean.api.models.data_asset_params import DataAssetSearchParams

        try:
            with self.get_conn(retry_budget=0) as client:
                client.data_assets.search(DataAssetSearchParams(limit=1))
        except (CodeOceanError, ValueError) as error:
            return False, _explain(error)
        return True, "Code Ocean knows this access token, and data assets can be read."

    def close(self) -> None:
        """Close the client, if there is one."""
        client = self.__dict__.pop("client", None)
        if client is not None:
            client.close()


class _CurrentClient:
    """The client of a wait in this process. It is replaced when the connection is edited.

    :param hook: the hook.
    :ivar client: the client.
    :ivar read_at: when the connection was read, by the monotonic clock.
    """

    def __init__(self, hook: CodeOceanHook) -> None:
        self._hook = hook
        self._options = hook._read()  # noqa: SLF001 - of this module
        self.read_at = time.monotonic()
        self.client = self._make(self._options)

    def _make(self, options: Mapping[str, Any]) -> CodeOceanClient:
        # The wait itself retries, and reads the connection again.
        return self._hook._make_client(options, retry_budget=0, new_token=None)  # noqa: SLF001

    def refresh(self, at_most_every: float) -> bool:
        """Read the connection again, if that is some time ago.

        :param at_most_every: after how many seconds.
        :returns: whether there is another client.
        """
        if time.monotonic() - self.read_at < at_most_every:
            return False
        self.read_at = time.monotonic()
        name = self._hook.codeocean_conn_id
        try:
            options = self._hook._read()  # noqa: SLF001
            if not has_changed(name, self._options, options, self.client):
                return False
            replaced, self.client = self.client, self._make(options)
        except Exception as error:  # noqa: BLE001 - secrets backends have errors of their own
            log.warning("Connection %s cannot be read again, using it as it was: %s", name, error)
            return False
        self._options = options
        replaced.close()
        return True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()


def has_changed(
    name: str,
    options: Mapping[str, Any],
    read: Mapping[str, Any],
    client: CodeOceanClient | CodeOceanAsyncClient,
) -> bool:
    """Return whether a connection, or a file of certificates, has changed since a client was made; log it.

    :param name: id of the connection.
    :param options: the options that the client was made with.
    :param read: those that the connection holds now.
    :param client: the client.
    :returns: whether another client is needed.
    """
    changed = sorted(key for key in {*options, *read} if options.get(key) != read.get(key))
    if client.is_outdated:
        changed.append("certificates")
    if changed:
        log.warning("Connection %s has changed (%s): going on with it as it is now", name, ", ".join(changed))
    return bool(changed)


def _token_for(url: str, options: Mapping[str, Any]) -> str:
    """Return the token that a connection holds by now, which may be shown to no other deployment.

    :param url: address of the deployment that is to be shown it.
    :param options: what the connection holds by now.
    :returns: the token.
    :raises ValueError: where the connection leads to another deployment by now.
    """
    from airflow_provider_codeocean.api.client import base_url

    if base_url(options["url"]) != base_url(url):
        raise ValueError(f"the connection leads to {base_url(options['url'])} by now")
    token: str = options["token"]
    return token


def _explain(error: CodeOceanError | ValueError) -> str:
    """Return a sentence about what an error means for the connection."""
    match error:
        case Unauthorized():
            return (
                "Code Ocean does not know this access token: it is wrong, expired, or revoked. Correct the "
                f"host if it is not Code Ocean [{error.server}]"
            )
        case ServerError() | RateLimited():
            return f"Code Ocean, or a proxy in front of it, is in trouble or busy: {error}"
        case Forbidden():
            return f"The access token may not read data assets: {error.message}"
        case CodeOceanApiError() | UnexpectedAnswer():
            return f"The host answers, but not as Code Ocean does: {error}"
        case CodeOceanError():
            return f"Code Ocean cannot be reached: {error}"
        case _:
            return f"The connection cannot be used: {error}"
