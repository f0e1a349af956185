"""One request inside the engine, through explicit states. Owned by the engine thread.

waiting -> prefill -> decode -> ended
   \\__________\\__________\\____^   cancelled or failed at any point
"""

from dataclasses import dataclass
from typing import Literal

from wire.responses import Usage
from worker.engine.guides import GuardedRun
from worker.engine.request import GenerationRequest, Sink
from worker.engine.text import TextStream
from worker.residency.adapters import AdapterVersion

State = Literal["waiting", "prefill", "decode", "ended"]


@dataclass
class Row:
    """A request, its place in the generator, and how far it has come.

    ``version``: the adapter that it is bound to. ``overtaken``: rows behind it that were
    admitted before it. ``kv_bytes``: what it may come to need.
    """

    id: int
    request: GenerationRequest
    sink: Sink
    text: TextStream
    submitted_s: float
    state: State = "waiting"
    uid: int = -1
    admitted_s: float = 0.0
    cached_tokens: int = 0
    generated_tokens: int = 0
    guide: GuardedRun | None = None
    version: AdapterVersion | None = None
    slot: int = 0
    overtaken: int = 0
    kv_bytes: int = 0

    def on_admitted(self, now_s: float) -> None:
        assert self.state == "waiting"
        self.state, self.admitted_s = "prefill", now_s

    def on_inserted(self, uid: int) -> None:
        """The generator knows it by ``uid`` from now on; its prompt may have been scored before."""
        assert self.state == "prefill"
        self.uid = uid

    def on_token(self) -> None:
        self.state = "decode"
        self.generated_tokens += 1

    def on_end(self) -> None:
        assert self.state != "ended"
        self.state = "ended"

    def usage(self) -> Usage:
        return Usage(len(self.request.prompt), self.generated_tokens, self.cached_tokens)
