"""Many objects at once, for tests and benchmarks."""

from typing import Literal

from pydantic import Field

from airflow_provider_codeocean.emulator.domain.clock import Policy
from airflow_provider_codeocean.emulator.domain.config import Settings
from airflow_provider_codeocean.emulator.domain.errors import bad_request, not_found
from airflow_provider_codeocean.emulator.domain.permissions import Permissions
from airflow_provider_codeocean.emulator.domain.records import Computation, DataAsset, User
from airflow_provider_codeocean.emulator.seeding.env_file import landmarks
from airflow_provider_codeocean.emulator.seeding.seed import SAMPLE_LOCATION
from airflow_provider_codeocean.emulator.services.computations import start_run
from airflow_provider_codeocean.emulator.state.deployment import Emulator
from airflow_provider_codeocean.emulator.state.users import ADMIN_EMAIL, USER_EMAIL

MAX_COUNT = 200_000


class DataAssetSeed(Settings):
    """Data assets to add.

    :param count: how many.
    :param name: their name, a number behind it.
    :param tags: their tags.
    :param description: their description.
    :param type: their type.
    :param owner: email of their owner.
    :param everyone: role of those who are not named.
    :param age: how many seconds ago the first was created; the others follow evenly up to now.
    :param policy: how long from now on they are drafts; they are not, if not given.
    :param failure_reason: they fail, and why.
    """

    count: int = Field(default=1, ge=1, le=MAX_COUNT)
    name: str = "seeded"
    tags: tuple[str, ...] = ()
    description: str = ""
    type: Literal["dataset", "result", "combined", "model"] = "dataset"
    owner: str = ADMIN_EMAIL
    everyone: Literal["viewer", "discoverable", "none"] = "viewer"
    age: float = Field(default=0.0, ge=0)
    policy: Policy = Policy()
    failure_reason: str | None = None


class ComputationSeed(Settings):
    """Computations to add.

    :param count: how many.
    :param capsule_id: what has been run; the ordinary capsule if not given.
    :param name: their name, a number behind it.
    :param owner: email of their owner.
    :param age: how many seconds ago the first was created; the others follow evenly up to now.
    :param policy: how long from now on they run; they are over, if not given.
    :param crashed: they end in state `failed`.
    :param end_status: how they end otherwise.
    :param exit_code: what they end with.
    :param has_results: whether they leave files behind.
    """

    count: int = Field(default=1, ge=1, le=MAX_COUNT)
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
    """Add data assets, which share a few files.

    :param emulator: the deployment.
    :param seed: which.
    :returns: the assets.
    """
    owner = _user(emulator, seed.owner)
    files = emulator.store.files.tree(SAMPLE_LOCATION, "")
    size = sum(file.size for file in files)
    permissions = Permissions(users={owner.email: "owner"}, everyone=seed.everyone)
    added = []
    with emulator.store.transaction():
        for number, created in enumerate(_spread(emulator, seed.age, seed.count)):
            asset = DataAsset(
                id=emulator.new_id(),
                created=created,
                name=f"{seed.name} {number}",
                mount=f"{seed.name}_{number}",
                owner=owner.id,
                type=seed.type,
                work=emulator.begin(seed.policy),
                location=SAMPLE_LOCATION,
                files=len(files),
                size=size,
                failure_reason=seed.failure_reason,
                tags=list(seed.tags),
                description=seed.description,
                permissions=permissions,
            )
            added.append(emulator.store.data_assets.put(asset, written=created))
    return added


def seed_computations(emulator: Emulator, seed: ComputationSeed) -> list[Computation]:
    """Add computations.

    :param emulator: the deployment.
    :param seed: which.
    :returns: the computations.
    """
    capsule_id = seed.capsule_id or landmarks(emulator)["CODEOCEAN_CAPSULE_ID"]
    capsule = emulator.store.capsules.get(capsule_id) or not_found("capsule", capsule_id)
    owner = _user(emulator, seed.owner)
    details = seed.model_dump(include={"crashed", "end_status", "exit_code", "has_results"})
    with emulator.store.transaction():
        return [
            start_run(
                emulator,
                capsule,
                owner,
                work=emulator.begin(seed.policy),
                created=created,
                name=f"{seed.name} {number}",
                **details,
            )
            for number, created in enumerate(_spread(emulator, seed.age, seed.count))
        ]


def _user(emulator: Emulator, email: str) -> User:
    return emulator.directory.by_email(email) or bad_request(f"owner: no user has the email {email!r}")


def _spread(emulator: Emulator, age: float, count: int) -> list[float]:
    now = emulator.now()
    return [now - age + age * number / count for number in range(count)]
