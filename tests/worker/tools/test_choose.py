"""Formats and marks by tokenizer: vocabulary, mlx-lm's guess, the plain fallback."""

import pytest
from mlx_lm.tool_parsers import glm47, json_tools, kimi_k2, mistral
from mlx_lm.utils import load_tokenizer

from tests.worker.tools.tokens import APERTUS, ROOT, mlx_tokenizer, tokenizer
from worker.tools.choose import Marks, forced_format, format_of, marks_of
from worker.tools.formats.apertus import Apertus
from worker.tools.formats.json_tags import JsonTags
from worker.tools.formats.mistral import Mistral
from worker.tools.formats.mlx import MlxFormat
from worker.tools.grammar import Mark


def test_apertus_by_its_vocabulary() -> None:
    tok = tokenizer([*APERTUS, "<think>", "</think>"])
    format = format_of(tok)
    ids = tok.convert_tokens_to_ids(APERTUS)
    assert isinstance(format, Apertus)
    assert format.begin == Mark("<|tools_prefix|>", ids[0])
    # regression: Apertus has <think> in its vocabulary, and does not use it
    assert marks_of(tok, format) == Marks(*APERTUS, frozenset(ids))


def test_an_end_mark_that_ends_the_answer() -> None:
    tok = tokenizer(APERTUS, eos=["<|tools_suffix|>"])
    assert format_of(tok).finish.ends


def test_json_tools_and_reasoning_of_added_tokens() -> None:
    tok = mlx_tokenizer(
        json_tools, added=["<tool_call>", "</tool_call>", "<think>", "</think>"], special=[]
    )
    format = format_of(tok)
    assert isinstance(format, JsonTags)
    assert format.name == "json_tools"
    marks = marks_of(tok, format)
    assert (marks.tool_start, marks.tool_end) == ("<tool_call>", "</tool_call>")
    assert (marks.think_start, marks.think_end) == ("<think>", "</think>")
    assert len(marks.visible) == 4
    assert marks_of(tok, None) == Marks("", "", "<think>", "</think>", marks_of(tok, None).visible)
    assert len(marks_of(tok, None).visible) == 2


@pytest.mark.parametrize("has_args", [True, False])
def test_mistral_with_and_without_args(has_args: bool) -> None:
    special = ["[TOOL_CALLS]", *(["[ARGS]", "[CALL_ID]"] if has_args else [])]
    tok = mlx_tokenizer(mistral, special=[*special, "[THINK]", "[/THINK]"])
    format = format_of(tok)
    assert isinstance(format, Mistral)
    assert (format.args is not None) == has_args
    marks = marks_of(tok, format)
    assert (marks.tool_start, marks.tool_end) == ("[TOOL_CALLS]", "")
    assert marks.think_start == "[THINK]"
    assert frozenset(tok.convert_tokens_to_ids(special)) <= marks.visible


def test_other_formats_are_forced_in_the_plain_one() -> None:
    tok = mlx_tokenizer(glm47, added=["<tool_call>", "</tool_call>"])
    format = format_of(tok)
    assert isinstance(format, MlxFormat)
    assert format.name == "glm47"
    forced = forced_format(format)
    assert isinstance(forced, JsonTags)
    assert forced.begin.token == tok.convert_tokens_to_ids("<tool_call>")
    assert forced_format(forced) is forced


def test_inner_marks_are_visible() -> None:
    tok = mlx_tokenizer(kimi_k2, special=["<|tool_call_begin|>", "<|tool_call_argument_begin|>"])
    assert len(marks_of(tok, format_of(tok)).visible) == 2


@pytest.mark.parametrize("base", ["apertus", "devstral"])
def test_the_embedded_models_get_the_plain_format(base: str) -> None:
    tok = load_tokenizer(ROOT / "demo" / "models" / base)
    format = format_of(tok)
    assert format == JsonTags("plain", Mark("<tool_call>"), Mark("</tool_call>"))
    assert marks_of(tok, format) == Marks("<tool_call>", "</tool_call>")


def test_kimi_k3_is_not_read_natively() -> None:
    tok = tokenizer(
        ["<|open|>", "<|close|>", "<|sep|>", "<|end_of_msg|>"],
        tool_call_start="x",
        tool_call_end="y",
    )
    assert format_of(tok).name == "plain"
    assert marks_of(tok, None) == Marks()
