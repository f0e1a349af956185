"""What an adapter in a slot does to its own examples, and to answers: the verdict."""

import math
from collections.abc import Sequence
from dataclasses import replace

from fleet.errors import SourceError
from worker.base import LoadedBase
from worker.check.examples import Example
from worker.check.measure import LOOP_TOKENS, Measure
from worker.check.verdict import Verdict
from worker.lora.model import AdapterModel
from worker.lora.plan import BARE
from worker.pieces import Pieces
from worker.prompt.render import TemplateRefusal


class Judge:
    """Over one base; on the thread that loaded it."""

    def __init__(self, base: LoadedBase, model: AdapterModel) -> None:
        self._tokenizer = base.tokenizer
        self._measure = Measure(base, model)

    def judging(self, read: Verdict, examples: Sequence[Example], slot: int) -> Pieces[Verdict]:
        """``read``, what was known of the adapter in ``slot``, with what it does.

        Raises SourceError where its examples can't be measured.
        """
        try:
            return (yield from self._judging(read, examples, slot))
        except TemplateRefusal as error:
            raise SourceError(
                read.adapter, f"the base's chat template refuses its examples: {error}"
            ) from None

    def _judging(self, read: Verdict, examples: Sequence[Example], slot: int) -> Pieces[Verdict]:
        bare = yield from self._measure.perplexity(examples, BARE)
        own = yield from self._measure.perplexity(examples, slot)
        if not all(math.isfinite(figure) for figure in (own or 0.0, bare or 0.0)):
            raise SourceError(read.adapter, "its logits are not finite on its own examples")
        loop = yield from self._measure.loop(examples, slot)
        found = replace(
            read, status="ok", examples=len(examples), perplexity=own, base_perplexity=bare
        )
        if loop is not None:
            said = self._tokenizer.decode(list(loop.tokens))
            reason = f"repeats {said!r} {loop.repeats} times at the end of {LOOP_TOKENS} tokens"
            return replace(found, status="loops", loop=said, reason=reason)
        if own is not None and bare is not None and own > bare:
            reason = f"perplexity on its own examples is {own:.2f}, the bare base's {bare:.2f}"
            return replace(found, status="worse", reason=reason)
        return found
