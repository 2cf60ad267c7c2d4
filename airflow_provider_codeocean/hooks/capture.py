"""The steps of a capture, carried out in a worker: what is the same for whatever is made."""

from __future__ import annotations

import logging
import time
from abc import ABC, abstractmethod
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from airflow.providers.common.compat.sdk import conf

from airflow_provider_codeocean.api.errors import CodeOceanError, NotFound
from airflow_provider_codeocean.capture.key import Attempt
from airflow_provider_codeocean.capture.steps import (
    Create,
    Find,
    Found,
    Intent,
    Look,
    M,
    Overtaken,
    Pause,
    Recall,
    Remember,
    Remove,
    Step,
    run,
)
from airflow_provider_codeocean.compat.metrics import metrics_in_worker
from airflow_provider_codeocean.hooks.codeocean import PATIENCE
from airflow_provider_codeocean.polling.metrics import CAPTURES

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_codeocean.api.client import CodeOceanClient
    from airflow_provider_codeocean.capture.key import Keys
    from airflow_provider_codeocean.capture.once import CaptureOnce
    from airflow_provider_codeocean.capture.steps import Capture
    from airflow_provider_codeocean.compat.state import DurableState
    from airflow_provider_codeocean.hooks.codeocean import CodeOceanHook
    from airflow_provider_codeocean.removal import Removed
    from airflow_provider_codeocean.states import Verdict

P = TypeVar("P")

log = logging.getLogger(__name__)

#: Where the intent is in a task's durable state.
STATE_KEY = "codeocean_capture"


class Capturing(ABC, Generic[M, P]):
    """Carries out :class:`~airflow_provider_codeocean.capture.once.CaptureOnce` for one kind of thing.

    A subclass says how a thing of that kind is made, found by its key, read and removed.

    :param hook: leads to Code Ocean.
    :param once: the protocol.
    :param asked: what to make.
    :param state: the task's durable state, if there is one.
    :param go_on: called before each step; raises where the task is to go no further.
    :param overtaken: tells whether Airflow has begun a later try.
    :param check: checks what to make by what the deployment tells, just before it is made, and returns it as
        it is to be sent.
    :ivar begun: what there is to wait for, as soon as it is known.
    :ivar what: what it is called in a sentence.
    :ivar model: what the API returns for it.
    :ivar carries: how it carries its key, in a sentence.
    """

    what: ClassVar[str]
    model: ClassVar[type[Any]]
    carries: ClassVar[str]

    def __init__(
        self,
        hook: CodeOceanHook,
        once: CaptureOnce[M],
        asked: P,
        *,
        state: DurableState | None,
        go_on: Callable[[], None],
        overtaken: Callable[[], bool],
        check: Callable[[P], P] | None = None,
    ) -> None:
        self.begun: M | None = None
        self._hook = hook
        self._once = once
        self._asked = asked
        self._check = check
        self._checked: P | None = None
        self._state = state
        self._go_on = go_on
        self._overtaken = overtaken

    @property
    def key(self) -> str:
        """The key."""
        return self._once.keys.own

    @staticmethod
    @abstractmethod
    def verdict(made: M) -> Verdict:
        """Tell what its state means: one that failed is not gone on with."""

    @staticmethod
    @abstractmethod
    def remove(client: CodeOceanClient, made_id: str, *, even_if_done: bool) -> Removed:
        """Delete it.

        :param client: the client.
        :param made_id: its id.
        :param even_if_done: delete it in any state; else it is left where the wait for it is over.
        :returns: what became of it.
        """

    @staticmethod
    def is_ours(made: M, keys: Keys) -> bool:  # noqa: ARG004 - for subclasses
        """Tell whether what was taken for the task's own does not carry the key of another.

        :param made: what was made.
        :param keys: the keys of the capture.
        :returns: whether it does not.
        """
        return True

    @abstractmethod
    def find(self, client: CodeOceanClient, step: Find) -> Found:
        """Find what carries one of the keys; see the step."""

    @abstractmethod
    def look(self, client: CodeOceanClient, made_id: str) -> M:
        """Read one; that it is gone is the error :class:`NotFound`."""

    @abstractmethod
    def create(self, client: CodeOceanClient, params: P) -> M:
        """Make one that carries the key, and note it as :attr:`begun` as soon as its id is known."""

    @abstractmethod
    def differences(self, made: M, asked: P) -> list[str]:
        """Say in what an adopted one differs from what was asked for, in halves of a sentence."""

    def begin(self) -> Capture[M]:
        """Go on with what was made before, or make it; see the protocol.

        :returns: what to go on with.
        """
        log.info(
            "To make one %s on connection %s, with the key %s",
            self.what,
            self._hook.codeocean_conn_id,
            self.key,
        )
        with self._hook.get_conn() as client:
            capture = run(self._once.begin(), partial(self._do, client))
        self.begun = capture.made
        self._count("adopted" if capture.adopted else "created")
        if capture.adopted:
            log.info(
                "Going on with %s %s, made by an earlier or another try of this task",
                self.what,
                self.describe(capture.made),
            )
            if differs := self.differences(capture.made, self._asked):
                what = self.what.capitalize()
                log.warning("%s %s was made with %s, which stays", what, capture.made.id, ", ".join(differs))
        return capture

    def finish(self, capture: Capture[M]) -> M | None:
        """Make sure that it is the only one, and ours; see the protocol.

        :param capture: what was gone on with.
        :returns: what stays; None where it is another task's: :meth:`begin` again.
        """
        if not capture.look_again:
            return capture.made
        with self._hook.get_conn(retry_budget=PATIENCE) as client:
            stays = run(self._once.finish(capture), partial(self._do, client))
        self.begun = stays
        if stays is None:
            what = self.what.capitalize()
            log.warning(
                "%s %s is another task's, and was taken for this one's by mistake", what, capture.made.id
            )
        return stays

    def rescue(self) -> Capture[M] | None:
        """Find another one in place of one that is gone; see the protocol.

        :returns: what to go on with, None where there is nothing.
        """
        with self._hook.get_conn() as client:
            capture = run(self._once.rescue(), partial(self._do, client))
        if capture:
            self.begun = capture.made
            log.info("Going on with %s %s instead", self.what, capture.made.id)
        return capture

    def describe(self, made: M) -> str:
        """Return its id and state, for a sentence."""
        return f"{made.id} ({getattr(made, 'state', None)})"

    def _count(self, how: str) -> None:
        tags = {
            "connection": self._hook.codeocean_conn_id,
            "what": self.what.replace(" ", "_"),
            "how": how,
        }
        try:
            metrics_in_worker().incr(CAPTURES.name, tags=tags)
        except Exception as error:  # noqa: BLE001 - whatever becomes of the metrics, it has been made
            log.warning("The capture with the key %s is not counted: %s", self.key, error)

    def _do(self, client: CodeOceanClient, step: Step) -> Any:
        self._go_on()
        answer: Any = None
        match step:
            case Recall():
                answer = Intent.from_json(self._state.get(STATE_KEY)) if self._state is not None else None
            case Remember(intent):
                if intent.made is None:
                    self._check_before_it_is_made()
                self._remember(intent)
            case Find():
                answer = self._find(client, step)
            case Look(made_id):
                answer = self._look(client, made_id)
            case Create():
                answer = self._create(client)
            case Overtaken():
                answer = self._overtaken()
            case Remove(made_id, instead):
                self._remove(client, made_id, instead)
            case Pause(seconds):
                log.info(
                    "Looking for the key %s again in %.0f s: what was made just now may not be found yet",
                    self.key,
                    seconds,
                )
                time.sleep(seconds)
        return answer

    def _remember(self, intent: Intent) -> None:
        if self._state is None:
            return
        try:
            self._state.set(STATE_KEY, intent.to_json())
        except Exception as error:
            if intent.made is None:
                raise
            # A retry finds it by its key: no reason to give it up.
            log.warning("Could not remember %s %s: %s", self.what, intent.made, error)

    def _check_before_it_is_made(self) -> None:
        if self._checked is None:
            self._checked = self._asked if self._check is None else self._check(self._asked)

    def _find(self, client: CodeOceanClient, step: Find) -> Found:
        try:
            return self.find(client, step)
        except CodeOceanError as error:
            log.warning(
                "Could not look for the key %s, with which another try may have made one: %s",
                self.key,
                error,
            )
            raise

    def _look(self, client: CodeOceanClient, made_id: str) -> M | None:
        try:
            return self.look(client, made_id)
        except NotFound:
            return None

    def _create(self, client: CodeOceanClient) -> M:
        try:
            return self.create(client, self._asked if self._checked is None else self._checked)
        except CodeOceanError as error:
            if error.maybe_applied:
                log.warning(
                    "Whether the %s was created is not known, looking for its key %s: %s",
                    self.what,
                    self.key,
                    error,
                )
            raise

    def _remove(self, client: CodeOceanClient, made_id: str, instead: str) -> None:
        log.warning("Two tries made a %s each: %s stays, %s is removed", self.what, instead, made_id)
        try:
            log.info("%s", self.remove(client, made_id, even_if_done=True))
        except CodeOceanError as error:
            what = self.what.capitalize()
            log.warning("%s %s could not be removed and is one too many: %s", what, made_id, error)


def attempt_of(context: Context, retries: int) -> Attempt:
    """Tell which try of which task instance this is.

    :param context: context of the running task.
    :param retries: how many retries the task has.
    :returns: the try.
    """
    ti = context["ti"]
    # Clearing a task adds its retries to those that it has used: Airflow itself reckons so.
    first_try = int(ti.max_tries or 0) - retries + 1
    return Attempt(
        dag_id=ti.dag_id,
        run_id=str(ti.run_id),
        task_id=ti.task_id,
        map_index=-1 if ti.map_index is None else ti.map_index,
        try_number=ti.try_number,
        first_try=min(max(1, first_try), max(1, ti.try_number)),
        namespace=conf.get("codeocean", "namespace", fallback=""),
    )
