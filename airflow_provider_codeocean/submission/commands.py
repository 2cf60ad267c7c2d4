"""Commands, results, and the stored record of the submission protocol."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import asdict, astuple, dataclass
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

import msgspec

if TYPE_CHECKING:
    from airflow_provider_codeocean.submission.keys import IdempotencyKeys


class Job(Protocol):
    """A unit of work that a task submits: the creation of a data asset, or a computation."""

    @property
    def id(self) -> str:
        """External id."""
        ...

    @property
    def created(self) -> float | None:
        """Creation time, in Unix seconds by the server's clock."""
        ...


_JobT_contra = TypeVar("_JobT_contra", contravariant=True)


class JobType(Protocol[_JobT_contra]):
    """Rules for adopting one kind of job."""

    def is_usable(self, job: _JobT_contra) -> bool:
        """Return whether the job can be adopted. A failed job cannot."""
        ...

    def is_own(self, job: _JobT_contra, keys: IdempotencyKeys) -> bool:
        """Return False if the job has the key of another task."""
        ...


JobT = TypeVar("JobT", bound=Job)
T = TypeVar("T")

#: Format number of a stored :class:`SubmissionRecord`.
FORMAT = 1


@dataclass(frozen=True, slots=True)
class SubmissionRecord:
    """The durable state of a submission: saved before the request, completed with the external id.

    :param idempotency_key: the idempotency key.
    :param submitted_at: time just before the request, in Unix seconds.
    :param external_id: id of the job, if it is known.
    :param recheck_at: when to search for duplicates again, in Unix seconds; 0 for never.
    :param may_have_duplicate: whether an earlier request may have submitted another job.
    """

    idempotency_key: str
    submitted_at: float
    external_id: str | None = None
    recheck_at: float = 0.0
    may_have_duplicate: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return the record as JSON values."""
        return {"format": FORMAT, **asdict(self)}

    @classmethod
    def from_json(cls, value: Any) -> SubmissionRecord | None:
        """Read a record.

        :param value: the return value of :meth:`to_json`.
        :returns: the record, or None if the value is not a record.
        :raises ValueError: if the record has another format number. Ignoring it could submit a second job.
        """
        if not isinstance(value, dict):
            return None
        number = value.get("format")
        if number != FORMAT:
            raise ValueError(f"the submission record has format {number!r}, expected {FORMAT}: {value!r}")
        try:
            record = cls(**{name: item for name, item in value.items() if name != "format"})
        except TypeError:
            return None
        kinds = (str, int | float, str | None, int | float, bool)
        return record if all(map(isinstance, astuple(record), kinds)) else None


@dataclass(frozen=True, slots=True)
class Submission(Generic[JobT]):
    """The job that an attempt continues with.

    :param job: the job, as read last.
    :param adopted: whether an earlier or concurrent attempt submitted it.
    :param recheck_at: when :meth:`SubmitOnce.confirm` searches for duplicates again; 0 for never.
    :param submitted_at: when the task submitted or adopted it, in Unix seconds.
    """

    job: JobT
    adopted: bool
    recheck_at: float = 0.0
    submitted_at: float = 0.0


class LoadRecord(msgspec.Struct, frozen=True):
    """Read the durable state. The result is a :class:`SubmissionRecord` or None."""


class SaveRecord(msgspec.Struct, frozen=True):
    """Write the durable state, if there is one. This must not fail if the external id is known."""

    record: SubmissionRecord


class FindByKey(msgspec.Struct, frozen=True):
    """Find the jobs with one of the keys. The result is a :class:`FindResult`.

    :param keys: the keys.
    :param unlabeled_since: for jobs that get their key only after submission: the earliest time, in Unix
        seconds, at which a process may have submitted one and died before labeling it (0 if unknown). Once no
        living process can label such a job, it is labeled and returned. None if there is no such job.
    """

    keys: tuple[str, ...]
    unlabeled_since: float | None = None


class FindResult(msgspec.Struct, frozen=True):
    """Jobs that a search returned.

    :param external_ids: their ids. Some may be gone, others not visible yet.
    :param adoptable_at: when an unlabeled job that may be the task's can be adopted, in Unix seconds; 0 if
        there is none. Search again at this time.
    :param confirmed_at: if this search labeled a job: when no other process can label it any more, in Unix
        seconds; otherwise 0.
    """

    external_ids: Sequence[str]
    adoptable_at: float = 0.0
    confirmed_at: float = 0.0


class Get(msgspec.Struct, frozen=True):
    """Read a job. The result is None if Code Ocean itself responds with 404."""

    external_id: str


class Submit(msgspec.Struct, frozen=True):
    """Submit the job with this key. An error states whether the request may have been applied."""

    idempotency_key: str


class CheckSuperseded(msgspec.Struct, frozen=True):
    """Check whether Airflow has started a later attempt but still accepts the result of this one."""


class Delete(msgspec.Struct, frozen=True):
    """Delete a duplicate of the job that stays."""

    external_id: str
    kept_id: str


class Sleep(msgspec.Struct, frozen=True):
    """Sleep for some seconds."""

    seconds: float


Command = LoadRecord | SaveRecord | FindByKey | Get | Submit | CheckSuperseded | Delete | Sleep
Commands = Generator[Command, Any, T]
