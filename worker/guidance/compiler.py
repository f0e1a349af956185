"""Grammars, compiled once and kept: text -> ``Guide``. Any thread; slow, so off the event loop."""

import threading
from collections import OrderedDict
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from typing import Any

from llguidance import LLMatcher, LLParserLimits, LLTokenizer

from worker.engine.request import Guide
from worker.guidance.closing import Closing, Paths
from worker.guidance.deep import on_deep_stack
from worker.guidance.errors import GrammarError
from worker.guidance.grammars import MAX_TEXT, as_list, closers
from worker.guidance.masks import Masks, Words
from worker.guidance.ranks import Ranks
from worker.guidance.run import Run

KEPT = 128

# llguidance's defaults, but for states: 1-2 kB each, and many grammars are kept
_LIMITS = LLParserLimits(
    max_items_in_row=2_000,
    initial_lexer_fuel=1_000_000,
    step_lexer_fuel=200_000,
    step_max_items=50_000,
    max_lexer_states=50_000,
    max_grammar_size=500_000,
    verbose_errors=False,
)


@dataclass(frozen=True)
class Compiled:
    """Implements ``Guide``. The matcher is never advanced, only copied."""

    matcher: LLMatcher
    masks: Masks
    eos: Words
    paths: Paths
    plan: list[int] | None
    ends: list[list[int]]

    def start(self, prompt_tokens: int, max_tokens: int) -> Run:
        closing = Closing(self.paths, self.plan, self.ends)
        matcher = self.matcher.deep_copy()
        return Run(matcher, self.masks, self.eos, closing, prompt_tokens, max_tokens)


class Compiler:
    """For one base: its tokenizer, the width of its logits, its end tokens."""

    def __init__(self, tokenizer: Any, vocabulary: int, eos: Sequence[int]) -> None:
        backend = copy(tokenizer._tokenizer.backend_tokenizer)
        backend.no_padding()
        backend.no_truncation()
        known = backend.get_vocab_size(with_added_tokens=True)
        width = max(vocabulary, known)
        eos = _ends(tokenizer, min(vocabulary, known), eos)
        self._tokenizer = LLTokenizer(backend.to_str(), n_vocab=width, eos_token=eos)
        self._masks = Masks(vocabulary, known)
        self._eos = self._masks.only(eos)
        ids = range(min(vocabulary, known))
        texts = [self._tokenizer.decode_bytes([i]) for i in ids]
        special = [self._tokenizer.is_special_token(i) for i in ids]
        self._paths = Paths(
            self._masks, Ranks(texts, eos, special), eos[0], self._tokenizer.decode_bytes
        )
        self._kept: OrderedDict[str, Compiled] = OrderedDict()
        self._lock = threading.Lock()

    def compile(self, grammar: str) -> Guide:
        """The grammar's guide, from the cache where it is there; raises GrammarError."""
        with self._lock:
            kept = self._kept.get(grammar)
            if kept is not None:
                self._kept.move_to_end(grammar)
        # copies of a matcher share its states, so that a limit on them may be reached at any time
        if kept is not None and not self._paths.fails(kept.matcher):
            return kept
        compiled = on_deep_stack(lambda: self._compiled(grammar))
        with self._lock:
            self._kept[grammar] = compiled
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return compiled

    def decoded(self, tokens: Sequence[int]) -> bytes:
        """The tokens' own bytes, as the matcher sees them."""
        return self._tokenizer.decode_bytes(list(tokens))

    def _compiled(self, grammar: str) -> Compiled:
        if len(grammar) > 4 * MAX_TEXT:
            raise GrammarError(f"the grammar is longer than {4 * MAX_TEXT} characters")
        matcher = LLMatcher(self._tokenizer, as_list(grammar), log_level=0, limits=_LIMITS)
        if matcher.is_error():
            raise GrammarError(_reason(matcher.get_error()))
        ends = [self._tokenizer.tokenize_str(text) for text in closers(grammar)]
        plan = Closing(self._paths, None, ends).first(matcher)
        if self._paths.fails(matcher):
            raise GrammarError("too complex to follow, or no answer can match; simplify it")
        return Compiled(matcher, self._masks, self._eos, self._paths, plan, ends)


def _ends(tokenizer: Any, known: int, eos: Sequence[int]) -> list[int]:
    """End tokens that the model can draw. Where it has none, a special token that makes no text
    stands in: the guide is done with it, and so is the row."""
    special: list[int] = sorted(tokenizer.all_special_ids)
    found = [token for token in eos if token < known]
    return found or [token for token in special if token < known][:1] or [known - 1]


def _reason(error: str) -> str:
    """llguidance's first words, without the grammar it quotes, in terms of the request."""
    if "oneOf" in error:
        return "oneOf: its branches do not provably exclude each other; use anyOf"
    lines = [line.strip() for line in error.splitlines() if line.strip()]
    return " ".join(lines[:4])[:300]
