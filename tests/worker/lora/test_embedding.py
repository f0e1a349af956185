"""Embeddings that each row of a batch has from its own adapter, against mlx-lm and by hand."""

from collections.abc import Sequence
from dataclasses import replace

import mlx.core as mx
import pytest
from mlx import nn
from mlx.utils import tree_flatten
from mlx_lm.models import seed_oss

from fleet.errors import SourceError
from tests.worker.lora.test_layers import run, tokens_of, weight_bytes
from tests.worker.lora.tiny import (
    ALL,
    ATTENTION,
    EMBEDDINGS,
    MLP,
    VOCABULARY,
    model_with,
    paths_of,
    random_adapter,
    tiny_model,
    with_magnitude,
    yardstick,
)
from worker.lora.embedding import LoRAEmbedding
from worker.lora.files import AdapterFiles, Factors
from worker.lora.kernels import Kernel, batched_kernel, gather_kernel
from worker.lora.model import AdapterModel, layer_shape, linear_layers
from worker.lora.probe import Probe
from worker.pieces import whole

# formats, ranks (buckets 8, 16, 32) and targets differ; two leave the embeddings alone
ONLY = random_adapter("only", [EMBEDDINGS], rank=5, seed=1)
ALL_LAYERS = random_adapter("all", [EMBEDDINGS, *paths_of(ALL)], rank=16, scale=0.5, seed=2)
PEFT = random_adapter("peft", [EMBEDDINGS, *paths_of(MLP)], rank=7, seed=3, form="peft")
WIDE_PEFT = random_adapter("wide", [EMBEDDINGS], rank=20, seed=4, form="peft")
LINEAR = random_adapter("linear", paths_of(ATTENTION), rank=4, seed=5)
DORA = with_magnitude(random_adapter("dora", paths_of(ATTENTION), rank=16, seed=6))
ADAPTERS = [ONLY, ALL_LAYERS, PEFT, WIDE_PEFT, LINEAR, DORA]
BATCHES = {
    "one row": [1],
    "single": [3, 3],
    "one bucket": [3, 0, 1, 5, 1],
    "every slot": [0, 1, 2, 3, 4, 5, 6],
    "unsorted": [4, 0, 6, 2, 2, 5, 1, 3],
    "without embeddings": [5, 0, 6],
}


def check_rows(
    model: AdapterModel,
    adapters: Sequence[AdapterFiles | None],
    slots: Sequence[int],
    *,
    length: int = 5,
    bits: int | None = None,
    tied: bool = False,
) -> None:
    """Each row as the adapter of its slot alone; the first of ``adapters`` is in slot 1."""
    tokens = tokens_of(len(slots), length)
    found = run(model, slots, tokens)
    for row, slot in enumerate(slots):
        alone = yardstick(adapters[slot - 1] if slot else None, bits, tied)(tokens[row : row + 1])
        assert mx.abs(found[row] - alone[0]).max().item() < 2e-4, (row, slot)


class TestRows:
    @pytest.mark.parametrize("length", [1, 9])
    @pytest.mark.parametrize("tied", [False, True], ids=["untied", "tied"])
    @pytest.mark.parametrize("slots", BATCHES.values(), ids=BATCHES)
    def test_are_those_of_their_adapters_alone(
        self, slots: list[int], tied: bool, length: int
    ) -> None:
        model = model_with(ADAPTERS, tiny_model(tied=tied))
        check_rows(model, ADAPTERS, slots, length=length, tied=tied)

    @pytest.mark.parametrize("bits", [4, 8])
    @pytest.mark.parametrize("tied", [False, True], ids=["untied", "tied"])
    def test_on_a_quantised_base(self, bits: int, tied: bool) -> None:
        model = model_with(ADAPTERS, tiny_model(bits, tied))
        assert isinstance(model._base.model.embed_tokens.table, nn.QuantizedEmbedding)
        for slots in ([3, 3], BATCHES["unsorted"]):
            check_rows(model, ADAPTERS, slots, bits=bits, tied=tied)

    @pytest.mark.parametrize("kernel", [gather_kernel, batched_kernel])
    def test_with_either_kernel(self, kernel: Kernel) -> None:
        model = model_with(ADAPTERS, tiny_model(tied=True))
        model.active.kernel = kernel
        for slots in (BATCHES["one bucket"], BATCHES["unsorted"]):
            check_rows(model, ADAPTERS, slots, tied=True)

    @pytest.mark.parametrize("tied", [False, True], ids=["untied", "tied"])
    def test_bare_rows_are_exactly_the_base(self, tied: bool) -> None:
        model = model_with(ADAPTERS, tiny_model(tied=tied))
        tokens = tokens_of(3, 5)
        bare = run(model, [0, 0, 0], tokens)
        assert mx.array_equal(bare, tiny_model(tied=tied)(tokens))
        for others in ([0, 1, 0], [0, 2, 0], [0, 3, 0]):
            mixed = run(model, others, tokens)
            assert mx.array_equal(mixed[0], bare[0])
            assert mx.array_equal(mixed[2], bare[2])

    @pytest.mark.parametrize("dtype", [mx.float16, mx.bfloat16], ids=str)
    def test_keep_the_dtype_of_the_base(self, dtype: mx.Dtype) -> None:
        base = tiny_model(tied=True)
        base.set_dtype(dtype)
        slots = BATCHES["unsorted"]
        tokens = tokens_of(len(slots), 4)
        found = run(model_with(ADAPTERS, base, dtype), slots, tokens)
        assert found.dtype == dtype
        exact = run(model_with(ADAPTERS, tiny_model(tied=True)), slots, tokens)
        assert mx.abs(found.astype(mx.float32) - exact).max().item() < 0.1 * mx.abs(exact).max()


def test_only_mlx_lm_changes_the_logits_of_a_tied_base() -> None:
    """The two libraries differ, and each adapter is applied as it was trained."""
    base = tiny_model(tied=True)
    peft = replace(ONLY, format="peft", factors={EMBEDDINGS: untied(ONLY)})
    model = model_with([ONLY, peft], base)
    h = mx.random.normal((1, 3, 64))
    head = base.model.embed_tokens
    tied_logits: list[mx.array] = []
    for slot in range(3):
        model.active.publish([slot])
        tied_logits.append(head.as_linear(h))
    bare, mlx, of_peft = tied_logits
    f = ONLY.factors[EMBEDDINGS]
    assert mx.array_equal(bare, of_peft)
    assert mx.allclose(mlx - bare, h @ (f.scale * (f.a @ f.b)).T, atol=1e-4)


def untied(adapter: AdapterFiles) -> Factors:
    return replace(adapter.factors[EMBEDDINGS], tied=None)


class TestSlots:
    def test_embeddings_are_wrapped_when_first_targeted(self) -> None:
        base = tiny_model()
        model = AdapterModel(base, 3, mx.float32)
        model.put(1, LINEAR)
        assert type(base.model.embed_tokens) is nn.Embedding
        model.put(2, PEFT)
        assert isinstance(base.model.embed_tokens, LoRAEmbedding)
        check_rows(model, [LINEAR, PEFT], [1, 2, 0])

    @pytest.mark.parametrize("bits", [None, 4, 8])
    def test_wrapped_or_not_it_is_the_same_layer(self, bits: int | None) -> None:
        base = tiny_model(bits, tied=True)
        before, weights = linear_layers(base), weight_bytes(base)
        assert before[EMBEDDINGS] == layer_shape(base.model.embed_tokens) == (VOCABULARY, 64)
        model_with([ONLY], base)
        assert linear_layers(base) == before == linear_layers(tiny_model(tied=True))
        assert weight_bytes(base) == weights
        assert not any("lora" in name for name, _ in tree_flatten(base.parameters()))

    def test_tables_of_other_things_are_no_targets(self) -> None:
        base = tiny_model()
        base.model.position_embeddings = nn.Embedding(8, 64)
        base.model.layers[0].embed_tokens = nn.Embedding(8, 64)
        assert linear_layers(base) == linear_layers(tiny_model())

    @pytest.mark.parametrize("second", [ONLY, ALL_LAYERS, PEFT, LINEAR], ids=lambda a: a.name)
    @pytest.mark.parametrize("first", [ONLY, PEFT], ids=lambda a: a.name)
    def test_a_slot_that_is_used_again(self, first: AdapterFiles, second: AdapterFiles) -> None:
        for clear_first in (False, True):
            model = model_with([first, ALL_LAYERS, LINEAR], tiny_model(tied=True))
            check_rows(model, [first, ALL_LAYERS, LINEAR], [1, 2, 0, 3], tied=True)
            if clear_first:
                model.clear(1)
                check_rows(model, [None, ALL_LAYERS, LINEAR], [1, 2, 0, 3], tied=True)
            model.put(1, second)
            check_rows(model, [second, ALL_LAYERS, LINEAR], [1, 2, 0, 3], tied=True)

    def test_more_lanes_as_more_come(self) -> None:
        model = AdapterModel(tiny_model(tied=True), 4, mx.float32)
        adapters: list[AdapterFiles] = []
        for slot, adapter in enumerate((ONLY, LINEAR, PEFT, ONLY), 1):
            model.put(slot, adapter)
            adapters.append(adapter)
            check_rows(model, adapters, [0, *range(1, slot + 1)], tied=True)

    def test_what_a_put_that_is_broken_off_leaves_is_a_bare_slot(self) -> None:
        base = tiny_model(tied=True)
        model = model_with([ONLY, LINEAR, LINEAR], base)
        pieces = model.putting(3, PEFT)
        next(pieces)
        pieces.close()
        model.clear(3)
        check_rows(model, [ONLY, LINEAR, None], [1, 3, 2], tied=True)
        model.put(3, LINEAR)
        check_rows(model, [ONLY, LINEAR, LINEAR], [1, 3, 2, 0], tied=True)

    @pytest.mark.parametrize("coming", [ONLY, PEFT, ALL_LAYERS], ids=lambda a: a.name)
    def test_others_are_the_same_between_two_pieces(self, coming: AdapterFiles) -> None:
        model = model_with([ONLY, PEFT, LINEAR], tiny_model(tied=True))
        tokens = tokens_of(3, 4)
        before = run(model, [1, 0, 2], tokens)
        for _ in model.putting(3, coming):
            assert mx.allclose(run(model, [1, 0, 2], tokens), before, atol=1e-4)
        check_rows(model, [ONLY, PEFT, coming], [3, 1, 2, 0], tied=True)

    def test_bytes_are_those_of_the_stacks(self) -> None:
        model = model_with([ONLY], tiny_model())
        # two lanes (one is zero) of A (64, 8), and of B (8, 64) twice: for tied logits, too
        assert model.nbytes == 2 * 4 * (VOCABULARY * 8 + 2 * 8 * 64)
        model.put(1, replace(ONLY, factors={EMBEDDINGS: untied(ONLY)}))
        model.clear(1)
        assert model.nbytes == 0
        model.put(1, WIDE_PEFT)
        assert model.nbytes == 2 * 4 * (VOCABULARY * 32 + 32 * 64)

    def test_an_update_is_made_in_place(self) -> None:
        wide = [random_adapter(str(i), [EMBEDDINGS], rank=64, seed=i) for i in range(16)]
        model = model_with(wide, tiny_model(tied=True))
        mx.eval(run(model, list(range(17)), tokens_of(17, 2)))
        for adapter in wide[:3]:
            mx.eval(run(model, [1, 1], tokens_of(2, 2)))
            before = mx.get_active_memory()
            mx.reset_peak_memory()
            model.put(3, adapter)
            assert mx.get_peak_memory() - before < model.nbytes / 4
            assert mx.get_active_memory() - before < model.nbytes / 100


class TestSum:
    PARTS = ((ONLY, 0.5), (WIDE_PEFT, -1.0), (LINEAR, 2.0))

    def test_each_part_as_its_own_format_has_it(self) -> None:
        """On a tied base: what tokens look up has both deltas, the logits only mlx-lm's."""
        base = tiny_model(tied=True)
        model = AdapterModel(base, 2, mx.float32)
        model.put(1, ALL_LAYERS)
        whole(model.putting_sum(2, self.PARTS))
        model.active.publish([0, 2])
        tokens, h = tokens_of(2, 5), mx.random.normal((2, 3, 64))
        table = base.model.embed_tokens.table
        mlx, peft = (
            scale * f.scale * (f.a @ f.b)
            for f, scale in ((ONLY.factors[EMBEDDINGS], 0.5), (WIDE_PEFT.factors[EMBEDDINGS], -1.0))
        )
        looked_up = base.model.embed_tokens(tokens)
        assert mx.array_equal(looked_up[0], table(tokens)[0])
        assert mx.allclose(looked_up[1], (table.weight + mlx + peft)[tokens[1]], atol=1e-4)
        logits = base.model.embed_tokens.as_linear(h)
        assert mx.array_equal(logits[0], table.as_linear(h)[0])
        assert mx.allclose(logits[1], h[1] @ (table.weight + mlx).T, atol=1e-3)

    def test_one_part_is_the_adapter(self) -> None:
        for adapter in (ALL_LAYERS, PEFT):
            model = AdapterModel(tiny_model(tied=True), 1, mx.float32)
            whole(model.putting_sum(1, [(adapter, 0.25), (adapter, 0.75)]))
            check_rows(model, [adapter], [1, 0], tied=True)


class TestProbe:
    """PEFT's A begins at zero: a token that the training never saw keeps its embedding."""

    SEEN = (5, 41)

    def trained(self, times: float) -> AdapterFiles:
        f = WIDE_PEFT.factors[EMBEDDINGS]
        seen = mx.zeros((VOCABULARY, 1))
        for token in self.SEEN:
            seen[token] = times
        return replace(WIDE_PEFT, factors={EMBEDDINGS: replace(f, a=f.a * seen)})

    def test_finds_the_few_tokens_that_were_trained(self) -> None:
        model = model_with([LINEAR, self.trained(1.0)])
        tokens = mx.arange(0, VOCABULARY, 4)[None]
        assert mx.array_equal(model.logits(tokens, 2), model.logits(tokens, 0))
        strongest = model.strongest_tokens(2, 2)
        assert strongest is not None
        assert {*strongest[0].tolist()} == {*self.SEEN}
        assert whole(Probe(model, VOCABULARY).proving("wide", 2)) > 0.1

    def test_refuses_when_none_was(self) -> None:
        model = model_with([LINEAR, self.trained(0.0)])
        with pytest.raises(SourceError, match="has no effect"):
            whole(Probe(model, VOCABULARY).proving("wide", 2))

    def test_without_embeddings_there_is_nothing_to_look_for(self) -> None:
        model = model_with([LINEAR])
        assert model.strongest_tokens(1, 4) is None
        assert model.strongest_tokens(2, 4) is None


def test_a_base_that_reads_the_weight_of_its_table_itself() -> None:
    """seed_oss makes tied logits with ``embed_tokens.weight``: bare rows must not fail."""
    base = seed_oss.Model(
        seed_oss.ModelArgs(
            model_type="seed_oss",
            hidden_size=64,
            num_hidden_layers=1,
            intermediate_size=64,
            num_attention_heads=4,
            num_key_value_heads=2,
            head_dim=16,
            rms_norm_eps=1e-5,
            vocab_size=VOCABULARY,
            tie_word_embeddings=True,
        )
    )
    tokens = tokens_of(2, 4)
    before = base(tokens)
    model = model_with([WIDE_PEFT], base)
    found = run(model, [0, 1], tokens)
    assert mx.allclose(found[0], before[0], atol=1e-5)
    assert mx.abs(found[1] - before[1]).max().item() > 1e-2
