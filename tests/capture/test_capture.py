"""Keys, intents, and how much a capture costs where nothing goes wrong. The rest is in the model."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_codeocean.api.errors import (
    AlreadyExists,
    CodeOceanError,
    CodeOceanTransportError,
    Forbidden,
)
from airflow_provider_codeocean.capture.key import Attempt, Keys, capture_key
from airflow_provider_codeocean.capture.once import SENDING, SETTLE, CaptureOnce
from airflow_provider_codeocean.capture.steps import (
    Capture,
    Create,
    Find,
    Found,
    Intent,
    Look,
    Overtaken,
    Pause,
    Recall,
    Remember,
    Remove,
    run,
)

FIRST = Attempt("dag", "run", "task", -1, try_number=1)
SUBJECT = {"source": {"computation": {"id": "c1"}}}

texts = st.text(max_size=8)
attempts = st.builds(Attempt, texts, texts, texts, st.integers(-1, 3), st.just(1))
subjects = st.dictionaries(texts, st.recursive(texts | st.none() | st.integers(), st.lists), max_size=3)


@given(attempts, subjects)
def test_a_key_is_one_word_in_lower_case(attempt, subject):
    key = capture_key(attempt, subject)
    assert key.isalnum()
    assert key == key.lower()
    assert len(key) == 39


@given(attempts, subjects, st.integers(1, 9))
def test_a_key_is_the_same_for_every_try(attempt, subject, number):
    later = replace(attempt, try_number=number, first_try=number)
    assert capture_key(later, subject) == capture_key(attempt, subject)


@given(attempts, attempts, subjects, subjects)
def test_two_captures_have_two_keys(attempt, other, subject, other_subject):
    same = (attempt, subject) == (other, other_subject)
    assert (capture_key(attempt, subject) == capture_key(other, other_subject)) == same


@given(st.dictionaries(texts, texts, min_size=2))
def test_a_key_does_not_depend_on_the_order_of_a_dictionary(subject):
    backwards = dict(reversed(subject.items()))
    assert capture_key(FIRST, subject) == capture_key(FIRST, backwards)


@pytest.mark.parametrize(
    "other",
    [
        {"dag_id": "other"},
        {"run_id": "other"},
        {"task_id": "renamed"},
        {"map_index": 0},
        {"namespace": "production"},
    ],
)
def test_another_run_task_map_index_or_airflow_captures_anew(other):
    assert capture_key(FIRST, SUBJECT) != capture_key(replace(FIRST, **other), SUBJECT)


def test_what_a_cleared_task_shares_with_its_earlier_run():
    cleared = replace(FIRST, try_number=4, first_try=4)
    adopt, create, fail = (Keys.of(cleared, SUBJECT, way) for way in ("adopt", "create", "fail"))
    assert adopt == Keys.of(FIRST, SUBJECT, "adopt")
    assert create.own == fail.own != adopt.own
    assert (adopt.former, create.former) == ((), ())
    assert set(fail.former) == {capture_key(FIRST, SUBJECT, run) for run in range(3)}
    assert adopt.own in fail.former
    assert (adopt.first_try, create.first_try, fail.first_try) == (1, 4, 4)
    assert Keys.of(FIRST, SUBJECT, "fail").former == ()


@given(
    st.builds(
        Intent,
        texts,
        st.floats(0, 2e9),
        st.none() | texts,
        st.floats(0, 2e9),
        st.booleans(),
    )
)
def test_an_intent_survives_json(intent):
    assert Intent.from_json(json.loads(json.dumps(intent.to_json()))) == intent


@pytest.mark.parametrize(
    "value",
    [None, "text", 7, [], {}, {"key": "k"}, {"key": 7, "since": 1.0}, {"key": "k", "since": 1.0, "new": 2}],
)
def test_what_is_no_intent_is_none(value):
    assert Intent.from_json(value) is None


@dataclass
class Thing:
    id: str
    created: float | None = 100.0
    failed: bool = False


class World:
    """Answers steps from what is there, and keeps a record of them."""

    def __init__(self, *things, intent=None):
        self.things = {thing.id: thing for thing in things}
        self.intent = intent
        self.steps = []
        self.now = 1000.0

    def __call__(self, step):
        self.steps.append(type(step))
        match step:
            case Recall():
                return self.intent
            case Remember(intent):
                self.intent = intent
            case Find():
                return Found(list(self.things))
            case Look(thing_id):
                return self.things.get(thing_id)
            case Create():
                self.things["new"] = Thing("new", created=self.now)
                return self.things["new"]
            case Pause(seconds):
                self.now += seconds
        return None

    def protocol(self, attempt=FIRST, keys=None, *, durable=True):
        keys = keys or Keys("k")
        return CaptureOnce(
            attempt, keys, durable=durable, usable=lambda thing: not thing.failed, now=lambda: self.now
        )

    def begin(self, attempt=FIRST, keys=None, *, durable=True):
        keys = keys or Keys.of(attempt, SUBJECT, "adopt")
        return run(self.protocol(attempt, keys, durable=durable).begin(), self)


@pytest.mark.parametrize("durable", [True, False])
def test_a_first_try_takes_one_look_and_no_time(durable):
    world = World()
    assert world.begin(durable=durable) == Capture(Thing("new", 1000.0), adopted=False)
    assert world.steps == [Recall, Remember, Create, Overtaken, Remember, Find]
    assert world.now == 1000.0


def test_a_search_that_is_down_after_the_creation_is_made_up_for_at_the_end():
    world = World(Thing("older"))
    down = True

    def do(step):
        if isinstance(step, Find) and down:
            raise CodeOceanTransportError("down")
        return world(step)

    once = world.protocol()
    capture = run(once.begin(), do)
    assert capture == Capture(Thing("new", 1000.0), adopted=False, look_again=1000.0)
    assert (world.intent.made, world.intent.look_again) == ("new", 1000.0)
    down = False
    assert run(once.finish(capture), do).id == "older"
    assert world.steps[-2:] == [Remove, Remember]


def test_a_clock_that_was_set_back_since_holds_nobody_up():
    world = World(Thing("a"))
    once = world.protocol()
    capture = Capture(Thing("a"), adopted=True, look_again=world.now + 86_400.0)
    assert run(once.finish(capture), world).id == "a"
    assert world.now <= 1000.0 + SENDING


def test_what_is_gone_before_the_last_look_is_no_success():
    world = World()
    once = world.protocol()
    with pytest.raises(CodeOceanError, match="a is gone by now; a retry makes another one") as raised:
        run(once.finish(Capture(Thing("a"), adopted=False, look_again=world.now + 1)), world)
    assert raised.value.transient


def test_who_may_not_search_goes_on_with_what_it_has_made():
    world = World()

    def do(step):
        if isinstance(step, Find):
            raise Forbidden(403, "no", method="POST", path="data_assets/search")
        return world(step)

    once = world.protocol()
    capture = run(once.begin(), do)
    assert (capture.made.id, capture.look_again) == ("new", 0)
    assert world.intent.made == "new"


def test_a_retry_that_knows_the_id_takes_no_look():
    key = Keys.of(FIRST, SUBJECT, "adopt").own
    world = World(Thing("a"), intent=Intent(key, 990.0, "a"))
    assert world.begin(replace(FIRST, try_number=2)) == Capture(Thing("a"), adopted=True)
    assert world.steps == [Recall, Look]


def test_an_intent_of_long_ago_takes_no_time():
    key = Keys.of(FIRST, SUBJECT, "adopt").own
    world = World(intent=Intent(key, 1000.0 - SENDING - SETTLE))
    capture = world.begin(replace(FIRST, try_number=2))
    assert (capture.made.id, capture.look_again) == ("new", 1000.0 + 2 * SETTLE)
    assert world.now == 1000.0


@pytest.mark.parametrize("durable", [True, False])
def test_a_retry_looks_for_as_long_as_there_can_be_something(durable):
    key = Keys.of(FIRST, SUBJECT, "adopt").own
    world = World(intent=Intent(key, 1000.0) if durable else None)
    world.begin(replace(FIRST, try_number=2), durable=durable)
    assert world.now == 1000.0 + SETTLE


def test_what_failed_is_not_adopted():
    key = Keys.of(FIRST, SUBJECT, "adopt").own
    world = World(Thing("a", failed=True), intent=Intent(key, 1.0, "a"))
    assert world.begin(replace(FIRST, try_number=2)).made.id == "new"


def test_the_oldest_is_adopted():
    world = World(Thing("a", 30.0), Thing("b", 20.0), Thing("c", 20.0), Thing("d", 10.0, failed=True))
    assert world.begin(replace(FIRST, try_number=2), durable=False).made.id == "b"


@pytest.mark.parametrize("known", [True, False])
def test_what_a_cleared_task_made_before_is_not_to_be_there(known):
    cleared = replace(FIRST, try_number=2, first_try=2)
    keys = Keys.of(cleared, SUBJECT, "fail")
    world = World(Thing("a"), intent=Intent(keys.former[0], 1.0, "a") if known else None)
    with pytest.raises(AlreadyExists, match=r"made a before it was cleared.*'adopt'.*'create'"):
        world.begin(cleared, keys)
    assert Create not in world.steps


def test_an_answer_that_is_lost_each_time_is_an_error_in_the_end():
    world = World()

    def do(step):
        if isinstance(step, Create):
            world.steps.append(Create)
            raise CodeOceanTransportError("lost", maybe_applied=True)
        return world(step)

    once = world.protocol()
    with pytest.raises(CodeOceanTransportError, match="lost"):
        run(once.begin(), do)
    assert world.steps.count(Create) == 3
    assert world.intent.doubtful
