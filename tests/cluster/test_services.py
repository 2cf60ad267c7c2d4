"""What is said where PostgreSQL or Redis cannot be used."""

from __future__ import annotations

import pytest

from tests.cluster import private
from tests.cluster.private import MissingProgramError, private_postgres, private_redis
from tests.cluster.services import ServiceError, postgres_database, redis_database


@pytest.mark.parametrize(
    ("database", "url", "variable"),
    [
        (postgres_database, "mysql://root:secret@127.0.0.1/test", "CLUSTER_POSTGRES_URL"),
        (postgres_database, "127.0.0.1:5432", "CLUSTER_POSTGRES_URL"),
        (redis_database, "http://:secret@127.0.0.1:6379", "CLUSTER_REDIS_URL"),
    ],
)
def test_a_url_of_something_else_is_refused_without_showing_it(database, url, variable):
    with pytest.raises(ServiceError, match=variable) as error, database(url):
        pass
    assert "secret" not in str(error.value)


@pytest.mark.parametrize(
    ("server", "variable"),
    [(private_postgres, "CLUSTER_POSTGRES_URL"), (private_redis, "CLUSTER_REDIS_URL")],
)
def test_a_missing_server_is_named_with_its_package(server, variable, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(private, "_DEBIAN", tmp_path)
    with (
        pytest.raises(MissingProgramError, match="apt-get install postgresql redis-server") as error,
        server(tmp_path),
    ):
        pass
    assert variable in str(error.value)
