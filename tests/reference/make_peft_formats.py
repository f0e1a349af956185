"""Small adapters in the formats that peft writes, and what peft computes with them.

    python -m tests.reference.make_peft_formats

writes ``formats/`` beside this file, from the repository's root, in an environment with torch,
transformers and peft (MLX is not needed): a tiny base, an adapter a case, another base whose
embeddings make its logits, and ``logits.json``. Factors are random: what counts is that
nothing of them is lost.
"""

import json
import shutil
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
FORMATS = Path(__file__).resolve().with_name("formats")
BASE = FORMATS / "base"
TIED_BASE = FORMATS / "base-tied"
LOGITS = FORMATS / "logits.json"
COMMAND = "python -m tests.reference.make_peft_formats"
TOKENS = [[3, 14, 15, 9, 26, 5, 35, 8], [27, 18, 28, 18, 28, 45, 9, 4]]
DECIMALS = 5

LINEAR = ["q_proj", "v_proj", "o_proj", "down_proj"]
# what each case gives to LoraConfig; r 4 and lora_alpha 8 unless said
CASES: Mapping[str, Mapping[str, Any]] = {
    "plain": {"target_modules": LINEAR},
    "all-linear": {"target_modules": "all-linear"},
    "dora": {"target_modules": LINEAR, "use_dora": True},
    "rslora": {"target_modules": LINEAR, "use_rslora": True},
    "patterns": {
        "target_modules": LINEAR,
        "rank_pattern": {"q_proj": 6, r"layers\.1\..*down_proj": 2, "down_proj": 3},
        "alpha_pattern": {"^model.layers.0.self_attn.v_proj": 3, "layers.1.self_attn.o_proj": 16},
    },
    "all-of-it": {
        "target_modules": LINEAR,
        "use_dora": True,
        "use_rslora": True,
        "rank_pattern": {"v_proj": 6},
        "alpha_pattern": {"q_proj": 5},
    },
    "some-layers": {"target_modules": ["q_proj"], "layers_to_transform": [1]},
    "head": {"target_modules": ["q_proj", "lm_head"]},
    "embeddings": {"target_modules": ["q_proj", "embed_tokens"]},
    # refused by name today
    "saved": {"target_modules": ["q_proj"], "modules_to_save": ["lm_head"]},
    "tokens": {"target_modules": ["q_proj"], "trainable_token_indices": [1, 2]},
    "biased": {"target_modules": ["q_proj"], "lora_bias": True},
}
# on the tied base: peft leaves its output layer without the delta
TIED = ("embeddings-tied",)
# saved as peft does by itself where a head or embeddings are targets: with copies of the base
WITH_COPIES = ("head-with-copies",)


def make_formats(folder: Path) -> dict[str, Any]:
    """Writes the base and the adapters there; returns the figures."""
    import peft  # noqa: PLC0415  (only where it is made)
    import torch  # noqa: PLC0415
    import transformers  # noqa: PLC0415

    shutil.rmtree(folder, ignore_errors=True)
    torch.manual_seed(0)
    base = folder / BASE.name
    _base(transformers, base, tied=False)
    cases: dict[str, Any] = {}

    def make(name: str, base: Path, options: Mapping[str, Any]) -> None:
        model = transformers.AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
        config = peft.LoraConfig(task_type="CAUSAL_LM", **({"r": 4, "lora_alpha": 8} | options))
        adapted = peft.get_peft_model(model, config).eval()
        stored = str((FORMATS / base.name).relative_to(ROOT))
        adapted.peft_config["default"].base_model_name_or_path = stored
        _randomise(adapted, torch)
        adapted.save_pretrained(folder / name, save_embedding_layers=name in WITH_COPIES)
        (folder / name / "README.md").unlink(missing_ok=True)
        cases[name] = _logits(adapted, torch)

    for name, options in {**CASES, WITH_COPIES[0]: CASES["head"]}.items():
        make(name, base, options)
    bare = transformers.AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32).eval()
    cases[""] = _logits(bare, torch)
    # last, so that the random numbers of the others are what they were
    _base(transformers, folder / TIED_BASE.name, tied=True)
    make(TIED[0], folder / TIED_BASE.name, CASES["embeddings"])
    made_with = {module.__name__: module.__version__ for module in (torch, transformers, peft)}
    return {"command": COMMAND, "made_with": made_with, "tokens": TOKENS, "logits": cases}


def _base(transformers: Any, folder: Path, tied: bool) -> None:
    config = transformers.LlamaConfig(
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        vocab_size=48,
        max_position_embeddings=64,
        tie_word_embeddings=tied,
        initializer_range=0.3,
    )
    transformers.LlamaForCausalLM(config).save_pretrained(folder)


def _randomise(model: Any, torch: Any) -> None:
    """Every trained number, B and magnitudes included, so that each counts in the logits."""
    with torch.no_grad():
        for name, value in model.named_parameters():
            if not value.requires_grad:
                continue
            if "magnitude" in name:
                value.mul_(1 + 0.3 * torch.rand_like(value))
            else:
                value.add_(0.15 * torch.randn_like(value))


def _logits(model: Any, torch: Any) -> list[Any]:
    with torch.no_grad():
        found = model(torch.tensor(TOKENS)).logits.float()
    return [[[round(v, DECIMALS) for v in at] for at in row[-2:]] for row in found.tolist()]


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    LOGITS.write_text(json.dumps(make_formats(FORMATS), separators=(",", ":")) + "\n")
    print(f"{FORMATS}: {sum(f.stat().st_size for f in FORMATS.rglob('*') if f.is_file())} bytes")
