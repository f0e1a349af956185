"""Adapters that come into slots and leave them: what the rows see, and what memory holds."""

from typing import NoReturn

import mlx.core as mx
import pytest

from tests.worker.lora.test_layers import run, tokens_of
from tests.worker.lora.tiny import (
    ALL,
    ATTENTION,
    MLP,
    model_with,
    paths_of,
    random_adapter,
    tiny_model,
    with_magnitude,
    yardstick,
)
from worker.lora.files import AdapterFiles
from worker.lora.layers import LoRALinear
from worker.lora.model import AdapterModel, linear_layers
from worker.pieces import whole

SMALL = random_adapter("small", paths_of(ATTENTION), rank=5, seed=1)
MIDDLE = random_adapter("middle", paths_of(ALL), rank=16, scale=0.5, seed=2)
LARGE = random_adapter("large", paths_of(MLP, [1]), rank=64, scale=0.25, seed=3)
QUERY = random_adapter("query", paths_of(["self_attn.q_proj", "self_attn.v_proj"]), 8, seed=4)
KEY = random_adapter("key", paths_of(["self_attn.k_proj"]), 7, seed=5)
HEAD = random_adapter("head", [*paths_of(ATTENTION), "lm_head"], 8, seed=6)


def check(model: AdapterModel, slot: int, adapter: AdapterFiles | None) -> None:
    tokens = tokens_of(1, 7)
    difference = mx.abs(model.logits(tokens, slot) - yardstick(adapter)(tokens)).max().item()
    assert difference < 1e-4, (slot, difference)


def wrapped(model: AdapterModel) -> set[str]:
    return {p for p, m in model._base.named_modules() if isinstance(m, LoRALinear)}


def test_layers_are_wrapped_when_first_targeted() -> None:
    model = AdapterModel(tiny_model(), 4, mx.float32)
    assert not wrapped(model)
    model.put(1, QUERY)
    assert wrapped(model) == set(QUERY.factors)
    model.put(2, KEY)
    model.put(3, LARGE)
    assert wrapped(model) == {*QUERY.factors, *KEY.factors, *LARGE.factors}
    for slot, adapter in enumerate([None, QUERY, KEY, LARGE]):
        check(model, slot, adapter)
    assert linear_layers(model._base) == linear_layers(tiny_model())


@pytest.mark.parametrize("order", [[KEY, QUERY], [QUERY, KEY]], ids=["k first", "q and v first"])
def test_a_layer_that_joins_a_shared_input_later(order: list[AdapterFiles]) -> None:
    """k is between q and v in their common product; it comes before or after them."""
    model = model_with([order[0], SMALL, order[1]])
    for slot, adapter in enumerate([None, order[0], SMALL, order[1]]):
        check(model, slot, adapter)
    found = run(model, [3, 1, 0, 2], tokens_of(4, 5))
    for row, adapter in enumerate([order[1], order[0], None, SMALL]):
        alone = yardstick(adapter)(tokens_of(4, 5)[row : row + 1])
        assert mx.abs(found[row] - alone[0]).max().item() < 1e-4


@pytest.mark.parametrize("second", [SMALL, MIDDLE, LARGE, KEY], ids=lambda a: a.name)
def test_a_slot_that_is_used_again(second: AdapterFiles) -> None:
    """Replaced, and put after a clear: nothing of the first is left, in any layer."""
    for clear_first in (False, True):
        model = model_with([QUERY, SMALL])
        run(model, [1, 2, 0], tokens_of(3, 4))
        if clear_first:
            model.clear(1)
            check(model, 1, None)
        model.put(1, second)
        check(model, 1, second)
        check(model, 2, SMALL)
        model.clear(1)
        check(model, 1, None)
        check(model, 2, SMALL)


def test_the_same_slots_after_a_put_are_not_the_old_plan() -> None:
    model = model_with([SMALL, MIDDLE])
    tokens = tokens_of(2, 4)
    run(model, [1, 2], tokens)
    model.put(2, LARGE)
    expected = run(model_with([SMALL, LARGE]), [1, 2], tokens)
    assert mx.allclose(run(model, [1, 2], tokens), expected, atol=1e-5)


def test_clear_of_an_empty_slot_and_of_the_last() -> None:
    model = model_with([SMALL, LARGE])
    model.clear(1)
    model.clear(1)
    check(model, 2, LARGE)
    model.clear(2)
    assert model.nbytes == 0
    assert mx.array_equal(run(model, [1, 2, 0], tokens_of(3, 4)), tiny_model()(tokens_of(3, 4)))


@pytest.mark.parametrize("slot", [0, -1, 3])
def test_slots_are_those_that_there_are(slot: int) -> None:
    with pytest.raises(ValueError, match=r"slot .* is not one of 1\.\.2"):
        AdapterModel(tiny_model(), 2, mx.float32).put(slot, SMALL)


def test_ranks_are_not_padded_to_the_largest() -> None:
    eight = [random_adapter(str(i), paths_of(ALL), rank=8, seed=i) for i in range(3)]
    sixty_four = random_adapter("large", paths_of(ALL), rank=64, seed=9)
    apart = model_with([*eight, sixty_four])
    padded = model_with([random_adapter(str(i), paths_of(ALL), rank=64) for i in range(4)])
    assert apart.nbytes < padded.nbytes * 0.6


def test_lm_head_is_a_layer_like_others() -> None:
    model = model_with([HEAD, SMALL])
    check(model, 1, HEAD)
    found = run(model, [2, 1, 0], tokens_of(3, 5))
    for row, adapter in enumerate([SMALL, HEAD, None]):
        alone = yardstick(adapter)(tokens_of(3, 5)[row : row + 1])
        assert mx.abs(found[row] - alone[0]).max().item() < 1e-4


class TestSum:
    PARTS = ((SMALL, 1.0), (MIDDLE, -0.5), (LARGE, 2.0))

    def expected(self, tokens: mx.array) -> mx.array:
        """The deltas added to the weights by hand."""
        base = tiny_model()
        modules = dict(base.named_modules())
        for adapter, scale in self.PARTS:
            for path, f in adapter.factors.items():
                modules[path].weight += scale * f.scale * (f.a @ f.b).T
        return base(tokens)

    def test_is_the_sum_of_the_deltas_in_a_mixed_batch(self) -> None:
        model = AdapterModel(tiny_model(), 4, mx.float32)
        for slot, adapter in ((1, SMALL), (2, MIDDLE), (4, LARGE)):
            model.put(slot, adapter)
        whole(model.putting_sum(3, self.PARTS))
        tokens = tokens_of(5, 6)
        found = run(model, [3, 0, 4, 3, 1], tokens)
        expected = self.expected(tokens)
        for row in (0, 3):
            assert mx.allclose(found[row], expected[row], atol=1e-3)
        assert mx.array_equal(found[1], run(model, [0] * 5, tokens)[1])
        check(model, 1, SMALL)
        check(model, 4, LARGE)

    def test_one_part_at_full_scale_is_the_adapter(self) -> None:
        model = model_with([MIDDLE])
        before = model.logits(tokens_of(1, 6), 1)
        whole(model.putting_sum(1, [(MIDDLE, 1.0)]))
        assert mx.allclose(model.logits(tokens_of(1, 6), 1), before, atol=1e-5)

    def test_the_same_adapter_twice_is_twice_its_delta(self) -> None:
        model = model_with([SMALL])
        whole(model.putting_sum(1, [(SMALL, 0.25), (SMALL, 0.75)]))
        check(model, 1, SMALL)


def test_a_thousand_loads_and_unloads_leave_memory_level() -> None:
    """Two adapters stay and are in use, others come and go in the same and in other buckets."""
    coming = [MIDDLE, SMALL, LARGE, with_magnitude(KEY)]
    model = model_with([SMALL, MIDDLE, QUERY, LARGE])
    tokens = tokens_of(3, 4)
    levels: list[int] = []
    for cycle in range(1000):
        slot = 3 + cycle % 2
        model.clear(slot)
        model.put(slot, coming[cycle % len(coming)])
        if cycle % 50 == 49:
            mx.eval(run(model, [1, slot, 2], tokens))
            levels.append(mx.get_active_memory())
    assert max(levels[2:]) <= levels[1] * 1.02
    check(model, 1, SMALL)
    check(model, 2, MIDDLE)


def test_an_update_is_made_in_place() -> None:
    """Not a copy of the stacks: at no time is more held than they and the adapter itself."""
    wide = [random_adapter(str(i), paths_of(ALL), rank=64, seed=i) for i in range(16)]
    model = model_with(wide)
    run(model, list(range(17)), tokens_of(17, 2))
    for adapter in wide[:3]:
        mx.eval(run(model, [1, 1], tokens_of(2, 2)))
        before = mx.get_active_memory()
        mx.reset_peak_memory()
        model.put(3, adapter)
        assert mx.get_peak_memory() - before < model.nbytes / 4
        assert mx.get_active_memory() - before < model.nbytes / 100


class TestInPieces:
    """A put between the forward passes of others."""

    OTHERS = (SMALL, MIDDLE)

    @pytest.mark.parametrize("coming", [KEY, LARGE, with_magnitude(MIDDLE)])
    def test_others_are_the_same_between_any_two_pieces(self, coming: AdapterFiles) -> None:
        model = model_with([*self.OTHERS, LARGE])
        tokens = tokens_of(4, 5)
        before = run(model, [1, 0, 2, 1], tokens)
        pieces = model.putting(3, coming)
        bare, count = run(model, [0], tokens[:1])[0], 0
        for _ in pieces:
            count += 1
            assert mx.allclose(run(model, [1, 0, 2, 1], tokens), before, atol=1e-4)
            assert mx.allclose(run(model, [3, 0, 2, 1], tokens)[0], bare, atol=1e-4)
        assert count >= 2
        check(model, 3, coming)

    @pytest.mark.parametrize("after", [0, 1, 2])
    @pytest.mark.parametrize("former", [None, LARGE, QUERY])
    def test_one_that_is_closed_leaves_a_bare_slot_for_the_next(
        self, after: int, former: AdapterFiles | None
    ) -> None:
        model = AdapterModel(tiny_model(), 4, mx.float32)
        for slot, adapter in enumerate(self.OTHERS, 1):
            model.put(slot, adapter)
        if former is not None:
            model.put(3, former)
        pieces = model.putting(3, LARGE)
        for _ in range(after):
            next(pieces)
        pieces.close()
        model.clear(3)
        tokens = tokens_of(1, 5)
        assert mx.array_equal(model.logits(tokens, 3), model.logits(tokens, 0))
        for slot, adapter in ((3, QUERY), (4, LARGE)):
            model.put(slot, adapter)
        for slot, adapter in enumerate((*self.OTHERS, QUERY, LARGE), 1):
            check(model, slot, adapter)

    def test_two_at_a_time(self) -> None:
        model = AdapterModel(tiny_model(), 4, mx.float32)
        model.put(1, SMALL)
        first, second = model.putting(2, LARGE), model.putting(3, with_magnitude(QUERY))
        next(first)
        for pieces in (second, model.putting(4, LARGE), first):
            whole(pieces)
        for slot, adapter in enumerate((SMALL, LARGE, with_magnitude(QUERY), LARGE), 1):
            check(model, slot, adapter)

    def test_one_that_fails_as_it_makes_room_leaves_the_others_as_they_were(self) -> None:
        model = AdapterModel(tiny_model(), 4, mx.float32)
        wide = random_adapter("wide", QUERY.factors, 16, seed=7)
        model.put(1, QUERY)
        model.put(2, wide)
        (lanes, *_) = [shared.buckets[16] for shared in model._inputs.values()]
        room = lanes.widened

        def no_room(at: int, count: int) -> NoReturn:
            raise RuntimeError("out of memory")

        lanes.widened = no_room
        with pytest.raises(RuntimeError, match="out of memory"):
            model.put(3, KEY)
        for slot, adapter in enumerate((QUERY, wide), 1):
            check(model, slot, adapter)
        lanes.widened = room
        model.put(3, KEY)
        for slot, adapter in enumerate((QUERY, wide, KEY), 1):
            check(model, slot, adapter)

    def test_logits_by_layer_are_the_logits(self) -> None:
        model = model_with([SMALL, LARGE])
        tokens = tokens_of(1, 7)
        for slot in range(3):
            found = whole(model.logits_by_layer(tokens, slot))
            assert mx.allclose(found, model.logits(tokens, slot), atol=1e-5)
