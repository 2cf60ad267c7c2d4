"""The buckets outside Code Ocean, with objects and permissions."""

from collections.abc import Mapping
from typing import NamedTuple

from airflow_provider_codeocean.emulator.domain.config import BucketConfig
from airflow_provider_codeocean.emulator.domain.files import FileStore, normalize_path

PUBLIC_BUCKET = "codeocean-public-data"
PRIVATE_BUCKET = "codeocean-private-data"
GCP_BUCKET = "codeocean-gcp-data"
RESULTS_BUCKET = "lab-results"
ARCHIVE_BUCKET = "lab-archive"
INPUT_BUCKET = "codeocean-input-data"
"""The deployment's input bucket, from which admins may import with `use_input_bucket`."""

EXAMPLE_OBJECTS = {
    "example_datasets/README.md": "# Example datasets\n\nSmall files that look like a recording session.\n",
    "example_datasets/session.json": '{"subject_id": "123456", "modality": "ecephys", "probes": 2}\n',
    "example_datasets/probe_A/channels.csv": "channel,depth_um\n0,20\n1,40\n2,60\n",
    "example_datasets/probe_A/events.csv": "time_s,event\n0.5,stimulus\n1.5,reward\n",
    "example_datasets/probe_B/channels.csv": "channel,depth_um\n0,20\n1,40\n",
}

DEFAULT_BUCKETS = (
    BucketConfig(name=PUBLIC_BUCKET, public=True, objects=EXAMPLE_OBJECTS),
    BucketConfig(name=PRIVATE_BUCKET, objects=EXAMPLE_OBJECTS),
    BucketConfig(name=GCP_BUCKET, origin="gcp", objects=EXAMPLE_OBJECTS),
    BucketConfig(name=INPUT_BUCKET, objects=EXAMPLE_OBJECTS),
    BucketConfig(name=RESULTS_BUCKET, writable=True),
    BucketConfig(name=ARCHIVE_BUCKET, writable=True),
)


def bucket_location(name: str) -> str:
    """Return the file location of a bucket.

    :param name: name of the bucket.
    :returns: the location.
    """
    return f"bucket-{name}"


class Destination(NamedTuple):
    """A target folder in a bucket.

    :param location: the file location of the bucket.
    :param bucket: name of the bucket.
    :param prefix: the folder.
    :param error: why files cannot be written to it; None if they can.
    """

    location: str
    bucket: str
    prefix: str
    error: str | None


class Buckets:
    """The buckets that the deployment can reach.

    :param buckets: bucket by name.
    :param files: storage of the objects.
    """

    def __init__(self, buckets: Mapping[str, BucketConfig], files: FileStore) -> None:
        self._buckets = buckets
        self._files = files

    def write_configured_objects(self) -> None:
        """Write the objects of the configuration."""
        for bucket in self._buckets.values():
            for key, content in bucket.objects.items():
                self._files.put(bucket_location(bucket.name), key, content.encode())

    def find_read_error(self, origin: str, name: str, folder: str, *, anonymous: bool) -> str | None:
        """Return the reason why a folder of a bucket cannot be read.

        :param origin: requested cloud, `aws` or `gcp`.
        :param name: name of the bucket.
        :param folder: a normalized path.
        :param anonymous: whether to read without credentials.
        :returns: the reason; None if it can be read.
        """
        bucket = self._buckets.get(name)
        if bucket is None or bucket.origin != origin:
            return f"bucket {name!r} does not exist"
        if anonymous and not bucket.public:
            return f"access to bucket {name!r} denied: it is not public"
        if not self._files.list_files(bucket_location(name), folder):
            return f"there are no objects under {folder!r} in bucket {name!r}"
        return None

    def resolve_destination(self, name: str, prefix: str | None, asset_id: str) -> Destination:
        """Return the target folder for the files of a data asset.

        :param name: name of an S3 bucket.
        :param prefix: the folder; by default, the data asset's id, so that no two share it. (Assumed.)
        :param asset_id: id of the data asset.
        :returns: the folder, with an error if it is not writable.
        """
        bucket = self._buckets.get(name)
        error = None
        if bucket is None or bucket.origin != "aws":
            error = f"bucket {name!r} does not exist"
        elif not bucket.writable:
            error = f"access to bucket {name!r} denied: it cannot be written to"
        return Destination(bucket_location(name), name, normalize_path(prefix) or asset_id, error)
