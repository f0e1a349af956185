"""The bases of the embedded fleet, loaded once a module; and mlx-lm alone beside them."""

import gc
from collections.abc import Iterator

import pytest

from tests.parity.rows import Alone, load_rows
from worker.load import Loaded


@pytest.fixture(scope="module")
def apertus() -> Iterator[Loaded]:
    loaded = load_rows("apertus")
    yield loaded
    loaded.scheduler.close()
    gc.collect()


@pytest.fixture(scope="module")
def devstral() -> Iterator[Loaded]:
    loaded = load_rows("devstral")
    yield loaded
    loaded.scheduler.close()
    gc.collect()


@pytest.fixture(scope="session")
def apertus_alone(tmp_path_factory: pytest.TempPathFactory) -> Alone:
    return Alone("apertus", tmp_path_factory.mktemp("apertus"))


@pytest.fixture(scope="session")
def devstral_alone(tmp_path_factory: pytest.TempPathFactory) -> Alone:
    return Alone("devstral", tmp_path_factory.mktemp("devstral"))
