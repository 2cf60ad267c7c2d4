"""Add many objects at once, for tests and benchmarks."""

from typing import Literal

from pydantic import Field

from airflow_provider_codeocean.emulator.domain.clock import Policy
from airflow_provider_codeocean.emulator.domain.config import StrictModel
from airflow_provider_codeocean.emulator.domain.errors import raise_bad_request, raise_not_found
from airflow_provider_codeocean.emulator.domain.permissions import Permissions
from airflow_provider_codeocean.emulator.domain.records import Computation, DataAsset, User
from airflow_provider_codeocean.emulator.seeding.env_file import get_well_known_ids
from airflow_provider_codeocean.emulator.seeding.seed import SAMPLE_LOCATION
from airflow_provider_codeocean.emulator.services.computations import create_computation
from airflow_provider_codeocean.emulator.state.deployment import Emulator
from airflow_provider_codeocean.emulator.state.users import ADMIN_EMAIL, USER_EMAIL

MAX_SEED_COUNT = 200_000


class DataAssetSeed(StrictModel):
    """Data assets to add.

    :param count: number of data assets.
    :param name: common name, to which a number is appended.
    :param tags: tags of each.
    :param description: description of each.
    :param type: type of each.
    :param owner: email of the owner.
    :param everyone: role of all other users.
    :param age: seconds since the creation of the oldest; the others are spread evenly up to now.
    :param policy: how long they remain drafts; by default, they are ready.
    :param failure_reason: if set, they fail for this reason.
    """

    count: int = Field(default=1, ge=1, le=MAX_SEED_COUNT)
    name: str = "seeded"
    tags: tuple[str, ...] = ()
    description: str = ""
    type: Literal["dataset", "result", "combined", "model"] = "dataset"
    owner: str = ADMIN_EMAIL
    everyone: Literal["viewer", "discoverable", "none"] = "viewer"
    age: float = Field(default=0.0, ge=0)
    policy: Policy = Policy()
    failure_reason: str | None = None


class ComputationSeed(StrictModel):
    """Computations to add.

    :param count: number of computations.
    :param capsule_id: the capsule or pipeline; the ordinary capsule by default.
    :param name: common name, to which a number is appended.
    :param owner: email of the owner.
    :param age: seconds since the creation of the oldest; the others are spread evenly up to now.
    :param policy: how long they run; by default, they are finished.
    :param crashed: whether they end in state `failed`.
    :param end_status: end status if they do not crash.
    :param exit_code: exit code of each.
    :param has_results: whether they have result files.
    """

    count: int = Field(default=1, ge=1, le=MAX_SEED_COUNT)
    capsule_id: str | None = None
    name: str = "seeded run"
    owner: str = USER_EMAIL
    age: float = Field(default=0.0, ge=0)
    policy: Policy = Policy()
    crashed: bool = False
    end_status: Literal["succeeded", "failed", "stopped"] | None = "succeeded"
    exit_code: int | None = 0
    has_results: bool = True


def seed_data_assets(emulator: Emulator, seed: DataAssetSeed) -> list[DataAsset]:
    """Add data assets that share a few files.

    :param emulator: the deployment.
    :param seed: the data assets to add.
    :returns: the data assets.
    """
    owner = _require_user(emulator, seed.owner)
    files = emulator.store.files.list_files(SAMPLE_LOCATION, "")
    size = sum(file.size for file in files)
    permissions = Permissions(users={owner.email: "owner"}, everyone=seed.everyone)
    added = []
    with emulator.store.transaction():
        for number, created in enumerate(_spread_creation_times(emulator, seed.age, seed.count)):
            asset = DataAsset(
                id=emulator.new_id(),
                created=created,
                name=f"{seed.name} {number}",
                mount=f"{seed.name}_{number}",
                owner=owner.id,
                type=seed.type,
                work=emulator.start_work(seed.policy),
                location=SAMPLE_LOCATION,
                files=len(files),
                size=size,
                failure_reason=seed.failure_reason,
                tags=list(seed.tags),
                description=seed.description,
                permissions=permissions,
            )
            added.append(emulator.store.data_assets.put(asset, written_at=created))
    return added


def seed_computations(emulator: Emulator, seed: ComputationSeed) -> list[Computation]:
    """Add computations.

    :param emulator: the deployment.
    :param seed: the computations to add.
    :returns: the computations.
    """
    capsule_id = seed.capsule_id or get_well_known_ids(emulator)["CODEOCEAN_CAPSULE_ID"]
    capsule = emulator.store.capsules.get(capsule_id) or raise_not_found("capsule", capsule_id)
    owner = _require_user(emulator, seed.owner)
    details = seed.model_dump(include={"crashed", "end_status", "exit_code", "has_results"})
    with emulator.store.transaction():
        return [
            create_computation(
                emulator,
                capsule,
                owner,
                work=emulator.start_work(seed.policy),
                created=created,
                name=f"{seed.name} {number}",
                **details,
            )
            for number, created in enumerate(_spread_creation_times(emulator, seed.age, seed.count))
        ]


def _require_user(emulator: Emulator, email: str) -> User:
    return emulator.user_directory.find_by_email(email) or raise_bad_request(
        f"owner: no user has the email {email!r}"
    )


def _spread_creation_times(emulator: Emulator, age_seconds: float, count: int) -> list[float]:
    now = emulator.now()
    return [now - age_seconds + age_seconds * number / count for number in range(count)]
