"""PostgreSQL and Redis servers of the run's own, on free ports, with passwords."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from scripts.environment import find_free_ports
from scripts.processes import GuardedProcess
from scripts.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_START_TIMEOUT_SECONDS = 60.0
#: Debian keeps PostgreSQL's programs off the PATH, in a folder for each version.
_DEBIAN_POSTGRES_FOLDER = Path("/usr/lib/postgresql")
# As many connections as the components' pools may open together. What is lost with the machine may be lost.
_POSTGRES_CONFIG = """
max_connections = 300
fsync = off
synchronous_commit = off
full_page_writes = off
dynamic_shared_memory_type = mmap
unix_socket_directories = ''
listen_addresses = '127.0.0.1'
"""


class MissingProgramError(Exception):
    """A server's program is not on this machine."""


@contextmanager
def run_postgres(folder: Path) -> Iterator[str]:
    """Start a PostgreSQL, and remove it in the end.

    :param folder: where its log goes.
    :yields: the URL of its database ``postgres``, for a superuser.
    :raises MissingProgramError: when it is not installed.
    """
    initdb, postgres = (_find_postgres_program(name) for name in ("initdb", "postgres"))
    user = _postgres_user()
    become = ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"] if user else []
    password = secrets.token_hex(16)
    (port,) = find_free_ports(1)
    with _temporary_folder(user) as place:
        data, secret = place / "data", place / "password"
        secret.write_text(password)
        secret.chmod(0o600)
        if user:
            shutil.chown(secret, user.pw_uid)
        make = [initdb, "-D", data, "-U", "cluster", "-A", "scram-sha-256", f"--pwfile={secret}", "-N"]
        done = subprocess.run(
            [*become, *make, "--locale=C", "--encoding=UTF8"],
            cwd=place,
            capture_output=True,
            text=True,
            timeout=_START_TIMEOUT_SECONDS,
            check=False,
        )
        if done.returncode != 0:
            raise RuntimeError(f"initdb failed:\n{done.stdout}\n{done.stderr}")
        with (data / "postgresql.conf").open("a") as config:
            config.write(_POSTGRES_CONFIG)
        url = f"postgresql://cluster:{password}@127.0.0.1:{port}/postgres"
        command = [*become, postgres, "-D", str(data), "-p", str(port)]
        # SIGINT ends it at once, SIGTERM when all have left.
        with _run_server(
            "postgres", command, folder, lambda: _accepts_postgres(url), stop_signal=signal.SIGINT
        ):
            yield url


@contextmanager
def run_redis(folder: Path) -> Iterator[str]:
    """Start a Redis that writes nothing to disk, and remove it in the end.

    :param folder: where its log goes.
    :yields: its URL.
    :raises MissingProgramError: when it is not installed.
    """
    server = shutil.which("redis-server")
    if server is None:
        raise MissingProgramError(
            _missing_program_message("redis-server", "redis-server", "CLUSTER_REDIS_URL")
        )
    password = secrets.token_hex(16)
    (port,) = find_free_ports(1)
    with _temporary_folder(None) as place:
        config = place / "redis.conf"
        config.touch(0o600)
        config.write_text(
            f'bind 127.0.0.1\nport {port}\nrequirepass {password}\nsave ""\nappendonly no\ndir {place}\n'
        )
        url = f"redis://:{password}@127.0.0.1:{port}"
        with _run_server("redis", [server, str(config)], folder, lambda: _accepts_redis(url)):
            yield url


@contextmanager
def _run_server(
    name: str,
    command: list[str],
    folder: Path,
    is_accepting: Callable[[], bool],
    *,
    stop_signal: signal.Signals = signal.SIGTERM,
) -> Iterator[None]:
    """Run a server until the block ends.

    :param name: what to call it.
    :param command: program and arguments.
    :param folder: where its log goes.
    :param is_accepting: tells whether it answers.
    :param stop_signal: the signal that ends it at once.
    """
    process = GuardedProcess(name, command, env=os.environ, directory=folder, cwd=Path("/"))

    def up() -> bool:
        if not process.is_running:
            raise RuntimeError(process.describe_exit())
        return is_accepting()

    try:
        process.start()
        wait_until(up, description=f"{name} (log: {process.log})", timeout=_START_TIMEOUT_SECONDS)
        yield
    finally:
        if process.is_running:
            process.kill(stop_signal)
            wait_until(lambda: not process.is_running, description=f"the end of {name}", timeout=30.0)
        process.stop()


@contextmanager
def _temporary_folder(user: pwd.struct_passwd | None) -> Iterator[Path]:
    """Make a folder that belongs to a user, outside the checkout, where that user may not come."""
    with tempfile.TemporaryDirectory(prefix="codeocean-cluster-") as name:
        if user:
            shutil.chown(name, user.pw_uid)
        yield Path(name)


def _postgres_user() -> pwd.struct_passwd | None:
    """Return whom PostgreSQL is to run as, where that is not who runs this: it refuses root."""
    if os.geteuid() != 0:
        return None
    users = {each.pw_name: each for each in pwd.getpwall()}
    return users.get("postgres") or users["nobody"]


def _find_postgres_program(name: str) -> str:
    newest = sorted(_DEBIAN_POSTGRES_FOLDER.glob(f"*/bin/{name}"), key=lambda path: float(path.parts[-3]))
    found = str(newest[-1]) if newest else shutil.which(name)
    if found is None:
        raise MissingProgramError(_missing_program_message(name, "postgresql", "CLUSTER_POSTGRES_URL"))
    return found


def _missing_program_message(program: str, package: str, variable: str) -> str:
    return (
        f"{program} is not on this machine: install Debian's package {package} (apt-get install postgresql "
        f"redis-server), or name a server in {variable}."
    )


def _accepts_postgres(url: str) -> bool:
    import psycopg2

    try:
        psycopg2.connect(url, connect_timeout=5).close()
    except psycopg2.OperationalError:
        return False
    return True


def _accepts_redis(url: str) -> bool:
    from redis import Redis, RedisError

    try:
        with Redis.from_url(url, socket_timeout=5) as client:
            return bool(client.ping())
    except RedisError:
        return False
