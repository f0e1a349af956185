"""One real gateway with real workers and the embedded fleet, for all contract tests."""

import httpx
import pytest

from tests.contract.processes import GatewayProcess


@pytest.fixture(scope="package")
def gateway(tmp_path_factory):
    """Started as a user starts it; stopped by Ctrl-C, workers included."""
    process = GatewayProcess(tmp_path_factory.mktemp("gateway"))
    try:
        yield process
        process.stop_checked()
    finally:
        process.end()


@pytest.fixture
def url(gateway):
    return gateway.url


@pytest.fixture
def http(url):
    with httpx.Client(base_url=url, timeout=120) as client:
        yield client
