"""The same model for what gets its key only after it was made, as a computation gets its name.

Beside the task there are others that live and make the same: what they have made has their key only later.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from airflow_provider_codeocean.operators._submit_once.computation import (
    MAX_CLOCK_SKEW_SECONDS,
    MAX_NAMING_SECONDS,
)
from airflow_provider_codeocean.submission.commands import Command, FindByKey, FindResult, Submit
from tests.submission.protocol_model import AttemptProcess, SubmissionModel

if TYPE_CHECKING:
    from airflow_provider_codeocean.api.models.data_asset import DataAsset
    from airflow_provider_codeocean.emulator.domain.records import DataAsset as Stored
    from airflow_provider_codeocean.submission.keys import IdempotencyKeys


class ComputationSubmissionModel(SubmissionModel):
    """Things are made without a key, and get it in a step of its own, before which a process may die.

    Left out is what cannot be recognised, and the documentation says so: what one of several tries that are
    alive has made and not marked, as its answer was lost or it died; and that another try goes on with a
    rival's which one has taken, before the rival marks it.

    :cvar naming_deadline: seconds after which what has no key is taken for the task's own.
    :ivar unlabelled_by_attempt: what the tries have made and not marked.
    :ivar rival_label_times: when rivals mark what they have made.
    :ivar rival_ids: what rivals have made.
    """

    naming_deadline: ClassVar[float] = MAX_NAMING_SECONDS
    unlabelled_by_attempt: dict[int, DataAsset]
    rival_label_times: dict[str, float]
    rival_ids: list[str]

    def start_attempt(self) -> None:
        """The next try begins."""
        if self.task.attempts:
            self._label_claimed_rivals()
        else:
            self.unlabelled_by_attempt, self.rival_label_times, self.rival_ids = {}, {}, []
        self.on_existing, self.drops_tags = "adopt", False
        super().start_attempt()

    @precondition(lambda self: len(self.rival_ids) < 3)
    @rule(seconds=st.sampled_from([5.0, MAX_NAMING_SECONDS - 10, MAX_NAMING_SECONDS + 30]))
    def create_rival(self, seconds: float) -> None:
        """Another task makes the same, and marks it: soon, as late as can be, or when it tries again."""
        made = self._create_asset("", f"{self.task.run_id}, rival {len(self.rival_ids)}")
        self.rival_ids.append(made.id)
        self.rival_label_times[made.id] = self.clock.now() + seconds

    def _set_clock(self, timestamp: float) -> None:
        for made_id, marked_at in sorted(self.rival_label_times.items(), key=lambda each: each[1]):
            if marked_at <= timestamp:
                super()._set_clock(marked_at)
                self._label_rival(made_id)
        super()._set_clock(timestamp)

    def _end_attempt(self, attempt: AttemptProcess, outcome: str) -> None:
        if outcome == "success":
            assert attempt.submission is not None
            assert attempt.submission.job.id not in self.rival_ids, "the task ends with a rival's"
        super()._end_attempt(attempt, outcome)

    def _label_claimed_rivals(self) -> None:
        for made_id in list(self.rival_label_times):
            if self.client.data_assets.get(made_id).tags:
                self._label_rival(made_id)

    def _label_rival(self, external_id: str) -> None:
        del self.rival_label_times[external_id]
        self._label(external_id, f"key of {external_id}")

    def is_own(self, asset: DataAsset, keys: IdempotencyKeys) -> bool:
        """Tell whether it does not carry the key of a rival."""
        return set(asset.tags) <= {keys.current, *keys.previous}

    @precondition(
        lambda self: (
            not self.is_finished and 0 < len(self.living_attempts) < 3 and not self._has_unlabelled_job()
        )
    )
    @rule()
    def start_beside_a_zombie(self) -> None:
        """Airflow takes a living process for dead, which knows what it has made."""
        self.is_sequential = False
        self.start_attempt()

    def _has_unlabelled_job(self) -> bool:
        """Whether a try has made something that is not marked, or may make it without a mark."""
        on_its_way = self.late_requests or any(each.arrives_by is not None for each in self.living_attempts)
        return bool(on_its_way) or any(
            not asset.tags and asset.id not in self.rival_ids for asset in self._assets_of_task()
        )

    def _kill_process(self, victim: AttemptProcess) -> None:
        self._label_claimed_rivals()
        made = self.unlabelled_by_attempt.pop(victim.number, None)
        if self.living_attempts != [victim] or victim is not self.task.attempts[-1]:
            victim.arrives_by = None
            if made is not None:
                self._label(made.id, victim.protocol.keys.current)
        super()._kill_process(victim)

    def _create_asset(self, key: str, asset_name: str) -> DataAsset:
        unmarked = self.params.model_copy(update={"name": asset_name, "tags": []})
        return self.client.data_assets.create(unmarked)

    def _send_result(self, attempt: AttemptProcess, result: Any) -> None:
        if isinstance(attempt.pending_command, Submit) and result is not None:
            self.unlabelled_by_attempt[attempt.number] = result
        else:
            super()._send_result(attempt, result)

    def _submit(self, attempt: AttemptProcess, request_outcome: str) -> None:
        is_left_out = request_outcome in {"lost", "late"} and len(self.living_attempts) > 1
        super()._submit(attempt, "refused" if is_left_out else request_outcome)

    def _run_command(self, attempt: AttemptProcess, request_outcome: str = "answered") -> None:
        made = self.unlabelled_by_attempt.pop(attempt.number, None)
        if made is None:
            super()._run_command(attempt, request_outcome)
        else:
            self._label(made.id, attempt.protocol.keys.current)
            super()._send_result(attempt, made)

    def _label(self, external_id: str, key: str) -> None:
        shelf = self.server.store.data_assets
        made = shelf.get(external_id)
        if made is not None:
            shelf.put(replace(made, tags=[key]))

    def _assets_of_task(self) -> list[Stored]:
        """All that is there of the task and its rivals."""
        begin = f"{self.task.run_id},"
        return [asset for asset in self.server.store.data_assets.all() if asset.name.startswith(begin)]

    def _execute(self, command: Command) -> Any:
        if not isinstance(command, FindByKey):
            return super()._execute(command)
        mine = self._assets_of_task()
        ours = [asset for asset in mine if not set(command.keys).isdisjoint(asset.tags)]
        now = self.clock.now()
        if command.unlabeled_since is not None and all(asset.state(now) == "failed" for asset in ours):
            since = max(
                [command.unlabeled_since - MAX_CLOCK_SKEW_SECONDS, *(asset.created for asset in ours)]
            )
            nameless = [each for each in mine if not each.tags and since <= each.created]
            ripe = [each for each in nameless if each.created + self.naming_deadline <= now]
            claimable_at = max(
                (each.created + self.naming_deadline for each in nameless if each not in ripe), default=0.0
            )
            for asset in sorted(ripe, key=lambda asset: (asset.created, asset.id))[:1]:
                self._label(asset.id, command.keys[0])
                if len(self.living_attempts) > 1:
                    self._label_claimed_rivals()
                return FindResult(
                    [*(each.id for each in ours), asset.id], claimable_at, now + self.naming_deadline
                )
            return FindResult([each.id for each in ours], claimable_at)
        return FindResult([asset.id for asset in ours])
