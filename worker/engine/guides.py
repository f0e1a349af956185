"""A guide's run as the scheduler keeps it: what goes wrong in it ends its own row only."""

import logging
from typing import Any

from worker.engine.request import GenerationRequest, Guide, GuideRun

log = logging.getLogger("ailiance.engine")


class GuardedRun:
    """A run of ``guide`` that remembers its first error instead of raising it.

    From then on logits pass unchanged; the row is to be failed at its next token.
    """

    def __init__(self, guide: Guide, prompt_tokens: int, max_tokens: int) -> None:
        self.failed = False
        self._run: GuideRun | None = None
        try:
            self._run = guide.start(prompt_tokens, max_tokens)
        except Exception as error:
            self._on_error(error)

    @property
    def done(self) -> bool:
        return self._run is not None and self._run.done

    @property
    def closing(self) -> bool:
        return self._run is not None and self._run.closing

    def __call__(self, tokens: Any, logits: Any) -> Any:
        if self._run is None:
            return logits
        try:
            return self._run(tokens, logits)
        except Exception as error:
            self._on_error(error)
            return logits

    def _on_error(self, error: Exception) -> None:
        # by its type: the message may hold text of the answer
        log.error("a guide failed: %s", type(error).__name__)
        self.failed = True
        self._run = None


def start_guide(request: GenerationRequest) -> GuardedRun | None:
    """The run of a row's guide, if it has one."""
    if request.guide is None:
        return None
    return GuardedRun(request.guide, len(request.prompt), request.max_tokens)
