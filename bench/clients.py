"""Closed-loop streaming clients: each sends its next request when the last one has ended.

One process for all, and as little work a chunk as can be: it shares the machine with what
it measures. A request that fails or ends early fails the measurement.
"""

import asyncio
import json
import random
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from bench.rounds import Sample

# fmt: off
WORDS = [
    "the", "a", "of", "to", "and", "in", "for", "with", "resistor", "current", "voltage",
    "filter", "noise", "power", "board", "signal", "clock", "timer", "sensor", "packet", "key",
    "matrix", "mean", "loop", "class", "memory", "value", "input", "output", "gain",
]
# fmt: on
PROMPT_WORDS = 24


@dataclass(frozen=True)
class Load:
    """How many clients, how many requests each, how many tokens an answer."""

    streams: int
    requests: int
    tokens: int


@dataclass(frozen=True)
class Target:
    """A server and the request fields that its requests take in turn, ``model`` above all."""

    url: str
    turns: Sequence[dict[str, str]]


@dataclass
class _Tally:
    tokens: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    first_s: list[float] = field(default_factory=list)


def drive(target: Target, load: Load, seed: int) -> Sample:
    """All requests of ``load`` against ``target``. Raises RuntimeError when one fails."""
    return asyncio.run(_drive(target, load, seed))


async def _drive(target: Target, load: Load, seed: int) -> Sample:
    tally = _Tally()
    chooser = random.Random(seed)
    prompts = [
        " ".join(chooser.choices(WORDS, k=PROMPT_WORDS))
        for _ in range(load.streams * load.requests)
    ]
    timeout = aiohttp.ClientTimeout(total=None, sock_read=300)
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
        begun = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for stream in range(load.streams):
                mine = range(stream, len(prompts), load.streams)
                group.create_task(_client(session, target, load, prompts, mine, tally))
        wall_s = time.perf_counter() - begun
    wanted = load.streams * load.requests * load.tokens
    if tally.tokens != wanted:
        raise RuntimeError(f"{target.url}: {tally.tokens} tokens instead of {wanted}")
    return {
        "tokens_per_s": tally.tokens / wall_s,
        "ttft_p50_s": statistics.median(tally.first_s),
        "ttft_max_s": max(tally.first_s),
        "wall_s": wall_s,
        "tokens": tally.tokens,
        "prompt_tokens": tally.prompt_tokens,
        "cached_tokens": tally.cached_tokens,
    }


async def _client(
    session: aiohttp.ClientSession,
    target: Target,
    load: Load,
    prompts: Sequence[str],
    mine: range,
    tally: _Tally,
) -> None:
    for number in mine:
        body = {
            **target.turns[number % len(target.turns)],
            "messages": [{"role": "user", "content": prompts[number]}],
            "max_tokens": load.tokens,
            "temperature": 0,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        await _stream(session, target.url, body, tally)


async def _stream(
    session: aiohttp.ClientSession, url: str, body: dict[str, Any], tally: _Tally
) -> None:
    begun = time.perf_counter()
    started = done = False
    async with session.post(f"{url}/v1/chat/completions", json=body) as response:
        if response.status != 200:
            raise RuntimeError(f"{url}: {response.status} {await response.text()}")
        async for line in response.content:
            if not started and line.startswith(b"data: {") and _has_text(json.loads(line[6:])):
                started = True
                tally.first_s.append(time.perf_counter() - begun)
            elif b"completion_tokens" in line:
                _count(json.loads(line[6:]).get("usage"), tally)
            elif line.startswith(b"data: [DONE]"):
                done = True
    if not (started and done):
        raise RuntimeError(f"{url}: a stream ended without text or without [DONE]")


def _has_text(chunk: dict[str, Any]) -> bool:
    if "error" in chunk:
        raise RuntimeError(str(chunk["error"]))
    return any(choice["delta"].get("content") for choice in chunk.get("choices") or [])


def _count(usage: dict[str, Any] | None, tally: _Tally) -> None:
    if usage:
        tally.tokens += usage["completion_tokens"]
        tally.prompt_tokens += usage["prompt_tokens"]
        details = usage.get("prompt_tokens_details") or {}
        tally.cached_tokens += details.get("cached_tokens") or 0
