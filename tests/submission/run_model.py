"""The same model for what gets its key only after it was made, as a computation gets its name.

Beside the task there are others that live and make the same: what they have made has their key only later.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from airflow_provider_codeocean.operators._submit_once.computation import CLOCKS_DIFFER, NAMED_WITHIN
from airflow_provider_codeocean.submission.commands import Command, FindByKey, FindResult, Submit
from tests.submission.model import CaptureModel, Try

if TYPE_CHECKING:
    from airflow_provider_codeocean.api.models.data_asset import DataAsset
    from airflow_provider_codeocean.emulator.domain.records import DataAsset as Stored
    from airflow_provider_codeocean.submission.keys import IdempotencyKeys


class RunModel(CaptureModel):
    """Things are made without a key, and get it in a step of its own, before which a process may die.

    Left out is what cannot be recognised, and the documentation says so: what one of several tries that are
    alive has made and not marked, as its answer was lost or it died; and that another try goes on with a
    rival's which one has taken, before the rival marks it.

    :cvar named_within: seconds after which what has no key is taken for the task's own.
    :ivar marking: what the tries have made and not marked.
    :ivar unmarked: when rivals mark what they have made.
    :ivar rivals: what rivals have made.
    """

    named_within: ClassVar[float] = NAMED_WITHIN
    marking: dict[int, DataAsset]
    unmarked: dict[str, float]
    rivals: list[str]

    def start(self) -> None:
        """The next try begins."""
        if self.task.tries:
            self._rivals_mark_what_was_taken()
        else:
            self.marking, self.unmarked, self.rivals = {}, {}, []
        self.on_existing, self.drops_tags = "adopt", False
        super().start()

    @precondition(lambda self: len(self.rivals) < 3)
    @rule(seconds=st.sampled_from([5.0, NAMED_WITHIN - 10, NAMED_WITHIN + 30]))
    def a_rival_creates(self, seconds: float) -> None:
        """Another task makes the same, and marks it: soon, as late as can be, or when it tries again."""
        made = self._create("", f"{self.task.run_id}, rival {len(self.rivals)}")
        self.rivals.append(made.id)
        self.unmarked[made.id] = self.clock.now() + seconds

    def _move_clock(self, moment: float) -> None:
        for made_id, marked_at in sorted(self.unmarked.items(), key=lambda each: each[1]):
            if marked_at <= moment:
                super()._move_clock(marked_at)
                self._rival_marks(made_id)
        super()._move_clock(moment)

    def _end(self, each: Try, how: str) -> None:
        if how == "success":
            assert each.capture is not None
            assert each.capture.job.id not in self.rivals, "the task ends with a rival's"
        super()._end(each, how)

    def _rivals_mark_what_was_taken(self) -> None:
        for made_id in list(self.unmarked):
            if self.client.data_assets.get(made_id).tags:
                self._rival_marks(made_id)

    def _rival_marks(self, made_id: str) -> None:
        del self.unmarked[made_id]
        self._mark(made_id, f"key of {made_id}")

    def is_ours(self, made: DataAsset, keys: IdempotencyKeys) -> bool:
        """Tell whether it does not carry the key of a rival."""
        return set(made.tags) <= {keys.current, *keys.previous}

    @precondition(lambda self: not self.over and 0 < len(self.living) < 3 and not self._unmarked())
    @rule()
    def start_beside_a_zombie(self) -> None:
        """Airflow takes a living process for dead, which knows what it has made."""
        self.orderly = False
        self.start()

    def _unmarked(self) -> bool:
        """Whether a try has made something that is not marked, or may make it without a mark."""
        on_its_way = self.late or any(each.arrives_by is not None for each in self.living)
        return bool(on_its_way) or any(
            not asset.tags and asset.id not in self.rivals for asset in self._mine()
        )

    def _kill(self, victim: Try) -> None:
        self._rivals_mark_what_was_taken()
        made = self.marking.pop(victim.number, None)
        if self.living != [victim] or victim is not self.task.tries[-1]:
            victim.arrives_by = None
            if made is not None:
                self._mark(made.id, victim.once.keys.current)
        super()._kill(victim)

    def _create(self, key: str, result: str) -> DataAsset:
        unmarked = self.params.model_copy(update={"name": result, "tags": []})
        return self.client.data_assets.create(unmarked)

    def _send(self, each: Try, answer: Any) -> None:
        if isinstance(each.pending, Submit) and answer is not None:
            self.marking[each.number] = answer
        else:
            super()._send(each, answer)

    def _request(self, each: Try, how: str) -> None:
        is_left_out = how in {"lost", "late"} and len(self.living) > 1
        super()._request(each, "refused" if is_left_out else how)

    def _step(self, each: Try, request: str = "answered") -> None:
        made = self.marking.pop(each.number, None)
        if made is None:
            super()._step(each, request)
        else:
            self._mark(made.id, each.once.keys.current)
            super()._send(each, made)

    def _mark(self, made_id: str, key: str) -> None:
        shelf = self.server.store.data_assets
        made = shelf.get(made_id)
        if made is not None:
            shelf.put(replace(made, tags=[key]))

    def _mine(self) -> list[Stored]:
        """All that is there of the task and its rivals."""
        begin = f"{self.task.run_id},"
        return [asset for asset in self.server.store.data_assets.all() if asset.name.startswith(begin)]

    def _carry_out(self, step: Command) -> Any:
        if not isinstance(step, FindByKey):
            return super()._carry_out(step)
        mine = self._mine()
        ours = [asset for asset in mine if not set(step.keys).isdisjoint(asset.tags)]
        now = self.clock.now()
        if step.unlabelled_since is not None and all(asset.state(now) == "failed" for asset in ours):
            since = max([step.unlabelled_since - CLOCKS_DIFFER, *(asset.created for asset in ours)])
            nameless = [each for each in mine if not each.tags and since <= each.created]
            ripe = [each for each in nameless if each.created + self.named_within <= now]
            claimable_at = max(
                (each.created + self.named_within for each in nameless if each not in ripe), default=0.0
            )
            for asset in sorted(ripe, key=lambda asset: (asset.created, asset.id))[:1]:
                self._mark(asset.id, step.keys[0])
                if len(self.living) > 1:
                    self._rivals_mark_what_was_taken()
                return FindResult(
                    [*(each.id for each in ours), asset.id], claimable_at, now + self.named_within
                )
            return FindResult([each.id for each in ours], claimable_at)
        return FindResult([asset.id for asset in ours])
