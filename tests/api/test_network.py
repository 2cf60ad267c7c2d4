"""What only a real network shows: refused connections, proxies. Certificates are in ``test_tls.py``."""

from __future__ import annotations

import socket
from functools import partial
from types import SimpleNamespace

import pytest

from airflow_provider_codeocean.api.client import CodeOceanClient
from airflow_provider_codeocean.api.errors import CodeOceanTransportError
from airflow_provider_codeocean.api.models.data_asset_params import DataAssetParams
from tests.api.fake_server import BOTH
from tests.api.loopback import LoopbackServer

NEW_ASSET = DataAssetParams(name="n", tags=[], mount="m", data_asset_ids=["a1"])


@pytest.fixture(params=BOTH)
def get(request):
    """Get a data asset from a server by means of either client."""
    return partial(BOTH[request.param], use=lambda client: client.data_assets.get("a1"))


class TestConnection:
    @pytest.fixture
    def nobody(self):
        """An address at which nobody listens."""
        with socket.create_server(("127.0.0.1", 0)) as listening:
            port = listening.getsockname()[1]
        return SimpleNamespace(url=f"http://127.0.0.1:{port}", token="cop_s3cret", transport=None)

    @pytest.mark.parametrize("ask_nobody", BOTH.values(), ids=BOTH)
    def test_one_that_is_refused_applied_nothing(self, nobody, ask_nobody):
        with pytest.raises(CodeOceanTransportError, match="could not be sent") as caught:
            ask_nobody(nobody, lambda client: client.data_assets.create(NEW_ASSET), retry_budget=0)
        assert not caught.value.maybe_applied
        assert caught.value.transient

    def test_one_serves_many_requests(self):
        with LoopbackServer() as server, CodeOceanClient(server.url, server.token) as client:
            for _ in range(3):
                client.data_assets.get("a1")
        assert (len(server.lines), server.connections) == (3, 1)

    def test_a_proxy_is_asked_instead(self, get):
        with LoopbackServer() as proxy:
            away = SimpleNamespace(url="http://codeocean.test", token="cop_s3cret", transport=None)
            assert get(away, proxy=proxy.url).id == "a1"
        assert proxy.lines == ["GET http://codeocean.test/api/v1/data_assets/a1 HTTP/1.1"]
