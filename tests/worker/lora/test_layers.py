"""Rows of one batch, each with its own adapter, against mlx-lm's LoRA layers one at a time."""

from collections.abc import Sequence

import mlx.core as mx
import numpy as np
import pytest
from mlx import nn
from mlx.utils import tree_flatten

from tests.worker.lora.tiny import (
    ALL,
    ATTENTION,
    MLP,
    VOCABULARY,
    model_with,
    paths_of,
    random_adapter,
    tiny_model,
    yardstick,
)
from worker.lora.buckets import Place
from worker.lora.files import AdapterFiles
from worker.lora.kernels import Kernel, batched_kernel, gather_kernel
from worker.lora.layers import LoRALinear, Output, SharedInput
from worker.lora.model import AdapterModel, layer_shape, linear_layers
from worker.lora.rows import Active
from worker.lora.slots import BatchSlots

# rank, targets and layers all differ: no two share a stack's full shape
ADAPTERS = [
    random_adapter("attention", paths_of(ATTENTION), rank=4, seed=1),
    random_adapter("all", paths_of(ALL), rank=20, scale=0.5, seed=2),
    random_adapter("second block", paths_of(MLP, [1]), rank=2, scale=4.0, seed=3),
    random_adapter("one layer", paths_of(["self_attn.k_proj"], [0]), rank=1, seed=4),
    random_adapter("q and v", paths_of(["self_attn.q_proj", "self_attn.v_proj"]), 16, seed=5),
]
BATCHES = {
    "none": [0, 0, 0],
    "single": [2, 2],
    "one row": [1],
    "one bare row": [0],
    "every slot": [0, 1, 2, 3, 4, 5],
    "unsorted": [5, 0, 2, 2, 1, 0, 4],
    "bare among one adapter": [1, 0, 1],
}


def weight_bytes(model: nn.Module) -> int:
    return sum(value.nbytes for _, value in tree_flatten(model.parameters()))


def tokens_of(rows: int, length: int) -> mx.array:
    return mx.array(np.random.default_rng(rows).integers(0, VOCABULARY, (rows, length)))


def run(model: AdapterModel, slots: Sequence[int], tokens: mx.array) -> mx.array:
    *kv, _ = model.new_cache(0)
    merged = [cache.merge([cache] * len(slots)) for cache in kv]
    return model(tokens, cache=[*merged, BatchSlots(slots)])


def check_rows(
    adapters: Sequence[AdapterFiles], slots: Sequence[int], length: int, bits: int | None = None
) -> None:
    tokens = tokens_of(len(slots), length)
    model = model_with(adapters, tiny_model(bits))
    found = run(model, slots, tokens)
    for row, slot in enumerate(slots):
        alone = yardstick(adapters[slot - 1] if slot else None, bits)(tokens[row : row + 1])
        assert mx.abs(found[row] - alone[0]).max().item() < 1e-4, (row, slot)


@pytest.mark.parametrize("length", [1, 9])
@pytest.mark.parametrize("slots", BATCHES.values(), ids=BATCHES)
def test_rows_are_those_of_mlx_lm_alone(slots: list[int], length: int) -> None:
    check_rows(ADAPTERS, slots, length)


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("slots", [BATCHES["unsorted"], BATCHES["single"]], ids=["mixed", "single"])
def test_rows_on_a_quantised_base(slots: list[int], bits: int) -> None:
    check_rows(ADAPTERS, slots, 5, bits)


@pytest.mark.parametrize("bits", [4, 8])
def test_shape_of_a_quantised_layer_is_that_of_the_plain_one(bits: int) -> None:
    assert linear_layers(tiny_model(bits)) == linear_layers(tiny_model())
    assert layer_shape(nn.Linear(64, 192).to_quantized(64, bits)) == (64, 192)


@pytest.mark.parametrize("reverse", [False, True])
def test_order_of_the_adapters_does_not_matter(reverse: bool) -> None:
    adapters = ADAPTERS[::-1] if reverse else ADAPTERS
    tokens = tokens_of(1, 6)
    model = model_with(adapters)
    for slot, adapter in enumerate(adapters, start=1):
        alone = yardstick(adapter)(tokens)
        assert mx.abs(model.logits(tokens, slot) - alone).max().item() < 1e-4


def test_slots_published_in_turn_leave_nothing_behind() -> None:
    """The same model object, batch after batch: plans and shared products must not go stale."""
    model = model_with(ADAPTERS)
    first = {name: run(model, slots, tokens_of(len(slots), 4)) for name, slots in BATCHES.items()}
    for name in reversed(BATCHES):
        again = run(model, BATCHES[name], tokens_of(len(BATCHES[name]), 4))
        assert mx.allclose(again, first[name], atol=1e-5), name


def test_logits_without_a_cache_are_those_with_one() -> None:
    model = model_with(ADAPTERS)
    tokens = tokens_of(1, 7)
    for slot in range(len(ADAPTERS) + 1):
        assert mx.allclose(model.logits(tokens, slot), run(model, [slot], tokens), atol=1e-4)


def test_bare_base_stays_as_it_was() -> None:
    tokens = tokens_of(3, 5)
    model = model_with(ADAPTERS)
    assert mx.array_equal(run(model, [0, 0, 0], tokens), tiny_model()(tokens))


def test_no_adapters_at_all() -> None:
    tokens = tokens_of(2, 5)
    model = model_with([])
    assert mx.array_equal(run(model, [0, 0], tokens), tiny_model()(tokens))


def test_bare_rows_of_a_mixed_batch_are_exactly_the_base() -> None:
    """Zero factors add exactly zero, so a bare row never drifts from the base."""
    tokens = tokens_of(3, 5)
    model = model_with(ADAPTERS)
    mixed = run(model, [0, 2, 0], tokens)
    bare = run(model, [0, 0, 0], tokens)
    assert mx.array_equal(mixed[0], bare[0])
    assert mx.array_equal(mixed[2], bare[2])


def test_factors_are_no_parameters_of_the_base() -> None:
    base = tiny_model()
    before = weight_bytes(base)
    model_with(ADAPTERS, base)
    assert weight_bytes(base) == before
    assert not any("lora" in name for name, _ in tree_flatten(base.parameters()))


@pytest.mark.parametrize("dtype", [mx.float16, mx.bfloat16], ids=str)
def test_activations_keep_their_dtype(dtype: mx.Dtype) -> None:
    """Float32 adapter files upcast activations elsewhere and slow the decode."""
    base = tiny_model()
    base.set_dtype(dtype)
    model = model_with(ADAPTERS, base, dtype)
    tokens = tokens_of(3, 4)
    found = run(model, [0, 1, 2], tokens)
    assert found.dtype == dtype
    exact = run(model_with(ADAPTERS), [0, 1, 2], tokens)
    assert mx.abs(found.astype(mx.float32) - exact).max().item() < 0.1 * mx.abs(exact).max().item()


WIDTHS = {"narrow": 32, "wide": 48}
KERNELS: list[Kernel] = [gather_kernel, batched_kernel]


LANES = {1: Place(8, 1), 2: Place(8, 2), 3: Place(16, 1), 4: Place(16, 2)}
Plain = tuple[nn.Linear, dict[int, mx.array], dict[int, mx.array]]


def shared_pair(
    kernel: Kernel, slots: Sequence[int]
) -> tuple[list[LoRALinear], list[Plain], Active]:
    """Two layers on one input, and their plain parts (linear, A and B by slot)."""
    active = Active(kernel)
    for slot, place in LANES.items():
        active.place(slot, place)
    active.publish(slots)
    shared = SharedInput(16, active, mx.float32)
    outputs = {
        name: Output(width, len(LANES), active, mx.float32) for name, width in WIDTHS.items()
    }
    plain: list[Plain] = []
    for at, (name, width) in enumerate(WIDTHS.items()):
        shared.add(name, at)
        a = {0: mx.zeros((16, 1))} | {s: mx.random.normal((16, p.rank)) for s, p in LANES.items()}
        b = {0: mx.zeros((1, width))} | {
            s: mx.random.normal((p.rank, width)) for s, p in LANES.items()
        }
        plain.append((nn.Linear(16, width), a, b))
    for slot, place in LANES.items():
        parts = dict(zip(WIDTHS, plain, strict=True))
        shared.put(place.rank, place.lane, 2, {n: a[slot].T for n, (_, a, _) in parts.items()})
        for name, (_, _, b) in parts.items():
            outputs[name].put(place.rank, place.lane, 2, b[slot])
    layers = [
        LoRALinear(linear, name, shared, outputs[name], active)
        for name, (linear, _, _) in zip(WIDTHS, plain, strict=True)
    ]
    return layers, plain, active


def formula(part: Plain, x: mx.array, slots: Sequence[int]) -> mx.array:
    linear, a, b = part
    return mx.stack([linear(x[i]) + (x[i] @ a[s]) @ b[s] for i, s in enumerate(slots)])


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("slots", [[1, 2, 0], [2, 2, 2], [3, 0, 2], [4, 1, 3], [0, 0, 0]], ids=str)
@pytest.mark.parametrize("order", [[0, 1], [1, 0], [0, 0, 1, 1], [1, 0, 1, 0]], ids=str)
def test_layers_that_share_their_input_in_any_order_of_calls(
    kernel: Kernel, slots: list[int], order: list[int]
) -> None:
    layers, plain, _ = shared_pair(kernel, slots)
    for x in (mx.random.normal((3, 2, 16)), mx.random.normal((3, 2, 16))):
        for member in order:
            found = layers[member](x)
            assert mx.allclose(found, formula(plain[member], x, slots), atol=1e-4), member


@pytest.mark.parametrize("kernel", KERNELS)
def test_a_changed_plan_is_seen_between_two_members(kernel: Kernel) -> None:
    """The same input object under other slots must not meet the first slots' products."""
    layers, plain, active = shared_pair(kernel, [1, 3])
    x = mx.random.normal((2, 2, 16))
    layers[0](x)
    active.publish([3, 1])
    assert mx.allclose(layers[1](x), formula(plain[1], x, [3, 1]), atol=1e-4)
