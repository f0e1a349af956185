"""Measure one slot of a model: perplexity on given answers, and how greedy answers end.

All on the thread that loaded the model, in pieces: a part of a text, a token.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, cast

import mlx.core as mx

from worker.base import LoadedBase
from worker.check.examples import Example
from worker.check.loops import Loop, find_loop
from worker.lora.model import AdapterModel
from worker.lora.slots import BatchSlots
from worker.pieces import Pieces
from worker.prompt.render import render

LOOP_TOKENS = 200
LOOP_PROMPTS = 3
PREFILL_TOKENS = 512
# asked where an adapter has no examples of its own
PROMPTS = (
    "Hello, who are you?",
    "What can you help me with? Give an example.",
    "Explain in detail how you would begin, and what could go wrong.",
)


class Measure:
    """A base with one adapter in ``slot``; slot 0 is the bare base."""

    def __init__(self, base: LoadedBase, model: AdapterModel) -> None:
        self._base = base
        self._model = model

    def perplexity(self, examples: Sequence[Example], slot: int) -> Pieces[float | None]:
        """exp of the mean negative log-likelihood a token of the answers; None without any."""
        total, count = 0.0, 0
        for example in examples:
            prompt = self._prompt(example.turns)
            answer = self._base.tokenizer.encode(example.answer, add_special_tokens=False)
            if not answer or len(prompt) + len(answer) > self._base.max_model_len:
                continue
            total += yield from self._loss(prompt, answer, slot)
            count += len(answer)
        # e^700 is the largest that a float holds
        return math.exp(min(total / count, 700.0)) if count else None

    def loop(self, examples: Sequence[Example], slot: int) -> Pieces[Loop | None]:
        """The first loop that a greedy answer to a few prompts ends in."""
        asked: list[Sequence[Mapping[str, str]]]
        asked = [example.turns for example in examples[:LOOP_PROMPTS]]
        asked += [[{"role": "user", "content": text}] for text in PROMPTS[len(asked) :]]
        for turns in asked:
            found = yield from self._answer_loop(self._prompt(turns), slot)
            if found is not None:
                return found
        return None

    def _answer_loop(self, prompt: list[int], slot: int) -> Pieces[Loop | None]:
        cache = self._cache(slot)
        for begin in range(0, len(prompt) - 1, PREFILL_TOKENS):
            part = prompt[begin : min(begin + PREFILL_TOKENS, len(prompt) - 1)]
            mx.eval(self._model(mx.array([part]), cache=cache))
            yield
        token, tokens = prompt[-1], list[int]()
        while len(tokens) < min(LOOP_TOKENS, self._base.max_model_len - len(prompt)):
            logits = self._model(mx.array([[token]]), cache=cache)
            token = int(cast(int, mx.argmax(logits[0, -1]).item()))
            if token in self._base.tokenizer.eos_token_ids:
                return None
            tokens.append(token)
            yield
        return find_loop(tokens)

    def _loss(self, prompt: list[int], answer: list[int], slot: int) -> Pieces[float]:
        """Sum over the answer's tokens of -log p. No more logits at once than in a prefill."""
        cache, tokens, total = self._cache(slot), [*prompt, *answer], 0.0
        for begin in range(0, len(tokens) - 1, PREFILL_TOKENS):
            end = min(begin + PREFILL_TOKENS, len(tokens) - 1)
            logits = self._model(mx.array([tokens[begin:end]]), cache=cache)[0]
            # the first of them that says a token of the answer
            first = min(max(begin, len(prompt) - 1), end)
            total += _surprise(logits[first - begin :], tokens[first + 1 : end + 1])
            mx.eval([layer.state for layer in cache[:-1]])
            yield
        return total

    def _cache(self, slot: int) -> list[Any]:
        *kv, _ = self._model.new_cache(slot)
        return [*kv, BatchSlots([slot])]

    def _prompt(self, turns: Sequence[Mapping[str, str]]) -> list[int]:
        """Raises TemplateRefusal where the base's template does not take such turns."""
        text = render(self._base.tokenizer, [dict(turn) for turn in turns])
        return list(self._base.tokenizer.encode(text, add_special_tokens=False))


def _surprise(logits: mx.array, tokens: list[int]) -> float:
    """Sum of -log p of tokens, each by its logits (tokens, vocabulary)."""
    if not tokens:
        return 0.0
    logits = logits.astype(mx.float32)
    logprobs = logits - mx.logsumexp(logits, axis=-1, keepdims=True)
    taken = mx.take_along_axis(logprobs, mx.array(tokens)[:, None], axis=-1)
    return -cast(float, taken.sum().item())
