"""The stored fleet: formats, shapes, sizes, chat templates, and mlx-lm's own loaders."""

import json
from collections import Counter
from pathlib import Path

import pytest

from demo import root
from demo.chat import FORMATS
from demo.evaluate import answer
from demo.fleet_plan import ADAPTERS, ATTENTION, BASES, RANK, AdapterPlan
from demo.fused import FusedBase, read_factors
from demo.records import read_records

import mlx.core as mx  # isort: skip  (demo.fused loads OpenBLAS first)
from mlx_lm.tuner.utils import load_adapters  # isort: skip

MIB = 2**20
TURNS = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Hello"},
    {"role": "user", "content": "Are you there?"},
    {"role": "assistant", "content": "Yes."},
    {"role": "user", "content": "Good."},
]


def _folder(plan: AdapterPlan) -> Path:
    return root() / "adapters" / plan.domain


def test_half_of_the_adapters_are_in_each_format() -> None:
    found = Counter(
        "mlx" if (_folder(plan) / "adapters.safetensors").exists() else "peft" for plan in ADAPTERS
    )
    assert found == {"mlx": 6, "peft": 6}


@pytest.mark.parametrize("plan", ADAPTERS, ids=lambda plan: plan.domain)
def test_adapter_files_have_the_planned_format_rank_and_targets(plan: AdapterPlan) -> None:
    config = json.loads((_folder(plan) / "adapter_config.json").read_text())
    factors = read_factors(_folder(plan))
    assert ("lora_parameters" in config) == (plan.format == "mlx")
    for layer in factors.values():
        assert (layer.a.shape[1], layer.b.shape[0], layer.scale) == (RANK, RANK, 2.0)
    targets = {name.rpartition(".")[2] for name in factors}
    assert (targets == set(ATTENTION)) == plan.attention_only


def test_models_and_adapters_are_small() -> None:
    files = [
        path
        for folder in ("models", "adapters")
        for path in (root() / folder).rglob("*")
        if path.is_file()
    ]
    assert sum(path.stat().st_size for path in files) < 25 * MIB


@pytest.fixture(scope="module", params=BASES)
def base(request: pytest.FixtureRequest) -> tuple[str, FusedBase]:
    return request.param, FusedBase(root() / "models" / request.param)


def test_template_is_the_format_that_was_trained(base: tuple[str, FusedBase]) -> None:
    name, fused = base
    text = fused.tokenizer.apply_chat_template(TURNS, add_generation_prompt=True, tokenize=False)
    assert text == FORMATS[name].render([(turn["role"], turn["content"]) for turn in TURNS])


def test_template_refuses_unknown_roles(base: tuple[str, FusedBase]) -> None:
    with pytest.raises(Exception, match="unsupported role"):
        base[1].tokenizer.apply_chat_template([{"role": "tool", "content": "x"}])


def test_model_is_sane_at_the_end_of_its_context(base: tuple[str, FusedBase]) -> None:
    fused = base[1]
    fused.apply(None)
    logits = fused.model(mx.array([[5, *range(300, 547)] * 8])[:, :2048])
    assert bool(mx.isfinite(logits).all().item())


@pytest.mark.parametrize("plan", [p for p in ADAPTERS if p.format == "mlx"][::5], ids=str)
def test_mlx_lm_loads_the_adapter_and_answers_alike(plan: AdapterPlan) -> None:
    fused = FusedBase(root() / "models" / plan.base)
    stock = FusedBase(root() / "models" / plan.base)
    load_adapters(stock.model, str(_folder(plan)))
    stock.model.set_dtype(mx.float32)
    stock.model.eval()
    fused.apply(_folder(plan))
    questions = [record.question for record in read_records(plan.domain)[:8]]
    assert answer(stock, questions) == answer(fused, questions)
