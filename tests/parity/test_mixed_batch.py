"""A mixed batch gives, row by row, the greedy tokens of mlx-lm's ``load_adapters`` run alone.

Apertus: twelve rows, its ten adapters (MLX and PEFT files), the bare base and one adapter
twice; prompts of different lengths, one longer than a prefill step; rows join while others
decode. Devstral: its two adapters and the bare base, twice each.
"""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import mlx.core as mx
import pytest

from tests.parity.rows import (
    QUESTIONS,
    Alone,
    Asked,
    Greedy,
    adapters_of,
    assert_same,
    chat_prompt,
    float32_fleet,
    load_rows,
    long_prompt,
    run,
)
from worker.engine.engine import Engine
from worker.engine.request import Failed, GenerationRequest
from worker.engine.scheduler import PREFILL_STEP_TOKENS, Scheduler
from worker.engine.text import TextStream
from worker.load import Loaded

TOKENS = 32


def twelve_rows(loaded: Loaded, adapters: Sequence[str | None]) -> list[Asked]:
    """One row an entry of ``adapters``; three at a time join, four steps apart."""
    prompts = [chat_prompt(loaded.tokenizer, question) for question in QUESTIONS]
    prompts[4] = long_prompt(loaded.tokenizer, PREFILL_STEP_TOKENS + 90)
    return [
        Asked(adapter, prompt, max_tokens=TOKENS - i % 3, join_step=4 * (i // 3))
        for i, (adapter, prompt) in enumerate(zip(adapters, prompts, strict=False))
    ]


def apertus_adapters() -> list[str | None]:
    ten = adapters_of("apertus")
    assert len(ten) == 10
    return [*ten[:5], None, *ten[5:], ten[0]]


def devstral_adapters() -> list[str | None]:
    two = adapters_of("devstral")
    assert len(two) == 2
    return [two[0], two[1], None, two[1], None, two[0]]


def check(asked: Sequence[Asked], alone: Alone) -> None:
    for one in asked:
        assert_same(one.tokens, alone.tokens(one.adapter, one.prompt, one.max_tokens), one.adapter)


def test_both_formats_are_in_the_batch() -> None:
    fleet = float32_fleet()
    for base in fleet.bases:
        folders = [fleet.resolve(a.source) for a in fleet.adapters_of(base).values()]
        files = {path.name for folder in folders for path in folder.glob("*.safetensors")}
        assert files == {"adapters.safetensors", "adapter_model.safetensors"}


def test_apertus_rows_are_those_of_mlx_lm(apertus: Loaded, apertus_alone: Alone) -> None:
    asked = twelve_rows(apertus, apertus_adapters())
    seen = run(apertus.scheduler, asked)
    assert (seen.decoding_rows, seen.distinct_adapters) == (12, 11)
    assert seen.joins_into_decode == 9
    check(asked, apertus_alone)


def test_devstral_rows_are_those_of_mlx_lm(devstral: Loaded, devstral_alone: Alone) -> None:
    asked = twelve_rows(devstral, devstral_adapters())
    seen = run(devstral.scheduler, asked)
    assert (seen.decoding_rows, seen.distinct_adapters) == (6, 3)
    assert seen.joins_into_decode == 3
    check(asked, devstral_alone)


def test_rows_that_end_by_themselves_end_where_mlx_lm_would(
    apertus: Loaded, apertus_alone: Alone
) -> None:
    """With the end token honoured, rows leave the batch at different steps."""
    asked = twelve_rows(apertus, apertus_adapters())
    for one in asked:
        one.ignore_eos = False
    run(apertus.scheduler, asked)
    ends = apertus.tokenizer.eos_token_ids
    for one in asked:
        whole = apertus_alone.tokens(one.adapter, one.prompt, one.max_tokens)
        stop = next((i for i, t in enumerate(whole.tokens) if t in ends), len(whole.tokens))
        assert_same(one.tokens, Greedy(whole.tokens[:stop], whole.leads[:stop]), one.adapter)


def test_every_adapter_differs_from_the_base_and_from_the_others(
    apertus: Loaded, apertus_alone: Alone
) -> None:
    """Otherwise identity of the rows would prove nothing about which adapter was applied."""
    prompt = chat_prompt(apertus.tokenizer, QUESTIONS[0])
    logits = [apertus_alone.logits(a, prompt) for a in [None, *adapters_of("apertus")]]
    for i, one in enumerate(logits):
        for other in logits[:i]:
            assert mx.abs(one - other).max().item() > 1e-2


@pytest.mark.parametrize("base", ["apertus", "devstral"])
def test_the_engine_thread_gives_the_same_rows(
    base: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """Loaded and run on the engine's own thread, requests coming from the event loop."""
    alone: Alone = request.getfixturevalue(f"{base}_alone")
    asked = asyncio.run(through_engine(base))
    check(asked, alone)


async def through_engine(base: str) -> list[Asked]:
    loaded: list[Loaded] = []
    asked: list[Asked] = []

    def start() -> Scheduler:
        loaded.append(load_rows(base))
        return loaded[0].scheduler

    def new_text(taken: GenerationRequest) -> TextStream:
        (one,) = [one for one in asked if one.request() == taken and not one.tokens]
        return TextStream(one.recorder, frozenset(), ())

    async def one_row(one: Asked) -> None:
        generation = engine.generate(one.request())
        async for event in generation.events():
            assert not isinstance(event, Failed)
            one.events.append(event)
        generation.close()

    deaths: list[str] = []
    engine = Engine(32, 0, new_text, on_death=lambda: deaths.append("engine"))
    await engine.start(start)
    try:
        adapters = apertus_adapters() if base == "apertus" else devstral_adapters()
        asked += twelve_rows(loaded[0], adapters)
        async with asyncio.timeout(120), asyncio.TaskGroup() as group:
            for one in asked:
                group.create_task(one_row(one))
    finally:
        await engine.stop()
    assert not deaths
    return asked
