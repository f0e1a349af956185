"""Real processes with the embedded weights, whose streams last as long as a test needs."""

import httpx
import pytest

from tests.contract.processes import GatewayProcess, endless_fleet


@pytest.fixture(scope="package")
def fleet(tmp_path_factory):
    """Few rows, so that requests queue."""
    return endless_fleet(tmp_path_factory.mktemp("fleet"), apertus=16, devstral=2)


@pytest.fixture(scope="package")
def gateway(tmp_path_factory, fleet):
    process = GatewayProcess(tmp_path_factory.mktemp("gateway"), fleet)
    try:
        yield process
        process.stop_checked()
    finally:
        process.end()


@pytest.fixture
def http(gateway):
    with httpx.Client(base_url=gateway.url, timeout=120) as client:
        yield client


@pytest.fixture
def own_gateway(tmp_path, fleet):
    """One that the test may kill."""
    process = GatewayProcess(tmp_path, fleet)
    yield process
    process.end()
