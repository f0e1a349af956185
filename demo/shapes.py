"""The two base models: true architectures of the transformers library, made tiny."""

import json
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from transformers import ApertusConfig, ApertusForCausalLM, Ministral3Config, Ministral3ForCausalLM

from demo.tokenizer import MAX_POSITIONS, VOCAB_SIZE

HIDDEN = 192
LAYERS = 6
HEADS = 6
KV_HEADS = 3
ROPE_THETA = 10000.0
# Apertus has two matrices in its MLP, Ministral three: about the same parameters.
APERTUS_MLP = 512
MINISTRAL_MLP = 384
ROPE = {"rope_type": "default", "rope_theta": ROPE_THETA}
# As in Devstral's own config, but with factor 1: plain RoPE within the trained context.
YARN = {
    "rope_type": "yarn",
    "type": "yarn",
    "rope_theta": ROPE_THETA,
    "factor": 1.0,
    "original_max_position_embeddings": MAX_POSITIONS,
    "beta_fast": 32.0,
    "beta_slow": 1.0,
    "mscale": 1.0,
    "mscale_all_dim": 1.0,
    "llama_4_scaling_beta": 0.1,
}
# What transformers writes of any model and no causal model needs.
NOT_WRITTEN = (
    "_name_or_path",
    "chunk_size_feed_forward",
    "id2label",
    "is_encoder_decoder",
    "label2id",
    "output_attentions",
    "output_hidden_states",
    "problem_type",
    "return_dict",
)
# What mlx-lm 0.32 asks of an Apertus config.json beyond what transformers writes.
APERTUS_FOR_MLX = {
    "mlp_bias": False,
    "post_norm": False,
    "qk_norm": True,
    "rope_theta": ROPE_THETA,
    "rope_scaling": None,
}


def new_model(base: str, tokenizer: Tokenizer, end: str) -> Any:
    """Return a float32 model of ``base`` with fresh weights that stops at ``end``."""
    stop = tokenizer.token_to_id(end)
    common: dict[str, Any] = {
        "vocab_size": VOCAB_SIZE,
        "hidden_size": HIDDEN,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "num_key_value_heads": KV_HEADS,
        "max_position_embeddings": MAX_POSITIONS,
        "tie_word_embeddings": True,
        "bos_token_id": tokenizer.token_to_id("<s>"),
        "eos_token_id": sorted({stop, tokenizer.token_to_id("</s>")}),
        "pad_token_id": tokenizer.token_to_id("<pad>"),
        "dtype": torch.float32,
    }
    if base == "apertus":
        config: Any = ApertusConfig(
            **common, intermediate_size=APERTUS_MLP, rope_parameters=dict(ROPE)
        )
        return ApertusForCausalLM(config).float()
    config = Ministral3Config(
        **common,
        head_dim=HIDDEN // HEADS,
        intermediate_size=MINISTRAL_MLP,
        rope_parameters=dict(YARN),
    )
    return Ministral3ForCausalLM(config).float()


def write_config(model: Any, folder: Path) -> None:
    """Write config.json and generation_config.json, with the keys that mlx-lm wants."""
    config = {k: v for k, v in model.config.to_dict().items() if k not in NOT_WRITTEN}
    config["architectures"] = [type(model).__name__]
    config["dtype"] = config["torch_dtype"] = "float16"
    if config["model_type"] == "apertus":
        config.update(APERTUS_FOR_MLX)
    stops = {key: config[key] for key in ("bos_token_id", "eos_token_id", "pad_token_id")}
    _write(folder / "config.json", config)
    _write(folder / "generation_config.json", {**stops, "do_sample": False})


def _write(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n")
