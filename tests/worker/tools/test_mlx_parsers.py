"""Contract: what we use of mlx-lm's tool parsers and tokenizer wrapper, so that a change shows."""

import importlib
import inspect
import pkgutil
from typing import Any

import mlx_lm.tool_parsers
import pytest
from mlx_lm.tokenizer_utils import TokenizerWrapper

from worker.tools.formats.mlx import INNER

MARKS = {
    "function_gemma": ("<start_function_call>", "<end_function_call>"),
    "gemma4": ("<|tool_call>", "<tool_call|>"),
    "glm47": ("<tool_call>", "</tool_call>"),
    "json_tools": ("<tool_call>", "</tool_call>"),
    "kimi_k2": ("<|tool_calls_section_begin|>", "<|tool_calls_section_end|>"),
    "kimi_k3": ("<|open|>tools<|sep|>", "<|close|>tools<|sep|>"),
    "laguna": ("<tool_call>", "</tool_call>"),
    "longcat": ("<longcat_tool_call>", "</longcat_tool_call>"),
    "minicpm5": ("<function name=", "</function>"),
    "minimax_m2": ("<minimax:tool_call>", "</minimax:tool_call>"),
    "mistral": ("[TOOL_CALLS]", ""),
    "muse_spark": ("<atem:function_calls>", "</atem:function_calls>"),
    "pythonic": ("<|tool_call_start|>", "<|tool_call_end|>"),
    "qwen3_coder": ("<tool_call>", "</tool_call>"),
}
# one call of f with a = 1, as the parser gets it: without the marks
SAMPLES = {
    "function_gemma": "call:f{a:1}",
    "gemma4": "call:f{a:1}",
    "glm47": "f<arg_key>a</arg_key><arg_value>1</arg_value>",
    "json_tools": '{"name": "f", "arguments": {"a": 1}}',
    "kimi_k2": '<|tool_call_begin|>functions.f:0<|tool_call_argument_begin|>{"a": 1}'
    "<|tool_call_end|>",
    "longcat": "f<longcat_arg_key>a</longcat_arg_key><longcat_arg_value>1</longcat_arg_value>",
    "minicpm5": '"f"><param name="a">1</param>',
    "minimax_m2": '<invoke name="f"><parameter name="a">1</parameter></invoke>',
    "mistral": 'f[ARGS]{"a": 1}',
    "muse_spark": '<atem:invoke name="f"><atem:parameter name="a">1</atem:parameter></atem:invoke>',
    "pythonic": "[f(a=1)]",
    "qwen3_coder": "<function=f><parameter=a>1</parameter></function>",
}
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "f",
            "description": None,
            "parameters": {"type": "object", "properties": {"a": {"type": "integer"}}},
        },
    }
]


def _module(name: str) -> Any:
    return importlib.import_module(f"mlx_lm.tool_parsers.{name}")


def test_no_parser_came_or_went() -> None:
    found = {module.name for module in pkgutil.iter_modules(mlx_lm.tool_parsers.__path__)}
    assert found == set(MARKS)


@pytest.mark.parametrize("name", sorted(MARKS))
def test_marks_and_signature(name: str) -> None:
    module = _module(name)
    assert (module.tool_call_start, module.tool_call_end) == MARKS[name]
    assert len(inspect.signature(module.parse_tool_call).parameters) == 2


@pytest.mark.parametrize("name", sorted(SAMPLES))
def test_a_call_is_read(name: str) -> None:
    found = _module(name).parse_tool_call(SAMPLES[name], TOOLS)
    (call,) = found if isinstance(found, list) else [found]
    assert (call["name"], call["arguments"]) == ("f", {"a": 1})


def test_inner_marks_are_what_parsers_look_for() -> None:
    assert set(INNER) <= set(SAMPLES)
    for name in ("glm47", "kimi_k2", "longcat"):
        assert all(mark in SAMPLES[name] for mark in INNER[name])


def test_the_wrapper_has_what_we_ask_for() -> None:
    asked = {
        "has_tool_calling", "tool_call_start", "tool_call_end", "tool_parser", "has_thinking",
        "think_start", "think_end", "structural_markers", "eos_token_ids",
    }  # fmt: skip
    assert asked <= set(dir(TokenizerWrapper))
