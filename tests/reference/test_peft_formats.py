"""Files that peft wrote, against what peft computed with them; no torch needed.

Each case of make_peft_formats.py: DoRA, rsLoRA, rank and alpha patterns, some layers only, an
output layer, embeddings; one at a time and all in one mixed batch. What is refused is refused
by name.
"""

import json
from functools import cache
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from mlx_lm.utils import load_model

from fleet.errors import SourceError
from tests.reference.make_peft_formats import (
    BASE,
    CASES,
    COMMAND,
    FORMATS,
    LOGITS,
    TIED,
    TIED_BASE,
    WITH_COPIES,
)
from worker.lora.files import AdapterFiles, read_adapter
from worker.lora.model import AdapterModel
from worker.lora.slots import BatchSlots
from worker.lora.targets import linear_layers

TOLERANCE = 2e-4
FIXED: dict[str, Any] = json.loads(LOGITS.read_text())
REFUSED = {
    "saved": r"PEFT option modules_to_save=\['lm_head'\]",
    "tokens": r"PEFT option trainable_token_indices=\[1, 2\]",
    "biased": r"PEFT option lora_bias=True",
    "head-with-copies": r"lm_head\.base_layer\.weight .*save_embedding_layers=False",
}
SERVED = [name for name in CASES if name not in REFUSED]


@cache
def served() -> tuple[AdapterModel, dict[str, AdapterFiles]]:
    """The base with every adapter in a slot, in the order of ``SERVED`` from 1 on."""
    model, _ = load_model(BASE)
    layers = linear_layers(model)
    files = {name: read_adapter(name, FORMATS / name, layers) for name in SERVED}
    adapted = AdapterModel(model, len(files), mx.float32)
    for slot, file in enumerate(files.values(), 1):
        adapted.put(slot, file)
    return adapted, files


def check(logits: mx.array, name: str, row: int) -> None:
    expected = np.array(FIXED["logits"][name][row])
    gap = np.abs(np.array(logits)[-2:] - expected).max()
    assert gap < TOLERANCE, f"{name}: {gap:.1e}; {COMMAND}"


def test_figures_differ_so_that_none_can_stand_for_another() -> None:
    figures = [np.array(FIXED["logits"][name]) for name in ("", *SERVED)]
    for at, one in enumerate(figures):
        for other in figures[at + 1 :]:
            assert np.abs(one - other).max() > 100 * TOLERANCE


@pytest.mark.parametrize("name", ["", *SERVED], ids=lambda name: name or "bare")
def test_alone(name: str) -> None:
    model, _ = served()
    slot = SERVED.index(name) + 1 if name else 0
    for row, tokens in enumerate(FIXED["tokens"]):
        check(model.logits(mx.array([tokens]), slot)[0], name, row)


def test_all_in_one_batch() -> None:
    model, _ = served()
    batch = [(name, row) for row in range(len(FIXED["tokens"])) for name in ("", *SERVED)]
    slots = [SERVED.index(name) + 1 if name else 0 for name, _ in batch]
    *kv, _ = model.new_cache(0)
    cache = [*(c.merge([c] * len(batch)) for c in kv), BatchSlots(slots)]
    logits = model(mx.array([FIXED["tokens"][row] for _, row in batch]), cache=cache)
    for at, (name, row) in enumerate(batch):
        check(logits[at], name, row)


@pytest.mark.parametrize("name", TIED)
def test_embeddings_that_are_the_output_layer(name: str) -> None:
    """Looked up with the delta, multiplied with for the logits without it."""
    model, _ = load_model(TIED_BASE)
    adapted = AdapterModel(model, 1, mx.float32)
    adapted.put(1, read_adapter(name, FORMATS / name, linear_layers(model)))
    for row, tokens in enumerate(FIXED["tokens"]):
        check(adapted.logits(mx.array([tokens]), 1)[0], name, row)


def test_ranks_and_scales_by_layer() -> None:
    _, files = served()
    found = {path: (f.a.shape[1], f.scale) for path, f in files["patterns"].factors.items()}
    assert files["patterns"].rank == 6
    assert found["model.layers.0.mlp.down_proj"] == (3, 8 / 3)
    assert found["model.layers.1.mlp.down_proj"] == (2, 8 / 2)
    assert found["model.layers.0.self_attn.v_proj"] == (4, 3 / 4)
    assert found["model.layers.1.self_attn.v_proj"] == (4, 8 / 4)
    assert found["model.layers.1.self_attn.o_proj"] == (4, 16 / 4)
    assert files["head"].targets == ("lm_head", "q_proj")
    assert set(files["some-layers"].factors) == {"model.layers.1.self_attn.q_proj"}


@pytest.mark.parametrize(("name", "says"), REFUSED.items(), ids=REFUSED)
def test_refused_by_name(name: str, says: str) -> None:
    model, _ = load_model(BASE)
    with pytest.raises(SourceError, match=says):
        read_adapter(name, FORMATS / name, linear_layers(model))


def test_every_case_is_served_or_refused() -> None:
    assert {*SERVED, *REFUSED} == {*CASES, *WITH_COPIES}
    assert {*FIXED["logits"]} == {"", *CASES, *WITH_COPIES, *TIED}
    assert {p.name for p in Path(FORMATS).iterdir() if p.is_dir()} == {
        BASE.name,
        TIED_BASE.name,
        *TIED,
        *SERVED,
        *REFUSED,
    }
