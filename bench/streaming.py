"""What streaming adds to the time of a plain request: the same requests both ways, in turn.

``python -m bench.streaming``: a gateway with its worker, as a user starts them; closed-loop
clients that send each prompt plain and streamed. Figures are ratios within a round.
"""

import argparse
import asyncio
import json
import random
import statistics
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import aiohttp

from bench import processes
from bench.clients import PROMPT_WORDS, WORDS
from bench.machine import machine_facts
from bench.models import build_model, cache_dir
from bench.report import machine_lines
from bench.rounds import Round, Sample, figures, ratios, run_rounds

MODELS = ("m24", "embedded")
CLIENTS = (1, 16)


def measure(
    url: str, model: str, *, stream: bool, clients: int, requests: int, tokens: int
) -> Sample:
    """Wall and median request seconds of ``clients`` that send ``requests`` each, in turn."""
    return asyncio.run(_measure(url, model, stream, clients, requests, tokens))


async def _measure(
    url: str, model: str, stream: bool, clients: int, requests: int, tokens: int
) -> Sample:
    # the same prompts in every variant and round: what is cached is cached for all
    chooser = random.Random(0)
    prompts = [" ".join(chooser.choices(WORDS, k=PROMPT_WORDS)) for _ in range(clients * requests)]
    took: list[float] = []
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as session:

        async def client(mine: Sequence[str]) -> None:
            for prompt in mine:
                begun = time.perf_counter()
                await _ask(session, url, model, prompt, stream, tokens)
                took.append(time.perf_counter() - begun)

        begun = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for number in range(clients):
                group.create_task(client(prompts[number::clients]))
        wall_s = time.perf_counter() - begun
    return {"wall_s": wall_s, "request_s": statistics.median(took)}


async def _ask(
    session: aiohttp.ClientSession, url: str, model: str, prompt: str, stream: bool, tokens: int
) -> None:
    body = {
        "model": model,
        "messages": [{"role": "user", "content": prompt}],
        "max_tokens": tokens,
        "temperature": 0,
        "ignore_eos": True,
        "stream": stream,
    }
    async with session.post(f"{url}/v1/chat/completions", json=body) as response:
        raw = await response.read()
        if response.status != 200 or (stream and not raw.endswith(b"data: [DONE]\n\n")):
            raise RuntimeError(f"{response.status}: {raw[-200:]!r}")


def main(argv: Sequence[str] | None = None) -> int:
    options = _options(argv)
    raw: dict[str, list[Round]] = {}
    print(machine_lines(machine_facts("that of the worker")))
    print("\n| model | clients | plain, ms a request | streamed / plain |\n|---|---|---|---|")
    for name in options.models:
        model = build_model(name, cache_dir() / "bench")
        with processes.gateway(model, cache_dir() / "bench" / "logs") as url:
            for clients in CLIENTS:
                ask = partial(
                    measure,
                    *(url, f"bench-{model.base}"),
                    clients=clients,
                    requests=max(1, options.requests // clients),
                    tokens=options.tokens,
                )
                both = {
                    "plain": partial(ask, stream=False),
                    "streamed": partial(ask, stream=True),
                }
                rounds = run_rounds(both, options.rounds, lambda _: None)
                raw[f"{name}, {clients}"] = rounds
                ratio = ratios(rounds, "wall_s", "streamed", "plain")
                plain_ms = figures(rounds, "request_s", "plain").median * 1e3
                print(
                    f"| {name} | {clients} | {plain_ms:,.0f} | "
                    f"{ratio.median:.2f} ({ratio.low:.2f}-{ratio.high:.2f}) |",
                    flush=True,
                )
    if options.json:
        options.json.write_text(json.dumps({"rounds": raw}, indent=1), "utf-8")
    return 0


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.streaming", description=__doc__)
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--requests", type=int, default=32, help="of all clients (%(default)s)")
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the raw data here")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
