"""The data of a new deployment: objects in buckets, capsules, a few computations, and data assets."""

from dataclasses import replace
from typing import Any

from airflow_provider_codeocean.emulator.domain.clock import Policy, Work
from airflow_provider_codeocean.emulator.domain.config import CapsuleConfig, ConfigError, RunConfig
from airflow_provider_codeocean.emulator.domain.permissions import Permissions
from airflow_provider_codeocean.emulator.domain.records import Capsule, Computation, DataAsset, User
from airflow_provider_codeocean.emulator.seeding.env_file import WELL_KNOWN_IDS, get_well_known_ids
from airflow_provider_codeocean.emulator.services.computations import create_computation
from airflow_provider_codeocean.emulator.state.buckets import PUBLIC_BUCKET, bucket_location
from airflow_provider_codeocean.emulator.state.deployment import Emulator
from airflow_provider_codeocean.emulator.state.users import ADMIN_EMAIL, USER_EMAIL, add_configured_users

SAMPLE_LOCATION = "sample"
"""File location of the example recording, which seeded data assets share."""

SECONDS_PER_DAY = 86_400.0

DEFAULT_CAPSULES = {
    "CODEOCEAN_CAPSULE_ID": CapsuleConfig(name="Spike sorting"),
    "CODEOCEAN_PIPELINE_ID": CapsuleConfig(name="Ecephys pipeline", kind="pipeline"),
    "CODEOCEAN_SLOW_CAPSULE_ID": CapsuleConfig(
        name="Slow motion", runs=RunConfig(policy=Policy(seconds=25, jitter=3))
    ),
    "CODEOCEAN_FAILING_CAPSULE_ID": CapsuleConfig(
        name="Bound to fail", runs=RunConfig(exit_code=1, results="log")
    ),
    "CODEOCEAN_FAILING_PIPELINE_ID": CapsuleConfig(
        name="Fails until it is resumed",
        kind="pipeline",
        processes=("qc", "sort", "plot"),
        runs=RunConfig(failing_process="plot"),
    ),
    "CODEOCEAN_UNSTARTABLE_CAPSULE_ID": CapsuleConfig(
        name="Out of machines", runs=RunConfig(crash=True, results="none")
    ),
    "CODEOCEAN_DATA_DESCRIPTION_CAPSULE_ID": CapsuleConfig(
        name="Sorting with metadata", runs=RunConfig(results="data_description")
    ),
}

DEFAULT_APP_PANEL = {
    "general": {"title": "Parameters", "instructions": "Choose a threshold and a probe, then run."},
    "categories": [{"id": "1", "name": "Sorting"}],
    "parameters": [
        {
            "name": "Threshold",
            "type": "text",
            "category": "1",
            "param_name": "threshold",
            "value_type": "number",
            "default_value": "5",
            "minimum": 1,
            "maximum": 20,
        },
        {
            "name": "Probe",
            "type": "list",
            "category": "1",
            "param_name": "probe",
            "value_options": ["A", "B"],
        },
    ],
    "results": [{"file_name": "summary.json"}],
}

WORKSTATION_FILES = {
    "results/curated/units.csv": "unit,label\n1,good\n2,good\n",
    "results/curated/notes.md": "Looked through by hand.\n",
    "scratch/session.log": "kernel started\n",
}


def seed_deployment(emulator: Emulator) -> None:
    """Seed a new deployment; if it has data already, add only new objects of the configuration.

    :param emulator: the deployment.
    :raises ConfigError: if the owner of a capsule does not exist.
    """
    with emulator.store.transaction():
        add_configured_users(emulator)
        seeder = _Seeder(emulator)
        if not get_well_known_ids(emulator):
            emulator.buckets.write_configured_objects()
            emulator.store.set_meta(WELL_KNOWN_IDS, seeder.seed())
        known_names = {capsule.name for capsule in emulator.store.capsules.all()}
        for config in emulator.config.capsules:
            if config.name not in known_names:
                seeder.add_capsule(config)


def _slug_from_id(capsule_id: str) -> str:
    # Real slugs have seven digits, too.
    return str(int(capsule_id[:8], 16) % 9_000_000 + 1_000_000)


class _Seeder:
    """Creates the first objects.

    :param emulator: the deployment.
    """

    def __init__(self, emulator: Emulator) -> None:
        self.emulator = emulator
        self.store = emulator.store
        self.now = emulator.now()

    def seed(self) -> dict[str, str]:
        """Create all objects, and return the ids for the env file."""
        capsules = {variable: self.add_capsule(config) for variable, config in DEFAULT_CAPSULES.items()}
        self.add_capsule(CapsuleConfig(name="Unfinished thoughts", everyone="none"))
        recording, reference = self.add_recording(), self.add_reference_atlas()
        inputs = [{"id": recording.id, "mount": recording.mount}]
        sorting = self.link_to_git(self.publish_first_version(capsules["CODEOCEAN_CAPSULE_ID"]))
        process = {"name": "sort", "capsule_id": sorting.id, "public": False}
        pipeline = replace(
            capsules["CODEOCEAN_PIPELINE_ID"],
            processes=[process],
            data_assets=[{"id": reference.id, "mount": reference.mount}],
        )
        pipeline = self.publish_first_version(pipeline)
        threshold = {"name": "Threshold", "param_name": "threshold", "value": "5"}
        run = self.add_finished_computation(sorting, data_assets=inputs, parameters=[threshold])
        self.add_finished_computation(pipeline, data_assets=inputs, processes=pipeline.processes)
        return {variable: capsule.id for variable, capsule in capsules.items()} | {
            "CODEOCEAN_COMPUTATION_ID": run.id,
            "CODEOCEAN_WORKSTATION_ID": self.add_workstation(sorting).id,
            "CODEOCEAN_DATA_ASSET_ID": recording.id,
            "CODEOCEAN_RELEASED_DATA_ASSET_ID": reference.id,
        }

    def get_user(self, email: str) -> User:
        user = self.emulator.user_directory.find_by_email(email)
        if user is None:
            raise ConfigError(f"capsules: owner: no user has the email {email!r}")
        return user

    def add_capsule(self, config: CapsuleConfig) -> Capsule:
        capsule_id = self.emulator.new_id()
        owner = self.get_user(config.owner or ADMIN_EMAIL)
        created = self.now - 30 * SECONDS_PER_DAY
        process_capsule_id = next((capsule.id for capsule in self.store.capsules.all()), capsule_id)
        capsule = Capsule(
            id=capsule_id,
            created=created,
            kind=config.kind,
            name=config.name,
            slug=_slug_from_id(capsule_id),
            owner=owner.id,
            processes=[
                {"name": name, "capsule_id": process_capsule_id, "public": False} for name in config.processes
            ],
            description=f"{config.name}, a {config.kind} of the emulator.",
            research_field="Neuroscience",
            tags=["ecephys", "emulator"],
            commit=capsule_id.replace("-", "").ljust(40, "0"),
            docker_image=f"registry.emulator.test/capsule/{capsule_id}:1",
            app_panel=DEFAULT_APP_PANEL if config.kind == "capsule" else {},
            credit_fields={"author": owner.name, "affiliation": "Example Institute"},
            runs=config.runs.model_dump(mode="json"),
            permissions=Permissions(users={owner.email: "owner"}, everyone=config.everyone),
            last_accessed=created,
        )
        return self.store.capsules.put(capsule, written_at=created)

    def link_to_git(self, capsule: Capsule) -> Capsule:
        """Link a capsule to a Git repository that has newer commits."""
        url = f"https://git.emulator.test/{capsule.slug}.git"
        return self.store.capsules.put(
            replace(capsule, cloned_from_url=url, unpulled_commits=2), written_at=capsule.created
        )

    def publish_first_version(self, capsule: Capsule) -> Capsule:
        """Publish the first version of a capsule."""
        created = self.now - 20 * SECONDS_PER_DAY
        version = {"major_version": 1, "minor_version": 0, "release_time": int(created)}
        original = {"id": capsule.id, "name": capsule.name, "created": int(capsule.created), "public": False}
        publication_id = self.emulator.new_id()
        publication = replace(
            capsule,
            id=publication_id,
            name=f"{capsule.name} (release)",
            created=created,
            slug=_slug_from_id(publication_id),
            status="release",
            versions=[version],
            original_capsule=original,
        )
        self.store.capsules.put(publication, written_at=created)
        capsule = replace(capsule, versions=[version], release_capsule_id=publication_id)
        return self.store.capsules.put(capsule, written_at=capsule.created)

    def add_finished_computation(self, capsule: Capsule, **fields: Any) -> Computation:
        started = self.now - SECONDS_PER_DAY
        work = Work(started_at=started, duration_seconds=90)
        return create_computation(self.emulator, capsule, self.get_user(USER_EMAIL), work=work, **fields)

    def add_workstation(self, capsule: Capsule) -> Computation:
        """Start a cloud workstation, which runs until a user stops it."""
        work = Work(started_at=self.now - 3600, duration_seconds=float("inf"))
        workstation = create_computation(
            self.emulator,
            capsule,
            self.get_user(USER_EMAIL),
            work=work,
            name="Cloud workstation",
            cloud_workstation=True,
            has_results=False,
        )
        for path, content in WORKSTATION_FILES.items():
            self.store.files.put(workstation.location, path, content.encode())
        return workstation

    def add_recording(self) -> DataAsset:
        """Create a data asset that is visible to everyone and a favorite of the ordinary user."""
        self.store.files.copy(bucket_location(PUBLIC_BUCKET), "example_datasets", SAMPLE_LOCATION, "")
        bucket = {"origin": "aws", "bucket": PUBLIC_BUCKET, "prefix": "example_datasets"}
        metadata = {"modality": "ecephys", "subject id": "123456", "data level": "raw", "score": 97.5}
        return self.add_data_asset(
            "ecephys_123456_2024-01-02_03-04-05",
            tags=["ecephys", "raw"],
            description="An example recording of three channels.",
            source_bucket=bucket,
            custom_metadata=metadata,
            favorited_by=[USER_EMAIL],
        )

    def add_reference_atlas(self) -> DataAsset:
        """Create the data asset that a release pipeline uses."""
        return self.add_data_asset(
            "reference_atlas", tags=["atlas"], description="Input of the released pipeline."
        )

    def add_data_asset(self, name: str, **fields: Any) -> DataAsset:
        files = self.store.files.list_files(SAMPLE_LOCATION, "")
        created = self.now - 10 * SECONDS_PER_DAY
        owner = self.get_user(ADMIN_EMAIL)
        asset = DataAsset(
            id=self.emulator.new_id(),
            created=created,
            name=name,
            mount=name,
            owner=owner.id,
            type="dataset",
            work=Work(started_at=created),
            location=SAMPLE_LOCATION,
            files=len(files),
            size=sum(file.size for file in files),
            permissions=Permissions(users={owner.email: "owner"}, everyone="viewer"),
            **fields,
        )
        return self.store.data_assets.put(asset, written_at=created)
