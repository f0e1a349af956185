"""Small tokenizers with the marks of the families, and formats built on them."""

from pathlib import Path
from typing import Any

from mlx_lm.tokenizer_utils import TokenizerWrapper
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from wire.tools import FunctionSpec

ROOT = Path(__file__).resolve().parents[3]
APERTUS = ["<|tools_prefix|>", "<|tools_suffix|>", "<|inner_prefix|>", "<|inner_suffix|>"]
WEATHER = FunctionSpec(
    name="get_weather",
    description="Weather of a city",
    parameters={
        "type": "object",
        "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
        "required": ["city"],
        "additionalProperties": False,
    },
    strict=True,
)
NOW = FunctionSpec(name="now")
TOOLS = (WEATHER, NOW)


def tokenizer(
    special: list[str] | None = None,
    added: list[str] | None = None,
    *,
    eos: list[str] | None = None,
    **options: Any,
) -> TokenizerWrapper:
    """One token per byte, and the given ones; ``options`` as mlx-lm's wrapper takes them."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    inner = Tokenizer(models.BPE(vocab={c: i for i, c in enumerate(alphabet)}, merges=[]))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    inner.add_special_tokens(["<s>", "</s>", *(special or [])])
    inner.add_tokens([AddedToken(t, normalized=False, special=False) for t in added or []])
    fast = PreTrainedTokenizerFast(tokenizer_object=inner, bos_token="<s>", eos_token="</s>")
    ends = [fast.convert_tokens_to_ids(token) for token in eos or []]
    return TokenizerWrapper(fast, eos_token_ids=ends, **options)


def mlx_tokenizer(module: Any, **options: Any) -> TokenizerWrapper:
    """As mlx-lm's ``load`` sets one up for a parser's module."""
    return tokenizer(
        tool_parser=module.parse_tool_call,
        tool_call_start=module.tool_call_start,
        tool_call_end=module.tool_call_end,
        **options,
    )
