"""The buckets outside Code Ocean: what lies there, and who may read and write it."""

from collections.abc import Mapping
from typing import NamedTuple

from airflow_provider_codeocean.emulator.domain.config import BucketConfig
from airflow_provider_codeocean.emulator.domain.files import FileStore, clean_path

PUBLIC_BUCKET = "codeocean-public-data"
PRIVATE_BUCKET = "codeocean-private-data"
GCP_BUCKET = "codeocean-gcp-data"
RESULTS_BUCKET = "lab-results"
ARCHIVE_BUCKET = "lab-archive"
INPUT_BUCKET = "codeocean-input-data"
"""The deployment's own, from which admins may import with `use_input_bucket`."""

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
    """A folder of a bucket that files are to go to.

    :param location: the file location of the bucket.
    :param bucket: its name.
    :param prefix: the folder.
    :param error: why they cannot; None if they can.
    """

    location: str
    bucket: str
    prefix: str
    error: str | None


class Buckets:
    """The buckets that the deployment can reach.

    :param buckets: bucket by name.
    :param files: their contents.
    """

    def __init__(self, buckets: Mapping[str, BucketConfig], files: FileStore) -> None:
        self._buckets = buckets
        self._files = files

    def fill(self) -> None:
        """Write the objects that the configuration names."""
        for bucket in self._buckets.values():
            for key, content in bucket.objects.items():
                self._files.put(bucket_location(bucket.name), key, content.encode())

    def why_not_readable(self, origin: str, name: str, folder: str, *, anonymous: bool) -> str | None:
        """Tell why a folder of a bucket cannot be read.

        :param origin: whose storage it is said to be, `aws` or `gcp`.
        :param name: name of the bucket.
        :param folder: a clean path.
        :param anonymous: without credentials.
        :returns: the reason; None if it can.
        """
        bucket = self._buckets.get(name)
        if bucket is None or bucket.origin != origin:
            return f"bucket {name!r} does not exist"
        if anonymous and not bucket.public:
            return f"access to bucket {name!r} denied: it is not public"
        if not self._files.tree(bucket_location(name), folder):
            return f"there are no objects under {folder!r} in bucket {name!r}"
        return None

    def destination(self, name: str, prefix: str | None, asset_id: str) -> Destination:
        """Find out where the files of a data asset would go.

        :param name: name of an S3 bucket.
        :param prefix: the folder; one named after the asset if not given, so that two never mix. (Assumed.)
        :param asset_id: id of the asset.
        :returns: the place, and whether it can be written to.
        """
        bucket = self._buckets.get(name)
        error = None
        if bucket is None or bucket.origin != "aws":
            error = f"bucket {name!r} does not exist"
        elif not bucket.writable:
            error = f"access to bucket {name!r} denied: it cannot be written to"
        return Destination(bucket_location(name), name, clean_path(prefix) or asset_id, error)
