"""The commands and the stored record of the submission protocol: data, carried out elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import asdict, astuple, dataclass
from typing import Any, Generic, Protocol, TypeVar

from airflow_provider_codeocean.api.errors import CodeOceanError


class Job(Protocol):
    """A unit of work that a task submits: the creation of a data asset, or a computation."""

    @property
    def id(self) -> str:
        """Its external id."""
        ...

    @property
    def created(self) -> float | None:
        """Creation time, in Unix seconds by the server's clock."""
        ...


J = TypeVar("J", bound=Job)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class SubmissionRecord:
    """The state that an attempt saves before it submits, and completes as soon as it knows the external id.

    :param key: the idempotency key.
    :param submitted_at: just before the request was sent, in Unix seconds.
    :param external_id: id of the job, as soon as it is known.
    :param recheck_at: when to search for duplicates again, in Unix seconds; 0 for never.
    :param may_have_duplicate: whether another request to submit may have been sent before.
    """

    key: str
    submitted_at: float
    external_id: str | None = None
    recheck_at: float = 0.0
    may_have_duplicate: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Any) -> SubmissionRecord | None:
        """Read a record; None for any other value."""
        try:
            record = cls(**value)
        except TypeError:
            return None
        kinds = (str, int | float, str | None, int | float, bool)
        return record if all(map(isinstance, astuple(record), kinds)) else None


@dataclass(frozen=True, slots=True)
class Submission(Generic[J]):
    """The job with which an attempt continues.

    :param job: the job, as it was seen last.
    :param adopted: whether an earlier or concurrent attempt submitted it.
    :param recheck_at: when :meth:`SubmitOnce.confirm` searches for duplicates again; 0 for never.
    :param submitted_at: when the task submitted or adopted it, in Unix seconds.
    """

    job: J
    adopted: bool
    recheck_at: float = 0.0
    submitted_at: float = 0.0


@dataclass(frozen=True, slots=True)
class LoadRecord:
    """Read the :class:`SubmissionRecord` from the durable state. The result is None if there is none."""


@dataclass(frozen=True, slots=True)
class SaveRecord:
    """Write the record to the durable state, if there is one. It must not fail if it has an external id."""

    record: SubmissionRecord


@dataclass(frozen=True, slots=True)
class FindByKey:
    """Find the jobs with one of the keys. The result is a :class:`FindResult`.

    :param keys: the keys.
    :param unlabelled_since: if a job gets its key only after it was submitted: since when a process may have
        submitted one and died before it could label it, in Unix seconds (0 if that is not known). Such a job
        is labelled and found once no living process can label it any more. None if there is no such job.
    """

    keys: tuple[str, ...]
    unlabelled_since: float | None = None


@dataclass(frozen=True, slots=True)
class FindResult:
    """The jobs that were found.

    :param ids: their external ids. Some may be gone by now, others not visible yet.
    :param claimable_at: when to search again at the latest, in Unix seconds: there is a job that may be the
        task's, and only then can nobody else have labelled it; 0 if there is none.
    :param confirmed_at: if a job was labelled just now: when it is certain that nobody else labels it, in
        Unix seconds; else 0.
    """

    ids: Sequence[str]
    claimable_at: float = 0.0
    confirmed_at: float = 0.0


@dataclass(frozen=True, slots=True)
class Get:
    """Read a job. The result is None if Code Ocean itself responds that there is no such job."""

    external_id: str


@dataclass(frozen=True, slots=True)
class Submit:
    """Submit the job with this key. An error says whether it may have been submitted all the same."""

    key: str


@dataclass(frozen=True, slots=True)
class CheckSuperseded:
    """Check whether Airflow has started a later attempt, but would accept the result of this one."""


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete a duplicate, in favor of the job that stays."""

    external_id: str
    instead: str


@dataclass(frozen=True, slots=True)
class Sleep:
    """Let time pass, in seconds."""

    seconds: float


Command = LoadRecord | SaveRecord | FindByKey | Get | Submit | CheckSuperseded | Delete | Sleep
Commands = Generator[Command, Any, T]


def execute(commands: Commands[T], do: Callable[[Command], Any]) -> T:
    """Run a protocol.

    :param commands: the protocol.
    :param do: carries out one command and returns its result.
    :returns: the result of the protocol.
    """
    send: Callable[[Any], Command] = commands.send
    value: Any = None
    while True:
        try:
            command = send(value)
        except StopIteration as end:
            result: T = end.value
            return result
        try:
            value, send = do(command), commands.send
        except CodeOceanError as error:
            value, send = error, commands.throw
