"""What ``ailiance check`` measures, of resident adapters and on demand.

Perplexity and loops are measured in pieces between steps, in the slot that rows never use, a visit
at a time: what else is asked of the engine's thread comes in between. A verdict is one of a
content: it is kept by digest, and measured once.
"""

import asyncio
from collections.abc import Collection
from dataclasses import replace
from typing import Any

from fleet.errors import SourceError
from worker.check.examples import Example, read_examples
from worker.check.verdict import Verdict
from worker.engine.engine import Engine
from worker.load import Loaded
from worker.lora.files import AdapterFiles
from worker.pieces import Pieces
from worker.residency.adapters import AdapterVersion

VISIT_PIECES = 32
"""Then the slot is given back to whoever waits: a load, an embedding."""


class Checks:
    """Verdicts by digest; belongs to the event loop."""

    def __init__(self, engine: Engine, loaded: Loaded) -> None:
        self._engine = engine
        self._base = loaded.resident.base
        self._registry = loaded.resident.registry
        self._paging = loaded.paging
        self._loader = loaded.loader
        self._read_again = loaded.read_again
        self._judge = loaded.judge
        self._verdicts: dict[str, Verdict] = {}
        self._one_at_a_time = asyncio.Lock()

    def facts(self, version: AdapterVersion) -> dict[str, Any] | None:
        """What was measured of this content, None: nothing yet."""
        verdict = self._verdicts.get(version.digest)
        if verdict is None:
            return None
        return {
            "status": verdict.status,
            "reason": verdict.reason,
            "examples": verdict.examples,
            "perplexity": verdict.perplexity,
            "base_perplexity": verdict.base_perplexity,
            "loop": verdict.loop,
        }

    async def check(self, names: Collection[str]) -> None:
        """Measure those that have these names and were not measured yet. Raises EngineFailed."""
        async with self._one_at_a_time:
            for name in [*names]:
                version = self._registry.versions.get(name)
                former = version and self._verdicts.get(version.digest)
                if version and (former is None or former.status == "refused"):
                    self._verdicts[version.digest] = await self._check(version)
            named = {version.digest for version in self._registry.versions.values()}
            self._verdicts = {d: v for d, v in self._verdicts.items() if d in named}

    async def _check(self, version: AdapterVersion) -> Verdict:
        read = Verdict(version.name, self._base, "refused")

        def read_files() -> tuple[AdapterFiles, list[Example]]:
            files = self._read_again(version)
            if files.digest != version.digest:
                raise SourceError(version.name, "its files have changed since; load it again")
            return files, read_examples(version.name, version.path)

        try:
            files, examples = await self._loader.ask(read_files)
            return await self._judged(files, examples, read)
        except SourceError as error:
            return replace(read, reason=error.message)

    async def _judged(self, files: AdapterFiles, examples: list[Example], read: Verdict) -> Verdict:
        judging: Pieces[Verdict] | None = None

        def visit(slot: int) -> Pieces[Verdict | None]:
            nonlocal judging
            # always the same slot, and again the same factors in it
            judging = judging or self._judge.judging(read, examples, slot)
            for _ in range(VISIT_PIECES):
                try:
                    next(judging)
                except StopIteration as end:
                    return end.value
                yield
            return None

        while True:
            visiting = self._paging.visiting(files, visit)
            if (found := await self._engine.run_pieces(visiting)) is not None:
                return found
