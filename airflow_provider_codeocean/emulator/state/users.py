"""Who uses a new deployment."""

from airflow_provider_codeocean.emulator.domain.config import UserConfig
from airflow_provider_codeocean.emulator.state.deployment import Emulator

ADMIN_EMAIL = "admin@emulator.test"
USER_EMAIL = "user@emulator.test"
GROUP = "ephys-lab"

DEFAULT_USERS = (
    UserConfig(email=ADMIN_EMAIL, name="Ada Admin", admin=True),
    UserConfig(email=USER_EMAIL, name="Uma User", groups=(GROUP,)),
)


def enroll_all(emulator: Emulator) -> None:
    """Add the users of the configuration beside, or instead of, the two that are always there.

    :param emulator: the deployment.
    """
    users = {user.email: user for user in (*DEFAULT_USERS, *emulator.config.users)}
    for user in users.values():
        emulator.directory.enroll(user, emulator.new_id(), emulator.now())
