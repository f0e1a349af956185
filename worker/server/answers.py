"""Generations to the body or the chunks of one answer.

One answer may have many choices, each a row of its own: their events are read as they come,
from whichever row has one.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

from wire.responses import Envelope, Usage
from wire.sse import dumps
from worker.engine.engine import Generation
from worker.engine.request import Event, Failed, Finished, Scored, Text
from worker.server.choices import Choice, Chunk
from worker.server.logprobs import prompt_logprobs
from worker.server.token_text import TokenTexts


@dataclass(frozen=True)
class Answer:
    """What an answer is made of. ``choices[i]`` belongs to row i of the ``generations``.

    ``rows_per_prompt``: so many rows in turn answer the same prompt, which is counted once.
    ``head``: facts of the first chunk or the body, such as the ``ailiance`` object.
    """

    envelope: Envelope
    choices: Sequence[Choice]
    generations: Sequence[Generation]
    rows_per_prompt: int
    texts: TokenTexts
    head: dict[str, Any]

    def close(self) -> None:
        """The reader is done or gone."""
        for generation in self.generations:
            generation.close()


async def plain_body(answer: Answer) -> dict[str, Any]:
    """The whole answer. Raises what the engine reported."""
    ended: dict[int, Usage] = {}
    head = answer.head
    for choice in answer.choices:
        choice.first()
    async for index, event in _events(answer):
        _on_event(answer, index, event)
        if isinstance(event, Finished):
            ended[index] = event.usage
        elif isinstance(event, Scored) and answer.envelope.kind == "chat":
            head = {**head, "prompt_logprobs": prompt_logprobs(event.tokens, answer.texts)}
    choices = [choice.whole() for choice in answer.choices]
    return {**answer.envelope.body(choices, _total(answer, ended)), **head}


async def stream_chunks(answer: Answer, include_usage: bool) -> AsyncIterator[str]:
    """JSON texts of the chunks, the first at once: it says that the request was taken on.

    Raises what the engine reported.
    """
    # `usage: null` on each chunk but the extra one, once the client asked for usage
    null: dict[str, Any] = {"usage": None} if include_usage else {}
    head = answer.head
    for choice in answer.choices:
        for chunk in choice.first():
            yield dumps({**answer.envelope.chunk(chunk), **head, **null})
            head = {}
    ended: dict[int, Usage] = {}
    async for index, event in _events(answer):
        for chunk in _on_event(answer, index, event):
            yield dumps({**answer.envelope.chunk(chunk), **null})
        if isinstance(event, Finished):
            ended[index] = event.usage
    if include_usage:
        yield dumps(answer.envelope.usage(_total(answer, ended)))


def _on_event(answer: Answer, index: int, event: Event) -> list[Chunk]:
    choice = answer.choices[index]
    if isinstance(event, Text):
        return choice.on_text(event)
    if isinstance(event, Scored):
        return choice.on_scored(event)
    if isinstance(event, Failed):
        raise event.error
    return choice.on_end(event)


async def _events(answer: Answer) -> AsyncIterator[tuple[int, Event]]:
    """Events of all rows, up to and including the terminal one of each."""
    if len(answer.generations) == 1:
        async for event in answer.generations[0].events():
            yield 0, event
        return
    queue: asyncio.Queue[tuple[int, Event]] = asyncio.Queue()

    async def pump(index: int, generation: Generation) -> None:
        async for event in generation.events():
            queue.put_nowait((index, event))

    pumps = [asyncio.create_task(pump(i, g)) for i, g in enumerate(answer.generations)]
    running = len(pumps)
    try:
        while running:
            index, event = await queue.get()
            running -= isinstance(event, Finished)
            yield index, event
    finally:
        for task in pumps:
            task.cancel()


def _total(answer: Answer, ended: dict[int, Usage]) -> Usage:
    """Each prompt once, every answer."""
    firsts = [ended[i] for i in range(0, len(answer.choices), answer.rows_per_prompt)]
    return Usage(
        sum(usage.prompt_tokens for usage in firsts),
        sum(usage.completion_tokens for usage in ended.values()),
        sum(usage.cached_tokens for usage in firsts),
    )
