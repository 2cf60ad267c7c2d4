"""The users of a new deployment."""

from airflow_provider_codeocean.emulator.domain.config import UserConfig
from airflow_provider_codeocean.emulator.state.deployment import Emulator

ADMIN_EMAIL = "admin@emulator.test"
USER_EMAIL = "user@emulator.test"
USER_GROUP = "ephys-lab"

DEFAULT_USERS = (
    UserConfig(email=ADMIN_EMAIL, name="Ada Admin", admin=True),
    UserConfig(email=USER_EMAIL, name="Uma User", groups=(USER_GROUP,)),
)


def add_configured_users(emulator: Emulator) -> None:
    """Add the two default users and the users of the configuration, which may change the default ones.

    :param emulator: the deployment.
    """
    users = {user.email: user for user in (*DEFAULT_USERS, *emulator.config.users)}
    for user in users.values():
        emulator.user_directory.upsert(user, emulator.new_id(), emulator.now())
