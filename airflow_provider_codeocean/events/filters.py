"""What of a look there is something to tell of: computations that have ended, data assets that are ready."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar

from airflow_provider_codeocean.outcomes import Verdict, computation_verdict, data_asset_verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from airflow_provider_codeocean.api.models.computation import Computation
    from airflow_provider_codeocean.api.models.data_asset import DataAsset

#: How computations have ended that are wanted.
EndStatus = Literal["succeeded", "failed", "any"]

_VERDICTS: Mapping[EndStatus, frozenset[Verdict]] = {
    "succeeded": frozenset({Verdict.SUCCEEDED}),
    "failed": frozenset({Verdict.FAILED}),
    "any": frozenset({Verdict.SUCCEEDED, Verdict.FAILED}),
}

#: What is told of a computation, and of a data asset.
TOLD_OF_COMPUTATIONS = {
    "id",
    "name",
    "created",
    "run_time",
    "state",
    "end_status",
    "exit_code",
    "has_results",
    "owner",
    "parameters",
    "data_assets",
    "nextflow_profile",
}
TOLD_OF_DATA_ASSETS = {
    "id",
    "name",
    "created",
    "type",
    "mount",
    "tags",
    "size",
    "files",
    "custom_metadata",
    "provenance",
}


class Created(Protocol):
    """What has an identifier and, mostly, a time."""

    @property
    def id(self) -> str:
        """Identifier."""
        ...

    @property
    def created(self) -> float | None:
        """When it was created, in Unix seconds."""
        ...


C = TypeVar("C", bound=Created)


def ended(computations: Iterable[Computation], since: float | None) -> list[Computation]:
    """Choose the computations that have ended, however; cloud workstations are none of them.

    :param computations: all that there are.
    :param since: leave out what was created before, in Unix seconds.
    :returns: those, the oldest first.
    """
    return _oldest_first(
        (
            each
            for each in computations
            if not each.cloud_workstation and computation_verdict(each) is not Verdict.WAITING
        ),
        since,
    )


def has_ended_as(computation: Computation, status: EndStatus) -> bool:
    """Tell whether a computation has ended as it is wanted.

    :param computation: the computation.
    :param status: how it is to have ended; one that was stopped has failed.
    :returns: whether it has.
    """
    return computation_verdict(computation) in _VERDICTS[status]


def ready(assets: Iterable[DataAsset], since: float | None) -> list[DataAsset]:
    """Choose the data assets that are ready.

    :param assets: all that there are.
    :param since: leave out what was created before, in Unix seconds.
    :returns: those, the oldest first.
    """
    return _oldest_first((each for each in assets if data_asset_verdict(each) is Verdict.SUCCEEDED), since)


def _oldest_first(those: Iterable[C], since: float | None) -> list[C]:
    def is_old(one: C) -> bool:
        return since is not None and one.created is not None and one.created < since

    chosen = {each.id: each for each in those if each.id and not is_old(each)}
    return sorted(chosen.values(), key=lambda each: (each.created or 0, each.id))


def described(one: Computation | DataAsset, fields: set[str]) -> dict[str, Any]:
    """Return what is told of one, as JSON values.

    :param one: the computation or data asset.
    :param fields: which of its fields.
    :returns: the values.
    """
    return one.model_dump(mode="json", include=fields)
