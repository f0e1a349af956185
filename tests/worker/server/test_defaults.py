"""A field that the client set always wins over the model's default."""

import json
from pathlib import Path

import pytest

from wire.sampling import Sampling
from worker.server.defaults import SamplingDefaults


@pytest.mark.parametrize(
    ("config", "fields", "temperature", "top_k"),
    [
        ({}, {}, 1.0, 0),
        ({"do_sample": False}, {}, 0.0, 0),
        ({"temperature": 0.3, "top_k": 20}, {}, 0.3, 20),
        ({"temperature": 0.3, "top_k": 20}, {"temperature": 0}, 0.0, 20),
        ({"do_sample": False}, {"temperature": 0.7, "top_k": -1}, 0.7, 0),
    ],
)
def test_defaults(
    tmp_path: Path,
    config: dict[str, float],
    fields: dict[str, float],
    temperature: float,
    top_k: int,
) -> None:
    (tmp_path / "generation_config.json").write_text(json.dumps(config))
    params = SamplingDefaults.read(tmp_path).params(Sampling.model_validate(fields))
    assert (params.temperature, params.top_k) == (temperature, top_k)


@pytest.mark.parametrize(
    ("config", "fields", "penalty"),
    [
        ({}, {}, 1.0),
        ({"repetition_penalty": None}, {}, 1.0),
        ({"repetition_penalty": 1.05}, {}, 1.05),
        ({"repetition_penalty": 1.05}, {"repetition_penalty": 1}, 1.0),
        ({"repetition_penalty": 1.05}, {"repetition_penalty": 1.3}, 1.3),
    ],
)
def test_repetition_penalty(
    tmp_path: Path, config: dict[str, float | None], fields: dict[str, float], penalty: float
) -> None:
    (tmp_path / "generation_config.json").write_text(json.dumps(config))
    params = SamplingDefaults.read(tmp_path).params(Sampling.model_validate(fields))
    assert params.repetition_penalty == penalty


def test_no_file_means_openais_defaults(tmp_path: Path) -> None:
    assert SamplingDefaults.read(tmp_path) == SamplingDefaults()
