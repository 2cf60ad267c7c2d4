"""The submission protocol among crashes, lost responses, lags, false 404s, dropped tags, Clears, and zombies.

A state machine for hypothesis. Its attempts are the real protocol (:class:`SubmitOnce`), whose commands are
carried out one at a time, in any order, on the emulator: real requests, its real store, a clock moved by
hand. The model adds the world around them: processes that die between two commands, requests that arrive
late, reads that a proxy answers, and Airflow, which starts the next attempt.
"""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from airflow_provider_codeocean.api.client import CodeOceanClient
from airflow_provider_codeocean.api.errors import (
    VISIBILITY_SECONDS,
    AlreadyExists,
    CodeOceanError,
    CodeOceanTransportError,
    UnexpectedAnswer,
)
from airflow_provider_codeocean.api.models.data_asset_params import DataAssetParams
from airflow_provider_codeocean.emulator import Transitions
from airflow_provider_codeocean.emulator.domain.clock import ManualClock, Policy, Work
from airflow_provider_codeocean.operators._submit_once.data_asset import DataAssetJob
from airflow_provider_codeocean.outcomes import Verdict, data_asset_verdict
from airflow_provider_codeocean.submission.commands import (
    CheckSuperseded,
    Command,
    Commands,
    FindByKey,
    Get,
    LoadRecord,
    SaveRecord,
    Sleep,
    Submission,
    SubmissionRecord,
    Submit,
)
from airflow_provider_codeocean.submission.keys import IdempotencyKeys, OnExisting, TaskAttempt
from airflow_provider_codeocean.submission.protocol import SubmitOnce

if TYPE_CHECKING:
    from airflow_provider_codeocean.api.models.data_asset import DataAsset
    from airflow_provider_codeocean.emulator import EmulatorServer

_runs = itertools.count()
_BEGIN = 1_800_000_000.0
#: Seconds within which a server has done what a client asked that is gone, and what a living one asked.
_LATEST_ARRIVAL, _LONGEST_REQUEST = 10.0, 100.0


@dataclass(repr=False)
class Try:
    """One try of the task: one process.

    :param number: its number.
    :param once: the protocol, as this try knows it.
    :param steps: what it is at.
    :param pending: the step it does next; None while it waits for the data asset.
    :param arrives_by: when the request arrives at the latest that it has sent; None where there is none.
    :param result: what its data asset is called: tells for certain what belongs together, key or not.
    """

    number: int
    once: SubmitOnce[DataAsset]
    steps: Commands[Any]
    pending: Command | None = None
    capture: Submission[DataAsset] | None = None
    wakes_at: float = 0.0
    arrives_by: float | None = None
    result: str = ""
    alive: bool = True
    ended: str | None = None

    def __repr__(self) -> str:
        return f"try {self.number}, at {self.pending}"


@dataclass
class Task:
    """What Airflow knows of the task.

    :param first_try: the first try since it was cleared last.
    :param retries: what the DAG file says.
    :param max_tries: what Airflow keeps in its database, one value for each Clear.
    :param state: its durable state.
    :param result: id that it succeeded with, since it was cleared last.
    :param failed: whether it failed for good.
    """

    run_id: str
    first_try: int = 1
    retries: int = 2
    max_tries: list[int] = field(default_factory=lambda: [2])
    tries: list[Try] = field(default_factory=list)
    state: dict[str, Any] = field(default_factory=dict)
    result: str | None = None
    failed: bool = False


class CaptureModel(RuleBasedStateMachine):
    """Any interleaving; see the module. A subclass may plant a bug."""

    server: ClassVar[EmulatorServer]
    Protocol: ClassVar[type[SubmitOnce[DataAsset]]] = SubmitOnce

    @initialize(
        airflow=st.sampled_from(["2.11", "3.0", "3.3"]),
        on_existing=st.sampled_from(["adopt", "create", "fail"]),
        lag=st.sampled_from([0.0, 3.0, 30.0]),
        read_lag=st.sampled_from([0.0, 5.0, VISIBILITY_SECONDS - 20.0]),
        seconds=st.sampled_from([0.0, 5.0, 100.0]),
        drops_tags=st.sampled_from([False, False, False, True]),
    )
    def begin(
        self,
        airflow: str,
        on_existing: OnExisting,
        lag: float,
        read_lag: float,
        seconds: float,
        drops_tags: bool,
    ) -> None:
        """Make a world with one task in it.

        :param airflow: version of Airflow.
        :param on_existing: what a cleared task does.
        :param lag: seconds by which search lags behind writes.
        :param read_lag: seconds for which a GET of a new data asset responds with 404.
        :param seconds: until a data asset is ready.
        :param drops_tags: whether the server drops the tags of new data assets.
        """
        self.read_lag, self.drops_tags, self.has_warned = read_lag, drops_tags, False
        emulator, number = self.server.emulator, next(_runs)
        emulator.search_lag = lag
        emulator.transitions = Transitions.all(Policy(seconds=seconds))
        # The same to the last digit each time that an example is run.
        self.clock = emulator.clock = ManualClock(_BEGIN)
        ids = itertools.count()
        emulator.new_id = lambda: f"asset-{number}-{next(ids)}"  # type: ignore[method-assign]
        self.durable, self.on_existing = airflow == "3.3", on_existing
        self.listens_to_zombies = airflow == "2.11"
        self.client = CodeOceanClient(self.server.url, self.server.env["CODEOCEAN_TOKEN"])
        computation = {"computation": {"id": self.server.env["CODEOCEAN_COMPUTATION_ID"]}}
        self.params = DataAssetParams.model_validate(
            {"name": "n", "mount": "m", "tags": ["mine"], "source": computation}
        )
        self.task = Task(run_id=f"run {number}")
        self.late: list[tuple[float, str, str]] = []
        self.orderly = True
        self.start()

    # What Airflow does.

    def attempt(self, number: int) -> TaskAttempt:
        """Tell a try who it is."""
        return TaskAttempt("dag", self.task.run_id, "task", -1, number, self.task.max_tries[-1])

    def keys_of(self, attempt: TaskAttempt) -> IdempotencyKeys:
        """Derive the keys of a try."""
        return IdempotencyKeys.of(attempt, {"what": "is captured"}, self.on_existing)

    def is_ours(self, made: DataAsset, keys: IdempotencyKeys) -> bool:
        """Tell a try whether what it took for its own still shows no other key."""
        return DataAssetJob.is_own(made, keys)

    @property
    def living(self) -> list[Try]:
        """The tries whose process lives."""
        return [each for each in self.task.tries if each.alive]

    @property
    def over(self) -> bool:
        """Whether Airflow sees no reason for another try."""
        return self.task.result is not None or self.task.failed

    @precondition(lambda self: not self.over and not self.living)
    @rule()
    def retry(self) -> None:
        """Airflow starts the next try."""
        self.start()

    def start(self) -> None:
        """The next try begins."""
        number = len(self.task.tries) + 1
        attempt = self.attempt(number)
        keys = self.keys_of(attempt)
        once = self.Protocol(
            attempt,
            keys,
            has_durable_state=self.durable,
            is_usable=lambda asset: data_asset_verdict(asset) is not Verdict.FAILED,
            is_own=lambda asset: self.is_ours(asset, keys),
            now=self.clock.now,
        )
        since = 1 if self.on_existing == "adopt" else self.task.first_try
        begun = Try(number, once, once.start(), result=f"{self.task.run_id}, from try {since}")
        self.task.tries.append(begun)
        self._send(begun, None)

    @precondition(lambda self: not self.over and 0 < len(self.living) < 3)
    @rule()
    def start_beside_a_zombie(self) -> None:
        """Airflow takes a living process for dead."""
        self.orderly = False
        self.start()

    @precondition(lambda self: self.living)
    @rule(data=st.data())
    def kill(self, data: st.DataObject) -> None:
        """A process dies between two steps, or with a request on its way."""
        self._kill(data.draw(st.sampled_from(self.living), "who dies"))

    @precondition(lambda self: self.over or any(each.capture for each in self.living))
    @rule()
    def clear(self) -> None:
        """A user clears the task: what lives is killed, and its tries count anew."""
        for each in self.living:
            self._kill(each)
        self.task.first_try = len(self.task.tries) + 1
        while len(self.task.tries) + self.task.retries in self.task.max_tries:
            # Lowered by just as many as there were attempts: Airflow shows no Clear then.
            self.task.retries += 1
        self.task.max_tries.append(len(self.task.tries) + self.task.retries)
        self.task.result, self.task.failed = None, False

    @rule(retries=st.integers(0, 5))
    def edit_retries(self, retries: int) -> None:
        """A user edits the DAG file, which changes nothing that Airflow keeps for the task."""
        self.task.retries = retries

    def _kill(self, victim: Try) -> None:
        victim.alive = False
        if victim.arrives_by is not None:
            self._send_late(victim)
            victim.arrives_by = None

    def _send_late(self, each: Try) -> None:
        self.orderly = False
        self.late.append((self.clock.now() + _LATEST_ARRIVAL, each.once.keys.current, each.result))

    # What the world does.

    @rule(seconds=st.sampled_from([1.0, 9.0, 35.0, 130.0]))
    def let_time_pass(self, seconds: float) -> None:
        """Time passes; what is on its way arrives."""
        self._until(self.clock.now() + seconds)

    @precondition(lambda self: self.late)
    @rule(data=st.data())
    def arrive(self, data: st.DataObject) -> None:
        """A request arrives whose client is gone."""
        arrival = data.draw(st.sampled_from(self.late), "what arrives")
        self.late.remove(arrival)
        self._create(*arrival[1:])

    @precondition(lambda self: any(not self._is_final(asset) for asset in self._live()))
    @rule(data=st.data())
    def fail_an_asset(self, data: st.DataObject) -> None:
        """A draft fails."""
        drafts = [asset.id for asset in self._live() if not self._is_final(asset)]
        asset = self.server.store.data_assets.get(data.draw(st.sampled_from(drafts), "what fails"))
        assert asset is not None
        now = self.clock.now()
        self.server.store.data_assets.put(replace(asset, work=Work(started=now), failure_reason="disk full"))

    def _until(self, moment: float) -> None:
        """Move the clock, and let happen on the way what must."""
        while due := sorted(arrival for arrival in self.late if arrival[0] <= moment):
            self._move_clock(due[0][0])
            self.late.remove(due[0])
            self._create(*due[0][1:])
        for each in self.living:
            if each.arrives_by is not None and each.arrives_by <= moment:
                self._move_clock(each.arrives_by)
                self._answer(each)
        self._move_clock(moment)

    def _move_clock(self, moment: float) -> None:
        self.clock.advance(max(0.0, moment - self.clock.now()))

    def _create(self, key: str, result: str) -> DataAsset:
        tags = [] if self.drops_tags else [key]
        tagged = self.params.model_copy(update={"name": result, "tags": tags})
        return self.client.data_assets.create(tagged)

    def _answer(self, each: Try) -> None:
        each.arrives_by = None
        self._respond(each, self._create(each.once.keys.current, each.result))

    def _respond(self, each: Try, asset: DataAsset) -> None:
        self.has_warned |= self.drops_tags and not self._job_type(each.once).has_key(asset)
        self._send(each, asset)

    # What a process does.

    @precondition(lambda self: self.living)
    @rule(data=st.data(), count=st.sampled_from([1, 2, 3, 60]))
    def step(self, data: st.DataObject, count: int) -> None:
        """A process does its next steps, or all that it can."""
        each = data.draw(st.sampled_from(self.living), "who")
        for _ in range(count):
            if each.alive and (each.pending is not None or count < 60):
                ends = ["answered"]
                if isinstance(each.pending, Submit) and each.arrives_by is None:
                    ends += ["lost", "refused", "not done", "held", "late"]
                elif isinstance(each.pending, Get | FindByKey):
                    ends += ["answered", "answered", "page with 404"]
                    if isinstance(each.pending, Get) and not self.drops_tags:  # a search shows the job
                        ends.append("false 404")
                end = data.draw(st.sampled_from(ends), "the request")
                if end == "page with 404":
                    self._answer_by_proxy(each)
                elif end == "false 404":
                    self._answer_by_gateway(each)
                else:
                    self._step(each, end)

    def _answer_by_proxy(self, each: Try) -> None:
        if each.wakes_at > self.clock.now():
            self._until(each.wakes_at)
        if each.alive:
            self._throw(each, UnexpectedAnswer("404 with a page", status=404))

    def _answer_by_gateway(self, each: Try) -> None:
        """Answer a read as a gateway without a route does, which cannot be told from Code Ocean's 404."""
        if each.wakes_at > self.clock.now():
            self._until(each.wakes_at)
        if each.alive:
            self._send(each, None)

    def _step(self, each: Try, request: str = "answered") -> None:
        if each.wakes_at > self.clock.now():
            self._until(each.wakes_at)
            if not each.alive:
                return
        if each.arrives_by is not None:
            self._answer(each)
            return
        match each.pending:
            case None:
                self._wait(each)
            case Submit():
                self._request(each, request)
            case Sleep(seconds):
                each.wakes_at = self.clock.now() + seconds
                self._send(each, None)
            case LoadRecord():
                self._send(each, SubmissionRecord.from_json(self.task.state.get("intent")))
            case SaveRecord(intent):
                self._remember(intent)
                self._send(each, None)
            case CheckSuperseded():
                self._send(each, self.listens_to_zombies and each is not self.task.tries[-1])
            case step:
                self._send(each, self._carry_out(step))

    def _remember(self, intent: SubmissionRecord) -> None:
        if self.durable:
            self.task.state["intent"] = intent.to_json()

    def _carry_out(self, step: Command) -> Any:
        if isinstance(step, Get) and self._is_hidden(step.external_id):
            return None
        return self._job_type(None)._do(self.client, step)

    def _is_hidden(self, external_id: str) -> bool:
        asset = self.server.store.data_assets.get(external_id)
        return asset is not None and self.clock.now() < asset.created + self.read_lag

    def _job_type(self, once: Any) -> DataAssetJob:
        hook: Any = None
        return DataAssetJob(hook, once, self.params, state=None, go_on=lambda: None, overtaken=bool)

    def _request(self, each: Try, how: str) -> None:
        """Send the request that creates."""
        lost = CodeOceanTransportError("the answer is lost", maybe_applied=True)
        match how:
            case "answered":
                self._respond(each, self._create(each.once.keys.current, each.result))
            case "lost":
                self._create(each.once.keys.current, each.result)
                self._throw(each, lost)
            case "not done":
                self._throw(each, lost)
            case "refused":
                self._throw(each, CodeOceanTransportError("connection refused"))
            case "late":
                self._send_late(each)
                self._throw(each, lost)
            case "held":
                each.arrives_by = self.clock.now() + _LONGEST_REQUEST

    def _wait(self, each: Try) -> None:
        """Get at the data asset, as an operator does."""
        assert each.capture is not None
        asset = self._carry_out(Get(each.capture.job.id))
        if asset is None:
            if self.clock.now() >= each.capture.submitted_at + VISIBILITY_SECONDS:
                self._go_on_with(each, each.once.find_replacement())
        elif data_asset_verdict(asset) is Verdict.FAILED:
            self._end(each, "failed for good")
        elif data_asset_verdict(asset) is Verdict.SUCCEEDED:
            each.capture = replace(each.capture, job=asset)
            self._go_on_with(each, self._finish(each.once, each.capture))

    def _finish(self, once: SubmitOnce[DataAsset], capture: Submission[DataAsset]) -> Commands[Any]:
        stays = yield from once.confirm(capture)
        return (yield from once.start()) if stays is None else stays

    def _go_on_with(self, each: Try, steps: Commands[Any]) -> None:
        each.steps = steps
        self._send(each, None)

    def _send(self, each: Try, answer: Any) -> None:
        try:
            each.pending = each.steps.send(answer)
        except StopIteration as end:
            self._returned(each, end.value)
        except AlreadyExists:
            self._end(each, "failed for good")
        except CodeOceanError as raised:
            self._end(each, str(raised))

    def _throw(self, each: Try, error: CodeOceanError) -> None:
        try:
            each.pending = each.steps.throw(error)
        except StopIteration as end:
            self._returned(each, end.value)
        except CodeOceanError as raised:
            self._end(each, str(raised))

    def _returned(self, each: Try, value: Any) -> None:
        each.pending = None
        match value:
            case None:
                self._end(each, "its job is gone")
            case Submission():
                each.capture = value
            case _ if each.capture is not None and value.id == each.capture.job.id:
                self._end(each, "success")
            case _:
                each.capture = Submission(value, adopted=True)

    def _end(self, each: Try, how: str) -> None:
        each.alive, each.ended = False, how
        if each is not self.task.tries[-1]:
            if not self.listens_to_zombies:
                return
            for other in self.living:  # Airflow 2 ends the try that it has begun in place of this one
                self._kill(other)
        if how == "failed for good":
            self.task.failed = True
        elif how == "success":
            assert each.capture is not None
            self.task.result = each.capture.job.id
            asset = self.client.data_assets.get(self.task.result)
            assert asset.state == "ready", "a success without a data asset that is ready"

    # What must hold.

    def _live(self) -> list[Any]:
        """All data assets of this task that did not fail, from the store itself."""
        now = self.clock.now()
        return [
            asset
            for asset in self.server.store.data_assets.all()
            if asset.name.startswith(f"{self.task.run_id},") and asset.state(now) != "failed"
        ]

    def _is_final(self, asset: Any) -> bool:
        return asset.state(self.clock.now()) != "draft"

    def _count(self) -> Counter[str]:
        return Counter(asset.name for asset in self._live())

    @invariant()
    def one_try_at_a_time_never_makes_two(self) -> None:
        """Where no two processes and no late request were there, there are not even two for a while."""
        if hasattr(self, "task") and self.orderly and not self.drops_tags:
            assert all(count == 1 for count in self._count().values()), "two data assets of one capture"

    def teardown(self) -> None:
        """Let everything come to its end: one data asset, the one that the task succeeded with."""
        if not hasattr(self, "task"):
            return
        try:
            self._come_to_an_end()
            if self.task.result is not None:
                count = self._count()[self.task.tries[-1].result]
                assert count == 1 or self.has_warned, f"{count} data assets of one capture"
                assert self.client.data_assets.get(self.task.result).state == "ready"
        finally:
            self.client.close()

    def _come_to_an_end(self) -> None:
        for _ in range(1000):
            if self.late:
                self._until(max(by for by, *_ in self.late))
            if not self.living:
                if self.over or not self.task.tries:
                    return
                self.start()
            for each in self.living:
                if each.pending is None and each.capture is not None:
                    self._until(self.clock.now() + 10)
                if each.alive:
                    self._step(each)
        raise AssertionError("the task comes to no end")
