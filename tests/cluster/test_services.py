"""What is said where PostgreSQL or Redis cannot be used."""

from __future__ import annotations

import pytest

from tests.cluster import local_servers
from tests.cluster.local_servers import MissingProgramError, run_postgres, run_redis
from tests.cluster.services import ServiceError, postgres_database, redis_database


@pytest.mark.parametrize(
    ("database", "url", "variable"),
    [
        (postgres_database, "mysql://root:secret@127.0.0.1/test", "CLUSTER_POSTGRES_URL"),
        (postgres_database, "127.0.0.1:5432", "CLUSTER_POSTGRES_URL"),
        (redis_database, "http://:secret@127.0.0.1:6379", "CLUSTER_REDIS_URL"),
    ],
)
def test_service_with_invalid_url_error_hides_it(database, url, variable):
    with pytest.raises(ServiceError, match=variable) as error, database(url):
        pass
    assert "secret" not in str(error.value)


@pytest.mark.parametrize(
    ("server", "variable"),
    [(run_postgres, "CLUSTER_POSTGRES_URL"), (run_redis, "CLUSTER_REDIS_URL")],
)
def test_missing_server_program_error_names_its_package(server, variable, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(local_servers, "_DEBIAN_POSTGRES_FOLDER", tmp_path)
    with (
        pytest.raises(MissingProgramError, match="apt-get install postgresql redis-server") as error,
        server(tmp_path),
    ):
        pass
    assert variable in str(error.value)
