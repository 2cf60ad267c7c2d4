"""What the components share: a database in PostgreSQL and one in Redis, made for the run and gone after it.

They are made in the servers that ``CLUSTER_POSTGRES_URL`` and ``CLUSTER_REDIS_URL`` name; without these, in
servers that are started for the run.
"""

from __future__ import annotations

import os
import secrets
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from tests.cluster.local_servers import run_postgres, run_redis

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

POSTGRES_URL_VARIABLE, REDIS_URL_VARIABLE = "CLUSTER_POSTGRES_URL", "CLUSTER_REDIS_URL"
#: Key in a Redis database that says that a run has taken it.
_CLAIM_KEY = "codeocean-cluster"
#: Redis has 16 databases unless it is configured otherwise. The first is what everybody takes.
_DATABASE_NUMBERS = range(15, 0, -1)


class ServiceError(Exception):
    """A server cannot be used; the message says why."""


@dataclass(frozen=True)
class Services:
    """Where the components find what they share.

    :param database: URL of the metadata database, ``postgresql://…``.
    :param broker: URL of the broker's database, ``redis://…/number``.
    """

    database: str
    broker: str


@contextmanager
def provide_services(folder: Path) -> Iterator[Services]:
    """Make both databases.

    :param folder: where servers of the run's own write their logs.
    :yields: where they are.
    :raises ServiceError: where a server cannot be used.
    """
    with ExitStack() as stack:
        postgres = os.environ.get(POSTGRES_URL_VARIABLE) or stack.enter_context(run_postgres(folder))
        redis = os.environ.get(REDIS_URL_VARIABLE) or stack.enter_context(run_redis(folder))
        yield Services(
            stack.enter_context(postgres_database(postgres)), stack.enter_context(redis_database(redis))
        )


@contextmanager
def postgres_database(server: str) -> Iterator[str]:
    """Make a database, and drop it in the end.

    :param server: URL of any database of the server, for a role that may create databases.
    :yields: the new one's URL.
    :raises ServiceError: where that cannot be done.
    """
    url = urlsplit(server)
    if url.scheme not in {"postgresql", "postgres"} or not url.hostname:
        raise ServiceError(
            f"{POSTGRES_URL_VARIABLE} has to look like postgresql://user:password@host:5432/database"
        )
    from psycopg2 import Error

    name = f"codeocean_cluster_{secrets.token_hex(4)}"
    try:
        _execute(server, f"CREATE DATABASE {name}")
    except Error as error:
        raise ServiceError(f"PostgreSQL at {_host_and_port(server)} makes no database: {error}") from error
    try:
        yield url._replace(scheme="postgresql", path=f"/{name}").geturl()
    finally:
        _execute(server, f"DROP DATABASE {name} WITH (FORCE)")


def _execute(url: str, sql: str) -> None:
    import psycopg2

    with closing(psycopg2.connect(url, connect_timeout=10)) as connection:
        connection.set_session(autocommit=True)  # no database is made within a transaction
        with connection.cursor() as cursor:
            cursor.execute(sql)


@contextmanager
def redis_database(server: str) -> Iterator[str]:
    """Take an empty database, and empty it in the end.

    :param server: URL of the server, with the database's number as its path, or without for the last that is
        empty.
    :yields: the database's URL.
    :raises ServiceError: where none is empty.
    """
    url = urlsplit(server)
    if url.scheme not in {"redis", "rediss"} or not url.hostname:
        raise ServiceError(f"{REDIS_URL_VARIABLE} has to look like redis://:password@host:6379/15")
    from redis import Redis, RedisError

    path = url.path.strip("/")
    try:
        for number in [int(path)] if path else _DATABASE_NUMBERS:
            own = url._replace(path=f"/{number}").geturl()
            with Redis.from_url(own, socket_timeout=10) as client:
                # The claim before the decision, so that of two runs that begin at once one takes it.
                if client.dbsize() == 0 and client.set(_CLAIM_KEY, os.getpid(), nx=True):
                    if client.dbsize() == 1:
                        break
                    client.delete(_CLAIM_KEY)
        else:
            found = f"database {path} is not empty" if path else "no empty database from 1 to 15"
            raise ServiceError(f"Redis at {_host_and_port(server)}: {found}")
    except (RedisError, ValueError) as error:
        raise ServiceError(f"Redis at {_host_and_port(server)} cannot be used: {error}") from error
    try:
        yield own
    finally:
        with Redis.from_url(own, socket_timeout=10) as client:
            client.flushdb()


def _host_and_port(server: str) -> str:
    """Return host and port of a URL, without its password."""
    return urlsplit(server).netloc.rpartition("@")[2]
