"""Ranks 8, 16 and 64 and DoRA in one batch, and adapters that come and go while others decode.

The embedded apertus with its own adapters (rank 16) and four written here in mlx-lm's format.
Every row gives the greedy tokens of mlx-lm's ``load_adapters`` run alone; straight on mlx-lm's
``BatchGenerator``, so that what is shown is the model's doing.
"""

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest
from mlx_lm import load
from mlx_lm.generate import BatchGenerator, StopSequences
from mlx_lm.sample_utils import greedy_sampler
from mlx_lm.tuner.utils import load_adapters

from tests.parity.rows import QUESTIONS, Alone, as_mlx_format, assert_same, chat_prompt
from tests.parity.rows import float32_fleet as fleet_of
from worker.base import LoadedBase, load_base
from worker.lora.files import AdapterFiles, read_adapter
from worker.lora.model import AdapterModel, linear_layers

BASE = "apertus"
OWN = ("electronics", "kicad", "emc")
# name -> rank, kind and keys in the blocks
WRITTEN: dict[str, tuple[int, str, tuple[str, ...]]] = {
    "rank8": (8, "lora", ("self_attn.v_proj", "mlp.down_proj")),
    "rank64": (64, "lora", ("self_attn.q_proj", "self_attn.o_proj", "mlp.up_proj")),
    "dora": (8, "dora", ("self_attn.o_proj", "mlp.up_proj", "mlp.down_proj")),
    "dora64": (64, "dora", ("self_attn.q_proj", "self_attn.k_proj", "mlp.up_proj")),
}
BLOCKS = 6
TOKENS = 20


def write_adapter(folder: Path, name: str, base: LoadedBase) -> Path:
    rank, kind, keys = WRITTEN[name]
    modules = dict(base.model.named_modules())
    shapes = linear_layers(base.model)
    random = mx.random.key(len(name) + rank)
    tensors: dict[str, mx.array] = {}
    for block in range(BLOCKS):
        for key in keys:
            path = f"model.layers.{block}.{key}"
            random, *keys_of = mx.random.split(random, 4)
            wide_in, wide_out = shapes[path]
            tensors[f"{path}.lora_a"] = mx.random.normal((wide_in, rank), key=keys_of[0]) * 0.05
            tensors[f"{path}.lora_b"] = mx.random.normal((rank, wide_out), key=keys_of[1]) * 0.2
            if kind == "dora":
                norm = mx.linalg.norm(modules[path].weight, axis=1)
                tensors[f"{path}.m"] = norm * mx.random.uniform(
                    0.5, 1.5, norm.shape, key=keys_of[2]
                )
    target = folder / name
    target.mkdir()
    mx.save_safetensors(str(target / "adapters.safetensors"), tensors)
    parameters = {"rank": rank, "scale": 1.5, "dropout": 0.0, "keys": list(keys)}
    config = {"fine_tune_type": kind, "num_layers": BLOCKS, "lora_parameters": parameters}
    (target / "adapter_config.json").write_text(json.dumps(config))
    return target


class Folders(Alone):
    """mlx-lm alone, with adapters by folder."""

    def __init__(self, model: Path, folders: dict[str, Path]) -> None:
        self._model_path, self._folders = model, folders
        self._tokens = lru_cache(maxsize=None)(self._generate)
        self._model = lru_cache(maxsize=None)(self._load)

    def _load(self, adapter: str | None) -> Any:
        model, *_ = load(str(self._model_path))
        if adapter is not None:
            load_adapters(model, str(self._folders[adapter]))
        model.set_dtype(mx.float32)
        return model.eval()


class Bench:
    """The base, adapters as read, and mlx-lm alone beside them."""

    def __init__(self, folder: Path) -> None:
        fleet = fleet_of()
        path = fleet.resolve(fleet.bases[BASE].model)
        self._path = path
        base = self.fresh()
        own = {name: fleet.resolve(fleet.adapters[name].source) for name in OWN}
        written = {name: write_adapter(folder, name, base) for name in WRITTEN}
        layers = linear_layers(base.model)
        self.files: dict[str, AdapterFiles] = {
            name: read_adapter(name, source, layers) for name, source in {**own, **written}.items()
        }
        mlx = {name: as_mlx_format(source, folder / f"{name}-mlx") for name, source in own.items()}
        self.alone = Folders(path, {**mlx, **written})
        self.prompts = [chat_prompt(base.tokenizer, question) for question in QUESTIONS]

    def fresh(self) -> LoadedBase:
        return load_base(BASE, self._path, "float32", None)


class Rows:
    """Rows of one generator and the tokens that each has made."""

    def __init__(self, bench: Bench, slots: int) -> None:
        self.bench = bench
        self.model = AdapterModel(bench.fresh().model, slots, mx.float32)
        self.generator = BatchGenerator(
            self.model, completion_batch_size=16, prefill_batch_size=4, prefill_step_size=64
        )
        self.asked: dict[int, tuple[str | None, list[int]]] = {}
        self.tokens: dict[int, list[int]] = {}
        self.slots: dict[int, int] = {}
        self.puts_while_decoding = 0

    def put(self, slot: int, name: str) -> None:
        self.puts_while_decoding += any(0 < len(made) < TOKENS for made in self.tokens.values())
        self.model.put(slot, self.bench.files[name])

    def wait_for(self, slot: int) -> None:
        while any(len(self.tokens[u]) < TOKENS for u, s in self.slots.items() if s == slot):
            self.step()

    def join(self, name: str | None, slot: int, prompt: int) -> None:
        tokens = self.bench.prompts[prompt]
        (uid,) = self.generator.insert(
            [tokens],
            max_tokens=[TOKENS],
            caches=[self.model.new_cache(slot)],
            samplers=[greedy_sampler],
            stop_sequences=[StopSequences()],
        )
        self.asked[uid], self.tokens[uid], self.slots[uid] = (name, tokens), [], slot

    def step(self, steps: int = 1) -> None:
        for _ in range(steps):
            for response in self.generator.next()[1]:
                self.tokens[response.uid].append(response.token)

    def finish(self) -> None:
        self.step(60)
        self.generator.close()
        for uid, (name, prompt) in self.asked.items():
            assert_same(self.tokens[uid], self.bench.alone.tokens(name, prompt, TOKENS), name)


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench(tmp_path_factory.mktemp("adapters"))


def test_the_written_adapters_change_the_tokens(bench: Bench) -> None:
    prompt = bench.prompts[0]
    answers = [bench.alone.tokens(name, prompt, TOKENS).tokens for name in (None, *bench.files)]
    alike = {
        tuple(answer): name for name, answer in zip((None, *bench.files), answers, strict=True)
    }
    assert len(alike) == len(answers), alike.values()


def test_ranks_8_16_64_and_dora_in_one_batch(bench: Bench) -> None:
    """Twelve rows, joining three at a time, over three buckets."""
    rows = Rows(bench, len(bench.files))
    names = [None, *bench.files]
    for slot, name in enumerate(bench.files, start=1):
        rows.put(slot, name)
    for number in range(12):
        rows.join(names[number * 5 % len(names)], number * 5 % len(names), number)
        rows.step(2 if number % 3 == 2 else 0)
    rows.finish()


def test_adapters_put_into_slots_while_others_decode(bench: Bench) -> None:
    """Of other ranks, on layers that were not wrapped yet, into slots that were cleared; the
    tokens of those who stay are what they would have been."""
    rows = Rows(bench, 3)
    rows.put(1, "rank8")
    for turn, name in enumerate(["dora", "rank64", "kicad", "dora64", "emc", "rank8"]):
        rows.join(*(("rank8", 1) if turn % 2 else (None, 0)), 6 + turn)
        slot = 2 + turn % 2
        # no row may have a slot that is put into: the one before must have ended
        rows.wait_for(slot)
        rows.model.clear(slot)
        rows.put(slot, name)
        rows.join(name, slot, turn)
        rows.step(3)
    assert rows.puts_while_decoding >= 5
    rows.finish()
