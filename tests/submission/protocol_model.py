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
    NOT_FOUND_GRACE_SECONDS,
    AlreadyExists,
    CodeOceanError,
    CodeOceanTransportError,
    UnexpectedResponse,
)
from airflow_provider_codeocean.api.models.data_asset_params import DataAssetParams
from airflow_provider_codeocean.emulator import Transitions
from airflow_provider_codeocean.emulator.domain.clock import ManualClock, Policy, Work
from airflow_provider_codeocean.operators._submit_once.data_asset import DataAssetJob
from airflow_provider_codeocean.outcomes import Outcome, data_asset_outcome
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

_run_numbers = itertools.count()
_START_TIME = 1_800_000_000.0
#: Seconds within which a server has done what a client asked that is gone, and what a living one asked.
_LATE_REQUEST_SECONDS, _MAX_REQUEST_SECONDS = 10.0, 100.0


@dataclass(repr=False)
class AttemptProcess:
    """One try of the task: one process.

    :param number: its number.
    :param protocol: the protocol, as this try knows it.
    :param commands: what it is at.
    :param pending_command: the step it does next; None while it waits for the data asset.
    :param arrives_by: when the request arrives at the latest that it has sent; None where there is none.
    :param asset_name: what its data asset is called: tells for certain what belongs together, key or not.
    """

    number: int
    protocol: SubmitOnce[DataAsset]
    commands: Commands[Any]
    pending_command: Command | None = None
    submission: Submission[DataAsset] | None = None
    wakes_at: float = 0.0
    arrives_by: float | None = None
    asset_name: str = ""
    is_alive: bool = True
    outcome: str | None = None

    def __repr__(self) -> str:
        return f"try {self.number}, at {self.pending_command}"


@dataclass
class TaskModel:
    """What Airflow knows of the task.

    :param first_attempt: the first try since it was cleared last.
    :param retries: what the DAG file says.
    :param max_tries: what Airflow keeps in its database, one value for each Clear.
    :param state: its durable state.
    :param result: id that it succeeded with, since it was cleared last.
    :param has_failed: whether it failed for good.
    """

    run_id: str
    first_attempt: int = 1
    retries: int = 2
    max_tries: list[int] = field(default_factory=lambda: [2])
    attempts: list[AttemptProcess] = field(default_factory=list)
    state: dict[str, Any] = field(default_factory=dict)
    result: str | None = None
    has_failed: bool = False


class SubmissionModel(RuleBasedStateMachine):
    """Any interleaving; see the module. A subclass may plant a bug."""

    server: ClassVar[EmulatorServer]
    protocol_class: ClassVar[type[SubmitOnce[DataAsset]]] = SubmitOnce

    @initialize(
        airflow=st.sampled_from(["2.11", "3.0", "3.3"]),
        on_existing=st.sampled_from(["adopt", "create", "fail"]),
        lag=st.sampled_from([0.0, 3.0, 30.0]),
        read_lag=st.sampled_from([0.0, 5.0, NOT_FOUND_GRACE_SECONDS - 20.0]),
        seconds=st.sampled_from([0.0, 5.0, 100.0]),
        drops_tags=st.sampled_from([False, False, False, True]),
    )
    def create_task(
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
        emulator, number = self.server.emulator, next(_run_numbers)
        emulator.search_lag = lag
        emulator.transitions = Transitions.all(Policy(seconds=seconds))
        # The same to the last digit each time that an example is run.
        self.clock = emulator.clock = ManualClock(_START_TIME)
        ids = itertools.count()
        emulator.new_id = lambda: f"asset-{number}-{next(ids)}"  # type: ignore[method-assign]
        self.has_durable_state, self.on_existing = airflow == "3.3", on_existing
        self.accepts_zombie_results = airflow == "2.11"
        self.client = CodeOceanClient(self.server.url, self.server.env["CODEOCEAN_TOKEN"])
        computation = {"computation": {"id": self.server.env["CODEOCEAN_COMPUTATION_ID"]}}
        self.params = DataAssetParams.model_validate(
            {"name": "n", "mount": "m", "tags": ["mine"], "source": computation}
        )
        self.task = TaskModel(run_id=f"run {number}")
        self.late_requests: list[tuple[float, str, str]] = []
        self.is_sequential = True
        self.start_attempt()

    # What Airflow does.

    def build_attempt(self, number: int) -> TaskAttempt:
        """Tell a try who it is."""
        return TaskAttempt("dag", self.task.run_id, "task", -1, number, self.task.max_tries[-1])

    def build_keys(self, attempt: TaskAttempt) -> IdempotencyKeys:
        """Derive the keys of a try."""
        return IdempotencyKeys.derive(attempt, {"what": "is captured"}, self.on_existing)

    def is_usable(self, asset: DataAsset) -> bool:
        """Return whether a try can continue with a data asset."""
        return data_asset_outcome(asset) is not Outcome.FAILED

    def is_own(self, asset: DataAsset, keys: IdempotencyKeys) -> bool:
        """Tell a try whether what it took for its own still shows no other key."""
        return DataAssetJob.is_own(asset, keys)

    @property
    def living_attempts(self) -> list[AttemptProcess]:
        """The tries whose process lives."""
        return [each for each in self.task.attempts if each.is_alive]

    @property
    def is_finished(self) -> bool:
        """Whether Airflow sees no reason for another try."""
        return self.task.result is not None or self.task.has_failed

    @precondition(lambda self: not self.is_finished and not self.living_attempts)
    @rule()
    def start_retry(self) -> None:
        """Airflow starts the next try."""
        self.start_attempt()

    def start_attempt(self) -> None:
        """The next try begins."""
        number = len(self.task.attempts) + 1
        attempt = self.build_attempt(number)
        keys = self.build_keys(attempt)
        once = self.protocol_class(
            attempt,
            keys,
            self,
            has_durable_state=self.has_durable_state,
            now=self.clock.now,
        )
        since = 1 if self.on_existing == "adopt" else self.task.first_attempt
        begun = AttemptProcess(number, once, once.start(), asset_name=f"{self.task.run_id}, from try {since}")
        self.task.attempts.append(begun)
        self._send_result(begun, None)

    @precondition(lambda self: not self.is_finished and 0 < len(self.living_attempts) < 3)
    @rule()
    def start_beside_a_zombie(self) -> None:
        """Airflow takes a living process for dead."""
        self.is_sequential = False
        self.start_attempt()

    @precondition(lambda self: self.living_attempts)
    @rule(data=st.data())
    def kill_attempt(self, data: st.DataObject) -> None:
        """A process dies between two steps, or with a request on its way."""
        self._kill_process(data.draw(st.sampled_from(self.living_attempts), "who dies"))

    @precondition(lambda self: self.is_finished or any(each.submission for each in self.living_attempts))
    @rule()
    def clear_task(self) -> None:
        """A user clears the task: what lives is killed, and its tries count anew."""
        for each in self.living_attempts:
            self._kill_process(each)
        self.task.first_attempt = len(self.task.attempts) + 1
        while len(self.task.attempts) + self.task.retries in self.task.max_tries:
            # Lowered by just as many as there were attempts: Airflow shows no Clear then.
            self.task.retries += 1
        self.task.max_tries.append(len(self.task.attempts) + self.task.retries)
        self.task.result, self.task.has_failed = None, False

    @rule(retries=st.integers(0, 5))
    def edit_retries(self, retries: int) -> None:
        """A user edits the DAG file, which changes nothing that Airflow keeps for the task."""
        self.task.retries = retries

    def _kill_process(self, victim: AttemptProcess) -> None:
        victim.is_alive = False
        if victim.arrives_by is not None:
            self._send_late(victim)
            victim.arrives_by = None

    def _send_late(self, attempt: AttemptProcess) -> None:
        self.is_sequential = False
        self.late_requests.append(
            (self.clock.now() + _LATE_REQUEST_SECONDS, attempt.protocol.keys.current, attempt.asset_name)
        )

    # What the world does.

    @rule(seconds=st.sampled_from([1.0, 9.0, 35.0, 130.0]))
    def advance_clock(self, seconds: float) -> None:
        """Time passes; what is on its way arrives."""
        self._advance_until(self.clock.now() + seconds)

    @precondition(lambda self: self.late_requests)
    @rule(data=st.data())
    def deliver_late_request(self, data: st.DataObject) -> None:
        """A request arrives whose client is gone."""
        arrival = data.draw(st.sampled_from(self.late_requests), "what arrives")
        self.late_requests.remove(arrival)
        self._create_asset(*arrival[1:])

    @precondition(lambda self: any(not self._is_final(asset) for asset in self._usable_assets()))
    @rule(data=st.data())
    def fail_an_asset(self, data: st.DataObject) -> None:
        """A draft fails."""
        drafts = [asset.id for asset in self._usable_assets() if not self._is_final(asset)]
        asset = self.server.store.data_assets.get(data.draw(st.sampled_from(drafts), "what fails"))
        assert asset is not None
        now = self.clock.now()
        self.server.store.data_assets.put(
            replace(asset, work=Work(started_at=now), failure_reason="disk full")
        )

    def _advance_until(self, timestamp: float) -> None:
        """Move the clock, and let happen on the way what must."""
        while due := sorted(arrival for arrival in self.late_requests if arrival[0] <= timestamp):
            self._set_clock(due[0][0])
            self.late_requests.remove(due[0])
            self._create_asset(*due[0][1:])
        for each in self.living_attempts:
            if each.arrives_by is not None and each.arrives_by <= timestamp:
                self._set_clock(each.arrives_by)
                self._deliver_request(each)
        self._set_clock(timestamp)

    def _set_clock(self, timestamp: float) -> None:
        self.clock.advance(max(0.0, timestamp - self.clock.now()))

    def _create_asset(self, key: str, asset_name: str) -> DataAsset:
        tags = [] if self.drops_tags else [key]
        tagged = self.params.model_copy(update={"name": asset_name, "tags": tags})
        return self.client.data_assets.create(tagged)

    def _deliver_request(self, attempt: AttemptProcess) -> None:
        attempt.arrives_by = None
        self._respond(attempt, self._create_asset(attempt.protocol.keys.current, attempt.asset_name))

    def _respond(self, attempt: AttemptProcess, asset: DataAsset) -> None:
        self.has_warned |= self.drops_tags and not self._job(attempt.protocol.keys).has_key(asset)
        self._send_result(attempt, asset)

    # What a process does.

    @precondition(lambda self: self.living_attempts)
    @rule(data=st.data(), count=st.sampled_from([1, 2, 3, 60]))
    def run_commands(self, data: st.DataObject, count: int) -> None:
        """A process does its next steps, or all that it can."""
        each = data.draw(st.sampled_from(self.living_attempts), "who")
        for _ in range(count):
            if each.is_alive and (each.pending_command is not None or count < 60):
                ends = ["answered"]
                if isinstance(each.pending_command, Submit) and each.arrives_by is None:
                    ends += ["lost", "refused", "not done", "held", "late"]
                elif isinstance(each.pending_command, Get | FindByKey):
                    ends += ["answered", "answered", "page with 404"]
                    if (
                        isinstance(each.pending_command, Get) and not self.drops_tags
                    ):  # a search shows the job
                        ends.append("false 404")
                end = data.draw(st.sampled_from(ends), "the request")
                if end == "page with 404":
                    self._respond_with_proxy_page(each)
                elif end == "false 404":
                    self._respond_with_false_404(each)
                else:
                    self._run_command(each, end)

    def _respond_with_proxy_page(self, attempt: AttemptProcess) -> None:
        if attempt.wakes_at > self.clock.now():
            self._advance_until(attempt.wakes_at)
        if attempt.is_alive:
            self._throw_error(attempt, UnexpectedResponse("404 with a page", status=404))

    def _respond_with_false_404(self, attempt: AttemptProcess) -> None:
        """Answer a read as a gateway without a route does, which cannot be told from Code Ocean's 404."""
        if attempt.wakes_at > self.clock.now():
            self._advance_until(attempt.wakes_at)
        if attempt.is_alive:
            self._send_result(attempt, None)

    def _run_command(self, attempt: AttemptProcess, request_outcome: str = "answered") -> None:
        if attempt.wakes_at > self.clock.now():
            self._advance_until(attempt.wakes_at)
            if not attempt.is_alive:
                return
        if attempt.arrives_by is not None:
            self._deliver_request(attempt)
            return
        match attempt.pending_command:
            case None:
                self._poll(attempt)
            case Submit():
                self._submit(attempt, request_outcome)
            case Sleep(seconds):
                attempt.wakes_at = self.clock.now() + seconds
                self._send_result(attempt, None)
            case LoadRecord():
                self._send_result(attempt, SubmissionRecord.from_json(self.task.state.get("intent")))
            case SaveRecord(intent):
                self._save_record(intent)
                self._send_result(attempt, None)
            case CheckSuperseded():
                self._send_result(
                    attempt, self.accepts_zombie_results and attempt is not self.task.attempts[-1]
                )
            case step:
                self._send_result(attempt, self._execute(step))

    def _save_record(self, intent: SubmissionRecord) -> None:
        if self.has_durable_state:
            self.task.state["intent"] = intent.to_json()

    def _execute(self, command: Command) -> Any:
        if isinstance(command, Get) and self._is_hidden(command.external_id):
            return None
        return self._job(self.build_keys(self.build_attempt(1)))._execute_command(self.client, command)

    def _is_hidden(self, external_id: str) -> bool:
        asset = self.server.store.data_assets.get(external_id)
        return asset is not None and self.clock.now() < asset.created + self.read_lag

    def _job(self, keys: IdempotencyKeys) -> DataAssetJob:
        return DataAssetJob(None, self.build_attempt(1), keys, self.params, context={})

    def _submit(self, attempt: AttemptProcess, request_outcome: str) -> None:
        """Send the request that creates."""
        lost = CodeOceanTransportError("the answer is lost", may_have_been_applied=True)
        match request_outcome:
            case "answered":
                self._respond(attempt, self._create_asset(attempt.protocol.keys.current, attempt.asset_name))
            case "lost":
                self._create_asset(attempt.protocol.keys.current, attempt.asset_name)
                self._throw_error(attempt, lost)
            case "not done":
                self._throw_error(attempt, lost)
            case "refused":
                self._throw_error(attempt, CodeOceanTransportError("connection refused"))
            case "late":
                self._send_late(attempt)
                self._throw_error(attempt, lost)
            case "held":
                attempt.arrives_by = self.clock.now() + _MAX_REQUEST_SECONDS

    def _poll(self, attempt: AttemptProcess) -> None:
        """Get at the data asset, as an operator does."""
        assert attempt.submission is not None
        asset = self._execute(Get(attempt.submission.job.id))
        if asset is None:
            if self.clock.now() >= attempt.submission.submitted_at + NOT_FOUND_GRACE_SECONDS:
                self._continue_with(attempt, attempt.protocol.find_replacement())
        elif data_asset_outcome(asset) is Outcome.FAILED:
            self._end_attempt(attempt, "failed for good")
        elif data_asset_outcome(asset) is Outcome.SUCCEEDED:
            attempt.submission = replace(attempt.submission, job=asset)
            self._continue_with(attempt, self._finish(attempt.protocol, attempt.submission))

    def _finish(self, protocol: SubmitOnce[DataAsset], submission: Submission[DataAsset]) -> Commands[Any]:
        stays = yield from protocol.confirm(submission)
        return (yield from protocol.start()) if stays is None else stays

    def _continue_with(self, attempt: AttemptProcess, commands: Commands[Any]) -> None:
        attempt.commands = commands
        self._send_result(attempt, None)

    def _send_result(self, attempt: AttemptProcess, result: Any) -> None:
        try:
            attempt.pending_command = attempt.commands.send(result)
        except StopIteration as end:
            self._handle_return(attempt, end.value)
        except AlreadyExists:
            self._end_attempt(attempt, "failed for good")
        except CodeOceanError as raised:
            self._end_attempt(attempt, str(raised))

    def _throw_error(self, attempt: AttemptProcess, error: CodeOceanError) -> None:
        try:
            attempt.pending_command = attempt.commands.throw(error)
        except StopIteration as end:
            self._handle_return(attempt, end.value)
        except CodeOceanError as raised:
            self._end_attempt(attempt, str(raised))

    def _handle_return(self, attempt: AttemptProcess, value: Any) -> None:
        attempt.pending_command = None
        match value:
            case None:
                self._end_attempt(attempt, "its job is gone")
            case Submission():
                attempt.submission = value
            case _ if attempt.submission is not None and value.id == attempt.submission.job.id:
                self._end_attempt(attempt, "success")
            case _:
                attempt.submission = Submission(value, adopted=True)

    def _end_attempt(self, attempt: AttemptProcess, outcome: str) -> None:
        attempt.is_alive, attempt.outcome = False, outcome
        if attempt is not self.task.attempts[-1]:
            if not self.accepts_zombie_results:
                return
            for (
                other
            ) in self.living_attempts:  # Airflow 2 ends the try that it has begun in place of this one
                self._kill_process(other)
        if outcome == "failed for good":
            self.task.has_failed = True
        elif outcome == "success":
            assert attempt.submission is not None
            self.task.result = attempt.submission.job.id
            asset = self.client.data_assets.get(self.task.result)
            assert asset.state == "ready", "a success without a data asset that is ready"

    # What must hold.

    def _usable_assets(self) -> list[Any]:
        """All data assets of this task that did not fail, from the store itself."""
        now = self.clock.now()
        return [
            asset
            for asset in self.server.store.data_assets.all()
            if asset.name.startswith(f"{self.task.run_id},") and asset.state(now) != "failed"
        ]

    def _is_final(self, asset: Any) -> bool:
        return asset.state(self.clock.now()) != "draft"

    def _count_by_name(self) -> Counter[str]:
        return Counter(asset.name for asset in self._usable_assets())

    @invariant()
    def sequential_attempts_never_duplicate(self) -> None:
        """Where no two processes and no late request were there, there are not even two for a while."""
        if hasattr(self, "task") and self.is_sequential and not self.drops_tags:
            assert all(count == 1 for count in self._count_by_name().values()), (
                "two data assets of one capture"
            )

    def teardown(self) -> None:
        """Let everything come to its end: one data asset, the one that the task succeeded with."""
        if not hasattr(self, "task"):
            return
        try:
            self._run_to_completion()
            if self.task.result is not None:
                count = self._count_by_name()[self.task.attempts[-1].asset_name]
                assert count == 1 or self.has_warned, f"{count} data assets of one capture"
                assert self.client.data_assets.get(self.task.result).state == "ready"
        finally:
            self.client.close()

    def _run_to_completion(self) -> None:
        for _ in range(1000):
            if self.late_requests:
                self._advance_until(max(by for by, *_ in self.late_requests))
            if not self.living_attempts:
                if self.is_finished or not self.task.attempts:
                    return
                self.start_attempt()
            for each in self.living_attempts:
                if each.pending_command is None and each.submission is not None:
                    self._advance_until(self.clock.now() + 10)
                if each.is_alive:
                    self._run_command(each)
        raise AssertionError("the task comes to no end")
