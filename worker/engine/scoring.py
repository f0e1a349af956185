"""Log-probabilities of a prompt's own tokens, a chunk at a time.

A row that asks for them goes through the model alone, without a stored prefix, and joins the
generator with the cache that this makes. Refuses to hold more logits than those of a chunk.
"""

from typing import Any

import mlx.core as mx

from worker.engine.logprobs import report_tokens
from worker.engine.request import Scored, TokenLogprob
from worker.engine.row import Row
from worker.lora.model import AdapterModel
from worker.lora.slots import RowSlot

# positions whose whole vocabulary is sorted at once
_SORTED_POSITIONS = 64


class Scoring:
    """One row's prompt on its way through the model; ``cache`` covers what is done of it.

    The last prompt token is left to the generator: what follows it is the answer.
    """

    def __init__(self, row: Row, cache: list[Any], chunk_tokens: int) -> None:
        self.row = row
        self.cache = cache
        self._chunk_tokens = chunk_tokens
        self._done_tokens = 0
        # the first token follows nothing
        self._reports: list[TokenLogprob | None] = [None]

    @property
    def done(self) -> bool:
        return self._done_tokens == len(self.row.request.prompt) - 1

    def step(self, model: AdapterModel) -> None:
        """Score one chunk, and evaluate it."""
        prompt, begin = self.row.request.prompt, self._done_tokens
        end = min(begin + self._chunk_tokens, len(prompt) - 1)
        *kv, slot = self.cache
        # the caches of one sequence do for a batch of one; its slot has a form of its own
        logits = model(mx.array([prompt[begin:end]]), cache=[*kv, RowSlot.merge([slot])])[0]
        for at in range(0, end - begin, _SORTED_POSITIONS):
            following = prompt[begin + at + 1 : min(begin + at + _SORTED_POSITIONS, end) + 1]
            self._report(logits[at : at + len(following)], list(following))
        mx.eval([layer.state for layer in kv])
        del logits
        mx.clear_cache()
        self._done_tokens = end

    def scored(self) -> Scored:
        """The event, once done."""
        assert self.done
        return Scored(tuple(self._reports))

    def _report(self, logits: mx.array, tokens: list[int]) -> None:
        top = self.row.request.prompt_logprobs or 0
        self._reports += report_tokens(logits, tokens, [top] * len(tokens))
