"""The table, and the JSON, of a check."""

import json

import pytest

from worker.check.verdict import Verdict, as_json, table

GOOD = Verdict(
    "electronics",
    "apertus",
    "ok",
    format="mlx",
    rank=16,
    targets=("down_proj", "gate_proj", "k_proj", "o_proj", "q_proj", "up_proj", "v_proj"),
    layers=36,
    bytes=1_056_768,
    digest="594f04215ca196efcb4361cfba1c0bd2",
    effect=14.203,
    examples=12,
    perplexity=1.34,
    base_perplexity=1029.2,
)
REFUSED = Verdict("spice", "devstral", "refused", "tensors that are not LoRA A or B factors: x")


def test_a_row() -> None:
    said = table([GOOD]).splitlines()
    assert said[0] == "apertus"
    cells = "electronics mlx 16 36 q,k,v,o,gate,up,down 1.1M 594f0421 14.20 1029 1.34 ok"
    assert " ".join(said[2].split()) == cells


def test_a_block_a_base_and_reasons_below() -> None:
    said = table([GOOD, REFUSED])
    assert said.index("apertus\n") < said.index("devstral\n")
    assert "  spice: tensors that are not LoRA A or B factors: x\n" in said
    assert said.endswith("2 adapters: 1 ok, 1 refused\n")


def test_fits_100_columns() -> None:
    widest = Verdict(
        "x" * 63,
        "b",
        "refused",
        format="peft+dora",
        rank=1024,
        targets=("a" * 40,),
        layers=1000,
        bytes=999_900_000,
        digest="0" * 64,
        effect=99999.0,
        perplexity=123456.0,
        base_perplexity=1e300,
    )
    assert max(map(len, table([GOOD, widest]).splitlines())) <= 100


def test_nothing_to_check() -> None:
    assert table([]) == "0 adapters: nothing to check\n"


@pytest.mark.parametrize(("verdict", "ok"), [(GOOD, True), (REFUSED, False)])
def test_json(verdict: Verdict, ok: bool) -> None:
    said = json.loads(json.dumps(as_json([verdict]), allow_nan=False))
    assert said["ok"] is ok
    assert said["data"][0]["adapter"] == verdict.adapter
    assert said["data"][0]["digest"] == verdict.digest
