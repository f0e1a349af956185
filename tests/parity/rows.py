"""Run rows through the scheduler step by step and keep their tokens; and mlx-lm's alone.

``Alone`` is the yardstick: mlx_lm's own ``load`` and ``load_adapters`` on a fresh copy of the
base, one adapter at a time, with ``generate_step``. Nothing of worker/lora takes part in it.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import mlx.core as mx
from mlx_lm import load
from mlx_lm.generate import generate_step
from mlx_lm.tuner.utils import load_adapters

from fleet.find import embedded_fleet
from fleet.load import load_fleet
from fleet.schema import Fleet
from wire.responses import Usage
from worker.engine.observer import Silent
from worker.engine.request import Event, Finished, GenerationRequest, SamplingParams
from worker.engine.row import Row
from worker.engine.scheduler import Scheduler
from worker.engine.text import TextStream
from worker.load import Loaded, load_worker

GREEDY = SamplingParams(temperature=0)
# two tokens whose log-probabilities differ by less are a tie that rounding may break
TIE = 1e-4


def float32_fleet() -> Fleet:
    """The embedded fleet with every base in float32, whatever the backend."""
    fleet = load_fleet(embedded_fleet())
    bases = {
        name: base.model_copy(update={"dtype": "float32"}) for name, base in fleet.bases.items()
    }
    return fleet.model_copy(update={"bases": bases})


def load_rows(base: str) -> Loaded:
    """A base of the embedded fleet with all its adapters, as the worker loads it."""
    return load_worker(float32_fleet(), base, "test", Silent())


class Recorder:
    """A detokeniser that makes no text and keeps the tokens."""

    last_segment = ""

    def __init__(self) -> None:
        self.tokens: list[int] = []

    def add_token(self, token: int) -> None:
        self.tokens.append(token)

    def finalize(self) -> None: ...


@dataclass
class Asked:
    """One row to run: what, from which step on, and after how many of its tokens to cancel."""

    adapter: str | None
    prompt: Sequence[int]
    max_tokens: int = 24
    join_step: int = 0
    cancel_step: int | None = None
    ignore_eos: bool = True
    sampling: SamplingParams = GREEDY
    recorder: Recorder = field(default_factory=Recorder)
    events: list[Event] = field(default_factory=list)

    @property
    def tokens(self) -> list[int]:
        return self.recorder.tokens

    @property
    def usage(self) -> Usage:
        (last,) = [event for event in self.events if isinstance(event, Finished)]
        return last.usage

    def request(self) -> GenerationRequest:
        return GenerationRequest(
            prompt=tuple(self.prompt),
            adapter=self.adapter,
            max_tokens=self.max_tokens,
            sampling=self.sampling,
            ignore_eos=self.ignore_eos,
        )

    def row(self, number: int) -> Row:
        text = TextStream(self.recorder, frozenset(), ())
        return Row(number, self.request(), self.events.append, text, 0.0)


@dataclass
class Seen:
    """What the batch looked like at its widest."""

    decoding_rows: int = 0
    distinct_adapters: int = 0
    joins_into_decode: int = 0
    states_at_cancel: list[str] = field(default_factory=list)


def run(scheduler: Scheduler, asked: Sequence[Asked]) -> Seen:
    """Run rows to their end, each joining and leaving at its own step."""
    seen = Seen()
    rows = [one.row(number) for number, one in enumerate(asked)]
    step = 0
    while scheduler.busy or any(one.join_step >= step for one in asked):
        for one, row in zip(asked, rows, strict=True):
            if one.join_step == step:
                seen.joins_into_decode += any(r.state == "decode" for r in scheduler.running)
                scheduler.submit(row)
            if one.cancel_step == step:
                seen.states_at_cancel.append(row.state)
                scheduler.cancel(row.id)
        for row, events in scheduler.step():
            for event in events:
                row.sink(event)
        decoding = [row for row in scheduler.running if row.state == "decode"]
        if len(decoding) >= seen.decoding_rows:
            seen.decoding_rows = len(decoding)
            seen.distinct_adapters = len({row.request.adapter for row in decoding})
        step += 1
        assert step < 2000, "the scheduler does not come to an end"
    return seen


@dataclass(frozen=True)
class Greedy:
    """mlx-lm's greedy tokens, with the lead of each over the second best, as log-probability."""

    tokens: list[int]
    leads: list[float]


class Alone:
    """mlx-lm with one adapter at a time, each on a fresh copy of the base, in float32."""

    def __init__(self, base: str, folder: Path) -> None:
        self._fleet = float32_fleet()
        self._path = self._fleet.resolve(self._fleet.bases[base].model)
        self._folder = folder
        self._tokens = lru_cache(maxsize=None)(self._generate)
        self._model = lru_cache(maxsize=None)(self._load)

    def tokens(self, adapter: str | None, prompt: Sequence[int], count: int) -> Greedy:
        return self._tokens(adapter, tuple(prompt), count)

    def logits(self, adapter: str | None, tokens: Sequence[int]) -> mx.array:
        """(seq, vocabulary), of a plain forward pass."""
        return self._model(adapter)(mx.array([list(tokens)]))[0]

    def _load(self, adapter: str | None) -> Any:
        model, *_ = load(str(self._path))
        if adapter is not None:
            source = self._fleet.resolve(self._fleet.adapters[adapter].source)
            load_adapters(model, str(as_mlx_format(source, self._folder / adapter)))
        model.set_dtype(mx.float32)
        return model.eval()

    def _generate(self, adapter: str | None, prompt: tuple[int, ...], count: int) -> Greedy:
        tokens: list[int] = []
        leads: list[float] = []
        for token, logprobs in generate_step(
            mx.array(prompt), self._model(adapter), max_tokens=count
        ):
            second, first = mx.sort(logprobs)[-2:].tolist()
            tokens.append(token)
            leads.append(first - second)
        return Greedy(tokens, leads)


def as_mlx_format(source: Path, target: Path) -> Path:
    """``source`` if it is in MLX format, else a conversion of the PEFT files in ``target``."""
    if (source / "adapters.safetensors").exists():
        return source
    target.mkdir(parents=True, exist_ok=True)
    config = json.loads((source / "adapter_config.json").read_text())
    tensors = {
        key.removeprefix("base_model.model.")
        .replace(".lora_A.weight", ".lora_a")
        .replace(".lora_B.weight", ".lora_b"): value.T
        for key, value in mx.load(str(source / "adapter_model.safetensors")).items()
    }
    modules = {key.rpartition(".")[0] for key in tensors}
    parameters = {
        "rank": config["r"],
        "scale": config["lora_alpha"] / config["r"],
        "dropout": 0.0,
        "keys": sorted({module.split(".", 3)[3] for module in modules}),
    }
    blocks = len({module.split(".")[2] for module in modules})
    written = {"fine_tune_type": "lora", "num_layers": blocks, "lora_parameters": parameters}
    (target / "adapter_config.json").write_text(json.dumps(written))
    mx.save_safetensors(str(target / "adapters.safetensors"), tensors)
    return target


def assert_same(found: Sequence[int], expected: Greedy, what: object) -> None:
    """Token identity; only where mlx-lm's own two best tie may rounding have chosen the other."""
    if list(found) == expected.tokens:
        return
    pairs = enumerate(zip(found, expected.tokens, strict=False))
    at = next((i for i, (one, other) in pairs if one != other), None)
    assert at is not None, f"{what}: {len(found)} tokens, not {len(expected.tokens)}"
    lead = expected.leads[at]
    assert lead < TIE, (
        f"{what}: token {at} is {found[at]}, mlx-lm's {expected.tokens[at]} (lead {lead:.2e})"
    )


QUESTIONS = (
    "What is an RC low-pass filter?",
    "Hi",
    "How do I set up a UART on an STM32 with interrupts, and which registers matter most?",
    "Explain the Nyquist theorem.",
    "Pourquoi mon convertisseur abaisseur oscille-t-il à faible charge ?",
    "Which file holds the footprints?",
    "Write a netlist for a half-wave rectifier with a 50 Hz source and a 1 kOhm load, then say "
    "how long the simulation has to run before the ripple has settled.",
    "How is MQTT retained message handled?",
    "What is a buffer overflow and how do I stop one?",
    "Integrate x^2 from 0 to 3",
    "What limits conducted emissions below 30 MHz?",
    "And then?",
)


def chat_prompt(tokenizer: Any, question: str) -> list[int]:
    """Token ids of one question in the base's own chat template."""
    turns = [{"role": "user", "content": question}]
    return list(tokenizer.apply_chat_template(turns, add_generation_prompt=True))


def long_prompt(tokenizer: Any, tokens: int) -> list[int]:
    """A prompt of more than one prefill step."""
    words = tokenizer.encode(" ".join(QUESTIONS))
    return (words * (tokens // len(words) + 1))[:tokens]


def adapters_of(base: str) -> list[str]:
    return list(float32_fleet().adapters_of(base))
