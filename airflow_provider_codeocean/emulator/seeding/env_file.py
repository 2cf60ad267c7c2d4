"""The env file: what a program needs to know to use the emulator."""

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
from airflow_provider_codeocean.emulator.state.users import ADMIN_EMAIL, GROUP, USER_EMAIL

LANDMARKS = "landmarks"
"""Name of the note with the ids that the env file tells."""


def landmarks(emulator: Emulator) -> dict[str, str]:
    """Return the ids that the env file tells.

    :param emulator: the deployment.
    :returns: id by variable; empty before anything has been planted.
    """
    return emulator.store.note(LANDMARKS) or {}


def environment(emulator: Emulator, url: str) -> dict[str, str]:
    """Return the contents of the env file.

    :param emulator: the deployment.
    :param url: where it listens.
    :returns: value by variable.
    """
    tokens = {user.email: next(iter(user.tokens), "") for user in emulator.store.users.all()}
    return {
        "CODEOCEAN_URL": url,
        "CODEOCEAN_TOKEN": tokens[ADMIN_EMAIL],
        "CODEOCEAN_USER_TOKEN": tokens[USER_EMAIL],
        "CODEOCEAN_USER_EMAIL": USER_EMAIL,
        "CODEOCEAN_GROUP": GROUP,
        **landmarks(emulator),
        "CODEOCEAN_PUBLIC_BUCKET": PUBLIC_BUCKET,
        "CODEOCEAN_PRIVATE_BUCKET": PRIVATE_BUCKET,
        "CODEOCEAN_GCP_BUCKET": GCP_BUCKET,
        "CODEOCEAN_RESULTS_BUCKET": RESULTS_BUCKET,
        "CODEOCEAN_ARCHIVE_BUCKET": ARCHIVE_BUCKET,
    }


def write_env_file(path: Path, variables: dict[str, str]) -> None:
    """Write variables as `export` lines, which a shell sources and dotenv readers accept, in one step.

    :param path: the file.
    :param variables: value by variable.
    """
    lines = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in variables.items())
    # A temporary file is readable by its owner only, which suits one that holds tokens.
    with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
        file.write(lines)
    Path(file.name).replace(path)
