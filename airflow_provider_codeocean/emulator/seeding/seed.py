"""What a new deployment holds: objects in buckets, capsules, a few runs and data assets."""

from dataclasses import replace
from typing import Any

from airflow_provider_codeocean.emulator.domain.clock import Policy, Work
from airflow_provider_codeocean.emulator.domain.config import CapsuleConfig, ConfigError, RunConfig
from airflow_provider_codeocean.emulator.domain.permissions import Permissions
from airflow_provider_codeocean.emulator.domain.records import Capsule, Computation, DataAsset, User
from airflow_provider_codeocean.emulator.seeding.env_file import LANDMARKS, landmarks
from airflow_provider_codeocean.emulator.services.computations import start_run
from airflow_provider_codeocean.emulator.state.buckets import PUBLIC_BUCKET, bucket_location
from airflow_provider_codeocean.emulator.state.deployment import Emulator
from airflow_provider_codeocean.emulator.state.users import ADMIN_EMAIL, USER_EMAIL, enroll_all

SAMPLE_LOCATION = "sample"
"""File location of the example recording, which seeded data assets share."""

DAY = 86_400.0

CAPSULES = {
    "CODEOCEAN_CAPSULE_ID": CapsuleConfig(name="Spike sorting"),
    "CODEOCEAN_PIPELINE_ID": CapsuleConfig(name="Ecephys pipeline", kind="pipeline"),
    "CODEOCEAN_SLOW_CAPSULE_ID": CapsuleConfig(
        name="Slow motion", runs=RunConfig(policy=Policy(seconds=25, jitter=3))
    ),
    "CODEOCEAN_FAILING_CAPSULE_ID": CapsuleConfig(
        name="Bound to fail", runs=RunConfig(exit_code=1, results="log")
    ),
    "CODEOCEAN_DATA_DESCRIPTION_CAPSULE_ID": CapsuleConfig(
        name="Sorting with metadata", runs=RunConfig(results="data_description")
    ),
}

APP_PANEL = {
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


def plant(emulator: Emulator) -> None:
    """Fill a new state; one that is filled already only gets what the configuration adds.

    :param emulator: the deployment.
    :raises ConfigError: if the owner of a capsule is nobody.
    """
    with emulator.store.transaction():
        enroll_all(emulator)
        garden = _Garden(emulator)
        if not landmarks(emulator):
            emulator.buckets.fill()
            emulator.store.write_note(LANDMARKS, garden.plant())
        known = {capsule.name for capsule in emulator.store.capsules.all()}
        for config in emulator.config.capsules:
            if config.name not in known:
                garden.capsule(config)


def _slug(capsule_id: str) -> str:
    # Seven digits, as real ones have.
    return str(int(capsule_id[:8], 16) % 9_000_000 + 1_000_000)


class _Garden:
    """Where the first objects are made.

    :param emulator: the deployment.
    """

    def __init__(self, emulator: Emulator) -> None:
        self.emulator = emulator
        self.store = emulator.store
        self.now = emulator.now()

    def plant(self) -> dict[str, str]:
        """Make all of them; return what the env file tells."""
        capsules = {variable: self.capsule(config) for variable, config in CAPSULES.items()}
        self.capsule(CapsuleConfig(name="Unfinished thoughts", everyone="none"))
        recording, reference = self.recording(), self.reference()
        inputs = [{"id": recording.id, "mount": recording.mount}]
        sorting = self.linked(self.released(capsules["CODEOCEAN_CAPSULE_ID"]))
        process = {"name": "sort", "capsule_id": sorting.id, "public": False}
        pipeline = replace(
            capsules["CODEOCEAN_PIPELINE_ID"],
            processes=[process],
            data_assets=[{"id": reference.id, "mount": reference.mount}],
        )
        pipeline = self.released(pipeline)
        threshold = {"name": "Threshold", "param_name": "threshold", "value": "5"}
        run = self.finished_run(sorting, data_assets=inputs, parameters=[threshold])
        self.finished_run(pipeline, data_assets=inputs, processes=pipeline.processes)
        return {variable: capsule.id for variable, capsule in capsules.items()} | {
            "CODEOCEAN_COMPUTATION_ID": run.id,
            "CODEOCEAN_WORKSTATION_ID": self.workstation(sorting).id,
            "CODEOCEAN_DATA_ASSET_ID": recording.id,
            "CODEOCEAN_RELEASED_DATA_ASSET_ID": reference.id,
        }

    def user(self, email: str) -> User:
        user = self.emulator.directory.by_email(email)
        if user is None:
            raise ConfigError(f"capsules: owner: no user has the email {email!r}")
        return user

    def capsule(self, config: CapsuleConfig) -> Capsule:
        capsule_id = self.emulator.new_id()
        owner = self.user(config.owner or ADMIN_EMAIL)
        created = self.now - 30 * DAY
        capsule = Capsule(
            id=capsule_id,
            created=created,
            kind=config.kind,
            name=config.name,
            slug=_slug(capsule_id),
            owner=owner.id,
            description=f"{config.name}, a {config.kind} of the emulator.",
            research_field="Neuroscience",
            tags=["ecephys", "emulator"],
            commit=capsule_id.replace("-", "").ljust(40, "0"),
            docker_image=f"registry.emulator.test/capsule/{capsule_id}:1",
            app_panel=APP_PANEL if config.kind == "capsule" else {},
            credits={"author": owner.name, "affiliation": "Example Institute"},
            runs=config.runs.model_dump(mode="json"),
            permissions=Permissions(users={owner.email: "owner"}, everyone=config.everyone),
            last_accessed=created,
        )
        return self.store.capsules.put(capsule, written=created)

    def linked(self, capsule: Capsule) -> Capsule:
        """Link a capsule to a Git repository that is ahead of it."""
        url = f"https://git.emulator.test/{capsule.slug}.git"
        return self.store.capsules.put(
            replace(capsule, cloned_from_url=url, unpulled=2), written=capsule.created
        )

    def released(self, capsule: Capsule) -> Capsule:
        """Publish the first version of a capsule."""
        created = self.now - 20 * DAY
        version = {"major_version": 1, "minor_version": 0, "release_time": int(created)}
        original = {"id": capsule.id, "name": capsule.name, "created": int(capsule.created), "public": False}
        publication_id = self.emulator.new_id()
        publication = replace(
            capsule,
            id=publication_id,
            name=f"{capsule.name} (release)",
            created=created,
            slug=_slug(publication_id),
            status="release",
            versions=[version],
            original_capsule=original,
        )
        self.store.capsules.put(publication, written=created)
        capsule = replace(capsule, versions=[version], release_capsule=publication_id)
        return self.store.capsules.put(capsule, written=capsule.created)

    def finished_run(self, capsule: Capsule, **details: Any) -> Computation:
        started = self.now - DAY
        work = Work(started=started, seconds=90)
        return start_run(self.emulator, capsule, self.user(USER_EMAIL), work=work, **details)

    def workstation(self, capsule: Capsule) -> Computation:
        """Start a cloud workstation, which runs until somebody stops it."""
        work = Work(started=self.now - 3600, seconds=float("inf"))
        workstation = start_run(
            self.emulator,
            capsule,
            self.user(USER_EMAIL),
            work=work,
            name="Cloud workstation",
            cloud_workstation=True,
            has_results=False,
        )
        for path, content in WORKSTATION_FILES.items():
            self.store.files.put(workstation.location, path, content.encode())
        return workstation

    def recording(self) -> DataAsset:
        """Make the data asset that everybody sees and the ordinary user likes."""
        self.store.files.copy(bucket_location(PUBLIC_BUCKET), "example_datasets", SAMPLE_LOCATION, "")
        bucket = {"origin": "aws", "bucket": PUBLIC_BUCKET, "prefix": "example_datasets"}
        metadata = {"modality": "ecephys", "subject id": "123456", "data level": "raw", "score": 97.5}
        return self.data_asset(
            "ecephys_123456_2024-01-02_03-04-05",
            tags=["ecephys", "raw"],
            description="An example recording of three channels.",
            source_bucket=bucket,
            custom_metadata=metadata,
            favorite_of=[USER_EMAIL],
        )

    def reference(self) -> DataAsset:
        """Make the data asset that a release pipeline uses."""
        return self.data_asset(
            "reference_atlas", tags=["atlas"], description="What the released pipeline needs."
        )

    def data_asset(self, name: str, **details: Any) -> DataAsset:
        files = self.store.files.tree(SAMPLE_LOCATION, "")
        created = self.now - 10 * DAY
        owner = self.user(ADMIN_EMAIL)
        asset = DataAsset(
            id=self.emulator.new_id(),
            created=created,
            name=name,
            mount=name,
            owner=owner.id,
            type="dataset",
            work=Work(started=created),
            location=SAMPLE_LOCATION,
            files=len(files),
            size=sum(file.size for file in files),
            permissions=Permissions(users={owner.email: "owner"}, everyone="viewer"),
            **details,
        )
        return self.store.data_assets.put(asset, written=created)
