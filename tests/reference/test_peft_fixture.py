"""The worker's rows against transformers + peft in float32, from the stored figures; no torch.

Every PEFT-format adapter and the bare bases, one at a time and all in one mixed batch:
log-probabilities to 1e-3.
"""

import json
from functools import cache
from typing import Any

import mlx.core as mx
import numpy as np
import pytest

from tests.parity.rows import float32_fleet
from tests.reference.make_peft_reference import COMMAND, FIXTURE
from worker.base import load_base
from worker.lora.files import AdapterFiles, read_adapter
from worker.lora.model import AdapterModel, linear_layers
from worker.lora.slots import BatchSlots

TOLERANCE = 1e-3
FIXED: dict[str, Any] = json.loads(FIXTURE.read_text())
BASES = list(FIXED["bases"])
ADAPTERS = [(base, name) for base in BASES for name in FIXED["bases"][base]["adapters"]]


@cache
def served(base: str) -> tuple[AdapterModel, dict[str, str], list[AdapterFiles]]:
    """The base with all its adapters as the worker holds them, and the digests by name."""
    fleet = float32_fleet()
    loaded = load_base(base, fleet.resolve(fleet.bases[base].model), "float32", None)
    layers = linear_layers(loaded.model)
    files = [
        read_adapter(name, fleet.resolve(entry.source), layers)
        for name, entry in fleet.adapters_of(base).items()
    ]
    digests = {"": loaded.digest} | {file.name: file.digest for file in files}
    model = AdapterModel(loaded.model, len(files), loaded.dtype)
    for slot, file in enumerate(files, start=1):
        model.put(slot, file)
    return model, digests, files


def check_current(base: str) -> None:
    """The figures are of these very files; with other weights they would prove nothing."""
    _, digests, files = served(base)
    fixed = {name: entry["digest"] for name, entry in FIXED["bases"][base]["adapters"].items()}
    stored = ["", *(file.name for file in files if file.format == "peft")]
    assert fixed == {name: digests[name] for name in stored}, (
        f"{FIXTURE.name} was made from other weights of '{base}'; run: {COMMAND}"
    )


def check_row(logits: mx.array, row: dict[str, Any], tokens: list[int], what: object) -> None:
    """(seq, vocabulary) logits against one row of the fixture."""
    logits = logits.astype(mx.float32)
    logprobs = np.array(logits - mx.logsumexp(logits, axis=-1, keepdims=True))
    found = np.take_along_axis(logprobs, np.array(row["ids"]), axis=-1)
    assert np.abs(found - np.array(row["logprobs"])).max() < TOLERANCE, what
    following = logprobs[np.arange(len(tokens) - 1), tokens[1:]]
    assert np.abs(following - np.array(row["next"])).max() < TOLERANCE, what


def test_fixture_is_small_and_covers_both_bases() -> None:
    assert FIXTURE.stat().st_size < 200_000
    assert set(BASES) == set(float32_fleet().bases)
    assert all(len(FIXED["bases"][base]["adapters"]) > 1 for base in BASES)


@pytest.mark.parametrize("base", BASES)
def test_fixture_was_made_from_these_weights(base: str) -> None:
    check_current(base)


@pytest.mark.parametrize(("base", "adapter"), ADAPTERS, ids=lambda part: part or "bare")
def test_adapter_alone_is_that_of_peft(base: str, adapter: str) -> None:
    check_current(base)
    model, _, files = served(base)
    slots = {"": 0} | {file.name: slot for slot, file in enumerate(files, start=1)}
    entry = FIXED["bases"][base]
    for tokens, row in zip(entry["tokens"], entry["adapters"][adapter]["rows"], strict=True):
        check_row(model.logits(mx.array([tokens]), slots[adapter])[0], row, tokens, adapter)


@pytest.mark.parametrize("base", BASES)
def test_rows_of_a_mixed_batch_are_those_of_peft(base: str) -> None:
    """All PEFT adapters and the bare base in one pass, MLX-format ones between them."""
    check_current(base)
    model, _, files = served(base)
    entry = FIXED["bases"][base]
    batch = [
        (name, i) for i in range(len(entry["tokens"])) for name in ["", *(f.name for f in files)]
    ]
    tokens = mx.array([entry["tokens"][i] for _, i in batch])
    *kv, _ = model.new_cache(0)
    names = ["", *(f.name for f in files)]
    slots = BatchSlots([names.index(name) for name, _ in batch])
    logits = model(tokens, cache=[*(c.merge([c] * len(batch)) for c in kv), slots])
    checked = 0
    for at, (name, i) in enumerate(batch):
        if name in entry["adapters"]:
            check_row(logits[at], entry["adapters"][name]["rows"][i], entry["tokens"][i], name)
            checked += 1
    assert checked == len(entry["adapters"]) * len(entry["tokens"])
