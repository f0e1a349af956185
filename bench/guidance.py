"""What structured output costs: compiling, masks and closing, for two sizes of vocabulary.

``python -m bench.guidance``; no model is loaded, logits are random. Not a model's quality.
"""

import json
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import mlx.core as mx
import numpy as np
from mlx_lm.utils import load_tokenizer
from tokenizers import Tokenizer

from wire.structured import Constraint
from worker.guidance.compiler import Compiler
from worker.guidance.grammars import grammar_of

WIDE = 131_072
TOKENS = 60
_ITEM = {
    "type": "object",
    "properties": {
        "id": {"type": "integer"},
        "name": {"type": "string", "maxLength": 40},
        "kind": {"enum": ["a", "b", "c"]},
        "when": {"type": "string", "format": "date-time"},
    },
    "required": ["id", "name"],
}
SMALL = {**_ITEM, "additionalProperties": False}
LARGE = {
    "type": "object",
    "properties": {f"field_{at}": _ITEM for at in range(100)},
    "required": ["field_0"],
}


def main() -> None:
    tokenizer = load_tokenizer(Path(__file__).parents[1] / "demo" / "models" / "apertus")
    eos = sorted(tokenizer.eos_token_ids)
    for vocabulary, given in ((2048, tokenizer), (WIDE, widened(tokenizer))):
        began = time.perf_counter()
        compiler = Compiler(given, vocabulary, eos)
        print(f"vocabulary {vocabulary}: tokenizer {_ms(began):.0f} ms")
        for name, schema in (("small", SMALL), ("large", LARGE)):
            measure(compiler, name, schema, vocabulary, eos)


def widened(tokenizer: Any) -> Any:
    """The embedded tokenizer, its vocabulary filled up with compound words."""
    data = json.loads(tokenizer._tokenizer.backend_tokenizer.to_str())
    vocabulary: dict[str, int] = data["model"]["vocab"]
    words = [word for word in vocabulary if word.isalpha() and len(word) > 1]
    random = np.random.default_rng(0)
    at = 1 + max(*vocabulary.values(), *(token["id"] for token in data["added_tokens"]))
    while at < WIDE:
        word = "".join(random.choice(words, 2 + int(random.integers(2))))
        if word not in vocabulary:
            vocabulary[word] = at
            at += 1
    backend = Tokenizer.from_str(json.dumps(data))
    return SimpleNamespace(_tokenizer=SimpleNamespace(backend_tokenizer=backend))


def measure(compiler: Compiler, name: str, schema: Any, vocabulary: int, eos: list[int]) -> None:
    text = json.dumps(schema)
    began = time.perf_counter()
    guide = compiler.compile(grammar_of(Constraint("json_schema", text, "bench")))
    print(f"  {name} schema, {len(text)} characters: compile {_ms(began):.1f} ms")
    for max_tokens in (4000, TOKENS):
        masks, applied = list[float](), list[float]()
        for seed in range(6):
            run, random = guide.start(0, max_tokens), np.random.default_rng(seed)
            tokens: list[int] = []
            while len(tokens) < TOKENS and not (tokens and tokens[-1] in eos):
                logits = mx.array(random.gumbel(size=(1, vocabulary)).astype(np.float32) * 2)
                so_far = mx.array(tokens, dtype=mx.int32)
                mx.eval(logits, so_far)
                began = time.perf_counter()
                masked = run(so_far, logits)
                masks.append(_ms(began))
                began = time.perf_counter()
                mx.eval(masked)
                applied.append(_ms(began))
                tokens.append(int(mx.argmax(masked[0]).item()))
        print(
            f"    max_tokens {max_tokens}: mask median {np.median(masks):.2f}, mean "
            f"{np.mean(masks):.2f}, p99 {np.quantile(masks, 0.99):.2f} ms; "
            f"applied {np.median(applied):.2f} ms"
        )


def _ms(began: float) -> float:
    return (time.perf_counter() - began) * 1000


if __name__ == "__main__":
    main()
