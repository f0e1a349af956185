"""All records, several at a time: base and adapter of a record always share the batch."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import httpx

from gateway.evaluate.asking import Asking, Pair
from gateway.evaluate.errors import EvaluationError
from gateway.evaluate.figures import Figures, Outcome, figures_of
from gateway.evaluate.records import Record


@dataclass(frozen=True, slots=True)
class Measured:
    """What was measured, on what: digests by the gateway's report, None where it told none."""

    pair: Pair
    base_digest: str | None
    adapter_digest: str | None
    figures: Figures


async def measure(
    url: str,
    adapter: str,
    base: str | None,
    records: Sequence[Record],
    concurrency: int,
    on_progress: Callable[[float], None],
) -> Measured:
    """Measure through the gateway at ``url``. Raises EvaluationError."""
    # rows of base and adapter are in flight for each record, both scored and answered
    limits = httpx.Limits(max_connections=4 * concurrency)
    async with httpx.AsyncClient(base_url=url, limits=limits, trust_env=False) as client:
        return await measure_with(Asking(client), adapter, base, records, concurrency, on_progress)


async def measure_with(
    asking: Asking,
    adapter: str,
    base: str | None,
    records: Sequence[Record],
    concurrency: int,
    on_progress: Callable[[float], None],
) -> Measured:
    """Measure through ``asking``. Raises EvaluationError."""
    pair = await asking.find(adapter, base)
    outcomes = await _all(asking, pair, records, concurrency, on_progress)
    found = figures_of([base for base, _ in outcomes], [adapter for _, adapter in outcomes])
    base_digest, _ = asking.digests[pair.base.model]
    _, adapter_digest = asking.digests[pair.adapter.model]
    return Measured(pair, base_digest, adapter_digest, found)


async def _all(
    asking: Asking,
    pair: Pair,
    records: Sequence[Record],
    concurrency: int,
    on_progress: Callable[[float], None],
) -> list[tuple[Outcome, Outcome]]:
    done: dict[int, tuple[Outcome, Outcome]] = {}
    waiting = iter(enumerate(records))

    async def work() -> None:
        for at, record in waiting:  # shared: each record is taken once
            try:
                done[at] = await asking.measure(pair, record)
            except EvaluationError as error:
                raise EvaluationError(f"record {at + 1}: {error}") from None
            on_progress(len(done) / len(records))

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(min(concurrency, len(records))):
                group.create_task(work())
    except* EvaluationError as errors:
        raise errors.exceptions[0] from None
    return [done[at] for at in range(len(records))]
