"""An adapter that changes nothing is refused, whatever its file claims."""

from dataclasses import replace

import mlx.core as mx
import pytest

from fleet.errors import SourceError
from tests.worker.lora.tiny import ALL, VOCABULARY, model_with, paths_of, random_adapter, tiny_model
from worker.lora.files import AdapterFiles, Factors
from worker.lora.model import AdapterModel
from worker.lora.probe import Probe
from worker.pieces import whole


def effect_of(model: AdapterModel, name: str, slot: int, vocabulary: int = VOCABULARY) -> float:
    return whole(Probe(model, vocabulary).proving(name, slot))


def probed(adapter: AdapterFiles) -> float:
    other = random_adapter("other", paths_of(ALL), seed=9)
    model = model_with([other, adapter])
    return effect_of(model, adapter.name, 2)


def scaled_b(adapter: AdapterFiles, times: float) -> AdapterFiles:
    return replace(
        adapter,
        factors={p: Factors(f.a, f.b * times, f.scale) for p, f in adapter.factors.items()},
    )


def test_effect_is_the_largest_change_of_a_logit() -> None:
    adapter = random_adapter("good", paths_of(ALL), seed=1)
    model = model_with([adapter])
    tokens = mx.arange(0, VOCABULARY, VOCABULARY // 16)[None, :16]
    delta = model.logits(tokens, 1) - tiny_model()(tokens)
    assert effect_of(model, "good", 1) == pytest.approx(mx.abs(delta).max().item(), abs=1e-4)


@pytest.mark.parametrize("times", [0.0, 1e-7])
def test_adapter_without_effect_is_refused(times: float) -> None:
    adapter = scaled_b(random_adapter("idle", paths_of(ALL)), times)
    with pytest.raises(SourceError, match="has no effect"):
        probed(adapter)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e38])
def test_adapter_that_breaks_the_logits_is_refused(value: float) -> None:
    with pytest.raises(SourceError, match="not finite"):
        probed(scaled_b(random_adapter("broken", paths_of(ALL)), value))


@pytest.mark.parametrize("vocabulary", [2, 15, 17, VOCABULARY])
def test_any_vocabulary_size_is_probed(vocabulary: int) -> None:
    model = model_with([random_adapter("good", paths_of(ALL))])
    assert effect_of(model, "good", 1, vocabulary) > 0
