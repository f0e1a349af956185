"""The slot in the cache list, and what of mlx-lm's internals that leans on.

If one of these fails after an upgrade of mlx-lm, read worker/lora/slots.py and
worker/engine/scheduler.py against the new ``mlx_lm.generate`` before touching the test.
"""

import copy
import inspect
from collections.abc import Sequence
from typing import Any

import mlx.core as mx
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from mlx_lm.generate import BatchGenerator, GenerationBatch, PromptProcessingBatch, StopSequences
from mlx_lm.models.cache import LRUPromptCache, can_trim_prompt_cache, trim_prompt_cache
from mlx_lm.sample_utils import greedy_sampler

from tests.worker.lora.tiny import ALL, greedy_alone, model_with, paths_of, random_adapter
from worker.lora.slots import BatchSlots, RowSlot

ADAPTERS = [random_adapter(str(i), paths_of(ALL), seed=i) for i in (1, 2, 3)]
PROMPTS = [[1, 2, 3], [4, 5, 6, 7, 8, 9, 10], [11], [12, 13], [14, 15, 16, 17]]


def parameters(function: Any) -> list[str]:
    return list(inspect.signature(function).parameters)


class TestSignatures:
    def test_insert(self) -> None:
        names = parameters(BatchGenerator.insert)
        used = {"max_tokens", "caches", "all_tokens", "samplers", "stop_sequences"}
        assert names[1] == "prompts"
        assert used <= set(names)

    def test_next_remove_close(self) -> None:
        assert parameters(BatchGenerator.next) == ["self"]
        assert parameters(BatchGenerator.remove) == ["self", "uids", "return_prompt_caches"]
        assert parameters(BatchGenerator.close) == ["self"]

    def test_constructor(self) -> None:
        used = {"model", "completion_batch_size", "prefill_batch_size", "prefill_step_size"}
        assert used <= set(parameters(BatchGenerator.__init__))

    def test_response(self) -> None:
        used = {"uid", "token", "finish_reason", "prompt_cache", "all_tokens"}
        assert used <= set(parameters(GenerationBatch.Response))

    def test_batches_call_the_model_with_the_cache_by_name(self) -> None:
        for batch in (PromptProcessingBatch.prompt, GenerationBatch._step):
            assert "cache=self.prompt_cache)" in inspect.getsource(batch)

    def test_prompt_cache_store(self) -> None:
        assert parameters(LRUPromptCache.__init__) == ["self", "max_size", "max_bytes"]
        assert parameters(LRUPromptCache.fetch_nearest_cache) == ["self", "model", "tokens"]
        names = parameters(LRUPromptCache.insert_cache)
        assert names[:4] == ["self", "model", "tokens", "prompt_cache"]

    def test_stop_sequences(self) -> None:
        matcher = StopSequences([(7,), (9,)]).matcher()
        assert [matcher.advance(token) for token in (1, 7, 2, 9)] == [False, True, False, True]
        assert not StopSequences().matcher().advance(7)


class TestVerbs:
    def test_merge_filter_extend_extract(self) -> None:
        batch = RowSlot.merge([RowSlot(3), RowSlot(0), RowSlot(2)])
        batch.filter([2, 0])
        batch.extend(RowSlot.merge([RowSlot(1)]))
        assert batch.slots == [2, 3, 1]
        assert [batch.extract(i).slot for i in range(3)] == [2, 3, 1]

    def test_copy_is_independent(self) -> None:
        """``split`` copies the whole prompt cache, then filters both sides."""
        batch = BatchSlots([1, 2, 3])
        other = copy.deepcopy(batch)
        batch.filter([0])
        other.filter([1, 2])
        assert (batch.slots, other.slots) == ([1], [2, 3])

    def test_extend_does_not_alias(self) -> None:
        one, other = BatchSlots([1]), BatchSlots([2])
        one.extend(other)
        one.filter([0])
        assert other.slots == [2]

    @pytest.mark.parametrize("element", [RowSlot(2), BatchSlots([2])])
    def test_weighs_nothing_and_hinders_no_trim(self, element: Any) -> None:
        assert (element.nbytes, element.size(), element.state) == (0, 0, [])
        assert can_trim_prompt_cache([element])
        assert trim_prompt_cache([element], 4) == 4
        mx.eval([element.state])

    def test_padding_does_not_concern_it(self) -> None:
        batch = BatchSlots([1, 2])
        batch.prepare(lengths=[1, 2], right_padding=[1, 0])
        batch.finalize()
        assert batch.slots == [1, 2]


class SlotBookkeeping(RuleBasedStateMachine):
    """Any sequence of verbs keeps the slots in step with a plain list."""

    def __init__(self) -> None:
        super().__init__()
        self.batch = BatchSlots([])
        self.plain: list[int] = []

    @rule(slots=st.lists(st.integers(0, 5), min_size=1, max_size=4))
    def join(self, slots: list[int]) -> None:
        self.batch.extend(RowSlot.merge([RowSlot(slot) for slot in slots]))
        self.plain += slots

    @precondition(lambda self: self.plain)
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        keep = data.draw(st.lists(st.sampled_from(range(len(self.plain))), unique=True))
        self.batch.filter(sorted(keep))
        self.plain = [self.plain[i] for i in sorted(keep)]

    @precondition(lambda self: self.plain)
    @rule(data=st.data())
    def split(self, data: st.DataObject) -> None:
        at = data.draw(st.integers(0, len(self.plain)))
        tail = copy.deepcopy(self.batch)
        self.batch.filter(list(range(at)))
        tail.filter(list(range(at, len(self.plain))))
        self.batch.extend(tail)

    @invariant()
    def same(self) -> None:
        assert self.batch.slots == self.plain
        assert [self.batch.extract(i).slot for i in range(len(self.plain))] == self.plain


TestSlotBookkeeping = SlotBookkeeping.TestCase
TestSlotBookkeeping.settings = settings(max_examples=40, stateful_step_count=15, deadline=None)


class Probe:
    """An adapter model that keeps the slots of each forward pass."""

    def __init__(self) -> None:
        self.model = model_with(ADAPTERS)
        self.passes: list[tuple[tuple[int, int], list[int]]] = []

    def __call__(self, inputs: mx.array, cache: list[Any]) -> mx.array:
        self.passes.append(((inputs.shape[0], inputs.shape[1]), list(cache[-1].slots)))
        return self.model(inputs, cache=cache)


def new_generator(model: Any, prefill_step_size: int = 4) -> BatchGenerator:
    return BatchGenerator(
        model, completion_batch_size=8, prefill_batch_size=2, prefill_step_size=prefill_step_size
    )


def insert(
    generator: BatchGenerator, probe: Probe, names: Sequence[str | None], max_tokens: int = 6
) -> list[int]:
    return generator.insert(
        [list(PROMPTS[i]) for i in range(len(names))],
        max_tokens=[max_tokens] * len(names),
        caches=[probe.model.new_cache(0 if name is None else int(name)) for name in names],
        samplers=[greedy_sampler] * len(names),
        stop_sequences=[StopSequences()] * len(names),
    )


def alone(name: str | None, prompt: Sequence[int], count: int) -> list[int]:
    return greedy_alone(next((a for a in ADAPTERS if a.name == name), None), prompt, count)


class TestGenerator:
    NAMES = ["1", None, "3", "2", "1"]
    SLOTS = [1, 0, 3, 2, 1]

    def test_each_row_keeps_its_adapter_through_prefill_splits_and_joins(self) -> None:
        """Prompts of unequal lengths in prefill batches of two: rows move on out of order."""
        probe = Probe()
        generator = new_generator(probe)
        uids = insert(generator, probe, self.NAMES)
        tokens: dict[int, list[int]] = {uid: [] for uid in uids}
        ended: dict[int, Any] = {}
        for _ in range(60):
            for response in generator.next()[1]:
                tokens[response.uid].append(response.token)
                if response.finish_reason is not None:
                    ended[response.uid] = response
        generator.close()
        for i, uid in enumerate(uids):
            assert tokens[uid] == alone(self.NAMES[i], PROMPTS[i], 6), self.NAMES[i]
            assert ended[uid].finish_reason == "length"
            assert ended[uid].prompt_cache[-1].slot == self.SLOTS[i]
            # all_tokens is what the KV cache holds: the store's key
            assert ended[uid].all_tokens == [*PROMPTS[i], *tokens[uid]]
            assert ended[uid].prompt_cache[0].size() == len(ended[uid].all_tokens)
        for (rows, _), slots in probe.passes:
            assert len(slots) == rows
        assert any(length > 1 for (_, length), _ in probe.passes)
        assert any(len(set(slots)) > 2 for _, slots in probe.passes)

    @pytest.mark.parametrize("steps", range(8))
    def test_removed_row_leaves_the_others_their_adapters(self, steps: int) -> None:
        """Removal from the queue, from prefill and from decode."""
        probe = Probe()
        generator = new_generator(probe, prefill_step_size=2)
        uids = insert(generator, probe, self.NAMES, max_tokens=5)
        tokens: dict[int, list[int]] = {uid: [] for uid in uids}
        gone = uids[1]
        for step in range(60):
            if step == steps:
                generator.remove([gone])
            for response in generator.next()[1]:
                tokens[response.uid].append(response.token)
        generator.close()
        for i, uid in enumerate(uids):
            expected = alone(self.NAMES[i], PROMPTS[i], 5)
            assert tokens[uid] == (expected if uid != gone else expected[: len(tokens[uid])])
        assert len(tokens[gone]) < 5

    def test_removed_row_gives_its_cache_with_its_slot(self) -> None:
        probe = Probe()
        generator = new_generator(probe)
        uids = insert(generator, probe, ["3", "2"], max_tokens=20)
        taken: list[int] = []
        while len(taken) < 3:
            taken += [r.token for r in generator.next()[1] if r.uid == uids[0]]
        kept = generator.remove([uids[0]], return_prompt_caches=True)
        cache, tokens = kept[uids[0]]
        generator.close()
        assert cache[-1].slot == 3
        assert tokens == [*PROMPTS[0], *taken]
        assert cache[0].size() == len(tokens)

    def test_stored_prefix_carries_its_adapter(self) -> None:
        probe = Probe()
        store = LRUPromptCache(max_size=4)
        for name in ("1", "2"):
            generator = new_generator(probe)
            insert(generator, probe, [name], max_tokens=3)
            responses = [r for _ in range(12) for r in generator.next()[1]]
            generator.close()
            store.insert_cache(name, responses[-1].all_tokens, responses[-1].prompt_cache)
        for name, slot in (("1", 1), ("2", 2)):
            cache, rest = store.fetch_nearest_cache(name, [*PROMPTS[0], 60])
            assert cache is not None
            assert cache[-1].slot == slot
            assert rest == [60]
            assert cache[0].size() == len(PROMPTS[0])
        assert store.fetch_nearest_cache("3", PROMPTS[0]) == (None, PROMPTS[0])
