"""What the engine tells whoever watches it. The metrics implement this; so may a test."""

from typing import Literal, Protocol

from worker.engine.row import Row

Stage = Literal["waiting", "prefill", "decode", "ended"]


class Observer(Protocol):
    """Called on the engine thread; must be quick and must not raise."""

    def on_admitted(self, row: Row, queued_s: float) -> None: ...

    def on_step(self, rows: int, distinct_adapters: int) -> None: ...

    def on_ended(self, row: Row, status: str) -> None: ...

    def on_cancelled(self, row: Row, stage: Stage) -> None: ...


class Silent:
    """Watches nothing."""

    def on_admitted(self, row: Row, queued_s: float) -> None: ...

    def on_step(self, rows: int, distinct_adapters: int) -> None: ...

    def on_ended(self, row: Row, status: str) -> None: ...

    def on_cancelled(self, row: Row, stage: Stage) -> None: ...
