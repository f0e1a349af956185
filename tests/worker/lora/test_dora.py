"""DoRA rows against the formula, and against mlx-lm's own DoRA layers, beside plain rows."""

from typing import Any, cast

import mlx.core as mx
import pytest
from mlx import nn
from mlx_lm.tuner.dora import DoRALinear

from fleet.errors import SourceError
from tests.worker.lora.test_layers import check_rows, run, tokens_of
from tests.worker.lora.tiny import (
    ALL,
    ATTENTION,
    model_with,
    paths_of,
    random_adapter,
    tiny_model,
    with_magnitude,
)
from worker.lora.dora import gain_of
from worker.lora.files import Factors
from worker.pieces import whole

PLAIN = random_adapter("plain", paths_of(ALL), rank=16, seed=1)
WHOLE = with_magnitude(random_adapter("whole", paths_of(ALL), rank=4, seed=2))
PARTLY = with_magnitude(random_adapter("partly", paths_of(ATTENTION, [1]), rank=16, seed=3))
ADAPTERS = [PLAIN, WHOLE, PARTLY]


@pytest.mark.parametrize("bits", [None, 4, 8])
@pytest.mark.parametrize("slots", [[2, 2], [2, 0, 2], [1, 3, 0], [3, 1, 0, 2]], ids=str)
def test_rows_are_those_of_mlx_lm_alone(slots: list[int], bits: int | None) -> None:
    check_rows(ADAPTERS, slots, 5, bits)


@pytest.mark.parametrize("length", [1, 9])
def test_in_prefill_and_decode(length: int) -> None:
    check_rows(ADAPTERS, [3, 1, 0, 2], length)


def layer_with_bias() -> tuple[nn.Linear, Factors]:
    keys = mx.random.split(mx.random.key(5), 5)
    linear = nn.Linear(64, 48)
    linear.weight = mx.random.normal((48, 64), key=keys[0])
    linear.bias = mx.random.normal((48,), key=keys[1])
    a, b = mx.random.normal((64, 3), key=keys[2]), mx.random.normal((3, 48), key=keys[3])
    return linear, Factors(a, b, 0.5, 1 + mx.random.uniform(shape=(48,), key=keys[4]))


@pytest.mark.parametrize("bits", [None, 4])
def test_gain_is_that_of_the_formula(bits: int | None) -> None:
    linear, f = layer_with_bias()
    layer = linear if bits is None else linear.to_quantized(64, bits)
    yardstick = cast(Any, DoRALinear.from_base(layer, 3, scale=0.5))
    yardstick.lora_a, yardstick.lora_b, yardstick.m = f.a, f.b, f.magnitude
    x = mx.random.normal((2, 64), key=mx.random.key(9))
    bare = cast(mx.array, layer(x)) - linear.bias
    found = (1 + gain_of(layer, f)) * (bare + x @ f.a @ f.b * 0.5) + linear.bias
    assert mx.allclose(found, yardstick(x), atol=1e-3)


def test_a_wide_layer_is_normed_in_parts() -> None:
    linear, factors = layer_with_bias()
    whole = gain_of(linear, factors)
    for elements in (64 * 5, 64, 1):
        assert mx.allclose(gain_of(linear, factors, elements), whole, atol=1e-6)


def test_the_bias_of_the_base_is_not_scaled() -> None:
    """PEFT's DoRA scales W x, without the bias; the tiny model's layers are given one."""
    base = tiny_model()
    path = "model.layers.0.self_attn.q_proj"
    layer = base.model.layers[0].self_attn.q_proj
    layer.bias = mx.random.normal((64,), key=mx.random.key(3))
    adapter = with_magnitude(random_adapter("one", [path], seed=4))
    model = model_with([adapter], base)
    x = mx.random.normal((2, 3, 64), key=mx.random.key(8))
    model.active.publish([1, 0])
    found = base.model.layers[0].self_attn.q_proj(x)
    f = adapter.factors[path]
    adapted = layer.weight + f.scale * (f.a @ f.b).T
    norm = mx.linalg.norm(adapted, axis=1)
    assert f.magnitude is not None
    expected = f.magnitude / norm * (x[0] @ adapted.T) + layer.bias
    assert mx.allclose(found[0], expected, atol=1e-4)
    assert mx.array_equal(found[1], layer(x)[1])


def test_bare_rows_beside_dora_are_exactly_the_base() -> None:
    tokens = tokens_of(3, 5)
    model = model_with(ADAPTERS)
    assert mx.array_equal(run(model, [2, 0, 3], tokens)[1], run(model, [0, 0, 0], tokens)[1])


def test_a_slot_that_was_dora_is_not_when_it_has_another() -> None:
    tokens = tokens_of(2, 5)
    model = model_with([WHOLE, PARTLY])
    model.put(1, PLAIN)
    expected = run(model_with([PLAIN, PARTLY]), [1, 2], tokens)
    assert mx.allclose(run(model, [1, 2], tokens), expected, atol=1e-5)
    model.clear(2)
    assert mx.array_equal(run(model, [2, 2], tokens), tiny_model()(tokens))


def test_composition_with_dora_is_refused_and_changes_nothing() -> None:
    model = model_with([PLAIN, PARTLY])
    tokens = tokens_of(2, 5)
    before = run(model, [1, 2], tokens)
    with pytest.raises(SourceError, match=r"whole.*DoRA.*can't be composed"):
        whole(model.putting_sum(1, [(PLAIN, 1.0), (WHOLE, 0.5)]))
    assert mx.array_equal(run(model, [1, 2], tokens), before)
