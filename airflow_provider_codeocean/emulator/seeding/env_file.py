"""The env file: the address, tokens, and ids that a program needs to use the emulator."""

import shlex
import tempfile
from pathlib import Path

from airflow_provider_codeocean.emulator.state.buckets import (
    ARCHIVE_BUCKET,
    GCP_BUCKET,
    PRIVATE_BUCKET,
    PUBLIC_BUCKET,
    RESULTS_BUCKET,
)
from airflow_provider_codeocean.emulator.state.deployment import Emulator
from airflow_provider_codeocean.emulator.state.users import ADMIN_EMAIL, USER_EMAIL, USER_GROUP

WELL_KNOWN_IDS = "landmarks"
"""Name of the stored note with the ids for the env file."""


def get_well_known_ids(emulator: Emulator) -> dict[str, str]:
    """Return the ids that the env file contains.

    :param emulator: the deployment.
    :returns: id by variable; empty before the deployment has been seeded.
    """
    return emulator.store.get_meta(WELL_KNOWN_IDS) or {}


def env_variables(emulator: Emulator, url: str) -> dict[str, str]:
    """Return the contents of the env file.

    :param emulator: the deployment.
    :param url: address of the emulator.
    :returns: value by variable.
    """
    tokens = {user.email: next(iter(user.tokens), "") for user in emulator.store.users.all()}
    return {
        "CODEOCEAN_URL": url,
        "CODEOCEAN_TOKEN": tokens[ADMIN_EMAIL],
        "CODEOCEAN_USER_TOKEN": tokens[USER_EMAIL],
        "CODEOCEAN_USER_EMAIL": USER_EMAIL,
        "CODEOCEAN_GROUP": USER_GROUP,
        **get_well_known_ids(emulator),
        "CODEOCEAN_PUBLIC_BUCKET": PUBLIC_BUCKET,
        "CODEOCEAN_PRIVATE_BUCKET": PRIVATE_BUCKET,
        "CODEOCEAN_GCP_BUCKET": GCP_BUCKET,
        "CODEOCEAN_RESULTS_BUCKET": RESULTS_BUCKET,
        "CODEOCEAN_ARCHIVE_BUCKET": ARCHIVE_BUCKET,
    }


def write_env_file(path: Path, variables: dict[str, str]) -> None:
    """Replace the file atomically with `export` lines, which shells and dotenv readers accept.

    :param path: the file.
    :param variables: value by variable.
    """
    lines = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in variables.items())
    # Temporary files are readable by their owner only, which protects the tokens.
    with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
        file.write(lines)
    Path(file.name).replace(path)
