"""The embedded tokenizers with their compilers, and a model made of dice."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest
from mlx_lm.utils import load_tokenizer

from worker.engine.request import Guide
from worker.guidance.compiler import Compiler

ROOT = Path(__file__).resolve().parents[3]
PADDED = 2048 + 40
PROMPT = [5, 6, 7]


@dataclass
class Answer:
    text: str
    tokens: list[int]
    finished: bool
    closed: bool


class Dice:
    """Draws tokens at random from what a guide allows."""

    def __init__(self, name: str) -> None:
        self.tokenizer = load_tokenizer(ROOT / "demo" / "models" / name)
        self.eos = sorted(self.tokenizer.eos_token_ids)
        self.compiler = Compiler(self.tokenizer, PADDED, self.eos)

    def answer(self, guide: Guide, max_tokens: int, seed: int = 0) -> Answer:
        run = guide.start(len(PROMPT), max_tokens)
        random, tokens = np.random.default_rng(seed), list(PROMPT)
        for _ in range(max_tokens):
            drawn = random.gumbel(size=(1, PADDED)).astype(np.float32)
            logits = mx.array(3 * drawn).astype(mx.bfloat16)
            masked = run(mx.array(tokens), logits)
            assert (masked.shape, masked.dtype) == (logits.shape, logits.dtype)
            token = int(mx.argmax(masked[0]).item())
            assert token < 2048
            tokens.append(token)
            if token in self.eos:
                break
        tokens = tokens[len(PROMPT) :]
        finished = tokens[-1] in self.eos
        text = bytes(self.compiler.decoded(tokens[:-1] if finished else tokens))
        return Answer(text.decode(errors="replace"), tokens, finished, run.closing)


@pytest.fixture(scope="session")
def dice() -> Callable[[str], Dice]:
    made = {name: Dice(name) for name in ("apertus", "devstral")}
    return made.__getitem__


@pytest.fixture(scope="session")
def apertus(dice: Callable[[str], Dice]) -> Dice:
    return dice("apertus")
