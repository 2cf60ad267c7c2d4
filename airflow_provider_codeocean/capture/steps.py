"""What a capture may ask to be done, and what it remembers: data, carried out elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import asdict, astuple, dataclass
from typing import Any, Generic, Protocol, TypeVar

from airflow_provider_codeocean.api.errors import CodeOceanError


class Made(Protocol):
    """What a capture makes."""

    @property
    def id(self) -> str:
        """Its identifier."""
        ...

    @property
    def created(self) -> float | None:
        """When it was made, in Unix seconds by the server's clock."""
        ...


M = TypeVar("M", bound=Made)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Intent:
    """What a try writes down before it creates, and completes when it knows the id.

    :param key: key of the capture.
    :param since: when it was about to create, in Unix seconds.
    :param made: id of what was made, as soon as it is known.
    :param look_again: when to look for another one with the same key, in Unix seconds; 0 for never.
    :param doubtful: whether another request to create may have been sent before.
    """

    key: str
    since: float
    made: str | None = None
    look_again: float = 0.0
    doubtful: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Any) -> Intent | None:
        """Read it; what is not an intent reads as None."""
        try:
            intent = cls(**value)
        except TypeError:
            return None
        kinds = (str, int | float, str | None, int | float, bool)
        return intent if all(map(isinstance, astuple(intent), kinds)) else None


@dataclass(frozen=True, slots=True)
class Capture(Generic[M]):
    """What a capture goes on with.

    :param made: what was made, as it was seen last.
    :param adopted: whether an earlier or another try made it.
    :param look_again: when :meth:`CaptureOnce.finish` is to look again; 0 for never.
    """

    made: M
    adopted: bool
    look_again: float = 0.0


@dataclass(frozen=True, slots=True)
class Recall:
    """Read the :class:`Intent` from the durable state; answered with None where there is none."""


@dataclass(frozen=True, slots=True)
class Remember:
    """Write the intent to the durable state, if there is one. It must not fail where it holds an id."""

    intent: Intent


@dataclass(frozen=True, slots=True)
class Find:
    """Find what carries one of the keys; answered with :class:`Found`.

    :param keys: the keys.
    :param unmarked_since: where a thing gets its key after it was made: since when the process may have made
        one that died before it could mark it, in Unix seconds (0 where that is not known); such a one is
        marked and found as soon as nobody who lives can mark it any more. None where there is no such one.
    """

    keys: tuple[str, ...]
    unmarked_since: float | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """What was found.

    :param ids: their ids; those that are gone by now may be among them.
    :param ripens_at: when to look again at the latest, in Unix seconds: one that is there may be ours, and
        nobody else can have marked it only after that; 0 where there is none.
    :param sure_at: where one was marked only now: when it is certain that nobody else marks it, in Unix
        seconds; else 0.
    """

    ids: Sequence[str]
    ripens_at: float = 0.0
    sure_at: float = 0.0


@dataclass(frozen=True, slots=True)
class Look:
    """Read one; answered with None where it is gone."""

    id: str


@dataclass(frozen=True, slots=True)
class Create:
    """Create it, with this key on it. An error tells whether it may have been done all the same."""

    key: str


@dataclass(frozen=True, slots=True)
class Overtaken:
    """Ask whether Airflow has begun a later try, but would take this one's result all the same."""


@dataclass(frozen=True, slots=True)
class Remove:
    """Remove one that is not needed, for the other that stays."""

    id: str
    instead: str


@dataclass(frozen=True, slots=True)
class Pause:
    """Let time pass, in seconds."""

    seconds: float


Step = Recall | Remember | Find | Look | Create | Overtaken | Remove | Pause
Steps = Generator[Step, Any, T]


def run(steps: Steps[T], do: Callable[[Step], Any]) -> T:
    """Carry out a protocol.

    :param steps: the protocol.
    :param do: does one step and returns what came of it.
    :returns: what the protocol returns.
    """
    try:
        step = next(steps)
        while True:
            try:
                answer = do(step)
            except CodeOceanError as error:
                step = steps.throw(error)
            else:
                step = steps.send(answer)
    except StopIteration as end:
        result: T = end.value
        return result
