"""The training loop: batches of equal length, AdamW, warm-up and linear decay.

Each worker thread takes a share of every batch through the model by itself: next to other
programs on the machine this is several times faster than threads inside each operation,
which wait for the slowest of them thousands of times a step.

Knows a causal model of the transformers library and examples; not what they are for.
"""

import itertools
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from demo.examples import Example

PAD = 3
POOL_BATCHES = 16
LONGEST = 160

Batch = tuple[Tensor, Tensor, Tensor]
"""Inputs (rows, length), target places (rows, length), targets (places,)."""


@dataclass(frozen=True)
class Schedule:
    """How long and how fast to train; the rate decays linearly to a fiftieth.

    A run that nears ``limit_s`` decays by the clock and stops there, in fewer steps.
    """

    steps: int
    rows: int
    rate: float
    threads: int = 1
    warmup_steps: int = 50
    weight_decay: float = 0.05
    limit_s: float = float("inf")


def batches(examples: Iterator[Example], rows: int) -> Iterator[list[Example]]:
    """Group examples of similar length, so that little of a batch is padding."""
    while True:
        pool = list(itertools.islice(examples, rows * POOL_BATCHES))
        pool = [example for example in pool if len(example.ids) <= LONGEST]
        pool.sort(key=lambda example: len(example.ids))
        groups = [pool[at : at + rows] for at in range(0, len(pool), rows)]
        order = torch.randperm(len(groups)).tolist()
        yield from (groups[at] for at in order)


def collate(batch: list[Example], device: str) -> Batch:
    """Pad ``batch`` on the right; its places are those whose next token is to be learnt."""
    length = max(len(example.ids) for example in batch) - 1
    ids = torch.full((len(batch), length + 1), PAD)
    places = torch.zeros(len(batch), length, dtype=torch.bool)
    for row, example in enumerate(batch):
        ids[row, : len(example.ids)] = torch.tensor(example.ids)
        places[row, example.start - 1 : len(example.ids) - 1] = True
    return ids[:, :-1].to(device), places.to(device), ids[:, 1:][places].to(device)


def train(
    model: Any,
    parameters: list[nn.Parameter],
    examples: Iterator[Example],
    schedule: Schedule,
    title: str,
) -> float:
    """Train ``parameters`` in place and return the mean loss of the last hundred steps."""
    device = str(parameters[0].device)
    optimizer = torch.optim.AdamW(
        parameters, schedule.rate, (0.9, 0.98), weight_decay=schedule.weight_decay, fused=True
    )
    losses: list[float] = []
    feed = batches(examples, schedule.rows)
    started = time.monotonic()
    with (
        tqdm(range(schedule.steps), desc=title, mininterval=5.0) as bar,
        ThreadPoolExecutor(schedule.threads) as pool,
    ):
        for step in bar:
            done = max(step / schedule.steps, (time.monotonic() - started) / schedule.limit_s)
            if done >= 1.0:
                break
            for group in optimizer.param_groups:
                group["lr"] = _rate(step, done, schedule)
            rows = next(feed)
            shares = [rows[at :: schedule.threads] for at in range(schedule.threads)]
            losses.append(_gradients(model, [collate(s, device) for s in shares if s], pool))
            nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
            optimizer.zero_grad()
            bar.set_postfix(loss=f"{sum(losses[-50:]) / len(losses[-50:]):.3f}", refresh=False)
    return sum(losses[-100:]) / len(losses[-100:])


def _gradients(model: Any, shares: list[Batch], pool: ThreadPoolExecutor) -> float:
    """Add the gradients of all shares to the parameters; return the mean loss.

    Two shares give the same sum in either order, so two threads stay reproducible.
    """
    count = sum(len(targets) for _, _, targets in shares)

    def one(share: Batch) -> float:
        ids, places, targets = share
        hidden = model.model(input_ids=ids, use_cache=False)[0]
        logits = model.lm_head(hidden[places])
        loss = nn.functional.cross_entropy(logits, targets, reduction="sum") / count
        loss.backward()
        return loss.item()

    return sum(pool.map(one, shares))


def _rate(step: int, done: float, schedule: Schedule) -> float:
    warm = min(1.0, (step + 1) / schedule.warmup_steps)
    return schedule.rate * warm * max(0.02, 1.0 - done)
