"""Stored KV prefixes, keyed by the content of the adapter that made them.

mlx-lm's ``LRUPromptCache`` does the work. The key is the adapter's digest, not its name, so
an adapter that was replaced can never be served an older one's prefix (vLLM #30931).
"""

from collections.abc import Sequence
from typing import Any, cast

import mlx.core as mx
from mlx_lm.models.cache import LRUPromptCache, can_trim_prompt_cache, trim_prompt_cache

from worker.lora.slots import RowSlot

Cache = list[Any]


class PrefixStore:
    """Prefixes of finished sequences, bounded in number and bytes."""

    def __init__(self, max_entries: int, max_bytes: int) -> None:
        self._store = LRUPromptCache(max_size=max_entries, max_bytes=max_bytes)

    @property
    def nbytes(self) -> int:
        return self._store.nbytes

    def __len__(self) -> int:
        return len(self._store)

    def fetch(self, digest: str, slot: int, tokens: Sequence[int]) -> tuple[Cache | None, int]:
        """A copy of the best stored prefix and how many of ``tokens`` it covers.

        At least one token is always left over, for the model to be asked about.
        """
        found = self._store.fetch_nearest_cache(digest, list(tokens))
        cache, rest = cast(tuple[Cache | None, list[int]], found)
        if cache is None:
            return None, 0
        if not rest:
            if not can_trim_prompt_cache(cache):
                return None, 0
            trim_prompt_cache(cache, 1)
            rest = [tokens[-1]]
        # the slot of the digest today: it may have moved since the prefix was stored
        cache[-1] = RowSlot(slot)
        return cache, len(tokens) - len(rest)

    def store(self, digest: str, tokens: Sequence[int], cache: Cache) -> None:
        """Keep the KV of ``tokens``; the arrays are evaluated, so no batch is held alive."""
        mx.eval([element.state for element in cache])
        self._store.insert_cache(digest, list(tokens), cache)
