"""Measure the stored fleet: exact answers per domain and the perplexity matrix.

``python -m demo.evaluate`` prints both. Needs MLX, not PyTorch.
"""

import argparse
import difflib
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from demo import root
from demo.chat import FORMATS
from demo.fleet_plan import ADAPTERS, BASES, AdapterPlan
from demo.fused import BLAS, FusedBase
from demo.records import Record, read_records

import mlx.core as mx  # isort: skip  (demo.fused loads OpenBLAS first)
from mlx_lm.generate import batch_generate  # isort: skip

MAX_ANSWER_TOKENS = 72
BATCH_ROWS = 130
CHUNK_ROWS = 32
MATRIX_SAMPLE = 20


@dataclass(frozen=True)
class Score:
    """Shares of a domain's questions: exact answers, and answers nearest the right one."""

    trained: float
    held_out: float
    held_out_nearest: float
    bare: float


def answer(base: FusedBase, questions: Sequence[str]) -> list[str]:
    """Return the greedy answers of ``base``, as its weights are now, to ``questions``."""
    prompts = [
        base.tokenizer.apply_chat_template(
            [{"role": "user", "content": text}], add_generation_prompt=True
        )
        for text in questions
    ]
    reply = batch_generate(
        base.model,
        base.tokenizer,
        prompts,
        max_tokens=MAX_ANSWER_TOKENS,
        completion_batch_size=BATCH_ROWS,
        prefill_batch_size=BATCH_ROWS,
    )
    return list(reply.texts)


def score(base: FusedBase, plan: AdapterPlan, adapters: Path, sample: int | None) -> Score:
    """Measure one adapter, and the bare base, on (a sample of) its domain."""
    records = _sampled(read_records(plan.domain), sample)
    questions = [record.question for record in records]
    base.apply(adapters / plan.domain)
    trained = answer(base, questions)
    held_out = answer(base, [record.held_out for record in records])
    base.apply(None)
    bare = answer(base, questions)
    return Score(
        _exact(trained, records),
        _exact(held_out, records),
        _nearest(held_out, records),
        _exact(bare, records),
    )


def loss_per_character(base: FusedBase, format_of: str, records: Sequence[Record]) -> float:
    """Nats per character of the answers to ``records``' questions, under ``base`` as it is.

    Characters, not tokens: the two bases have different tokenizers.
    """
    chat = FORMATS[format_of]
    rows: list[tuple[list[int], int]] = []
    for record in records:
        prompt = base.tokenizer.encode(
            chat.render([("user", record.question)]), add_special_tokens=False
        )
        rest = base.tokenizer.encode(record.answer + chat.end, add_special_tokens=False)
        rows.append((prompt + rest, len(prompt)))
    rows.sort(key=lambda row: len(row[0]))  # little padding within a chunk
    chunks = [rows[at : at + CHUNK_ROWS] for at in range(0, len(rows), CHUNK_ROWS)]
    total = sum(_loss(base.model, chunk) for chunk in chunks)
    return total / sum(len(record.answer) for record in records)


def perplexity_matrix(
    models: Path, adapters: Path, sample: int | None
) -> dict[tuple[str, str], float]:
    """Perplexity per character of each domain's answers (row) under each adapter (column).

    Every adapter runs on its own base, with that base's tokenizer and chat format.
    """
    texts = {plan.domain: _sampled(read_records(plan.domain), sample) for plan in ADAPTERS}
    matrix: dict[tuple[str, str], float] = {}
    for name in BASES:
        base = FusedBase(models / name)
        for plan in ADAPTERS:
            if plan.base != name:
                continue
            base.apply(adapters / plan.domain)
            for domain, records in texts.items():
                loss = loss_per_character(base, name, records)
                matrix[domain, plan.domain] = math.exp(loss)
    return matrix


def _loss(model: Any, rows: list[tuple[list[int], int]]) -> float:
    longest = max(len(ids) for ids, _ in rows)
    ids = mx.array([row + [0] * (longest - len(row)) for row, _ in rows])
    place = mx.arange(longest - 1)[None]
    start = mx.array([start - 1 for _, start in rows])[:, None]
    stop = mx.array([len(row) - 1 for row, _ in rows])[:, None]
    logits = model(ids[:, :-1])
    chosen = mx.take_along_axis(logits, ids[:, 1:, None], axis=-1)[..., 0]
    loss = mx.logsumexp(logits, axis=-1) - chosen
    return float(mx.where((place >= start) & (place < stop), loss, 0.0).sum().item())


def _sampled(records: list[Record], sample: int | None) -> list[Record]:
    """Every record, or ``sample`` of them spread evenly over the file."""
    if sample is None or sample >= len(records):
        return records
    return [records[at * len(records) // sample] for at in range(sample)]


def _exact(replies: Sequence[str], records: Sequence[Record]) -> float:
    right = [text == record.answer for text, record in zip(replies, records, strict=True)]
    return sum(right) / len(right)


def _nearest(replies: Sequence[str], records: Sequence[Record]) -> float:
    answers = [record.answer for record in records]
    right = [
        text == record.answer
        or difflib.get_close_matches(text, answers, n=1, cutoff=0.0) == [record.answer]
        for text, record in zip(replies, records, strict=True)
    ]
    return sum(right) / len(right)


def main() -> None:
    """Print the scores of each domain and the matrix."""
    parser = argparse.ArgumentParser(prog="python -m demo.evaluate", description=__doc__)
    parser.add_argument("--fleet", type=Path, default=root(), help="default: the demo folder")
    parser.add_argument("--only", choices=BASES, help="one base and its adapters, no matrix")
    parser.add_argument("--sample", type=int, help="records a domain (default: all; matrix 20)")
    args = parser.parse_args()
    started = time.monotonic()
    print(f"BLAS: {BLAS}\ndomain        trained  held-out  (nearest)  bare base")
    for name in [args.only] if args.only else BASES:
        base = FusedBase(args.fleet / "models" / name)
        for plan in ADAPTERS:
            if plan.base == name:
                _print_score(plan.domain, score(base, plan, args.fleet / "adapters", args.sample))
    if args.only is None:
        sample = args.sample or MATRIX_SAMPLE
        _print_matrix(perplexity_matrix(args.fleet / "models", args.fleet / "adapters", sample))
    print(f"{time.monotonic() - started:.0f} s")


def _print_score(domain: str, s: Score) -> None:
    shares = (s.trained, s.held_out, s.held_out_nearest, s.bare)
    print(f"{domain:12}" + "".join(f"{share:9.1%}" for share in shares), flush=True)


def _print_matrix(matrix: dict[tuple[str, str], float]) -> None:
    names = [plan.domain for plan in ADAPTERS]
    print("\nperplexity per character, rows: text, columns: adapter")
    print(" " * 12 + "".join(f"{name[:7]:>8}" for name in names))
    for row in names:
        print(f"{row:12}" + "".join(f"{matrix[row, column]:8.2f}" for column in names))


if __name__ == "__main__":
    main()
